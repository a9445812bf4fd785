"""Money and numbers, never a float (N11, N14, gpi_layout.toml)."""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from connectors.normalise.amounts import digits, french, overpunch, plain
from connectors.normalise.octets import Mask


def read(how: Callable[[pa.Array], tuple[pa.Array, Mask]], value: str | None) -> int | str | None:
    """The number of one text, or the word `bad`."""
    got, bad = how(pa.array([None, value, "7"], pa.string()))
    assert got.type == pa.int64()
    assert (got[0].as_py(), bool(bad[0]), bool(bad[2])) == (None, False, False)
    assert got[2].as_py() in (7, 700)
    number: int | None = got[1].as_py()
    if bad[1]:
        assert number is None
    return "bad" if bad[1] else number


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        ("812,40", 81240), ("812,4", 81240), ("812,", 81200), ("812", 81200), ("0,05", 5), ("0", 0), ("-0,00", 0),
        ("1 234,56", 123456), ("1\u00a0234,56", 123456), ("1\u202f234,56 €", 123456), ("12 €", 1200), ("12€", 1200),
        ("-12,00", -1200), ("- 12,00", -1200), ("12,00-", -1200), ("12,00 -", -1200), ("(12,00)", -1200),
        ("( 1 234,5 )", -123450), ("(12,00) €", -1200), ("12,5- €", -1250), ("000012,00", 1200),
        ("00000000000000000000000012,00", 1200), ("9999999999999999,99", 999999999999999999),
        ("NC", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_a_french_amount_is_read_in_cents(value: str | None, cents: int | None) -> None:
    assert read(french, value) == cents


@pytest.mark.parametrize(
    "value",
    [
        "812.40", "1.234,56", "1,234,56", "12,345", ",50", "-", "€", "()", "(12,00", "12,00)", "(-12,00)", "-12,00-",
        "--12", "+12,00", "€12", "12 EUR", "12€€", "12,0O", "1e3", "nc", "NC 12", "(12,00 €)", "١٢", "12-3",
        "99999999999999999,00",
    ],
)  # fmt: skip
def test_what_is_no_french_amount_is_bad(value: str) -> None:
    assert read(french, value) == "bad"


cents = st.integers(-(10**17), 10**17)


@given(
    cents,
    st.sampled_from(["", " ", "\u00a0", "\u202f"]),
    st.sampled_from(["front", "behind", "parentheses"]),
    st.sampled_from(["", "€", " €"]),
)
def test_an_amount_written_the_french_way_is_read_back(amount: int, space: str, minus: str, euro: str) -> None:
    whole, rest = divmod(abs(amount), 100)
    number = f"{whole:,}".replace(",", space) + f",{rest:02d}"
    if amount < 0:
        number = {"front": f"-{number}", "behind": f"{number}-", "parentheses": f"({number})"}[minus]
    assert read(french, number + euro) == amount


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        ("812.40", 81240), ("-3.5", -350), ("3", 300), ("+3.5", 350), (".5", 50), ("5.", 500), ("-0.00", 0),
        ("0e999", 0),
        ("12.344", 1234), ("12.345", 1234), ("12.355", 1236), ("12.3450000001", 1235), ("-12.345", -1234),
        ("1e3", 100000),
        ("1.5E-1", 15), ("1e-400", 0), ("0000000000000000000012.5", 1250), ("", None), (None, None),
        (f"2.5{'0' * 40}1", 250), (f"2.505{'0' * 40}1", 251), ("9999999999999999.99", 999999999999999999),
    ],
)  # fmt: skip
def test_a_decimal_with_a_point_is_rounded_half_to_even_from_its_text(value: str | None, cents: int | None) -> None:
    assert read(plain, value) == cents


@pytest.mark.parametrize(
    "value", ["812,40", "NaN", "Infinity", "1_000", "1e", "1e9999", "1e17", " 12", "--1", "1.2.3", ".", "-", "x"]
)
def test_what_is_no_decimal_is_bad(value: str) -> None:
    assert read(plain, value) == "bad"


@given(st.decimals(Decimal(-(10**12)), Decimal(10**12), places=5))
def test_a_decimal_is_rounded_like_the_decimal_arithmetic_of_python(number: Decimal) -> None:
    assert read(plain, str(number)) == int(number.quantize(Decimal("0.01"), ROUND_HALF_EVEN) * 100)


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        ("000012345", 12345), ("00001234{", 12340), ("00001234A", 12341), ("00001234I", 12349), ("00001234}", -12340),
        ("00001234J", -12341), ("00001234R", -12349), ("00000000}", 0), ("7", 7), ("R", -9), ("   ", None), ("", None),
        ("00000000000000000000000001R", -19),
    ],
)  # fmt: skip
def test_an_overpunched_amount_carries_its_sign_in_the_last_position(value: str, cents: int | None) -> None:
    assert read(overpunch, value) == cents


@pytest.mark.parametrize(
    "value", ["-12", "12-", "1A2", "00012S", "0001 2", " 12", "12,50", "é", "a", "1234567890123456789"]
)
def test_other_characters_in_a_gpi_amount_are_bad(value: str) -> None:
    assert read(overpunch, value) == "bad"


@given(cents)
def test_an_amount_written_with_overpunch_is_read_back(amount: int) -> None:
    plain_digits = f"{abs(amount):018d}"
    punched = plain_digits[:-1] + ("{ABCDEFGHI" if amount >= 0 else "}JKLMNOPQR")[int(plain_digits[-1])]
    assert read(overpunch, punched) == amount


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0012", 12), ("0", 0), ("   ", None), ("", None), ("999999999999999999", 10**18 - 1), ("-5", "bad"),
        ("1.0", "bad"),
        ("12 ", "bad"), ("12a", "bad"), ("²", "bad"), ("٣", "bad"), ("1000000000000000000", "bad"),
    ],
)  # fmt: skip
def test_a_whole_number_is_digits_or_bad(value: str, number: int | str | None) -> None:
    assert read(digits, value) == number
