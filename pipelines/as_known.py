"""One row as it was known at an instant, and what the store can and cannot say of that.

Two times: `day`, on which the source says that something holds, and `at`, at which the house took it in. A shelf
keeps one state of a row: the last that a delivery wrote, with that delivery's place. So the state of an earlier instant
can be told when it is the one held; else only that it was another, or none. Deliveries that did not write the row said
the same or said nothing of it: which of the two is not kept. Sources: R43, R45; canonical §7.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from pipelines.trace import LOCUS, Trace, registered, trace
from schemas.home import Home
from schemas.window import paris_day
from store.agency import Shelf
from store.keys import Root
from store.tables import DELIVERY

_END = ("ended_reason", "ended_on")


class Answer(StrEnum):
    """What can be said of a row at an instant."""

    AS_HELD = "as_held"  # it was known as it is held today
    BEFORE_END = "before_end"  # the same, and its end was not known yet
    NOT_KEPT = "not_kept"  # a later delivery wrote what is held; what was held then, if anything, is not kept
    NOTHING_YET = "nothing_yet"  # nothing of this system had come


class Part(StrEnum):
    """What a delivery did to the row, as far as the store knows."""

    WROTE = "wrote"  # what is held is of this delivery
    ENDED = "ended"  # of the day on which the row ended
    UNKNOWN = "unknown"  # before what is held was written: what it did is not kept
    LEFT = "left"  # it said the same, or nothing


@dataclass(frozen=True, slots=True)
class Step:
    """One accepted delivery of the row's system."""

    part: Part
    delivery: str
    day: str
    at: datetime
    sha256: str | None
    layout: str
    code_version: str
    instructions: tuple[str, ...]
    run: str
    known: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "part": str(self.part), "delivery": self.delivery, "day": self.day, "at": self.at.isoformat(),
            "sha256": self.sha256, "layout": self.layout, "code_version": self.code_version,
            "instructions": list(self.instructions), "run": self.run, "known": self.known,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """The answer, the row's lineage, and every delivery of its system in the order in which they came. `known` of a
    step: whether it had come at the instant asked for."""

    asked: datetime
    answer: Answer
    row: Trace
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """What changed the row since the instant, as far as it is known."""
        return tuple(s for s in self.steps if not s.known and s.part in (Part.WROTE, Part.ENDED))

    def as_json(self) -> dict[str, Any]:
        said = self.row.as_json()
        if self.answer in (Answer.NOT_KEPT, Answer.NOTHING_YET):
            said = {k: said[k] for k in ("agency", "table", "source_key", "system")}
        return {
            "asked": self.asked.isoformat(), "answer": str(self.answer), "row": said,
            "changes_since": [s.as_json() for s in self.changes], "steps": [s.as_json() for s in self.steps],
            "locus": LOCUS[self.row.system],
        }  # fmt: skip


def as_known(
    home: Home, agency: str, table: str, key: str, asked: datetime, *, system: str | None = None,
    value: bool = False, at: datetime, passphrase: str | None = None, root: Root | None = None,
) -> Known:  # fmt: skip
    """What was known of a row at `asked`. `value`: its values too, when they are still those of then, and the agency
    has instructed the purpose "support". Raises as `pipelines.trace.trace`."""
    row = trace(home, agency, table, key, system=system, at=at)
    with Shelf.known(home, registered(home, agency)) as shelf:
        came = shelf.db.execute(select(DELIVERY).where(DELIVERY.c.system == str(row.system))).all()
    steps = _steps(row, sorted(came, key=lambda d: (datetime.fromisoformat(d.at), d.id)), asked)
    answer = _answer(row, steps, asked)
    if value and answer in (Answer.AS_HELD, Answer.BEFORE_END):
        row = trace(home, agency, table, key, system=system, value=True, at=at, passphrase=passphrase, root=root)
    return Known(asked, answer, _as_open(row) if answer is Answer.BEFORE_END else row, steps)


def _as_open(row: Trace) -> Trace:
    """The row without the end that was not known yet."""
    columns = tuple(replace(c, value=None) if c.field.name in _END else c for c in row.columns)
    return replace(row, ended_reason=None, ended_on=None, columns=columns)


def _steps(row: Trace, came: Sequence[Any], asked: datetime) -> tuple[Step, ...]:
    wrote = next(n for n, d in enumerate(came) if (d.name, d.sha256) == (row.delivery, row.sha256))
    return tuple(
        Step(
            _part(row, n, wrote, d), d.name, d.day, datetime.fromisoformat(d.at), d.sha256, d.layout, d.code_version,
            tuple(d.instructions.split()), d.run, datetime.fromisoformat(d.at) <= asked,
        )
        for n, d in enumerate(came)
    )  # fmt: skip


def _part(row: Trace, n: int, wrote: int, d: Any) -> Part:
    if n < wrote:
        return Part.UNKNOWN
    if n == wrote:
        return Part.WROTE
    return Part.ENDED if row.ended_on is not None and d.day == row.ended_on else Part.LEFT


def _answer(row: Trace, steps: Sequence[Step], asked: datetime) -> Answer:
    if not any(s.known for s in steps):
        return Answer.NOTHING_YET
    if not next(s for s in steps if s.part is Part.WROTE).known:
        return Answer.NOT_KEPT
    ended = [s for s in steps if s.part is Part.ENDED]
    later = not ended[0].known if ended else row.ended_on is not None and row.ended_on > paris_day(asked).isoformat()
    return Answer.BEFORE_END if later else Answer.AS_HELD
