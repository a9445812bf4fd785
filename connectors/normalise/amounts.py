"""Money, decimals and whole numbers as integers; never a float (canonical N11, N14, gpi_layout.toml)."""

import re
from decimal import ROUND_HALF_EVEN, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Mask, truth, without
from connectors.normalise.text import blanks, empty_to_null, without_nc

# Sixteen digits before the comma fit into 64 bits of hundredths with room to spare; no agency owes more.
_FRENCH = r"^(?:-?0*[0-9]{1,16}(?:,[0-9]{0,2})?|0*[0-9]{1,16}(?:,[0-9]{0,2})?-|\(0*[0-9]{1,16}(?:,[0-9]{0,2})?\))$"
_PLAIN = r"^-?[0-9]{1,15}(?:\.[0-9]{1,2})?$"
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_OVERPUNCH = r"^0*[0-9]{0,17}[0-9A-R{}]$"
_POSITIVE, _NEGATIVE = "{ABCDEFGHI", "}JKLMNOPQR"


def _scaled(number: pa.Array, mark: str) -> pa.Array:
    """Hundredths of unsigned texts with at most two digits after the mark (which may be missing)."""
    at = pc.find_substring(number, mark)
    behind = pc.if_else(pc.less(at, 0), 0, pc.subtract(pc.subtract(pc.binary_length(number), at), 1))
    whole = without(number, mark.encode("ascii")).cast(pa.int64())
    return pc.multiply(whole, pa.array([100, 10, 1]).take(behind))


def french(a: pa.Array) -> tuple[pa.Array, Mask]:
    """N11: hundredths of French texts such as `1 234,5 €`, `12,00-` or `(3)`, and the mask of bad ones.

    Empty and `NC` are null.
    """
    a = empty_to_null(without_nc(a))
    a = without(blanks(a), b" ")
    if not truth(pc.string_is_ascii(a)).all():
        a = pc.replace_substring_regex(a, "€$", "")
    good = pc.match_substring_regex(a, _FRENCH)
    number = pc.if_else(good, a, None)
    minus = pc.match_substring_regex(number, r"[-(]")
    cents = _scaled(without(number, b"-()"), ",")
    return pc.if_else(minus, pc.negate(cents), cents), truth(pc.invert(good))


def _half_even(text: str) -> int | None:
    """Hundredths of a decimal text, rounded half to even; None when it is none or does not fit into 64 bits."""
    if not _DECIMAL.fullmatch(text):
        return None
    number = Decimal(text)
    if number and number.adjusted() > 15:
        return None
    return int(number.quantize(Decimal("0.01"), ROUND_HALF_EVEN).scaleb(2)) if number else 0


def plain(a: pa.Array) -> tuple[pa.Array, Mask]:
    """Hundredths of decimal texts with a point (`812.40`, `-3.5`, `12.345`, `1e3`), and the mask of bad ones.

    Empty is null. More than two digits are rounded half to even from the text itself, never from a float
    (spilasuite.md, Transport).
    """
    a = empty_to_null(a)
    easy = pc.match_substring_regex(a, _PLAIN)
    number = pc.if_else(easy, a, None)
    cents = _scaled(without(number, b"-"), ".")
    cents = pc.if_else(pc.starts_with(number, "-"), pc.negate(cents), cents)
    hard = truth(pc.invert(easy))
    if not hard.any():
        return cents, hard
    coded = a.filter(pa.array(hard)).dictionary_encode()
    answers = pa.array([_half_even(text) for text in coded.dictionary.to_pylist()], pa.int64()).take(coded.indices)
    cents = pc.replace_with_mask(cents, pa.array(hard), answers)
    return cents, hard & truth(pc.is_null(cents))


def overpunch(a: pa.Array) -> tuple[pa.Array, Mask]:
    """GPI amount: cents whose last position may carry the sign (`{A…I` plus, `}J…R` minus); blank is null."""
    a = empty_to_null(pc.if_else(pc.match_substring_regex(a, r"^ +$"), "", a))
    good = pc.match_substring_regex(a, _OVERPUNCH)
    number = pc.if_else(good, a, None)
    last = pc.utf8_slice_codeunits(number, -1)
    punched = pc.match_substring_regex(last, r"[A-R{}]")
    if not truth(punched).any():
        return number.cast(pa.int64()), truth(pc.invert(good))
    signs = pa.array([*_POSITIVE, *_NEGATIVE, *"0123456789"])
    digit = pc.index_in(last, value_set=signs)
    unit = pa.array([*range(10)] * 3, pa.int64()).take(digit)
    front = pc.utf8_slice_codeunits(number, 0, -1)
    tens = pc.if_else(pc.equal(front, ""), "0", front).cast(pa.int64())
    cents = pc.add(pc.multiply(tens, 10), unit)
    minus = pc.and_(pc.greater_equal(digit, 10), pc.less(digit, 20))
    return pc.if_else(minus, pc.negate(cents), cents), truth(pc.invert(good))


def digits(a: pa.Array) -> tuple[pa.Array, Mask]:
    """N14: whole numbers that must be digits; blank is null. The mask tells bad ones."""
    a = empty_to_null(pc.if_else(pc.match_substring_regex(a, r"^ +$"), "", a))
    good = pc.match_substring_regex(a, r"^0*[0-9]{1,18}$")
    return pc.if_else(good, a, None).cast(pa.int64()), truth(pc.invert(good))
