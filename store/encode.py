"""Rows to text and back: the plaintext of a sealed row is its sealed fields joined by U+001F, in the order of the
schema.

A null is the empty text: no value is empty after N1, and no value holds a control character (canonical §3, N1 and
N2). By column: Arrow casts and one join, then one Python string a row.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import Field, Kind, Record
from schemas.frames import ARROW

UNIT = "\x1f"


def as_text(column: pa.Array | pa.ChunkedArray, field: Field) -> pa.Array | pa.ChunkedArray:
    """A typed column as text: dates ISO, booleans true/false, money in hundredths, date-times in epoch seconds."""
    match field.kind:
        case Kind.TEXT | Kind.KEY | Kind.REF | Kind.ENUM:
            return column
        case Kind.DATETIME:
            return column.cast(pa.int64()).cast(pa.string())
        case _:
            return column.cast(pa.string())


def from_text(column: pa.Array, field: Field) -> pa.Array:
    values = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    match field.kind:
        case Kind.TEXT | Kind.KEY | Kind.REF | Kind.ENUM:
            return values
        case Kind.DATETIME:
            return values.cast(pa.int64()).cast(ARROW[Kind.DATETIME])
        case _:
            return values.cast(ARROW[field.kind])


def joined(table: pa.Table, fields: Sequence[Field]) -> list[str]:
    """One text a row; [""] * n for a record without such fields."""
    if not fields:
        return [""] * len(table)
    texts = [as_text(table[f.name], f) for f in fields]
    if len(texts) == 1:
        return list(pc.fill_null(texts[0], "").to_pylist())
    return list(pc.binary_join_element_wise(*texts, UNIT, null_handling="replace", null_replacement="").to_pylist())


def split(texts: Sequence[str], fields: Sequence[Field]) -> dict[str, pa.Array]:
    """The inverse of `joined`: typed columns by field name."""
    if not fields:
        return {}
    parts = pc.split_pattern(pa.array(texts, pa.string()), UNIT)
    flat = parts.flatten()
    width, rows = len(fields), len(texts)
    if len(flat) != width * rows:
        raise ValueError("a sealed row holds another number of fields than its schema")
    return {
        f.name: from_text(flat.take(pa.array(range(i, width * rows, width), pa.int64())), f)
        for i, f in enumerate(fields)
    }


def digest_fields(record: Record, system: str) -> tuple[Field, ...]:
    """What a row's digest covers: every field of the source line, references included, but ends and derived columns."""
    from schemas.memory import DERIVED

    return tuple(f for f in record.fields if f.name != "merged_into" and (system, record.name, f.name) not in DERIVED)
