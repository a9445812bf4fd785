"""Text of all systems: white space, control characters, damaged accents, keys (canonical §1, N1, N2, N3, N7)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Bits, Mask, changed, none, only, put, rows_at, truth, view, without
from schemas.frames import BIT

# N1 names these six characters and no other: a thin space or an ideographic one is kept.
SPACES = " \t\r\n\u00a0\u202f"
_RUN = r"[ \t\r\n\x{A0}\x{202F}]+"
# Every other white space of Unicode, to be treated like a blank where a rule speaks of white space at large.
_EXOTIC = r"[\t\n\x0b\f\r\x{85}\pZ]"
_MOJIBAKE = r"\x{FFFD}|\pL\?\pL|\x{C3}[\x{80}-\x{BF}]"
# What a French spreadsheet writes for a long number. The sign is always there, so a lot called `1E5` stays a lot.
_SCIENTIFIC = r"^[+-]?[0-9]+(?:[.,][0-9]+)?[Ee][+-][0-9]+$"


def _irregular(a: pa.Array) -> Mask:
    """Values that N1 would change: an edge space, two spaces running, or a space that is not U+0020."""
    octets, offsets = view(a)
    if not len(octets):
        return none(len(a))
    low = np.flatnonzero(octets <= 32)
    suspect = [low[np.isin(octets[low], (9, 10, 13))], low[1:][np.diff(low) == 1]]
    nbsp = np.flatnonzero(octets == 0xA0)
    suspect.append(nbsp[(nbsp > 0) & (octets[nbsp - 1] == 0xC2)])
    narrow = np.flatnonzero(octets == 0xAF)
    suspect.append(narrow[(narrow > 1) & (octets[narrow - 1] == 0x80) & (octets[narrow - 2] == 0xE2)])
    mask = rows_at(np.concatenate(suspect), offsets)
    filled = np.flatnonzero(np.diff(offsets))
    mask[filled] |= (octets[offsets[filled]] == 32) | (octets[offsets[filled + 1] - 1] == 32)
    return mask


def n1(a: pa.Array) -> tuple[pa.Array, Mask]:
    """N1: runs of white space become one space, ends trimmed, empty is null; and the mask of line breaks inside."""
    odd = _irregular(a)
    newline = none(len(a))
    if odd.any():
        trimmed = pc.utf8_trim(a.filter(pa.array(odd)), characters=SPACES)
        newline[odd] = truth(pc.match_substring_regex(trimmed, r"[\r\n]"))
        a = put(a, odd, pc.replace_substring_regex(trimmed, _RUN, " "))
    return empty_to_null(a), newline


def empty_to_null(a: pa.Array) -> pa.Array:
    """The empty text says nothing: null (N1)."""
    empty = pc.equal(pc.binary_length(a), 0)
    if not truth(empty).any():
        return a
    return pc.if_else(empty, pa.scalar(None, pa.string()), a)


def nul(a: pa.Array) -> Mask:
    """N2: the raw text holds U+0000."""
    octets, offsets = view(a)
    return rows_at(np.flatnonzero(octets == 0), offsets) & truth(a.is_valid())


def control(a: pa.Array) -> Mask:
    """N2: the raw text holds a C0 control character other than NUL, tab, CR and LF."""
    octets, offsets = view(a)
    low = np.flatnonzero(octets < 32)
    return rows_at(low[~np.isin(octets[low], (0, 9, 10, 13))], offsets) & truth(a.is_valid())


def mojibake(a: pa.Array) -> Mask:
    """N3: U+FFFD, a `?` between two letters, or `Ã` followed by U+0080–U+00BF, in the text as it came (before N1)."""
    octets, offsets = view(a)
    # First bytes of what the rule names: `?`, U+FFFD (EF BF BD), `Ã` (C3 83).
    hints = np.flatnonzero((octets == 0x3F) | (octets == 0xEF) | (octets == 0x83))
    return only(a, rows_at(hints, offsets), lambda few: pc.match_substring_regex(few, _MOJIBAKE))


def apostrophe(a: pa.Array) -> tuple[pa.Array, Mask]:
    """N7: the apostrophe that a spreadsheet puts in front is removed (input after N1); a lone one leaves null."""
    led = truth(pc.starts_with(a, "'"))
    bare = changed(a, led, lambda few: pc.utf8_trim(pc.utf8_slice_codeunits(few, 1), characters=SPACES))
    return empty_to_null(bare), led


def scientific(a: pa.Array) -> Mask:
    """N7: the value looks like `4,5E+11`."""
    octets, offsets = view(a)
    hints = np.flatnonzero((octets == 0x2B) | (octets == 0x2D))  # no sign, no exponent
    return only(a, rows_at(hints, offsets), lambda few: pc.match_substring_regex(few, _SCIENTIFIC))


def without_accents(a: pa.Array) -> pa.Array:
    """Accents and other combining marks removed; `Œ` and `ß` are letters and stay."""
    if truth(pc.string_is_ascii(a)).all():
        return a
    return pc.replace_substring_regex(pc.utf8_normalize(a, "NFD"), r"\p{Mn}+", "")


def fold(a: pa.Array) -> pa.Array:
    """Upper-case, accents and points removed, N1: how titles, countries and headers are compared (N4, N13)."""
    return n1(without(pc.utf8_upper(without_accents(a)), b"."))[0]


def blanks(a: pa.Array) -> pa.Array:
    """Each white space as U+0020, for the rules that remove or split at white space of any kind (N6, N8, N9, N11)."""
    octets, offsets = view(a)
    # First bytes of white space in UTF-8: C0 controls, U+0085 and U+00A0, U+1680, U+2000–U+205F, U+3000.
    hints = ((octets >= 9) & (octets <= 13)) | (octets == 0xC2) | ((octets >= 0xE1) & (octets <= 0xE3))
    suspect = rows_at(np.flatnonzero(hints), offsets)
    return changed(a, suspect, lambda few: pc.replace_substring_regex(few, _EXOTIC, " "))


def without_nc(a: pa.Array) -> pa.Array:
    """N15: `NC` (not communicated) in an optional SDGI column is null."""
    said = pc.equal(a, "NC")
    return pc.if_else(said, pa.scalar(None, pa.string()), a) if truth(said).any() else a


def _escaped(part: pa.Array) -> pa.Array:
    octets, _ = view(part)
    if ((octets == 0x25) | (octets == 0x3A)).any():
        part = pc.replace_substring(pc.replace_substring(part, "%", "%25"), ":", "%3A")
    return part.fill_null("-")


def key(*parts: pa.Array) -> pa.Array:
    """A source key: parts joined by `:`, `%` and `:` inside a part escaped, a missing part `-` (canonical §1)."""
    escaped = [_escaped(part) for part in parts]
    return escaped[0] if len(escaped) == 1 else pc.binary_join_element_wise(*escaped, ":")


def flag(mask: Mask, name: str) -> Bits:
    """The mask as a column of flag bits (canonical §9)."""
    bits: Bits = mask.astype(np.int64) * BIT[name]
    return bits
