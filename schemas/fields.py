"""How a field is declared: type, scope, category, protection, labels. A field that says nothing cannot be declared.

Source: canonical model 1.0 §2; R40, R44 (scope of each value), R43 (provenance), R52 (protection).
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import Malformed


class Scope(StrEnum):
    """Who decides about the value: the portal's operator itself (R40) or the agency (R44)."""

    CONTROLLER = "controller"
    PROCESSOR = "processor"


class Protection(StrEnum):
    """ENCRYPT: always inside the sealed row. PLAIN: sealed too when personal, unless it is a key, a reference or an
    end."""

    ENCRYPT = "encrypt"
    PLAIN = "plain"


class Kind(StrEnum):
    """The type of a field; `schemas.frames` says how each travels in an Arrow column."""

    TEXT = "text"
    KEY = "key"
    REF = "ref"
    ENUM = "enum"
    DATE = "date"
    DATETIME = "datetime"
    MONEY = "money"
    DECIMAL2 = "decimal2"
    INT = "int"
    BOOL = "bool"


class Category(StrEnum):
    """What a field is about; an instruction may name a category instead of a table."""

    IDENTITY = "identity"
    CONTACT = "contact"
    LOCATION = "location"
    PROPERTY = "property"
    CONTRACT = "contract"
    FINANCIAL = "financial"
    PROFESSIONAL = "professional"
    TECHNICAL = "technical"


# Why each category may be held at all: the requirement that names it.
JUSTIFIED_BY: dict[Category, str] = {
    Category.IDENTITY: "R41",  # the profile that the portal shows its user
    Category.CONTACT: "R41",
    Category.LOCATION: "R41",
    Category.PROPERTY: "R42",  # the five qualities hang on lots, leases and mandates
    Category.CONTRACT: "R42",
    Category.FINANCIAL: "R41",
    Category.PROFESSIONAL: "R42",  # the agency's own managers and administrators
    Category.TECHNICAL: "R43",  # keys and references: without them no provenance and no erasure
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a canonical table. `target` names the record a reference points to; `derived` is filled by the
    store."""

    name: str
    kind: Kind
    category: Category
    label_fr: str
    label_en: str
    personal: bool
    nullable: bool = True
    protection: Protection = Protection.PLAIN
    searchable: bool = False
    values: tuple[str, ...] = ()
    target: str | None = None
    required: bool = False

    def __post_init__(self) -> None:
        if not (self.label_fr.strip() and self.label_en.strip()):
            raise Malformed(f"field {self.name}: a label is missing (French and English are both needed)")
        if self.category not in JUSTIFIED_BY:
            raise Malformed(f"field {self.name}: category {self.category} names no requirement that justifies it")
        if (self.kind is Kind.ENUM) != bool(self.values):
            raise Malformed(f"field {self.name}: an enumeration lists its values, and nothing else does")
        if (self.kind is Kind.REF) != (self.target is not None):
            raise Malformed(f"field {self.name}: a reference names its target, and nothing else does")
        if self.searchable and self.protection is not Protection.ENCRYPT:
            raise Malformed(f"field {self.name}: a blind index is for encrypted fields")

    @property
    def sealed(self) -> bool:
        """Whether the value lives only inside the sealed row: everything but keys, references and ends (canonical
        §2)."""
        return self.kind not in (Kind.KEY, Kind.REF)


@dataclass(frozen=True, slots=True)
class Record:
    """One canonical table (or one of the store's memories, `exported=False`): its fields, in order.

    The common columns of canonical §1 (`source_system`, `source_key`, `ended_reason`, `ended_on`) are not repeated
    here: `COMMON` and `ENDS` below declare them once for every record.
    """

    name: str
    scope: Scope
    fields: tuple[Field, ...]
    exported: bool = True
    ends: bool = True
    serves: tuple[str, ...] = ()  # a memory is admitted when one of these tables is

    def __post_init__(self) -> None:
        names = [f.name for f in self.fields]
        if len(names) != len(set(names)):
            raise Malformed(f"record {self.name}: a field is declared twice")

    @property
    def sealed_fields(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.sealed)

    @property
    def refs(self) -> tuple[Field, ...]:
        """References that the lines of a delivery carry. `merged_into` is not one: it is written by an end (§7)."""
        return tuple(f for f in self.fields if f.kind is Kind.REF and f.name != "merged_into")

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)
