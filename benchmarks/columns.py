"""Columns of text made by column: picked from pools, joined, padded. A million rows never become a million objects."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def texts(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def picked(pool: Sequence[str | None] | pa.Array, at: Ints) -> pa.Array:
    """The value of the pool at each position."""
    values = pool if isinstance(pool, pa.Array) else texts(pool)
    return values.take(pa.array(at))


def joined(*parts: pa.Array | str, between: str = "") -> pa.Array:
    """Texts one after another, a null counting as nothing. At least one part is a column."""
    length = next(len(part) for part in parts if isinstance(part, pa.Array))
    columns = [
        part if isinstance(part, pa.Array) else pa.repeat(pa.scalar(part, pa.string()), length) for part in parts
    ]
    return pc.binary_join_element_wise(*columns, between, null_handling="replace", null_replacement="")


def within(before: str, column: pa.Array, after: str) -> pa.Array:
    """A text between two others; nothing where it is null."""
    return pc.binary_join_element_wise(before, column, after, "")


def number(values: Ints, width: int = 0) -> pa.Array:
    digits = pa.array(values, pa.int64()).cast(pa.string())
    return pc.utf8_lpad(digits, width, "0") if width else digits


def only(mask: Mask, column: pa.Array) -> pa.Array:
    """The column where the mask holds, null elsewhere."""
    return pc.if_else(pa.array(mask), column, pa.scalar(None, pa.string()))


def either(mask: Mask, column: pa.Array | str, other: pa.Array | str) -> pa.Array:
    one = column if isinstance(column, pa.Array) else pa.scalar(column, pa.string())
    two = other if isinstance(other, pa.Array) else pa.scalar(other, pa.string())
    return pc.if_else(pa.array(mask), one, two)


def truth(column: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return mask


def filled(column: pa.Array) -> Mask:
    return truth(pc.is_valid(column))


def where(column: pa.Array, mask: Mask | None) -> pa.Array:
    """The rows of the mask; all of them without one."""
    return column if mask is None else column.filter(pa.array(mask))


def body(rows: pa.Array) -> str:
    """All texts of a column without nulls, one after another."""
    return pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), "")[0].as_py() or ""
