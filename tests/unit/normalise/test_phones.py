"""Phones of a field (N8)."""

import random

import phonenumbers
import pyarrow as pa
import pytest

from connectors.normalise.contacts import phones
from connectors.normalise.numbering import OVERSEAS
from schemas.frames import BIT

Read = tuple[list[str | None], list[str], set[str]]


def read(field: str | None, country: str | None = None, postal_code: str | None = None) -> Read:
    fields = pa.array(["01 99 00 00 01", field, "0692 00 12 34"], pa.string())
    countries, codes = pa.array(["FR", country, None], pa.string()), pa.array([None, postal_code, "97400"], pa.string())
    tokens = phones(fields, countries, codes)
    inside = [place for place, parent in enumerate(tokens.parent) if parent == 1]
    assert tokens.parent.tolist() == [0, *[1] * len(inside), 2]
    assert (tokens.value[0].as_py(), tokens.value[-1].as_py()) == ("+33199000001", "+262692001234")
    assert (tokens.flags[0], tokens.flags[2]) == (0, 0)
    flags = {name for name, bit in BIT.items() if int(tokens.flags[1]) & bit}
    return [tokens.value[i].as_py() for i in inside], [tokens.raw[i].as_py() for i in inside], flags


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("0600000001", "+33600000001"),
        ("06 00 00 00 01", "+33600000001"),
        ("06.00.00.00.01", "+33600000001"),
        ("06-00-00-00-01", "+33600000001"),
        ("06\u00a000\u202f00 00 01", "+33600000001"),
        ("+33 6 00 00 00 01", "+33600000001"),
        ("+33 (0)6 00 00 00 01", "+33600000001"),
        ("0033 6 00 00 00 01", "+33600000001"),
        ("00 33 (0) 6 00 00 00 01", "+33600000001"),
        ("06 00 00 00 01 (bureau)", "+33600000001"),
        ("(le soir) 06 00 00 00 01", "+33600000001"),
        ("06 00 00 00 01 poste 12", "+33600000001"),
        ("06 00 00 00 01 Poste 12 (matin)", "+33600000001"),
        ("06 00 00 00 01 p. 3", "+33600000001"),
        ("06 00 00 00 01 ext 104", "+33600000001"),
        ("33600000001", "+33600000001"),  # digits with the code of the country: the library reads them in region FR
        ("+32470027374", "+32470027374"),
        ("+12345678", "+12345678"),
        ("+123456789012345", "+123456789012345"),
        ("+33 0 00", None),
        ("+1234567", None),
        ("+1234567890123456", None),
        ("+0600000001", None),
        ("0000000000", None),
        ("06 00 00 00", None),
        ("06 00 00 00 01 12", None),
        ("06 00 00 00 0A", None),
        ("06 00 00 00 01 poste", None),
        ("poste 12 06 00 00 00 01", None),
        ("0600000001,", None),
        ("06 00 00 00 01 (bureau", None),
        ("06–00–00–00–01", None),  # dashes are no hyphens
        ("3631", None),
        ("+33", None),
        ("+", None),
    ],
)
def test_a_number_is_read_or_kept_without_a_value(field: str, value: str | None) -> None:
    raw = field.replace("\u00a0", " ").replace("\u202f", " ")  # N1
    assert read(field) == ([value], [raw], set() if value else {"phone_unparsed"})


@pytest.mark.parametrize("field", ["néant", "NC", " - ", "n/a", "Aucun", "sans", "inconnu"])
def test_a_placeholder_is_no_contact_and_is_flagged(field: str) -> None:
    assert read(field) == ([], [], {"placeholder"})


@pytest.mark.parametrize("field", [None, "", " ", " / ", ";"])
def test_an_empty_field_is_no_contact_and_raises_nothing(field: str | None) -> None:
    assert read(field) == ([], [], set())


@pytest.mark.parametrize("between", [";", "/", "|", ", ", " ou ", " OU ", " / ", " ; ", ",\n", "; ou "])
def test_several_numbers_keep_their_reading_order(between: str) -> None:
    assert read(f"06 00 00 00 02{between}06.00.00.00.01") == (
        ["+33600000002", "+33600000001"], ["06 00 00 00 02", "06.00.00.00.01"], {"multi_value"},
    )  # fmt: skip


def test_ou_splits_as_a_word_only() -> None:
    assert read("06 00 00 00 01 (où Louis)")[1] == ["06 00 00 00 01 (où Louis)"]
    assert read("06 00 00 00 01 (bouée)")[0] == ["+33600000001"]


def test_a_comma_splits_only_before_white_space() -> None:
    assert read("0600000001,0600000002") == ([None], ["0600000001,0600000002"], {"phone_unparsed"})


def test_scientific_notation_has_no_value_and_a_flag_of_its_own() -> None:
    assert read("6,00E+08") == ([None], ["6,00E+08"], {"scientific"})


def test_nine_digits_get_their_zero_back_and_are_flagged() -> None:
    assert read("600000001") == (["+33600000001"], ["600000001"], {"excel_zero"})
    assert read("6 00 00 00 01", "FR") == (["+33600000001"], ["6 00 00 00 01"], {"excel_zero"})
    assert read("692001234", None, "97400") == (["+262692001234"], ["692001234"], {"excel_zero"})
    assert read("692001234") == ([None], ["692001234"], {"excel_zero", "phone_unparsed"})
    assert read("060000000") == ([None], ["060000000"], {"phone_unparsed"})


@pytest.mark.parametrize("country", ["BE", "CH", "ES"])
def test_digits_say_nothing_of_a_number_of_another_country(country: str) -> None:
    assert read("0600000001", country) == ([None], ["0600000001"], {"phone_unparsed"})
    assert read("600000001", country) == ([None], ["600000001"], {"phone_unparsed"})
    assert read("+33600000001", country) == (["+33600000001"], ["+33600000001"], set())


@pytest.mark.parametrize(
    ("postal_code", "number", "value"),
    [
        ("97110", "0690001234", "+590690001234"),
        ("97200", "0696001234", "+596696001234"),
        ("97300", "0694001234", "+594694001234"),
        ("97400", "0692001234", "+262692001234"),
        ("97600", "0639001234", "+262639001234"),
        ("97400", "0600000001", None),
        ("97500", "0692001234", None),
        ("75001", "0692001234", None),
        ("97", "0692001234", None),
        (None, "0692001234", None),
    ],
)
def test_the_first_three_digits_of_the_postal_code_give_the_region(
    postal_code: str | None, number: str, value: str | None
) -> None:
    assert read(number, "FR", postal_code)[0] == [value]


def test_without_a_postal_code_every_number_is_read_in_the_region_fr() -> None:
    tokens = phones(pa.array(["0600000001", "0692001234"]))
    assert tokens.value.to_pylist() == ["+33600000001", None]
    assert tokens.flags.tolist() == [0, BIT["phone_unparsed"]]


@pytest.mark.parametrize("region", ["FR", *OVERSEAS.values()])
def test_a_whole_column_gets_the_answers_that_the_library_gives_one_by_one(region: str) -> None:
    code = next((code for code, name in OVERSEAS.items() if name == region), "750") + "00"
    chance = random.Random(region)
    heads = ["059", "069", "0639", "026", "070", "08", "09", "0"]
    numbers = [(chance.choice(heads) + f"{chance.randrange(10**9):09d}")[:10] for _ in range(2_000)]
    numbers = [number for number in numbers if number[1] != "0"]

    def one_by_one(number: str) -> str | None:
        parsed = phonenumbers.parse(number, region)
        if not phonenumbers.is_valid_number_for_region(parsed, region):
            return None
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)

    expected = [one_by_one(number) for number in numbers]
    assert len(set(expected)) > 50
    assert phones(pa.array(numbers), None, pa.array([code] * len(numbers))).value.to_pylist() == expected
