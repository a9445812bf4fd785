"""CSV records inside the bytes of one member, found without taking them apart (sdgi.md "Transport and completeness").

A line ends with CR LF, LF or CR. Most records are one line without a quoted field: they stay bytes until a whole batch
is parsed at once. Only a line on which a field *starts* with a quote goes through Python's csv reader.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from connectors.normalise.octets import Mask, none

Places = npt.NDArray[np.int64]
_LF, _CR, _QUOTE, _SEMICOLON = 10, 13, 34, 59
_HARMLESS = bytes(set(range(256)) - (set(range(32)) - {9, _LF, _CR}))
_UNDEFINED = bytes({0x81, 0x8D, 0x8F, 0x90, 0x9D})  # cp1252 gives these five bytes no character
_BLOCK = 1 << 14  # records
# The longest field (after a quote that is never closed, most likely). The library's own limit, 128 KiB, holds for the
# whole process, so it is raised once and not around each call.
csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Records:
    """The records of one member, blank lines apart: where each starts and stops (line end included), and on which line.

    `quoted` holds the fields of those with a quoted field. `ignored` is filled by the proof (repeated header, total).
    """

    raw: bytes = field(repr=False)
    start: Places
    stop: Places
    line: Places
    quoted: dict[int, list[str]] = field(repr=False)
    encoding: str
    ignored: Mask

    def __len__(self) -> int:
        return len(self.start)

    def text(self, at: int) -> str:
        """The record as it was sent, without its line end."""
        return self.raw[self.start[at] : self.stop[at]].decode(self.encoding).rstrip("\r\n")

    def fields(self, at: int) -> list[str]:
        return self.quoted[at] if at in self.quoted else self.text(at).split(";")

    @cached_property
    def widths(self) -> Places:
        """The number of fields of each record."""
        octets = np.frombuffer(self.raw, np.uint8)
        widths = np.empty(len(self), np.int64)
        # By blocks: numpy makes a number of eight bytes of each byte that it adds up.
        for at in range(0, len(self), _BLOCK):
            start = self.start[at : at + _BLOCK]
            here = octets[start[0] : self.stop[min(at + _BLOCK, len(self)) - 1]] == _SEMICOLON
            widths[at : at + _BLOCK] = np.add.reduceat(here, start - start[0], dtype=np.int64) + 1
        for at, fields in self.quoted.items():
            widths[at] = len(fields)
        return widths

    def controls(self) -> tuple[Mask, Mask]:
        """Which records hold a NUL, and which another control character (N2), in any column."""
        nul, other = none(len(self)), none(len(self))
        first, end = (int(self.start[0]), int(self.stop[-1])) if len(self) else (0, 0)
        here = self.raw if end - first == len(self.raw) else self.raw[first:end]
        if here.translate(None, _HARMLESS):
            octets = np.frombuffer(here, np.uint8)
            low = np.flatnonzero((octets < 32) & (octets != 9) & (octets != _LF) & (octets != _CR)) + first
            octets = np.frombuffer(self.raw, np.uint8)
            owner = np.searchsorted(self.start, low, side="right") - 1
            zero = octets[low] == 0
            nul[owner[zero]], other[owner[~zero]] = True, True
        return nul, other

    def after_header(self, ignored: Mask) -> "Records":
        """The records below the first one, with those that a rule of the contract ignores."""
        quoted = {at - 1: fields for at, fields in self.quoted.items() if at}
        return Records(self.raw, self.start[1:], self.stop[1:], self.line[1:], quoted, self.encoding, ignored)

    def window(self, first: int, end: int) -> "Records":
        """Some of the records, of the same bytes."""
        some = slice(first, end)
        quoted = {at - first: fields for at, fields in self.quoted.items() if first <= at < end}
        return Records(
            self.raw, self.start[some], self.stop[some], self.line[some], quoted, self.encoding, self.ignored[some]
        )


def misencoded(raw: bytes) -> bool:
    """Whether bytes are not cp1252: valid UTF-8 beyond ASCII (a re-save), or a byte that cp1252 leaves undefined."""
    if raw.isascii():
        return False
    if len(raw.translate(None, _UNDEFINED)) != len(raw):
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def split(raw: bytes, encoding: str) -> Records:
    """Every record of a member, the header included; blank lines are none. Raises csv.Error for an endless field."""
    octets = np.frombuffer(raw, np.uint8)
    starts, stops, filled = _lines(octets)
    quoted: dict[int, list[str]] = {}
    if b'"' in raw:
        for first, after, fields in _quoted(raw, starts, stops, _opening(octets, starts), encoding):
            quoted[first] = fields
            stops[first] = stops[after - 1]
            filled[first], filled[first + 1 : after] = True, False
    at = np.flatnonzero(filled)
    if quoted:
        quoted = dict(zip(np.searchsorted(at, list(quoted)).tolist(), quoted.values(), strict=True))
    return Records(raw, starts[at], stops[at], at + 1, quoted, encoding, none(len(at)))


def _lines(octets: npt.NDArray[np.uint8]) -> tuple[Places, Places, Mask]:
    """Start and stop (line end included) of each physical line, and whether it holds anything."""
    ends = octets == _LF
    returns = np.flatnonzero(octets == _CR)
    alone = returns[~np.append(ends, False)[returns + 1]]
    ends[alone] = True
    stops = np.flatnonzero(ends) + 1
    if len(octets) and not ends[-1]:
        stops = np.append(stops, len(octets))  # a missing last line end is no error (M16)
    starts = np.concatenate([np.zeros(min(1, len(stops)), np.int64), stops[:-1]])
    first = octets[starts] if len(starts) else octets[:0]
    return starts, stops, (first != _LF) & (first != _CR)


def _opening(octets: npt.NDArray[np.uint8], starts: Places) -> Sequence[int]:
    """Lines on which a field starts with a quote. A quote elsewhere in an unquoted field is text."""
    quotes = np.flatnonzero(octets == _QUOTE)
    before = octets[quotes - 1]
    opening = quotes[(quotes == 0) | (before == _SEMICOLON) | (before == _LF) | (before == _CR)]
    lines: list[int] = np.unique(np.searchsorted(starts, opening, side="right") - 1).tolist()
    return lines


def _quoted(
    raw: bytes, starts: Places, stops: Places, opening: Sequence[int], encoding: str
) -> Iterator[tuple[int, int, list[str]]]:
    """First line, line after, and fields of each record that has a quoted field.

    One Python step a record: they are few, and the standard reader knows doubled quotes and line ends inside quotes.
    """
    at = 0

    def following() -> Iterator[str]:
        nonlocal at
        while at < len(starts):
            at += 1
            yield raw[starts[at - 1] : stops[at - 1]].decode(encoding)

    for first in opening:
        if first < at:
            continue  # inside a quoted field that began on an earlier line
        at = first
        fields = next(csv.reader(following(), delimiter=";"))
        yield first, at, fields
