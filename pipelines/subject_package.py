"""What is held of one person of an agency, with where each row came from: what a processor owes the agency for a
request of access or portability (GDPR 15, 20 and 28(3)(e); R25, R30). Opened under an instruction for support."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import or_, select

from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Malformed, Refused
from schemas.fields import Field, Kind, Record
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.records import CANONICAL, exported_fields
from store.agency import OpenShelf
from store.export import as_lines
from store.keys import Keyring, Root
from store.tables import DELIVERY, LINE, ROWS

MOST_ROWS = 2000
_HEADS = (
    "table", "source_system", "source_key", "column", "category", "value", "delivery", "day", "source_table", "place",
    "instructions",
)  # fmt: skip
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def reference(home: Home, root: Root, agency: AgencyCode, system: System, key: str, at: datetime) -> str:
    """The reference of a person who is held, as the log names persons. Raises Malformed for one who is not."""
    leave = Warrants(home, root, at).grant(agency, Act.CONFIGURE).capability
    with Keyring.open(home, root, leave) as keyring, _known(home, agency) as shelf:
        if not shelf.present("person", system, [key]):
            raise Malformed("no person of this key is held", "Write the key as the export of that system has it.")
        return keyring.reference(system, "person", key)


def _known(home: Home, agency: AgencyCode) -> Any:
    from store.agency import Shelf

    return Shelf.known(home, agency)


def package(home: Home, root: Root, agency: AgencyCode, system: System, person: str, at: datetime) -> dict[str, Any]:
    """Every row of the agency that is the person's or names them. `person`: a reference.

    Raises Refused when no instruction in force for the purpose support allows it, or a restriction hides a row."""
    warrant = Warrants(home, root, at).grant(agency, Act.LOOK, system)
    with Keyring.open(home, root, warrant.capability) as keyring, OpenShelf.open(home, keyring, warrant) as shelf:
        key = _key_of(shelf, system, person)
        rows = [row for record in CANONICAL for row in _of_record(shelf, record, system, key)]
    return {"agency": agency, "system": str(system), "as_of": at.isoformat(), "rows": rows}


def _key_of(shelf: OpenShelf, system: System, person: str) -> str:
    t = ROWS["person"]
    for key in shelf.db.scalars(select(t.c.source_key).where(t.c.system == system)):
        if shelf.keyring.reference(system, "person", key) == person:
            return str(key)
    raise Refused("nothing is held of this person any more", "There is nothing to hand over.")


def _of_record(shelf: OpenShelf, record: Record, system: System, key: str) -> Iterator[dict[str, Any]]:
    if not record.exported:
        return
    t = ROWS[record.name]
    names = [t.c[f.name] == key for f in record.fields if f.kind is Kind.REF and f.target == "person"]
    own = [t.c.source_key == key] if record.name == "person" else []
    if not names + own:
        return
    found = shelf.db.execute(select(t).where(t.c.system == system, or_(*names, *own)).limit(MOST_ROWS + 1)).all()
    if len(found) > MOST_ROWS:
        raise Refused("there is too much of this person for a page", "Ask operations for an export.")
    if not found or (shelf.veil is not None and shelf.veil.columns(record.name) is None):
        return
    allowed = _allowed(shelf, record, system)
    ends = {
        "source_system": pa.array([r.system for r in found], pa.string()),
        "ended_reason": pa.array([r.ended_reason for r in found], pa.string()),
        "ended_on": pa.array([r.ended_on for r in found], pa.string()).cast(pa.date32()),
    }
    lines = as_lines(record.name, pa.table(ends | shelf.opened(record, found))).decode().splitlines()
    for r, line in zip(found, lines, strict=True):
        said = json.loads(line)
        values = [
            {"column": f.name, "category": str(f.category), "value": said[f.name]}
            for f in allowed
            if said.get(f.name) is not None
        ]
        yield {"table": record.name, "source_key": r.source_key, "values": values, "from": _from(shelf, r)}


def _allowed(shelf: OpenShelf, record: Record, system: System) -> list[Field]:
    """The columns that instructions for support cover."""
    capability = shelf.warrant.capability
    mandate = capability.mandate
    grants = [g for g in mandate.for_system(system) if g.instruction in capability.ground] if mandate else []
    return [f for f in exported_fields(record) if f not in record.fields or any(g.covers(record, f) for g in grants)]


def _from(shelf: OpenShelf, r: Any) -> dict[str, Any]:
    d = shelf.db.execute(select(DELIVERY).where(DELIVERY.c.id == r.delivery)).one()
    line = shelf.db.execute(select(LINE.c.source).where(LINE.c.id == r.owner)).one_or_none()
    return {
        "delivery": d.name, "sha256": d.sha256, "day": d.day, "source_table": line.source if line else None,
        "place": r.loc, "layout": d.layout, "instructions": d.instructions.split(), "run": d.run,
    }  # fmt: skip


def as_csv(found: dict[str, Any]) -> str:
    """One line a value, with where it came from: opens in any spreadsheet, and runs nothing there."""
    out = io.StringIO()
    write = csv.writer(out, delimiter=";", lineterminator="\r\n")
    write.writerow(_HEADS)
    for row in found["rows"]:
        came = row["from"]
        for v in row["values"]:
            write.writerow(
                [_plain(x) for x in (
                    row["table"], found["system"], row["source_key"], v["column"], v["category"], v["value"],
                    came["delivery"], came["day"], came["source_table"], came["place"], " ".join(came["instructions"]),
                )]
            )  # fmt: skip
    return out.getvalue()


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
