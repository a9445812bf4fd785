"""Reason codes and errors have words: every code that the house can give, and no translation of what nobody says."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.cli.reasons import hint, meaning, reasons
from portal.cli.translations import french_of, pattern, spoken
from portal.cli.words import Language
from tests.functional.cli.conftest import SAMPLES

ROOT = Path(__file__).parents[3]
ROOMS = ("schemas", "connectors", "store", "ledger", "retention", "pipelines", "portal")
ROOTS = "agency|agencies|delivery|sdgi|gpi|login|spilasuite|portal|row|source|quality|internal|database"
CODE = re.compile(rf"({ROOTS})\.[a-z][a-z_0-9]+")
LANGUAGES: tuple[Language, ...] = ("fr", "en")


def trees() -> Iterator[ast.Module]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def codes() -> set[str]:
    texts = {n.value for t in trees() for n in ast.walk(t) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    expected = {e["reason"] for e in json.loads((SAMPLES / "expect.json").read_text())["deliveries"]}
    faults = {json.loads(p.read_text())["reason"] for p in SAMPLES.glob("faults/*/expect.json")}
    return {t for t in texts if CODE.fullmatch(t)} | {c for c in expected | faults if c}


def templates() -> set[str]:
    """What our own errors say, with {} for each part that varies."""
    found = set()
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                found.add(template_of(node))
    return found


def template_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value).replace("{", "{{").replace("}", "}}")
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(template_of(p) if isinstance(p, ast.Constant) else "{}" for p in parts)


def test_every_reason_code_that_the_house_gives_has_words_and_a_hint() -> None:
    given = codes() - {"portal.cli", "portal.web"}
    assert len(given) > 60
    for code in sorted(given):
        for language in LANGUAGES:
            assert meaning(code, language) != code, code
            assert hint(code, language), code


def test_every_reason_says_four_things_and_no_more() -> None:
    for code, said in reasons().items():
        assert sorted(said) == ["en", "en_do", "fr", "fr_do"], code


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert (meaning("new.code", "fr"), hint("new.code", "fr")) == ("new.code", "")


def test_nothing_is_translated_that_no_room_says() -> None:
    said = templates()
    assert [t for t in french_of() if t not in said] == []


def test_translations_fill_in_every_part() -> None:
    for english, french in french_of().items():
        numbers = {int(n) for n in re.findall(r"\{(\d)\}", french)}
        assert numbers == set(range(english.count("{}"))), english
        assert pattern(english).fullmatch(english.replace("{{", "{").replace("}}", "}"))


@pytest.mark.usefixtures("french")
def test_an_error_is_said_in_french_with_its_parts() -> None:
    assert spoken("agency A0001 is not in the register") == "l'agence A0001 n'est pas au registre"
    assert spoken("something nobody translated") == "something nobody translated"
