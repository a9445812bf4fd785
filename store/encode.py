"""Rows to text and back: the plaintext of a sealed row is its sealed fields joined by U+001F, in the order of the
schema.

A null is the empty text: no value is empty after N1, and no value holds a control character (canonical §3, N1 and
N2). By column: Arrow casts and one join.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import Field, Kind, Record
from schemas.frames import ARROW
from schemas.memory import DERIVED
from schemas.records import RECORDS

UNIT = "\x1f"
RECORD = "\x1e"


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


def joined(table: pa.Table, fields: Sequence[Field]) -> pa.Array:
    """One text a row, as bytes; empty ones for a record without such fields."""
    if not fields:
        return pa.repeat(pa.scalar(b""), len(table))
    texts = [as_text(table[f.name], f) for f in fields]
    one = pc.binary_join_element_wise(*texts, UNIT, null_handling="replace", null_replacement="")
    return (one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one).cast(pa.binary())


def messages(table: pa.Table, name: str, system: str) -> list[bytes]:
    """What the digest of each row is made over: the record's name, the row's key, and its `digest_fields`."""
    fields = digest_fields(RECORDS[name], system)
    text = joined(table, fields).cast(pa.string())
    said = pc.binary_join_element_wise(pa.scalar(name), table["source_key"], text, RECORD)
    return list(said.cast(pa.binary()).to_pylist())


def bindings(binding: bytes, keys: pa.ChunkedArray, kids: np.ndarray) -> pa.Array:
    """`store.sealing.row_aad` of many rows."""
    keys = keys.cast(pa.binary())
    lengths = _packed(pc.binary_length(keys).to_numpy().astype(">u4"))
    empty = pa.scalar(b"")
    one = pc.binary_join_element_wise(pa.scalar(binding), lengths, keys, _packed(kids.astype(">u8")), empty)
    return one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one


def _packed(numbers: np.ndarray) -> pa.Array:
    """Whole numbers as the bytes they are in memory."""
    width = numbers.dtype.itemsize
    raw = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(numbers), [None, pa.py_buffer(numbers.tobytes())])
    return raw.cast(pa.binary())


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
    return tuple(f for f in record.fields if f.name != "merged_into" and (system, record.name, f.name) not in DERIVED)
