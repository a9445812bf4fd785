"""Frames of a reading: lines, rows, the first reason of a line, repeated keys (schemas.frames, canonical §5)."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Bits, Mask, none, nulls, truth
from schemas.frames import LINES, row_schema
from schemas.records import RECORDS

# A column, or one value for every row.
Column: TypeAlias = pa.Array | str | int | bool | None


def first_reason(pairs: Sequence[tuple[Mask, str]], n: int) -> pa.Array:
    """The reason of the first mask that is true of each line, null where none is."""
    codes = np.zeros(n, np.int64)
    for place, (mask, _) in reversed(list(enumerate(pairs, 1))):
        codes[mask] = place
    if not codes.any():
        return nulls(n)
    return pa.array([None, *(reason for _, reason in pairs)], pa.string()).take(pa.array(codes))


def _codes(a: pa.Array) -> tuple[Bits, int]:
    """A number for each different text (null is one of them), and how many there are at most."""
    coded = a.dictionary_encode()
    known = len(coded.dictionary)
    codes: Bits = coded.indices.fill_null(known).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, known + 1


def _first_of_each(group: Bits) -> npt.NDArray[np.intp]:
    """For each row, the position of the first row of its group."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return first[inverse]


def repeated(d: npt.NDArray[np.integer], source_key: pa.Array, text: pa.Array, ok: Mask) -> tuple[Mask, Mask]:
    """Later lines of one source table with a key seen before in their delivery, among lines `ok` that have a key.

    The first mask: the same text again, ignored with `row_repeated`. The second: other text, `row.duplicate_key`.
    """
    ignored, conflicting = none(len(ok)), none(len(ok))
    at = np.flatnonzero(ok & truth(pc.is_valid(source_key)))
    keys, many = _codes(source_key if len(at) == len(ok) else source_key.take(pa.array(at)))
    if many - 1 == len(at):
        return ignored, conflicting
    first = at[_first_of_each(d[at].astype(np.int64) * many + keys)]
    later = at != first
    again, before = at[later], first[later]
    same = truth(pc.equal(text.take(pa.array(again)), text.take(pa.array(before))))
    ignored[again], conflicting[again] = same, ~same
    return ignored, conflicting


def _column(value: Column, n: int, kind: pa.DataType) -> pa.Array:
    if isinstance(value, pa.Array):
        return value if value.type == kind else value.cast(kind)
    return pa.nulls(n, kind) if value is None else pa.repeat(pa.scalar(value, kind), n)


def lines_table(
    *,
    line: npt.NDArray[np.integer],
    d: npt.NDArray[np.integer] | int,
    source: Column,
    key: Column,
    loc: pa.Array,
    reason: pa.Array | None = None,
    ignored: Mask | None = None,
    flags: Bits | None = None,
    partial: Mask | bool = False,
) -> pa.Table:
    """Lines in the shape of `schemas.frames.LINES`: quarantined with a reason, else ignored when told so, else ok."""
    n = len(line)
    refused = none(n) if reason is None else truth(pc.is_valid(reason))
    code = np.where(refused, 1, np.where(none(n) if ignored is None else ignored, 2, 0))
    columns: dict[str, Column] = {
        "line": pa.array(line, pa.int64()),
        "d": d if isinstance(d, int) else pa.array(d, pa.int32()),
        "source": source,
        "key": key,
        "loc": loc,
        "outcome": pa.array(["ok", "quarantined", "ignored"]).take(pa.array(code)),
        "reason": reason,
        "flags": 0 if flags is None else pa.array(flags, pa.int64()),
        "partial": partial if isinstance(partial, bool) else pa.array(partial),
    }
    return pa.Table.from_arrays([_column(columns[f.name], n, f.type) for f in LINES], schema=LINES)


def _twice(line: npt.NDArray[np.integer], source_key: pa.Array) -> Mask:
    """Rows whose source key an earlier row of the same line already has."""
    if len(line) < 2 or bool((line[1:] > line[:-1]).all()):
        return none(len(line))
    keys, many = _codes(source_key)
    if many - 1 == len(line):
        return none(len(line))
    twice: Mask = _first_of_each(line.astype(np.int64) * many + keys) != np.arange(len(line))
    return twice


def rows(
    name: str,
    /,
    *,
    line: npt.NDArray[np.integer],
    source_key: pa.Array,
    soft: bool = False,
    via: Mapping[str, pa.Array] | None = None,
    keep: Mask | None = None,
    **columns: Column,
) -> pa.Table:
    """Rows of one record in the shape of `schemas.frames.row_schema`, without a second (line, source_key).

    A column that is not given is null; a single value stands for every row. `via`: columns that the store looks up.
    """
    schema = row_schema(RECORDS[name])
    unknown = columns.keys() - set(schema.names)
    if unknown:
        raise ValueError(f"record {name} has no column {', '.join(sorted(unknown))}")
    n = len(line)
    given: dict[str, Column] = {**columns, "line": pa.array(line, pa.int64()), "soft": soft, "source_key": source_key}
    arrays = [_column(given.get(f.name), n, f.type) for f in schema]
    extra = {f"via:{column}": array for column, array in (via or {}).items()}
    table = pa.Table.from_arrays([*arrays, *extra.values()], names=[*schema.names, *extra])
    if keep is not None and not keep.all():
        table = table.filter(pa.array(keep))
        line, source_key = line[keep], source_key.filter(pa.array(keep))
    twice = _twice(line, source_key)
    return table.filter(pa.array(~twice)) if twice.any() else table


def empty_rows(name: str) -> pa.Table:
    """A row frame of the record without rows."""
    return row_schema(RECORDS[name]).empty_table()
