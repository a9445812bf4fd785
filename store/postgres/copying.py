"""Columns to the binary form of COPY (PostgreSQL manual, "COPY", binary format) and of arrays, without a loop over
rows.

Of every field: its length in four bytes, then its bytes; -1 and nothing for a null. A row of COPY begins with the
number of its fields, in two bytes; an array with its dimensions, in four bytes each (`array_send` of PostgreSQL).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL = b"\xff\xff"
# Bytes of one row's whole numbers, by the type of the column.
SIZES = {"smallint": 2, "bigint": 8}


def body(columns: Sequence[Sequence[Any] | pa.Array], kinds: Sequence[str]) -> memoryview:
    """The rows without head and tail. `kinds`: smallint, bigint, text or bytea, a column each. At most 2 GiB."""
    rows = len(columns[0])
    count = _repeated(len(columns).to_bytes(2, "big"), rows)
    parts = [part for column, kind in zip(columns, kinds, strict=True) for part in _field(column, kind)]
    joined = pc.binary_join_element_wise(count, *parts, pa.scalar(b"", pa.large_binary()))
    return _bytes(joined)


class Listed:
    """A column as one value: an array of PostgreSQL. At most 1 GiB."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class SmallInts(Listed): ...


class BigInts(Listed): ...


class Texts(Listed): ...


class Octets(Listed): ...


# By the type of the column: the class of its array, and the numbers of the types of element and array (pg_type.dat).
_LISTED: dict[str, tuple[type[Listed], int, int]] = {
    "smallint": (SmallInts, 21, 1005), "bigint": (BigInts, 20, 1016), "text": (Texts, 25, 1009),
    "bytea": (Octets, 17, 1001),
}  # fmt: skip


def listed(column: Sequence[Any] | pa.Array, kind: str) -> Listed:
    """A column that has rows; whole numbers are never null."""
    made, element, _ = _LISTED[kind]
    if kind in SIZES:
        size = SIZES[kind]
        fields = np.empty(len(column), [("length", ">i4"), ("value", f">i{size}")])
        fields["length"], fields["value"] = size, np.asarray(column)
        body, nulls = memoryview(fields.tobytes()), 0
    else:
        lengths, raw = _field(column, kind)
        body = _bytes(pc.binary_join_element_wise(lengths, raw, pa.scalar(b"", pa.large_binary())))
        nulls = int(column.null_count > 0 if isinstance(column, pa.Array) else None in column)
    return made(np.array([1, nulls, element, len(column), 1], ">i4").tobytes() + body)


def teach(own: psycopg.Connection[Any]) -> None:
    """Let a connection take them as they are."""
    for made, _, number in _LISTED.values():
        own.adapters.register_dumper(made, type(f"{made.__name__}Dumper", (_Dumper,), {"oid": number}))


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Listed) -> Buffer:
        return obj.raw


def _field(column: Sequence[Any] | pa.Array, kind: str) -> tuple[pa.Array, pa.Array]:
    """Lengths and bytes of one column, a row each."""
    if kind in SIZES:
        size = SIZES[kind]
        values = np.asarray(column, f">i{size}").tobytes()
        return _repeated(size.to_bytes(4, "big"), len(column)), _fixed(values, size)
    wanted = pa.large_string() if kind == "text" else pa.large_binary()
    values = column if isinstance(column, pa.Array) else pa.array(column, wanted)
    raw = values.cast(wanted).cast(pa.large_binary())
    lengths = pc.fill_null(pc.binary_length(raw), -1).to_numpy(zero_copy_only=False).astype(">i4")
    return _fixed(lengths.tobytes(), 4), pc.fill_null(raw, b"")


def _fixed(values: bytes, size: int) -> pa.Array:
    """Values of one size, laid end to end, as an array."""
    count = len(values) // size
    offsets = np.arange(count + 1, dtype=np.int64) * size
    return pa.Array.from_buffers(pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(values)])


def _repeated(value: bytes, rows: int) -> pa.Array:
    return _fixed(value * rows, len(value))


def _bytes(joined: pa.Array) -> memoryview:
    _, offsets, data = joined.buffers()
    ends = np.frombuffer(offsets, np.int64)[joined.offset : joined.offset + len(joined) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])] if len(joined) else memoryview(b"")
