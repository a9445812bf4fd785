"""Dates whose format belongs to the field, and instants of the portal (canonical N10, portal.md)."""

import re
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Mask, Octets, matrix, none, truth
from connectors.normalise.text import empty_to_null

Days = npt.NDArray[np.int64]

# One letter a position: j day, m month, a year; anything else must stand there itself.
_FORMS: dict[str, tuple[str, ...]] = {
    "JJ/MM/AAAA": ("jj/mm/aaaa",),
    "JJ/MM/AA": ("jj/mm/aa",),
    "JJ/MM/AA(AA)": ("jj/mm/aa", "jj/mm/aaaa"),
    "AAAA-MM-JJ": ("aaaa-mm-jj",),
    "JJMMAA": ("jjmmaa",),
}
_SENTINELS = np.array(["1900-01-01", "1970-01-01", "0001-01-01", "9999-12-31"], "datetime64[D]").astype(np.int64)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d(?::?[0-5]\d)?)", re.ASCII)
_INSTANT_FORM = "aaaa-mm-jjThh:nn:ss"


def _numbers(octets: Octets, template: str) -> tuple[dict[str, Days], Mask]:
    """The number under each letter of a template, and which rows fit it."""
    fits = np.ones(len(octets), np.bool_)
    found: dict[str, Days] = {}
    for at, letter in enumerate(template):
        column = octets[:, at]
        if not letter.islower():
            fits &= column == ord(letter)
            continue
        digit = column - np.uint8(48)  # wraps below zero, so one comparison is enough
        fits &= digit < 10
        found[letter] = found.get(letter, np.zeros(len(octets), np.int64)) * 10 + digit
    return found, fits


def _day_number(year: Days, month: Days, day: Days) -> tuple[Days, Mask]:
    """Days since 1970-01-01, and which of them exist in the calendar (years 1 to 9999)."""
    exists = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    months = (year - 1970) * 12 + np.where(exists, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, exists & (day <= following - first)


def _century(year: Days, month: Days, day: Days, window: str, received: Days | None) -> Days:
    """Two-digit years: lease 1950–2049; birth 20yy when that date is not after the day of delivery, else 19yy."""
    if window == "lease":
        return np.where(year < 50, 2000 + year, 1900 + year)
    if window != "birth" or received is None:
        raise ValueError("a two-digit year needs the window lease, or birth with the day of delivery")
    this, _ = _day_number(2000 + year, month, day)
    return np.where(this <= received, 2000 + year, 1900 + year)


def parse(
    a: pa.Array, form: str, *, window: str | None = None, day: pa.Array | None = None
) -> tuple[pa.Array, Mask, Mask]:
    """N10: dates of texts (after N1) in one strict form, the mask of bad ones and the mask of sentinels (null).

    `window` is `birth` (with `day`, the day of delivery of each value) or `lease` for two-digit years.
    """
    n = len(a)
    a = empty_to_null(a)
    days, good, sentinel = np.zeros(n, np.int64), none(n), none(n)
    received = None if day is None else day.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = truth(pc.is_null(a))
    if form == "JJMMAA":  # the ordinary way of GPI to say none: no flag
        empty |= truth(pc.equal(a, "000000"))
    for template in _FORMS[form]:
        at, octets = matrix(a, len(template))
        found, fits = _numbers(octets, template)
        year, month, dom = found["a"], found["m"], found["j"]
        four = template.count("a") == 4
        if not four:
            year = _century(year, month, dom, window or "", None if received is None else received[at])
        number, exists = _day_number(year, month, dom)
        days[at], good[at] = number, fits & exists
        if four:
            # 00/00/0000 is no date, but a French way to say none.
            zero = fits & ((year + month + dom) == 0) & (template[0] == "j")
            sentinel[at] = (fits & exists & np.isin(number, _SENTINELS)) | zero
    bad = ~(good | sentinel | empty)
    dates = pa.array(days.astype(np.int32), pa.int32(), mask=~good | sentinel | empty)
    return dates.cast(pa.date32()), bad, sentinel


def _utc_seconds(text: str) -> int | None:
    """Seconds since 1970 of one ISO 8601 instant that carries its offset."""
    if not _INSTANT.fullmatch(text):
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() // 1)
    except (ValueError, OverflowError):
        return None


def _offset(octets: Octets) -> tuple[Days, Mask]:
    """Seconds east of Greenwich written as `Z` or `+01:00`, and which rows fit that."""
    if octets.shape[1] == 1:
        return np.zeros(len(octets), np.int64), octets[:, 0] == ord("Z")
    found, fits = _numbers(octets[:, 1:], "hh:nn")
    west, east = octets[:, 0] == ord("-"), octets[:, 0] == ord("+")
    seconds = found["h"] * 3_600 + found["n"] * 60
    return np.where(west, -seconds, seconds), fits & (west | east) & (found["h"] < 24) & (found["n"] < 60)


def _common_instants(a: pa.Array) -> tuple[Days, Mask]:
    """Instants written `2026-01-05T18:03:00+01:00` or `2026-01-05T17:03:00Z`, without Python."""
    seconds, good = np.zeros(len(a), np.int64), none(len(a))
    for width in (20, 25):
        at, octets = matrix(a, width)
        found, fits = _numbers(octets[:, :19], _INSTANT_FORM)
        offset, offset_fits = _offset(octets[:, 19:])
        number, exists = _day_number(found["a"], found["m"], found["j"])
        clock = (found["h"] < 24) & (found["n"] < 60) & (found["s"] < 60)
        seconds[at] = number * 86_400 + found["h"] * 3_600 + found["n"] * 60 + found["s"] - offset
        good[at] = fits & offset_fits & exists & clock
    return seconds, good


def instant(a: pa.Array) -> tuple[pa.Array, Mask]:
    """UTC seconds of ISO 8601 texts with an offset (portal.md), and the mask of bad ones.

    Empty is null; fractions of a second are cut.
    """
    a = empty_to_null(a)
    seconds, good = _common_instants(a)
    empty = truth(pc.is_null(a))
    for i in np.flatnonzero(~(good | empty)):  # rare forms: fractions, no seconds
        found = _utc_seconds(a[int(i)].as_py())
        if found is not None:
            seconds[i], good[i] = found, True
    instants = pa.array(seconds, pa.int64(), mask=~good)
    return instants.cast(pa.timestamp("s", tz="UTC")), ~(good | empty)
