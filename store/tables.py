"""The tables of a shelf, derived from schemas/: no column is named twice. Keys, references and ends in clear, the
rest sealed.

Every row table holds what the source line yields; `line` holds the source lines themselves, with a signature of what
they yield.
"""

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from schemas.fields import Kind, Record
from schemas.records import RECORDS

META = MetaData()


def _row_table(record: Record) -> Table:
    refs = [Column(f.name, String) for f in record.fields if f.kind is Kind.REF]
    blind = [Column(f"{f.name}_index", LargeBinary) for f in record.fields if f.searchable]
    return Table(
        record.name,
        META,
        Column("system", String, primary_key=True),
        Column("source_key", String, primary_key=True),
        *refs,
        Column("ended_reason", String),
        Column("ended_on", String),
        Column("owner", Integer, nullable=False),  # line.id of the source line that yields the row
        Column("dropped", Integer, nullable=False, default=0),  # the line came again without it (canonical §7)
        Column("kid", Integer, nullable=False),  # which key seals it; 0: the agency's own
        Column("digest", LargeBinary, nullable=False),  # keyed digest of its own columns
        Column("sealed", LargeBinary, nullable=False),
        *blind,
        Column("delivery", Integer, nullable=False),  # lineage: delivery.id and the place in it
        Column("loc", String, nullable=False),
        Index(f"{record.name}_owner", "owner"),
    )


ROWS: dict[str, Table] = {name: _row_table(record) for name, record in RECORDS.items()}

LINE = Table(
    "line",
    META,
    Column("id", Integer, primary_key=True),
    Column("system", String, nullable=False),
    Column("source", String, nullable=False),
    Column("key", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # sum of the digests of the rows it yields, 2 × 64 bits
    Column("live", Integer, nullable=False),
    UniqueConstraint("system", "source", "key"),
)

DELIVERY = Table(
    "delivery",
    META,
    Column("id", Integer, primary_key=True),
    Column("system", String, nullable=False),
    Column("name", String, nullable=False),
    Column("day", String, nullable=False),
    Column("sha256", String),
    Column("layout", String, nullable=False),
    Column("code_version", String, nullable=False),
    Column("instructions", String, nullable=False),
    Column("run", String, nullable=False),
    Column("at", String, nullable=False),
    Column("report", String, nullable=False),  # counts and codes (schemas.report), JSON
    Column("receipted", Integer, nullable=False, default=0),  # whether the ledger has its receipt
    Column("capability", String),  # digest of what allowed it (schemas.capability); null before version 2 of the shelf
    UniqueConstraint("system", "name", "sha256"),
)

FLOW = Table(
    "flow",
    META,
    Column("system", String, primary_key=True),
    Column("cursor", String, nullable=False),
    # How often something of this system was written: every transaction that a capability opened counts (store.guard).
    Column("generation", Integer, nullable=False, server_default="0"),
    # What the same delivery would come to, were it read again (store.fixed): whose digest, to which day, beyond what.
    Column("proof", LargeBinary),
    Column("until", String),
    Column("excess", String),
)

QUARANTINE = Table(
    "quarantine",
    META,
    Column("id", Integer, primary_key=True),
    Column("delivery", Integer, nullable=False),
    Column("system", String, nullable=False),
    Column("source", String, nullable=False),
    Column("loc", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("key", String),
    Column("sealed", LargeBinary),  # the line as it came, sealed; null where keeping it is not allowed
)

# Persons erased on request, in pseudonymous form: a keyed digest that only this agency's key can make (canonical §7).
ERASED_KEY = Table(
    "erased_key", META, Column("system", String, primary_key=True), Column("mark", LargeBinary, primary_key=True)
)

# Person keys to be destroyed once the rows are gone: noted in the same transaction, done after it.
DOOMED_KEY = Table("doomed_key", META, Column("kid", Integer, primary_key=True))

# Names of those who signed an instruction, sealed; the log knows them by reference only.
SIGNATORY = Table(
    "signatory", META, Column("reference", String, primary_key=True), Column("sealed", LargeBinary, nullable=False)
)

# What allowed each transaction that wrote here, and the head of the log that it was minted from.
CAPABILITY = Table(
    "capability",
    META,
    Column("digest", String, primary_key=True),
    Column("act", String, nullable=False),
    Column("ground", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("root", String, nullable=False),
    Column("minted_at", String, nullable=False),
)

# One row while a transaction that was allowed is open, and none on disk afterwards.
GRANTED = Table("granted", META, Column("digest", String, primary_key=True))

# The tables that hold something of somebody.
HOLDING_TABLES = tuple(name for name in META.tables if name not in (CAPABILITY.name, GRANTED.name))
