"""Countries, postal codes and closed lists (N7, N13, N14)."""

import pyarrow as pa

from connectors.normalise.enums import closed
from connectors.normalise.places import country, postal_code

TABLE = {"FRANCE": "FR", "ROYAUME-UNI": "GB"}


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def test_a_country_is_found_whatever_its_case_and_accents() -> None:
    got, unknown = country(column("France", "FRANCE", "françe", "Royaume-Uni", "F.R.A.N.C.E."), TABLE)
    assert got.to_pylist() == ["FR", "FR", "FR", "GB", "FR"]
    assert not unknown.any()


def test_an_unknown_country_is_null_and_told_and_an_empty_one_is_never_france() -> None:
    got, unknown = country(column("Portugal", None, "", "FR", "France"), TABLE)
    assert got.to_pylist() == [None, None, None, None, "FR"]
    assert unknown.tolist() == [True, False, False, True, False]


def test_four_digits_get_their_zero_back_in_france_or_where_the_country_is_unknown() -> None:
    codes = column("1000", "1000", "1000", "01000", "97400", "123", "12 34", "2A00", "1000A", None, "")
    countries = column("FR", None, "BE", "FR", "FR", "FR", "FR", "FR", "FR", "FR", "FR")
    got, flagged = postal_code(codes, countries)
    assert got.to_pylist() == ["01000", "01000", "1000", "01000", "97400", "123", "12 34", "2A00", "1000A", None, ""]
    assert flagged.tolist() == [True, True, *[False] * 9]


def test_without_any_country_four_digits_are_french() -> None:
    got, flagged = postal_code(column("1000", "75001"))
    assert got.to_pylist() == ["01000", "75001"]
    assert flagged.tolist() == [True, False]


def test_a_closed_list_knows_its_words_exactly_and_nothing_else() -> None:
    got, bad = closed(column("O", "N", "o", "", "X", None), {"O": "true", "N": "false"})
    assert got.to_pylist() == ["true", "false", None, None, None, None]
    assert bad.tolist() == [False, False, True, True, True, False]
