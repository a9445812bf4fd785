"""The diary of an agency's erasures: note before, act, note after. Holds codes, counts and digests; no personal data.

One JSON line a note, in `HOME/erasures/<CODE>.jsonl`. Notes between `begun` and `concluded` are a round; a round that
is not concluded has to be finished. A note is evidence, never a reason not to look again: every attempt carries out
every step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ledger.canonical import canonical, instant, parse
from ledger.lines import appending, read_lines
from retention.plan import Kind, Plan
from retention.steps import Outcome, Step, data_of, name_of, outcome_data, outcome_of
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code


@dataclass(frozen=True, slots=True)
class OpenRound:
    """An erasure that was begun and not concluded."""

    agency: AgencyCode
    kind: Kind
    end: date


class Diary:
    """The notes about one agency."""

    def __init__(self, folder: Path, agency: AgencyCode) -> None:
        self.path = folder / f"{agency}.jsonl"
        self.agency = agency

    def begin(self, plan: Plan, at: datetime) -> None:
        """Open a round, or take up the open one of the same kind and contract, with the plan as it is now."""
        same = self.open() == OpenRound(plan.agency, plan.kind, plan.end)
        self._note("resumed" if same else "begun", at, {"plan": plan.data, "plan_sha256": plan.digest})

    def before(self, step: Step, at: datetime) -> None:
        self._note("before", at, {"step": data_of(step)})

    def after(self, step: Step, outcome: Outcome, at: datetime) -> None:
        self._note("after", at, {"step": name_of(step)} | outcome_data(outcome))

    def searched(self, found: Mapping[str, int], at: datetime) -> None:
        self._note("searched", at, {"found": dict(found)})

    def certified(self, name: str, sha256: str, at: datetime) -> None:
        """Noted before the file is written: after a crash, the file is the one of this digest or it is made anew."""
        self._note("certified", at, {"file": name, "sha256": sha256})

    def conclude(self, at: datetime) -> None:
        if self.open() is not None:
            self._note("concluded", at, {})

    def open(self) -> OpenRound | None:
        """The round that is not concluded, if there is one."""
        notes = self._round()
        if not notes:
            return None
        told = notes[0]["plan"]
        return OpenRound(self.agency, Kind(told["kind"]), date.fromisoformat(told["end"]))

    def certificate(self) -> tuple[str, str] | None:
        """File name and digest of the certificate noted in the open round."""
        noted = [n for n in self._round() if n["event"] == "certified"]
        return (noted[-1]["file"], noted[-1]["sha256"]) if noted else None

    def attempts(self, step: Step) -> list[Outcome | None]:
        """What earlier attempts of the open round said of a step; None for one that noted its beginning and not its
        end."""
        name = name_of(step)
        said: list[Outcome | None] = []
        pending = False
        for note in self._round():
            if note["event"] == "before" and note["step"]["step"] == name:
                said += [None] if pending else []
                pending = True
            elif note["event"] == "after" and note["step"] == name:
                said.append(outcome_of(note))
                pending = False
        return [*said, None] if pending else said

    def _round(self) -> list[dict[str, Any]]:
        """The notes of the open round, its begin first; none when the last round is concluded."""
        notes = self.read()
        begun = max((n for n, note in enumerate(notes) if note["event"] == "begun"), default=len(notes))
        concluded = any(note["event"] == "concluded" for note in notes[begun:])
        return [] if concluded else notes[begun:]

    def read(self) -> list[dict[str, Any]]:
        """Every note, in order. Raises NotVerified naming the line that is none."""
        notes = []
        for n, raw in enumerate(read_lines(self.path, _is_note), start=1):
            try:
                note = parse(raw)
            except Malformed:
                note = {}
            if "event" not in note:
                raise NotVerified(f"{self.path.name}: line {n} is not a note", "Restore the diary from a copy.")
            notes.append(note)
        return notes

    def _note(self, event: str, at: datetime, more: Mapping[str, Any]) -> None:
        note = canonical(
            {"format": "depositaire-diary/1", "agency": self.agency, "event": event, "at": instant(at), **more}
        )
        with appending(self.path, _is_note) as file:
            file.append(note + b"\n")


def open_rounds(folder: Path) -> dict[AgencyCode, OpenRound]:
    """Every erasure under a folder of diaries that was begun and not concluded.

    A diary that cannot be believed is passed over here: its own agency's erasure will say so, the others must go on.
    """
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            opened = Diary(folder, agency_code(path.stem)).open()
        except (Malformed, NotVerified):
            continue
        if opened is not None:
            found[opened.agency] = opened
    return found


def _is_note(raw: bytes) -> bool:
    try:
        return "event" in parse(raw)
    except Malformed:
        return False
