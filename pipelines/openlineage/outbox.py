"""The events of each agency, each once, in a file of its own: `HOME/lineage/<CODE>.jsonl`, one event a line.

The log of an agency and the journal of the house are the outbox: what an event speaks of and what tells of it are one
write there. Events are derived from them (`pipelines.openlineage.runs`), appended in order, and only then is it noted
how far the log and the journal were read (`<CODE>.state`). Whoever is stopped in between finds at the next turn more in
the file than the note says, reads that end again, and leaves out what is there: no event is lost, and none is twice.
A note that is lost is made again, and so is a file, but for what only an emptied journal told.

Only the machine that has the logs does this. Nothing waits for it, neither a night nor an erasure's beginning.
"""

import fcntl
import heapq
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ledger.keys import LogKeys
from ledger.lines import lock, sync_folder, write_all, write_whole
from ledger.log import Log
from pipelines.openlineage.runs import Ran, of_journal, of_log
from schemas.errors import Malformed, NotVerified, Say
from schemas.home import PORTAL, Home
from schemas.ids import AgencyCode, agency_code
from store import register
from store.house import JOURNAL, House
from store.keys import Root, open_root

_PART = 2**20
_CODE = re.compile(r"[A-Z0-9]{5}")
Flow = AgencyCode | None


@dataclass(frozen=True, slots=True)
class State:
    """How far one flow was read: leaves of the log, the last number of the journal, leaves that may not be told yet
    (R50); and how long the file was then, in bytes."""

    log: int = 0
    journal: int = 0
    waiting: tuple[int, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What one turn wrote: how many events, of how many flows; and what kept single flows from it."""

    events: int
    flows: int
    problems: tuple[tuple[Flow, Say], ...] = ()


class Outbox:
    """The events of a home. `root` opens the logs."""

    def __init__(self, home: Home, root: Root) -> None:
        self._home = home
        self._keys = LogKeys(home, root)

    @classmethod
    def open(cls, home: Home, passphrase: str | None = None) -> "Outbox":
        House.open(home).db.close()
        return cls(home, open_root(home, passphrase))

    def flows(self, wanted: Collection[str] | None = None) -> list[Flow]:
        """Those named; or every agency that has a log, events or a line in the journal, and the portal's own accounts
        last. Raises Malformed for one that has none and is not in the register."""
        with House.open(self._home) as house:
            journal = set(house.db.scalars(select(JOURNAL.c.agency).distinct()))
            registered = {str(a.code) for a in register.everyone(house.db)}
        told = {a for a in journal if a is not None and _CODE.fullmatch(a)}
        found = told | _codes(self._home.ledgers) | _codes(self._home.lineage)
        if wanted is None:
            own: list[Flow] = [None] if None in journal or path(self._home, None).exists() else []
            return [*(agency_code(a) for a in sorted(found)), *own]
        codes = [agency_code(a) for a in dict.fromkeys(wanted)]
        for code in codes:
            if code not in found | registered:
                raise Malformed(f"agency {code} is not in the register", "Check the code.")
        return [*codes]

    def collect(self, flows: Iterable[Flow], now: datetime) -> Written:
        """Write what is new of these flows. Again is the same as once. A log that does not hold is told as a problem,
        and does not keep the other flows from it."""
        written: list[int] = []
        problems: list[tuple[Flow, Say]] = []
        with writing(self._home), House.open(self._home) as house:
            for flow in flows:
                try:
                    written.append(self._collect(house, flow, now))
                except Say as no:
                    problems.append((flow, no))
        return Written(sum(written), sum(n > 0 for n in written), tuple(problems))

    def before_forgetting(self, agency: AgencyCode, now: datetime) -> None:
        """Called before an erasure empties the journal of an agency: what only the journal tells is written, and the
        note of how far it was read is dropped. Numbers of the journal may be given again.

        A log that does not hold keeps no erasure from going on: its own events wait until it holds."""
        with writing(self._home), House.open(self._home) as house:
            try:
                self._collect(house, agency, now)
            except NotVerified:
                known = _state(path(self._home, agency))
                rows = _rows(house, agency, 0)
                _append(path(self._home, agency), [*of_journal(rows)], replace(known, size=0))
            path(self._home, agency).with_suffix(".state").unlink(missing_ok=True)

    def _collect(self, house: House, flow: Flow, now: datetime) -> int:
        file = path(self._home, flow)
        log = Log.at(self._home, flow, self._keys) if flow is not None else None
        stated = log.stated_size() if log is not None else 0
        known, newest, size = _state(file), _newest(house, flow), _size(file)
        if known.journal > newest or size < known.size or stated < known.log:
            known = State()  # an older copy of one of them: nothing is taken for granted
        if (size, newest, stated) == (known.size, known.journal, known.log) and not known.waiting:
            return 0
        rows = _rows(house, flow, known.journal)
        state = replace(known, journal=max([known.journal, *(r.id for r in rows)]))
        told: list[Ran] = []
        if log is not None and log.exists:
            history = log.read()
            told, waiting = of_log(history, known.log, known.waiting, now)
            state = replace(state, log=history.head.size, waiting=waiting)
        return _append(file, merged(told, list(of_journal(rows))), state)


def path(home: Home, flow: Flow) -> Path:
    """The events of an agency (None: of the portal's own accounts)."""
    return home.lineage / f"{flow or PORTAL}.jsonl"


def copy(home: Home, flows: Iterable[Flow], out: Path) -> int:
    """All events that were written of these flows, into one file; returns how many."""
    count = 0
    half = out.with_name(f".{out.name}.half")
    with half.open("wb") as target:
        for flow in flows:
            with suppress(FileNotFoundError), path(home, flow).open("rb") as source:
                while part := source.read(_PART):
                    target.write(part)
                    count += part.count(b"\n")
    half.replace(out)
    return count


@contextmanager
def writing(home: Home) -> Iterator[None]:
    """One writer of events at a time. Raises TryAgain when another takes long."""
    home.lineage.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home.lineage / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def merged(log: Sequence[Ran], journal: Sequence[Ran]) -> list[Ran]:
    """Both in their own order, put side by side by time."""

    def timed(runs: Sequence[Ran]) -> Iterator[tuple[datetime, Ran]]:
        return zip(accumulate((r.at for r in runs), max), runs, strict=True)

    return [ran for _, ran in heapq.merge(timed(log), timed(journal), key=lambda each: each[0])]


def _append(file: Path, runs: Sequence[Ran], state: State) -> int:
    """Write the events of these runs that the file does not have already behind what is noted; then note how far it
    is. What is left of an event that was being written is cut: it comes again whole."""
    from pipelines.openlineage import events

    if not runs and not file.exists():
        _note(file, state)
        return 0
    fresh = not file.exists()
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        tail = _read(handle, state.size)
        whole = tail[: tail.rfind(b"\n") + 1]
        there = {name_of(line) for line in whole.split(b"\n") if line}
        lines = [line for ran in runs for line in events.of(ran) if name_of(line) not in there]
        end = state.size + len(whole)
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        raw = b"".join(line + b"\n" for line in lines)
        write_all(handle, raw)
        os.fsync(handle)
    finally:
        os.close(handle)
    if fresh:
        sync_folder(file.parent)
    _note(file, replace(state, size=end + len(raw)))
    return len(lines)


def name_of(line: bytes) -> tuple[str, str]:
    """What tells one event from every other: its run, and its type."""
    said = json.loads(line)
    return said["run"]["runId"], said["eventType"]


def _read(handle: int, begin: int) -> bytes:
    parts = []
    while part := os.pread(handle, _PART, begin):
        parts.append(part)
        begin += len(part)
    return b"".join(parts)


def _note(file: Path, state: State) -> None:
    write_whole(file.with_suffix(".state"), json.dumps(asdict(state)).encode())


def _state(file: Path) -> State:
    """The note; the beginning where there is none, or none that can be read."""
    try:
        said = json.loads(file.with_suffix(".state").read_bytes())
        return State(int(said["log"]), int(said["journal"]), tuple(map(int, said["waiting"])), int(said["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return State()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _newest(house: House, flow: Flow) -> int:
    return house.db.scalar(select(func.max(JOURNAL.c.id)).where(JOURNAL.c.agency == flow)) or 0


def _rows(house: House, flow: Flow, after: int) -> Sequence[Any]:
    wanted = select(JOURNAL).where(JOURNAL.c.agency == flow, JOURNAL.c.id > after).order_by(JOURNAL.c.id)
    return house.db.execute(wanted).all()


def _codes(folder: Path) -> set[str]:
    """The agencies that files of a folder are named after."""
    return {p.stem for p in folder.glob("*") if _CODE.fullmatch(p.stem)}
