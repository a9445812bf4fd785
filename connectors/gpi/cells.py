"""Bytes at fixed positions become Arrow text, a whole column at a time: slice first, decode after.

A column of n fields of width w is an array (n, w) of bytes. Most bytes of a GPI file are padding and never become text.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

SPACE = ord(" ")


def decode(cells: Bytes, codec: str) -> pa.Array:
    """The text of each field without the padding behind it; an empty text when there is nothing else."""
    solid = cells != SPACE
    if solid[:, -1].all():  # keys, codes and dates fill their field: nothing to cut
        return decode_whole(cells, codec)
    width = _width(solid)
    cells, solid = cells[:, :width], solid[:, :width]
    lengths = _lengths(solid)
    return _text(cells[np.arange(width) < lengths[:, None]], _starts(lengths), codec)


def decode_whole(cells: Bytes, codec: str) -> pa.Array:
    """The text of each field, padding included."""
    n, width = cells.shape
    return _text(cells.ravel(), np.arange(n + 1) * width, codec)


def _width(solid: Mask) -> int:
    """How many bytes the longest field takes."""
    used = np.flatnonzero(solid.any(axis=0))
    return int(used[-1]) + 1 if len(used) else 0


def _lengths(solid: Mask) -> Ints:
    """How many bytes of each field come before its padding."""
    width = solid.shape[1]
    if not width:
        return np.zeros(len(solid), np.int64)
    return np.where(solid.any(axis=1), width - np.argmax(solid[:, ::-1], axis=1), 0)


def _starts(lengths: Ints) -> Ints:
    """Where each piece begins, and where the last one ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _text(octets: Bytes, starts: Ints, codec: str) -> pa.Array:
    """Pieces of a one-byte character set as UTF-8: ASCII is already that, the rest moves the starts along."""
    if (octets >= 0x80).any():
        data = octets.tobytes().decode(codec).encode()
        starts = _starts(_utf8_sizes(codec)[octets])[starts]
    else:
        data = octets.tobytes()
    buffers = [None, pa.py_buffer(starts.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(starts) - 1, buffers).cast(pa.string())


@cache
def _utf8_sizes(codec: str) -> Ints:
    return np.array([len(bytes([byte]).decode(codec).encode()) for byte in range(256)])
