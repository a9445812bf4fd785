"""Lines put aside: in which columns the fault can be, and what one of them said, for whom the mandate allows it.

A shelf keeps the place of such a line and its first reason, not the column. Which columns a rule looks at follows from
the contracts' lineage (`pipelines.lineage`) and the types of the model: a wrong date is in a column that fills a date.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pipelines.lineage import Edge, edges
from pipelines.premises import Local
from pipelines.warrants import Warrants
from schemas.capability import Act, Capability
from schemas.errors import Refused
from schemas.fields import Field, Kind
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.records import RECORDS
from store import aside
from store.agency import OpenShelf
from store.keys import Root

_KEYS = "keys"
# What kind of column each rule looks at; none of them: the line as a whole.
_LOOKED_AT: dict[str, frozenset[Kind | str]] = {
    "row.bad_date": frozenset({Kind.DATE, Kind.DATETIME}),
    "row.bad_amount": frozenset({Kind.MONEY}),
    "row.bad_number": frozenset({Kind.INT, Kind.DECIMAL2}),
    "row.bad_enum": frozenset({Kind.ENUM, Kind.BOOL}),
    "row.dangling_ref": frozenset({Kind.REF}),
    "row.scientific_key": frozenset({_KEYS, Kind.REF}),
    "row.missing_key": frozenset({_KEYS, Kind.REF}),
    "row.duplicate_key": frozenset({_KEYS}),
    "row.erased_key": frozenset({_KEYS}),
    "row.unknown_key": frozenset({_KEYS}),
}
_ENDS = frozenset({"ended_reason", "ended_on"})


def columns(system: System, source: str, reason: str) -> tuple[str, ...]:
    """The columns of a source table in which the fault is, by name; none: the whole line is meant."""
    kinds = _LOOKED_AT.get(reason, frozenset())
    found = (e.source_column for e in _edges(system, source) if e.column not in _ENDS and _kind(e) in kinds)
    return tuple(dict.fromkeys(found))


def _kind(e: Edge) -> Kind | str:
    return _KEYS if e.column == "source_key" else _field(e).kind


def _field(e: Edge) -> Field:
    return next(f for f in RECORDS[e.table].fields if f.name == e.column)


def _edges(system: System, source: str) -> Iterator[Edge]:
    return (e for e in edges() if (e.system, e.source_table) == (system, source))


def opened(home: Home, root: Root, agency: AgencyCode, number: int, at: datetime) -> tuple[Any, str]:
    """The place of a line by its number, and what the line said.

    Raises Refused unless instructions in force for the purpose "support" cover every field that its source table
    fills, as for `trace --value` (R45, 29); and while any restriction is in force: nobody can tell of a line that could
    not be read whether the restriction means it (R2)."""
    warrant = Warrants(home, root, at).grant(agency, Act.LOOK)
    premises = Local(home, root)
    with (
        premises.keyring(warrant.capability, System.SDGI) as keyring,
        OpenShelf.open(home, keyring, warrant) as shelf,
    ):
        place = aside.one(shelf, number)
        if place is None:
            raise Refused("what this line said is not kept", "Look it up at the source, by file and line.")
        demand_support(warrant.capability, System(place.system), place.source)
        return place, aside.said(shelf, number)


def demand_support(capability: Capability, system: System, source: str) -> None:
    """Raises Refused unless a line of a source table may be shown whole."""
    mandate = capability.mandate
    if mandate is None or mandate.restrictions:
        raise Refused(
            "a restriction is in force: no line put aside is opened", "Look it up at the source, by file and line."
        )
    granted = [g for g in mandate.for_system(system) if g.instruction in capability.ground]
    if not _covered(granted, _edges(system, source)):
        raise Refused(
            "no instruction in force allows this",
            "Opening a value needs an instruction of the agency for the purpose support.",
        )


def _covered(grants: Iterable[Any], filled: Iterable[Edge]) -> bool:
    """Whether each field that a source table fills is covered; a table that no lineage knows, by `*` alone."""
    known, all_of = tuple(grants), tuple(filled)
    if not all_of:
        return any("*" in g.tables for g in known)
    fields = {(e.table, e.column) for e in all_of if e.column not in _ENDS and e.column != "source_key"}
    tables = {e.table for e in all_of}
    named = [(RECORDS[t], f) for t in tables for f in RECORDS[t].fields if (t, f.name) in fields]
    return bool(known) and all(any(g.covers(record, field) for g in known) for record, field in named)
