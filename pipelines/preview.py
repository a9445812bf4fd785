"""What an instruction would change, before anybody signs it: counted on the shelf, with no row opened and nothing
written.

Two mandates are compared at one instant, the first at which the instruction counts: the one that stands without it and
the one that would stand with it. Sources: R46, R55 (an erasure is looked at before it is carried out).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from typing import Any

from sqlalchemy import Connection, func, literal, select

from ledger import acts
from ledger.canonical import instant
from ledger.entry import Entry, History, Line
from ledger.instruction_file import Draft, Paper
from ledger.mandate import fold
from ledger.orders import Channel, Restrict
from pipelines.instructing import Desk, kind_of, within_contracts
from schemas.errors import Refused
from schemas.fields import Category
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import BY_ROW, Conflict, Mandate
from schemas.records import PROCESSOR_TABLES, RECORDS
from schemas.window import State, state
from store import register
from store.agency import Shelf, is_held
from store.house import House
from store.tables import ROWS
from store.veil import Veil
from store.writing import BOUND_TO


@dataclass(frozen=True, slots=True)
class Change:
    """One table of one system. `fields`: columns that come or go, without keys and references. `persons`: how many
    persons held today it is about. `rows`: rows held today that would no longer be brought up to date, or be erased."""

    system: System
    table: str
    fields: tuple[str, ...]
    persons: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        return {
            "system": str(self.system), "table": self.table, "fields": list(self.fields), "persons": self.persons,
            "rows": self.rows,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change for one agency at `effective_at`."""

    agency: AgencyCode
    kind: str
    effective_at: datetime
    allowed: tuple[Change, ...]
    withheld: tuple[Change, ...]
    erased: tuple[Change, ...]
    starts: tuple[System, ...]
    stops: tuple[System, ...]
    conflicts: tuple[Conflict, ...]
    unknown: int = 0  # keys that the file names and that are not held today

    @property
    def changes(self) -> bool:
        return bool(self.allowed or self.withheld or self.erased or self.starts or self.stops or self.conflicts)

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "kind": self.kind, "effective_at": instant(self.effective_at),
            "allowed": [c.as_json() for c in self.allowed], "withheld": [c.as_json() for c in self.withheld],
            "erased": [c.as_json() for c in self.erased], "starts": [str(s) for s in self.starts],
            "stops": [str(s) for s in self.stops],
            "conflicts": [{"code": c.code, "ids": list(c.ids)} for c in self.conflicts],
            "unknown_keys": self.unknown,
        }  # fmt: skip


def of_file(desk: Desk, agency: AgencyCode, said: Draft | Paper, at: datetime) -> Preview:
    """What recording a file at `at` would change. Raises what recording it would raise; writes nothing."""
    said = within_contracts(desk.home, [agency], said)[agency]
    history = desk.log(agency).read()
    made = acts.prepare(history, desk.foreseen(agency, said, at), at)
    begins = getattr(made, "valid_from", at)
    found = _preview(desk.home, history, made, kind_of(made), max(at, begins))
    found = replace(found, unknown=desk.unknown_rows(agency, said))
    if isinstance(made, Restrict) and made.scope in BY_ROW:
        return replace(found, withheld=_rows_hidden(desk, agency, _after(history, made, found.effective_at), at))
    return found


def _rows_hidden(desk: Desk, agency: AgencyCode, after: Mandate, at: datetime) -> tuple[Change, ...]:
    """Rows held today that restrictions by building, lot or person close, with the persons that they name."""
    if not is_held(desk.home, agency):
        return ()
    with desk.keyring(agency, at) as keyring, Shelf.known(desk.home, agency) as shelf:
        veil = Veil(shelf.db, after, keyring.reference)
        counted: dict[tuple[System, str], list[str | None]] = defaultdict(list)
        for table in PROCESSOR_TABLES:
            found = shelf.db.execute(select(ROWS[table])).all()
            for r in compress(found, veil.hidden(table, found)):
                counted[System(r.system), table].append(getattr(r, BOUND_TO.get(table, ""), None))
    return tuple(
        Change(s, t, _telling(t, _all_of(t)), len({p for p in persons if p}), len(persons))
        for (s, t), persons in sorted(counted.items())
    )


def of_withdrawal(desk: Desk, agency: AgencyCode, instruction: str, at: datetime, signed: bool = False) -> Preview:
    """What taking an instruction back at `at` would change. `signed`: a passkey is going to sign it."""
    history = desk.log(agency).read()
    return _preview(desk.home, history, acts.withdrawal(history, instruction, at), "withdraw", at, signed)


def _preview(home: Home, history: History, made: Entry, kind: str, moment: datetime, signed: bool = False) -> Preview:
    before, after = fold(history, moment), _after(history, made, moment, signed)
    held = _held(home, history.agency)
    running = _running(home, history.agency, moment)
    starts = tuple(s for s in running if not before.for_system(s) and after.for_system(s))
    stops = tuple(s for s in running if before.for_system(s) and not after.for_system(s))
    return Preview(
        history.agency,
        kind,
        moment,
        allowed=_gained(before, after, held),
        withheld=_gained(after, before, held, of_table=True),
        erased=_erased(before, after, held),
        starts=starts,
        stops=stops,
        conflicts=tuple(c for c in after.conflicts if c not in before.conflicts),
    )


def _after(history: History, made: Entry, at: datetime, signed: bool = False) -> Mandate:
    """What would be allowed. Nothing here reads the digest of the last line: what comes in by the portal is not
    recorded without its signature."""
    number = history.head.size + 1
    would = replace(history, lines=(*history.lines, Line(number, at, made, "")))
    portal = getattr(made, "channel", None) is Channel.PORTAL
    return fold(would, at, foreseen={number} if signed or portal else ())


def _gained(less: Mandate, more: Mandate, held: "Held", of_table: bool = False) -> tuple[Change, ...]:
    """Columns that `more` lets in and `less` does not. Persons: all that the system has, or those of the table."""
    out = []
    for system in AGENCY_SYSTEMS:
        for table in PROCESSOR_TABLES:
            fresh = (more.fields(system, table) or frozenset()) - (less.fields(system, table) or frozenset())
            if fresh:
                here = (system, table)
                persons = held.persons.get(here if of_table else (system, "person"), 0)
                out.append(Change(system, table, _telling(table, fresh), persons, held.rows.get(here, 0)))
    return tuple(out)


def _erased(before: Mandate, after: Mandate, held: "Held") -> tuple[Change, ...]:
    known = {t.instruction for t in before.tasks}
    tables = {n for t in after.tasks if t.does == "erase" and t.instruction not in known for n in t.tables}
    return tuple(
        Change(system, table, _telling(table, _all_of(table)), held.persons[at], rows)
        for at, rows in held.rows.items()
        for system, table in (at,)
        if rows and ("*" in tables or table in tables)
    )


def _all_of(table: str) -> frozenset[str]:
    return frozenset(f.name for f in RECORDS[table].fields)


def _telling(table: str, names: frozenset[str]) -> tuple[str, ...]:
    """Columns in their order, without keys, references and ranks: those go with any row."""
    return tuple(f.name for f in RECORDS[table].fields if f.name in names and f.category is not Category.TECHNICAL)


@dataclass(frozen=True, slots=True)
class Held:
    """Rows and persons on the shelf today, by system and table."""

    rows: Mapping[tuple[System, str], int]
    persons: Mapping[tuple[System, str], int]


def _held(home: Home, agency: AgencyCode) -> Held:
    """Counted by the database. Without a shelf nothing is held."""
    if not is_held(home, agency):
        return Held({}, {})
    with Shelf.known(home, agency) as shelf:
        found = {(System(s), t): n for t in PROCESSOR_TABLES for s, *n in _counts(shelf.db, t)}
    return Held({at: n[0] for at, n in found.items()}, {at: n[1] for at, n in found.items()})


def _counts(db: Connection, table: str) -> list[tuple[str, int, int]]:
    """By system: rows, and persons that they name (0 for tables about no person)."""
    t = ROWS[table]
    person = t.c[BOUND_TO[table]] if table in BOUND_TO else None
    persons = func.count(person.distinct()) if person is not None else literal(0)
    return [tuple(r) for r in db.execute(select(t.c.system, func.count(), persons).group_by(t.c.system))]


def _running(home: Home, agency: AgencyCode, at: datetime) -> tuple[System, ...]:
    """Systems that are synchronised every night where an instruction lets them. Raises Refused without a contract."""
    with House.open(home) as house:
        row = register.get(house.db, agency)
    if row is None:
        raise Refused(f"agency {agency} is not in the register", "Load a register that names it.")
    runs = state(row.contract, at) is State.RUNNING
    return tuple(s for s in AGENCY_SYSTEMS if runs and s in row.contract.systems)
