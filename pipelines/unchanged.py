"""A delivery that is as the last one was: what it comes to is known, and noted without a row being read (0018).

All that could make the outcome another is in the proof that its flow keeps (`store.fixed`): the bytes but for what
names this one delivery, the layout, the code, what the agency allows, and how often something of the flow was written.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path

from connectors.base import Delivery, Opened
from pipelines.night import Room, at_once, code_version
from pipelines.premises import NoHost
from schemas.capability import Warrant
from schemas.errors import NotVerified, Refused, TryAgain
from schemas.frames import Arrived
from schemas.home import PORTAL
from schemas.ids import AgencyCode, System
from schemas.report import Report
from store import engine, fixed
from store.agency import OpenShelf
from store.engine import Last, Note, Standing
from store.keep import Errand, columns_of, repeat

_ROOMS = ("connectors", "schemas", "store")


@cache
def code() -> str:
    """A digest of all that reads and keeps a delivery: the code, and the layouts, which an installation may change."""
    told = sha256(code_version().encode())
    house = Path(__file__).parents[1]
    for path in sorted(p for room in _ROOMS for p in (house / room).rglob("*") if p.suffix in (".py", ".toml", ".xsd")):
        told.update(f"\0{path.relative_to(house).as_posix()}\0".encode() + path.read_bytes())
    return told.hexdigest()


def is_due_in_full(agency: AgencyCode | None, system: System, last: date, day: date, days: int) -> bool:
    """Whether a period of so many days ended between two deliveries: the first one of each period is read in full,
    whatever is known of it. When a period ends follows from agency and system, so that a night has as many as another.
    """
    ahead = int.from_bytes(sha256(f"{agency or PORTAL} {system}".encode()).digest()[:4]) % days
    return (last.toordinal() + ahead) // days != (day.toordinal() + ahead) // days


@dataclass(slots=True)
class Recogniser:
    """Asked by a connector whether it need read on (`connectors.base.Known.settled`)."""

    room: Room
    warrant: Warrant
    last: Last
    proof: bytes = field(default=b"", repr=False)

    def __call__(self, arrived: Arrived) -> bool:
        last, capability = self.last, self.warrant.capability
        if not last.day <= arrived.day.isoformat() < (last.until or date.max.isoformat()):
            return False
        was, days = date.fromisoformat(last.day), self.room.night.full_reading_days
        if is_due_in_full(arrived.agency, arrived.system, was, arrived.day, days):
            return False
        try:
            keys = self.room.premises.prover(capability, arrived.system)
        except NoHost:
            raise
        except (Refused, NotVerified, TryAgain, sqlite3.Error):  # opening the ring will tell
            return False
        self.proof = fixed.prove(keys, arrived, capability, code(), last.generation)
        return engine.seal_of(self.proof) == last.seal


def recogniser(room: Room, delivery: Delivery, warrant: Warrant, held: Standing) -> Recogniser | None:
    """None where everything is to be read."""
    if held.last is None or delivery.agency is None or not room.night.short_cut:
        return None
    return Recogniser(room, warrant, held.last)


@dataclass(frozen=True, slots=True)
class Same:
    """A delivery of which it is known what it comes to. `shelf`: open, where lines are put aside once more."""

    delivery: Delivery
    opened: Opened
    by: Recogniser
    report: Report
    shelf: OpenShelf | None = None

    @classmethod
    def of(cls, delivery: Delivery, opened: Opened, by: Recogniser) -> "Same":
        d, day = delivery, opened.arrived.day
        if opened.arrived.is_silent:
            return cls(d, opened, by, Report(d.agency, d.system, d.name, day, "accepted"))
        return cls(d, opened, by, Report.again(by.last.report, d.agency, d.system, d.name, day))

    @property
    def puts_aside(self) -> bool:
        return bool(self.report.quarantined)

    @property
    def instructions(self) -> tuple[str, ...]:
        mandate = self.by.warrant.capability.mandate
        return mandate.instructions(self.delivery.system) if mandate is not None else ()


def errand(room: Room) -> Errand:
    return Errand(room.run, room.night.at, code_version(), code=code())


@dataclass(frozen=True, slots=True)
class _Noted:
    """A delivery on its shelf's books."""

    same: Same
    note: Note
    number: int

    @property
    def report(self) -> Report:
        return self.same.report


def settle(room: Room, known: Sequence[Same]) -> Iterator[Report | Delivery]:
    """Reports; deliveries that must be read after all, and those whose leave has changed."""
    leave: list[tuple[Same, Note]] = []
    for same in known:
        try:
            leave.append((same, _note(room, same)))
        except Refused:
            yield same.delivery
    reports: dict[int, Report] = {}
    faults: list[Exception] = []

    def told(numbers: Mapping[int, int]) -> list[int]:
        """As in `pipelines.batch`: the journal before the first receipt."""
        noted = [_Noted(*leave[n], number) for n, number in numbers.items()]
        room.note([each.report for each in noted])
        failed = _receipts(room, noted)
        done = [n for n, no in zip(numbers, failed, strict=True) if no is None]
        reports.update({n: each.report for n, each in zip(numbers, noted, strict=True) if n in done})
        faults.extend(no for no in failed if no is not None)
        return done

    numbers = engine.of(room.night.home).note_unchanged([note for _, note in leave], told)
    yield from (same.delivery for (same, _), number in zip(leave, numbers, strict=True) if number is None)
    yield from reports.values()
    for no in faults:
        raise no


def _note(room: Room, same: Same) -> Note:
    """Under what is allowed now. Raises Refused when that has changed."""
    by, arrived = same.by, same.opened.arrived
    capability = by.warrant.confirm()
    row = columns_of(arrived, errand(room), same.instructions, same.report)
    return Note(capability, by.proof, by.last.generation, arrived.cursor, row)


def _receipts(room: Room, noted: Sequence[_Noted]) -> list[Exception | None]:
    at, policy = room.night.at, room.premises.policy(room.night.at)

    def one(each: _Noted) -> None:
        room.books.noted(each.report, each.note, each.number, fixed.heard(each.same.by.last.excess), at, policy)

    return at_once(one, noted)


def put_aside_again(room: Room, known: Sequence[Same]) -> Iterator[tuple[int, Report | None]]:
    """As `store.keep.keep`, of those whose shelf is open."""
    for d, same in enumerate(known):
        if same.shelf is None:
            raise ValueError("the shelf is not open")
        report = same.report
        try:
            repeat(same.shelf, same.opened.arrived, same.by.last, report, errand(room), same.instructions)
        except Refused:
            yield d, None
            continue
        yield d, report
