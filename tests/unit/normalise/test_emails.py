"""E-mails of a field (N6)."""

import pyarrow as pa
import pytest

from connectors.normalise.contacts import emails
from schemas.frames import BIT

Read = tuple[list[str | None], list[str], set[str]]


def read(field: str | None) -> Read:
    tokens = emails(pa.array(["avant@exemple.test", field, "après@exemple.test"], pa.string()))
    inside = [place for place, parent in enumerate(tokens.parent) if parent == 1]
    assert tokens.parent.tolist() == [0, *[1] * len(inside), 2]
    flags = {name for name, bit in BIT.items() if int(tokens.flags[1]) & bit}
    return [tokens.value[i].as_py() for i in inside], [tokens.raw[i].as_py() for i in inside], flags


@pytest.mark.parametrize(
    "field",
    ["néant", "NEANT", " Néant ", "nc", "NC", "aucun", "Aucune", "sans", "-", "n/a", "N/A", "inconnu", "\u00a0-\n"],
)
def test_a_placeholder_is_no_contact_and_is_flagged(field: str) -> None:
    assert read(field) == ([], [], {"placeholder"})


@pytest.mark.parametrize("field", [None, "", "  ", ";", " / ; "])
def test_an_empty_field_is_no_contact_and_raises_nothing(field: str | None) -> None:
    assert read(field) == ([], [], set())


@pytest.mark.parametrize("field", ["néante", "N.C.", "--", "sans objet"])
def test_a_word_that_is_not_on_the_list_is_a_token_like_any_other(field: str) -> None:
    values, raw, flags = read(field)
    assert values == [None] * len(raw)
    assert raw == field.split()
    assert "email_invalid" in flags
    assert "placeholder" not in flags


def test_only_the_domain_becomes_lower_case() -> None:
    assert read("Zoé.D'Arc@Exemple.TEST") == (["Zoé.D'Arc@exemple.test"], ["Zoé.D'Arc@Exemple.TEST"], set())
    assert read("É@ÉCOLE.TEST") == (["É@école.test"], ["É@ÉCOLE.TEST"], set())


@pytest.mark.parametrize("between", [";", ",", "|", "/", " ", " ; ", "\n", "\u00a0", "\u2003", ",,", " / / "])
def test_several_addresses_keep_their_reading_order(between: str) -> None:
    assert read(f"b@exemple.test{between}A@Exemple.test") == (
        ["b@exemple.test", "A@exemple.test"], ["b@exemple.test", "A@Exemple.test"], {"multi_value"},
    )  # fmt: skip


def test_a_placeholder_beside_an_address_is_an_invalid_token() -> None:
    assert read("zoe@Exemple.TEST / néant") == (
        ["zoe@exemple.test", None], ["zoe@Exemple.TEST", "néant"], {"multi_value", "email_invalid"},
    )  # fmt: skip


def test_separators_around_one_address_do_not_make_it_several() -> None:
    assert read("; zoe@exemple.test ;") == (["zoe@exemple.test"], ["zoe@exemple.test"], set())


@pytest.mark.parametrize(
    "token", ["zoe", "zoe@", "@exemple.test", "zoe@exemple", "a@b@c.test", "zoe@exemple.", "zoe@.test"]
)
def test_an_invalid_address_keeps_its_text_and_has_no_value(token: str) -> None:
    assert read(token) == ([None], [token], {"email_invalid"})


def test_flags_stay_with_their_field() -> None:
    tokens = emails(pa.array(["a@b.test", "x", None, "nc", "a@b.test c@d.test"]))
    assert tokens.parent.tolist() == [0, 1, 4, 4]
    assert tokens.flags.tolist() == [0, BIT["email_invalid"], 0, BIT["placeholder"], BIT["multi_value"]]
