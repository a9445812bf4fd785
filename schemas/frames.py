"""How readings travel: Arrow tables, one row a source line or a canonical row, many deliveries in one table.

`d` is the position of the delivery in the batch, `line` the number of the source line in the batch (0, 1, 2 …, any
order). Money and decimal2 are integer hundredths; dates are date32; date-times are UTC seconds; the rest is what it
says.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import pyarrow as pa

from schemas.fields import Field, Kind, Record
from schemas.ids import AgencyCode, System

ARROW: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.KEY: pa.string(),
    Kind.REF: pa.string(),
    Kind.ENUM: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.DATETIME: pa.timestamp("s", tz="UTC"),
    Kind.MONEY: pa.int64(),
    Kind.DECIMAL2: pa.int64(),
    Kind.INT: pa.int64(),
    Kind.BOOL: pa.bool_(),
}

# Flags of canonical §9, in the order of their bits.
FLAGS = (
    "mojibake", "newline", "placeholder", "multi_value", "email_invalid", "phone_unparsed", "scientific", "excel_zero",
    "apostrophe", "iban_mod97", "iban_rib_key", "sentinel", "country_unknown", "ref_unresolved", "at_width",
    "row_repeated",
)  # fmt: skip
BIT: dict[str, int] = {name: 1 << i for i, name in enumerate(FLAGS)}

# One row a source line. outcome: ok, quarantined (with a reason) or ignored, as the connector alone can know;
# the store adds the outcomes that need what is already held. key is null when the line has none.
LINES = pa.schema([
    ("line", pa.int64()), ("d", pa.int32()), ("source", pa.string()), ("key", pa.string()), ("loc", pa.string()),
    ("outcome", pa.string()), ("reason", pa.string()), ("flags", pa.int64()), ("partial", pa.bool_()),
])  # fmt: skip
# partial: a change of an object that must already be held (LOGIN action M), else row.unknown_key.

# One row an end. It ends the source line (source, key). merged_into and person are canonical person keys.
# implied: the end comes with a line that also yields rows (v_tiers.id_tiers_remplace_par) and is not counted as a
# line of its own.
ENDINGS = pa.schema([
    ("line", pa.int64()), ("d", pa.int32()), ("source", pa.string()), ("key", pa.string()), ("reason", pa.string()),
    ("on", pa.date32()), ("merged_into", pa.string()), ("person", pa.string()), ("implied", pa.bool_()),
])  # fmt: skip

CONTENT = pa.schema([("line", pa.int64()), ("content", pa.string())])


def arrow_field(f: Field) -> pa.Field:
    return pa.field(f.name, ARROW[f.kind])


def row_schema(record: Record) -> pa.Schema:
    """Columns of a row frame: line, soft, source_key and the record's fields (`merged_into` apart: an end writes it)."""
    own = [arrow_field(f) for f in record.fields if f.name != "merged_into"]
    return pa.schema(
        [pa.field("line", pa.int64()), pa.field("soft", pa.bool_()), pa.field("source_key", pa.string()), *own]
    )


Locus = Literal["line", "offset", "key", "ref"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A delivery whose completeness is proved (contracts README, "Outcome of a delivery").

    `day` is the day of delivery, `cursor` what the next delivery of this flow is compared with (opaque to everyone
    else). `likeness`: SHA-256 of all of it that means something, which is everything but what names this one delivery;
    None where no two of them are compared. Two of one likeness, layout, day and flow read the same. `silence`: the
    likeness of a delivery of this flow that says nothing, where that changes nothing whatever came before; else None.
    """

    agency: AgencyCode | None
    system: System
    name: str
    day: date
    sha256: str | None
    layout: str
    cursor: str
    flags: tuple[str, ...] = ()
    likeness: bytes | None = field(default=None, repr=False)
    silence: bytes | None = field(default=None, repr=False)

    @property
    def is_silent(self) -> bool:
        return self.silence is not None and self.likeness == self.silence


@dataclass(frozen=True, slots=True)
class Reading:
    """What a connector heard in a batch of deliveries of one system. `rows` may hold canonical tables and memories.

    A row frame follows `row_schema`; it may carry extra string columns `via:<column>` (see `schemas.memory.VIA`).
    `snapshot`: source tables of which a delivery holds everything, so that absence means something (SDGI). `locus`:
    what `loc` counts. `content`: raw text of quarantined lines, to be sealed, keyed by line.
    """

    system: System
    locus: Locus
    deliveries: tuple[Arrived, ...]
    lines: pa.Table
    rows: dict[str, pa.Table]
    endings: pa.Table
    content: pa.Table
    snapshot: frozenset[str] = field(default_factory=frozenset)
