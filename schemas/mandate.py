"""What an agency allows at one instant: the fold of its instruction log (R46), as the gate and the store read it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.fields import Category, Field, Kind, Record
from schemas.ids import AgencyCode, System
from schemas.records import RECORDS


class Purpose(StrEnum):
    """Closed list: a purpose that is not here cannot be instructed (R45)."""

    EXTRANET = "extranet"
    NOTIFICATION = "notification"
    EXPORT = "export"
    SUPPORT = "support"
    LEGAL = "legal"


@dataclass(frozen=True, slots=True)
class Grant:
    """One instruction in force. `tables`: canonical tables, categories, or "*"."""

    instruction: str
    systems: frozenset[System]
    tables: frozenset[str]
    purposes: frozenset[Purpose]

    def covers(self, record: Record, field: Field) -> bool:
        return "*" in self.tables or record.name in self.tables or field.category in self.tables


@dataclass(frozen=True, slots=True)
class Mandate:
    """Everything one agency allows at `at`. Empty grants: nothing may run."""

    agency: AgencyCode
    at: datetime
    grants: tuple[Grant, ...]

    def for_system(self, system: System) -> tuple[Grant, ...]:
        return tuple(g for g in self.grants if system in g.systems)

    def fields(self, system: System, table: str) -> frozenset[str] | None:
        """Columns of a table that may be held, or None when the table may not be held at all.

        Keys, references and ranks (category technical, and every key or reference) go with their row. A table is held
        when some other column of it is instructed and none of those that may not be null is missing.
        """
        record = RECORDS[table]
        grants = self.for_system(system)
        if record.serves:
            served = any(self.fields(system, t) is not None for t in record.serves)
            return frozenset(f.name for f in record.fields) if served else None
        named = any("*" in g.tables or table in g.tables for g in grants)
        allowed = {f.name for f in record.fields if _structural(f) or any(g.covers(record, f) for g in grants)}
        substance = [
            f
            for f in record.fields
            if f.category is not Category.TECHNICAL and f.name in allowed and any(g.covers(record, f) for g in grants)
        ]
        complete = all(f.nullable or f.name in allowed for f in record.fields)
        return frozenset(allowed) if complete and (named or substance) else None

    def instructions(self, system: System) -> tuple[str, ...]:
        return tuple(g.instruction for g in self.for_system(system))


def _structural(field: Field) -> bool:
    return field.category is Category.TECHNICAL or field.kind in (Kind.REF, Kind.KEY)
