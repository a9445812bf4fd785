"""What an agency allows at one instant: the fold of its instruction log (R46), as the gate and the store read it."""

from dataclasses import dataclass, replace
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


class RestrictedBy(StrEnum):
    """What a restriction names (R2). It binds when a delivery comes in and when what is held is read."""

    AGENCY = "agency"
    TABLE = "table"
    CATEGORY = "category"
    BUILDING = "building"
    LOT = "lot"
    ROLE = "role"
    PERSON = "person"


class Quality(StrEnum):
    """In what capacity a person is held (R42)."""

    CO_OWNER = "co_owner"
    TENANT = "tenant"
    LANDLORD = "landlord"
    MANAGER = "manager"


# The tables that say that somebody has a quality: a restriction by role closes these.
TABLES_OF: dict[Quality, frozenset[str]] = {
    Quality.CO_OWNER: frozenset({"co_ownership", "council_membership"}),
    Quality.TENANT: frozenset({"lease", "lease_party"}),
    Quality.LANDLORD: frozenset({"mandate", "mandate_lot"}),
    Quality.MANAGER: frozenset({"staff"}),
}

# Restrictions that name single rows, and the table that each names rows of.
BY_ROW: dict[RestrictedBy, str] = {
    RestrictedBy.BUILDING: "building",
    RestrictedBy.LOT: "lot",
    RestrictedBy.PERSON: "person",
}


class Basis(StrEnum):
    """On what a transfer to a third country may stand: GDPR 45, 46 and 49."""

    ADEQUACY = "45"
    PUBLIC_INSTRUMENT = "46(2)(a)"
    BINDING_RULES = "46(2)(b)"
    COMMISSION_CLAUSES = "46(2)(c)"
    AUTHORITY_CLAUSES = "46(2)(d)"
    CODE_OF_CONDUCT = "46(2)(e)"
    CERTIFICATION = "46(2)(f)"
    AD_HOC_CLAUSES = "46(3)(a)"
    ARRANGEMENT = "46(3)(b)"
    CONSENT = "49(1)(a)"
    CONTRACT = "49(1)(b)"
    CONTRACT_FOR = "49(1)(c)"
    PUBLIC_INTEREST = "49(1)(d)"
    LEGAL_CLAIMS = "49(1)(e)"
    VITAL_INTERESTS = "49(1)(f)"
    PUBLIC_REGISTER = "49(1)(g)"


class Ground(StrEnum):
    """The four grounds of the policy for a disclosure (R15 to R18). Consent is explicit, or it is none."""

    CONSENT = "consent"
    LAW = "law"
    SECURITY = "security"
    OPERATIONS = "operations"


class Duty(StrEnum):
    """What a text of law can make a processor do without an instruction (R48)."""

    KEEP = "keep"
    DISCLOSE = "disclose"
    TRANSFER = "transfer"


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
class Restriction:
    """One restriction in force. `targets`: tables, categories, roles, or references of rows; empty for the agency."""

    instruction: str
    scope: RestrictedBy
    targets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Task:
    """What an agency ordered to be done: `rectify`, `erase` or `return`. `subjects`: references of rows; empty: all."""

    instruction: str
    does: str
    tables: frozenset[str]
    subjects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Transferable:
    """A transfer to a third country that the agency instructed (R47)."""

    instruction: str
    country: str
    recipient: str
    basis: Basis
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Disclosable:
    """A disclosure that the agency instructed (R14)."""

    instruction: str
    ground: Ground
    recipient: str
    authority: str | None
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class SubProcessor:
    """A sub-processor as the agency last decided (28(2))."""

    instruction: str
    name: str
    country: str
    authorised: bool
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Obligation:
    """A text of law that obliges, after its notice to the agency (R48, R49)."""

    obligation: str
    law: str
    duty: Duty
    tables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two entries that cannot both be meant. `code` says which rule they break, `ids` who they are, sorted. What is in
    conflict allows nothing."""

    code: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mandate:
    """Everything one agency allows at `at`. Empty grants: nothing may run.

    `withheld`: tables (or "*") that the agency ordered to be erased and that do not come in again. `suspended`:
    instructions that the processor holds to infringe the law, and that the agency has not maintained.
    """

    agency: AgencyCode
    at: datetime
    grants: tuple[Grant, ...]
    restrictions: tuple[Restriction, ...] = ()
    withheld: frozenset[str] = frozenset()
    tasks: tuple[Task, ...] = ()
    transfers: tuple[Transferable, ...] = ()
    disclosures: tuple[Disclosable, ...] = ()
    sub_processors: tuple[SubProcessor, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    suspended: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    def for_system(self, system: System) -> tuple[Grant, ...]:
        """The grants that cover a system; none while the whole agency is restricted (R2)."""
        if any(r.scope is RestrictedBy.AGENCY for r in self.restrictions):
            return ()
        return tuple(g for g in self.grants if system in g.systems)

    def fields(self, system: System, table: str) -> frozenset[str] | None:
        """Columns of a table that may be held, or None when the table may not be held at all.

        Keys, references and ranks (category technical, and every key or reference) go with their row. A table is held
        when some other column of it is instructed and none of those that may not be null is missing. What is
        restricted, or was ordered to be erased, is as if it were not instructed.
        """
        record = RECORDS[table]
        grants = self.for_system(system)
        if record.serves:
            served = any(self.fields(system, t) is not None for t in record.serves)
            return frozenset(f.name for f in record.fields) if served else None
        if self._table_closed(table):
            return None
        named = any("*" in g.tables or table in g.tables for g in grants)
        covered = {
            f.name for f in record.fields if not self._field_closed(f) and any(g.covers(record, f) for g in grants)
        }
        allowed = covered | {f.name for f in record.fields if _structural(f)}
        substance = [f for f in record.fields if f.category is not Category.TECHNICAL and f.name in covered]
        complete = all(f.nullable or f.name in allowed for f in record.fields)
        return frozenset(allowed) if complete and (named or substance) else None

    def freezes(self, system: System, table: str) -> bool:
        """Whether a restriction takes something of this table away that is otherwise instructed.

        A line that yields such a row is withheld whole (`schemas.admission`): to let the rest of it in would write over
        what is already held, and a restriction erases nothing (R2).
        """
        if RECORDS[table].serves or not self.restrictions:
            return False
        return self.fields(system, table) != replace(self, restrictions=()).fields(system, table)

    def veiled(self, table: str) -> frozenset[str] | None:
        """Columns of a table that a restriction closes to whoever reads; None when it closes the table (R2, R27).

        A column that may not be empty takes its table with it.
        """
        record = RECORDS[table]
        if any(r.scope is RestrictedBy.AGENCY for r in self.restrictions) or self._restricted(table):
            return None
        closed = [f for f in record.fields if self._field_closed(f)]
        return frozenset(f.name for f in closed) if all(f.nullable for f in closed) else None

    @property
    def rows_closed(self) -> dict[str, frozenset[str]]:
        """References of the rows that restrictions name, by table."""
        found = {table: self._targets(scope) for scope, table in BY_ROW.items()}
        return {table: targets for table, targets in found.items() if targets}

    def instructions(self, system: System) -> tuple[str, ...]:
        return tuple(g.instruction for g in self.for_system(system))

    def may_transfer(self, country: str, recipient: str, table: str) -> tuple[str, ...]:
        """The instructions that let a table go to a recipient in a third country; none: it may not (R47)."""
        if any(s.name == recipient and not s.authorised for s in self.sub_processors):
            return ()
        return tuple(
            t.instruction
            for t in self.transfers
            if (t.country, t.recipient) == (country, recipient) and _within(table, t.tables)
        )

    def may_disclose(self, recipient: str, table: str) -> tuple[str, ...]:
        """The instructions that let a table be disclosed to a recipient; none: it may not (R14)."""
        return tuple(d.instruction for d in self.disclosures if d.recipient == recipient and _within(table, d.tables))

    def _table_closed(self, table: str) -> bool:
        return _within(table, self.withheld) or self._restricted(table)

    def _restricted(self, table: str) -> bool:
        by_role = self._targets(RestrictedBy.ROLE)
        return _within(table, self._targets(RestrictedBy.TABLE)) or any(table in TABLES_OF[Quality(q)] for q in by_role)

    def _targets(self, scope: RestrictedBy) -> frozenset[str]:
        return frozenset(t for r in self.restrictions if r.scope is scope for t in r.targets)

    def _field_closed(self, field: Field) -> bool:
        return not _structural(field) and any(
            r.scope is RestrictedBy.CATEGORY and str(field.category) in r.targets for r in self.restrictions
        )


def _within(table: str, tables: frozenset[str]) -> bool:
    return "*" in tables or table in tables


def _structural(field: Field) -> bool:
    return field.category is Category.TECHNICAL or field.kind in (Kind.REF, Kind.KEY)
