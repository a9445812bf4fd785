"""Where one row came from, column by column; which lines were put aside. Places and rules; a value only when asked."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from pipelines.lineage import Edge, edges_of
from pipelines.premises import is_held
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Malformed
from schemas.fields import Field, Record
from schemas.home import Home
from schemas.ids import AgencyCode, System, agency_code
from schemas.records import CANONICAL, RECORDS, exported_fields
from store.agency import OpenShelf, Shelf
from store.export import as_lines
from store.house import House
from store.keys import Keyring, Root, open_root
from store.register import get
from store.tables import DELIVERY, LINE, ROWS

# What the place of a line is called in each contract ("Location").
LOCUS: dict[System, str] = {
    System.SPILASUITE: "key",
    System.SDGI: "line",
    System.GPI: "offset",
    System.LOGIN: "ref",
    System.PORTAL: "line",
}


@dataclass(frozen=True, slots=True)
class Traced:
    """One column of a row: what it is, and which columns of the source line fill it."""

    field: Field
    scope: str
    edges: tuple[Edge, ...]
    value: Any = None
    valued: bool = False

    def as_json(self) -> dict[str, Any]:
        f = self.field
        known = {
            "column": f.name, "scope": self.scope, "category": str(f.category), "personal": f.personal,
            "from": [{"table": e.source_table, "column": e.source_column, "rule": e.rule} for e in self.edges],
        }  # fmt: skip
        return known | ({"value": self.value} if self.valued else {})


@dataclass(frozen=True, slots=True)
class Trace:
    """The lineage of one row of an agency."""

    agency: AgencyCode
    table: str
    source_key: str
    system: System
    delivery: str
    sha256: str | None
    day: str
    read_at: str
    location: str | int
    source_table: str
    source_line: str
    layout: str
    code_version: str
    instructions: tuple[str, ...]
    run: str
    ended_reason: str | None
    ended_on: str | None
    columns: tuple[Traced, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "table": self.table, "source_key": self.source_key, "system": str(self.system),
            "delivery": self.delivery, "sha256": self.sha256, "day": self.day, "read_at": self.read_at,
            "source_table": self.source_table, "source_line": self.source_line, LOCUS[self.system]: self.location,
            "layout": self.layout, "code_version": self.code_version, "instructions": list(self.instructions),
            "run": self.run, "ended_reason": self.ended_reason, "ended_on": self.ended_on,
            "columns": [c.as_json() for c in self.columns],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aside:
    """One line put aside: where, and why; never what."""

    agency: AgencyCode | None
    system: System
    delivery: str
    source: str
    loc: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "system": str(self.system), "delivery": self.delivery, "source": self.source,
            LOCUS[self.system]: _place(self.system, self.loc), "reason": self.reason,
        }  # fmt: skip


def trace(
    home: Home, agency: str, table: str, key: str, *, column: str | None = None, system: str | None = None,
    value: bool = False, at: datetime, passphrase: str | None = None, root: Root | None = None,
) -> Trace:  # fmt: skip
    """The lineage of one row. Raises Malformed when there is no such table, column or row, or it is not clear which;
    Refused when a value is asked for and the agency has not instructed the purpose "support" (R45, art. 29).
    `root`: for whoever holds it already, instead of the passphrase."""
    record = _record(table)
    fields = [f for f in exported_fields(record) if column in (None, f.name)]
    if not fields:
        raise Malformed(
            f"{table} has no such column", f"Columns: {', '.join(f.name for f in exported_fields(record))}."
        )
    code = registered(home, agency)
    with _known(home, code) as shelf:
        row = _row(shelf, table, key, system)
        came = shelf.db.execute(select(DELIVERY).where(DELIVERY.c.id == row.delivery)).one()
        line = shelf.db.execute(select(LINE).where(LINE.c.id == row.owner)).one()
    values = _opened(home, code, record, row, at, root or open_root(home, passphrase)) if value else None
    heard = System(row.system)
    known = edges_of(heard, table, line.source)
    traced = tuple(
        Traced(f, str(record.scope), known.get(f.name, ()), values and values[f.name], values is not None)
        for f in fields
    )
    return Trace(
        agency_code(agency), table, row.source_key, heard, came.name, came.sha256, came.day, came.at,
        _place(heard, row.loc), line.source, line.key, came.layout, came.code_version, tuple(came.instructions.split()),
        came.run, row.ended_reason, row.ended_on, traced,
    )  # fmt: skip


def quarantine(home: Home, agency: str | None, delivery: str | None = None) -> list[Aside]:
    """Lines put aside, the newest delivery last. `agency` None: the portal's own."""
    code = registered(home, agency) if agency is not None else None
    if not is_held(home, code):
        return []
    with _known(home, code) as shelf:
        rows = shelf.quarantined(delivery)
    return [Aside(code, System(r.system), r.delivery, r.source, r.loc, r.reason) for r in rows]


def registered(home: Home, agency: str) -> AgencyCode:
    """An agency of the register. Raises Malformed."""
    code = agency_code(agency)
    with House.open(home) as house:
        if get(house.db, code) is None:
            raise Malformed(f"agency {code} is not in the register", "Check the code.")
    return code


def _record(table: str) -> Record:
    if table not in {r.name for r in CANONICAL}:
        raise Malformed("there is no such table", f"Tables: {', '.join(r.name for r in CANONICAL)}.")
    return RECORDS[table]


def _known(home: Home, code: AgencyCode | None) -> Shelf:
    if not is_held(home, code):
        raise Malformed("nothing is held for this agency", "Nothing came yet, or it was erased.")
    return Shelf.known(home, code)


def _opened(home: Home, code: AgencyCode, record: Record, row: Any, at: datetime, root: Root) -> dict[str, Any]:
    """One row, opened under a capability to look."""
    warrant = Warrants(home, root, at).grant(code, Act.LOOK)
    with (
        Keyring.open(home, root, warrant.capability) as keyring,
        OpenShelf.open(home, keyring, warrant) as shelf,
    ):
        return _values(shelf, record, row)


def _row(shelf: Shelf, table: str, key: str, system: str | None) -> Any:
    t = ROWS[table]
    where = [t.c.source_key == key, *([t.c.system == system] if system else [])]
    found = shelf.db.execute(select(t).where(*where)).all()
    if not found:
        raise Malformed(f"no row of {table} has this key", "Keys are written as in the export; check table and system.")
    if len(found) > 1:
        raise Malformed(
            "several systems have a row of this key", f"Give --system: {', '.join(r.system for r in found)}."
        )
    return found[0]


def _values(shelf: OpenShelf, record: Record, row: Any) -> dict[str, Any]:
    """The row as the return pack would write it."""
    columns: dict[str, pa.Array] = {
        "source_system": pa.array([row.system], pa.string()),
        "ended_reason": pa.array([row.ended_reason], pa.string()),
        "ended_on": pa.array([row.ended_on], pa.string()).cast(pa.date32()),
    }
    found: dict[str, Any] = json.loads(as_lines(record.name, pa.table(columns | shelf.opened(record, [row]))))
    return found


def _place(system: System, loc: str) -> str | int:
    return int(loc) if LOCUS[system] in ("line", "offset") and loc.isdigit() else loc
