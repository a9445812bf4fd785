"""Columns of text out of the records of many deliveries: one parse for a whole batch."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from connectors.normalise.octets import Mask
from connectors.sdgi.layout import Header
from connectors.sdgi.records import Places, Records

_BLOCK = 1 << 23
_FEW = 1 << 15
_PLAIN = csv.ParseOptions(delimiter=";", quote_char=False, double_quote=False, newlines_in_values=False)


def whole(records: Records, header: Header) -> Mask:
    """Records that count and have as many fields as the header."""
    mask: Mask = (records.widths == len(header.columns)) & ~records.ignored
    return mask


def read_columns(
    parts: Sequence[Records], header: Header, wanted: Collection[str]
) -> tuple[Places, dict[str, pa.Array]]:
    """The wanted columns of the whole records of files that share a header.

    Also the position of each row, counted through all the parts: records with quoted fields come last.
    """
    positions: list[Places] = []
    pieces: list[bytes | memoryview] = []
    quoted_at: list[int] = []
    quoted: list[list[str]] = []
    base = 0
    for records in parts:
        plain = whole(records, header)
        fields = [(at, said) for at, said in records.quoted.items() if plain[at]]
        plain[list(records.quoted)] = False
        positions.append(np.flatnonzero(plain) + base)
        pieces += _runs(records, plain)
        quoted_at += [at + base for at, _ in fields]
        quoted += [said for _, said in fields]
        base += len(records)
    at = np.concatenate([*positions, np.array(quoted_at, np.int64)]).astype(np.int64)
    names = [column for column in header.columns if column in wanted]
    plain_columns = _parse(b"".join(pieces), header, names, parts[0].encoding if parts else "utf-8")
    columns = {name: _with(plain_columns.pop(name), [row[header.at(name)] for row in quoted]) for name in names}
    if any(len(column) != len(at) for column in columns.values()):
        raise AssertionError("the parser counts other records than the proof did")
    return at, columns


def _runs(records: Records, wanted: Mask) -> Iterator[bytes | memoryview]:
    """The bytes of the wanted records, in as few pieces as they lie in."""
    at = np.flatnonzero(wanted)
    if not len(at):
        return
    view = memoryview(records.raw)
    broken = np.flatnonzero(records.start[at[1:]] != records.stop[at[:-1]])
    firsts = records.start[at[np.append(0, broken + 1)]]
    afters = records.stop[at[np.append(broken, len(at) - 1)]]
    for first, after in zip(firsts.tolist(), afters.tolist(), strict=True):
        yield view[first:after]
    if records.raw[afters[-1] - 1] not in b"\r\n":
        yield b"\r\n"


def _parse(body: bytes, header: Header, names: Sequence[str], encoding: str) -> dict[str, pa.Array]:
    """Lines without quoted fields, as text."""
    few = len(body) < _FEW
    return (split_few if few else parse_many)(body, header, names, encoding)


def split_few(body: bytes, header: Header, names: Sequence[str], encoding: str) -> dict[str, pa.Array]:
    """For small files: the parser's hand-over to its own threads takes milliseconds, whatever the size."""
    rows = [line.decode(encoding).split(";") for line in body.splitlines()]
    places = {name: header.at(name) for name in names}
    return {name: pa.array([row[place] for row in rows], pa.string()) for name, place in places.items()}


def parse_many(body: bytes, header: Header, names: Sequence[str], encoding: str) -> dict[str, pa.Array]:
    """For large files and batches. What is ASCII needs no decoding."""
    labels = [column or f"unread {place}" for place, column in enumerate(header.columns)]
    reading = csv.ReadOptions(
        column_names=labels,
        encoding="utf-8" if body.isascii() else encoding,
        block_size=_BLOCK,
        use_threads=len(body) > _BLOCK,
    )
    converting = csv.ConvertOptions(
        column_types=dict.fromkeys(labels, pa.string()),
        include_columns=list(names),
        strings_can_be_null=False,
        check_utf8=False,
    )
    table = csv.read_csv(pa.BufferReader(body), reading, _PLAIN, converting)
    return {name: table.column(name).combine_chunks() for name in names}


def _with(column: pa.Array, further: Sequence[str]) -> pa.Array:
    return pa.concat_arrays([column, pa.array(further, pa.string())]) if further else column
