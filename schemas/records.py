"""Every record of the house, in one place: tables, gate, checks, lineage and documentation are derived from here."""

from schemas.account import ACCOUNT
from schemas.bank_detail import BANK_DETAIL
from schemas.building import BUILDING
from schemas.co_ownership import CO_OWNERSHIP
from schemas.contact import CONTACT
from schemas.council_membership import COUNCIL_MEMBERSHIP
from schemas.document import DOCUMENT
from schemas.fields import Category, Field, Kind, Record, Scope
from schemas.lease import LEASE
from schemas.lease_party import LEASE_PARTY
from schemas.lot import LOT
from schemas.lot_share import LOT_SHARE
from schemas.mandate_lot import MANDATE_LOT
from schemas.memory import COPROPRIETE, HOLDING, ROLE, SENSE
from schemas.person import PERSON
from schemas.person_link import PERSON_LINK
from schemas.portal_account import PORTAL_ACCOUNT
from schemas.portal_attachment import PORTAL_ATTACHMENT
from schemas.rental_mandate import MANDATE
from schemas.staff import STAFF

# Declared once for every record: canonical §1. The key is personal (it can be an account number) but stays in clear.
COMMON = (
    Field(
        "source_system",
        Kind.ENUM,
        Category.TECHNICAL,
        "Système source",
        "Source system",
        personal=False,
        nullable=False,
        values=("spilasuite", "sdgi", "gpi", "login", "portal"),
    ),
    Field(
        "source_key",
        Kind.KEY,
        Category.TECHNICAL,
        "Clé dans le système source",
        "Key inside the source system",
        personal=True,
        nullable=False,
    ),
)
ENDS = (
    Field(
        "ended_reason",
        Kind.ENUM,
        Category.TECHNICAL,
        "Motif de fin de la ligne",
        "Why the row ended",
        personal=False,
        values=("SORTIE", "DOUBLON"),
    ),
    Field("ended_on", Kind.DATE, Category.TECHNICAL, "Date de fin de la ligne", "When the row ended", personal=False),
)

CANONICAL: tuple[Record, ...] = (
    PERSON,
    CONTACT,
    PERSON_LINK,
    BUILDING,
    LOT,
    LOT_SHARE,
    CO_OWNERSHIP,
    COUNCIL_MEMBERSHIP,
    MANDATE,
    MANDATE_LOT,
    LEASE,
    LEASE_PARTY,
    STAFF,
    ACCOUNT,
    BANK_DETAIL,
    DOCUMENT,
    PORTAL_ACCOUNT,
    PORTAL_ATTACHMENT,
)
MEMORIES: tuple[Record, ...] = (ROLE, COPROPRIETE, HOLDING, SENSE)

RECORDS: dict[str, Record] = {r.name: r for r in (*CANONICAL, *MEMORIES)}
PROCESSOR_TABLES = tuple(r.name for r in CANONICAL if r.scope is Scope.PROCESSOR)
CONTROLLER_TABLES = tuple(r.name for r in CANONICAL if r.scope is Scope.CONTROLLER)


def exported_fields(record: Record) -> tuple[Field, ...]:
    """Every column of the return pack of a canonical table, common ones included."""
    return (*COMMON, *record.fields, *(ENDS if record.ends else ()))


CATEGORIES: dict[tuple[str, str], str] = {
    (r.name, f.name): str(f.category) for r in CANONICAL for f in exported_fields(r)
}


def category_of(table: str, column: str) -> str:
    """What a column of a canonical table is about."""
    return CATEGORIES[table, column]
