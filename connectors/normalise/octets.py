"""The bytes under an Arrow text column: answers that cost one pass over memory instead of one call a value."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def truth(answer: pa.Array) -> Mask:
    """A column of booleans as a mask; null counts as false."""
    if answer.null_count:
        answer = answer.fill_null(False)
    mask: Mask = answer.to_numpy(zero_copy_only=False)
    return mask


def none(n: int) -> Mask:
    """A mask that is false everywhere."""
    return np.zeros(n, dtype=np.bool_)


def nulls(n: int) -> pa.Array:
    """A text column without any value."""
    return pa.nulls(n, pa.string())


def view(a: pa.Array) -> tuple[Octets, npt.NDArray[np.int32]]:
    """The UTF-8 bytes of a column and the n + 1 offsets of its values in them."""
    _, offsets, data = a.buffers()
    if offsets is None or data is None or len(a) == 0:
        return np.empty(0, np.uint8), np.zeros(len(a) + 1, np.int32)
    at = np.frombuffer(offsets, np.int32, len(a) + 1, a.offset * 4)
    first, last = int(at[0]), int(at[-1])
    return np.frombuffer(data, np.uint8, last - first, first), at - at[0]


def text(octets: Octets, offsets: npt.NDArray[np.int32], like: pa.Array | None = None) -> pa.Array:
    """A text column from its bytes and offsets, null where `like` is."""
    valid = None
    if like is not None and like.null_count:
        valid = pa.array(truth(like.is_valid())).buffers()[1]  # booleans travel as bits, as a validity map does
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(octets), valid)


def rows_at(positions: npt.NDArray[np.intp], offsets: npt.NDArray[np.int32]) -> Mask:
    """Which values hold one of these byte positions. A null can be among them, when it has bytes below it."""
    mask = none(len(offsets) - 1)
    if len(positions):
        mask[np.searchsorted(offsets, positions, side="right") - 1] = True
    return mask


def without(a: pa.Array, unwanted: bytes) -> pa.Array:
    """The column with some ASCII characters taken out wherever they stand."""
    octets, offsets = view(a)
    drop = none(len(octets))
    for octet in unwanted:
        drop |= octets == octet
    if not drop.any():
        return a
    gone = np.concatenate([[0], np.cumsum(drop, dtype=np.int32)])
    return text(octets[~drop], (offsets - gone[offsets]).astype(np.int32), like=a)


def cut(a: pa.Array, start: Places, stop: Places) -> pa.Array:
    """The bytes from `start` to `stop` of each value, both counted inside the value."""
    octets, offsets = view(a)
    lengths = (stop - start).astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    source = np.repeat(offsets[:-1] + start.astype(np.int32) - ends[:-1], lengths) + np.arange(ends[-1], dtype=np.int32)
    return text(octets[source], ends, like=a)


def matrix(a: pa.Array, width: int) -> tuple[npt.NDArray[np.intp], Octets]:
    """The rows that are `width` bytes long, and their bytes side by side."""
    _, offsets = view(a)
    wide = np.diff(offsets) == width
    if a.null_count:  # a null may have bytes below it
        wide &= truth(a.is_valid())
    at = np.flatnonzero(wide)
    octets, _ = view(a if len(at) == len(a) else a.take(pa.array(at)))
    return at, octets.reshape(len(at), width)


def only(a: pa.Array, where: Mask, test: Callable[[pa.Array], pa.Array]) -> Mask:
    """The mask of `test`, asked only of the values that `where` lets through."""
    found = none(len(a))
    at = np.flatnonzero(where)
    if len(at):
        found[at] = truth(test(a.take(pa.array(at))))
    return found


def put(a: pa.Array, where: Mask, values: pa.Array) -> pa.Array:
    """The column with the values at `where` replaced, in order."""
    if len(values) == 0:
        return a
    at = np.arange(len(a))
    at[where] = len(a) + np.arange(len(values))
    return pa.concat_arrays([a, values]).take(pa.array(at))


def changed(a: pa.Array, where: Mask, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The column with `change` applied to the values at `where` alone."""
    if not where.any():
        return a
    if where.all():
        return change(a)
    return put(a, where, change(a.filter(pa.array(where))))
