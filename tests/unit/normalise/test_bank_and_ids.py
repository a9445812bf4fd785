"""Bank accounts and register numbers (N9, N12). The accounts are invented and their check digits computed."""

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st
from stdnum import iban as reference

from connectors.normalise.bank import iban
from connectors.normalise.ids import siren
from schemas.frames import BIT

RIB = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "12345678912345678923456789")


def with_check_digits(country: str, bban: str) -> str:
    return country + reference.calc_check_digits(f"{country}00{bban}") + bban


def bban(bank: str, branch: str, account: str, off: int = 0) -> str:
    digits = account.translate(RIB)
    key = 97 - (89 * int(bank.translate(RIB)) + 15 * int(branch.translate(RIB)) + 3 * int(digits)) % 97
    return f"{bank}{branch}{account}{(key - 1 + off) % 97 + 1:02d}"


def french(bank: str, branch: str, account: str, off: int = 0) -> str:
    """A French IBAN whose mod 97 is right and whose clé RIB is `off` by so much."""
    return with_check_digits("FR", bban(bank, branch, account, off))


def read(value: str | None) -> tuple[str | None, set[str]]:
    good = french("12345", "67890", "00000000001")
    got, flags = iban(pa.array([good, value], pa.string()))
    assert (got[0].as_py(), flags[0]) == (good, 0)
    return got[1].as_py(), {name for name, bit in BIT.items() if int(flags[1]) & bit}


@pytest.mark.parametrize("account", ["00000000001", "1234567890A", "ABCDEFGHIJK", "LMNOPQRSTUV", "WXYZ0000000"])
def test_a_right_account_raises_nothing_whatever_its_letters(account: str) -> None:
    value = french("12345", "67890", account)
    assert read(value) == (value, set())


def test_a_monegasque_account_is_asked_for_its_rib_key_too() -> None:
    right = with_check_digits("MC", bban("12345", "67890", "0000000001A"))
    wrong = with_check_digits("MC", bban("12345", "67890", "0000000001A", off=5))
    assert read(right) == (right, set())
    assert read(wrong) == (wrong, {"iban_rib_key"})


def test_spaces_points_hyphens_and_small_letters_are_tidied() -> None:
    value = french("12345", "67890", "0000000001A")
    spaced = " ".join(value[i : i + 4] for i in range(0, len(value), 4))
    for written in (
        spaced,
        spaced.replace(" ", "\u00a0"),
        spaced.replace(" ", "-"),
        spaced.replace(" ", "."),
        value.lower(),
        f" {value}\n",
    ):
        assert read(written) == (value, set())


@pytest.mark.parametrize(
    "value", ["FR00", "FR7", "1234", "FRXX12345678901234567890123", "INCONNU", "FR76É234567890123"]
)
def test_what_has_not_the_shape_of_an_iban_is_kept_and_flagged(value: str) -> None:
    assert read(value) == (value, {"iban_mod97"})


def test_one_wrong_digit_is_kept_and_flagged_once() -> None:
    value = french("12345", "67890", "00000000001")
    wrong = value[:-1] + str((int(value[-1]) + 1) % 10)
    assert read(wrong) == (wrong, {"iban_mod97"})


def test_a_wrong_rib_key_is_flagged_when_mod_97_is_right() -> None:
    wrong = french("12345", "67890", "0000000001A", off=3)
    assert read(wrong) == (wrong, {"iban_rib_key"})


def test_a_french_iban_of_another_length_has_no_right_rib_key() -> None:
    short = with_check_digits("FR", "1234567890")
    assert read(short) == (short, {"iban_rib_key"})


def test_a_foreign_account_is_not_asked_for_a_rib_key() -> None:
    belgian = with_check_digits("BE", "510007547061")
    assert read(belgian) == (belgian, set())


def test_scientific_notation_leaves_nothing_to_keep() -> None:
    assert read("7,63E+26") == (None, {"scientific"})
    assert read(" 7,63E+26 ") == (None, {"scientific"})


@pytest.mark.parametrize("value", [None, "", " ", "-", ". -"])
def test_an_empty_iban_is_null_and_raises_nothing(value: str | None) -> None:
    assert read(value) == (None, set())


@given(st.from_regex(r"\A(?:DE|BE|XX|GB)[0-9]{2}[A-Z0-9]{10,30}\Z"))
def test_mod_97_agrees_with_a_reference_library(value: str) -> None:
    body = value[:2] + reference.calc_check_digits(value) + value[4:]
    assert read(body) == (body, set())
    assert read(value) == (
        value,
        set() if int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1 else {"iban_mod97"},
    )


def test_a_siren_is_nine_digits_or_the_first_nine_of_a_siret() -> None:
    given_numbers = {
        "912345678": "912345678",
        "912 345 678": "912345678",
        "91234567800013": "912345678",
        "912 345 678 00013": "912345678",
        "912\u00a0345\u202f678 00013": "912345678",
        "000000000": None,
        "00000000000000": None,
        "00000000000012": None,
        "012345678": "012345678",
        "9123456780001": None,
        "91234567": None,
        "9123456789": None,
        "91234567A": None,
        "9,12E+13": None,
        "NC": None,
        "": None,
    }
    assert siren(pa.array(list(given_numbers))).to_pylist() == list(given_numbers.values())
