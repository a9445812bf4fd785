"""One column of the model, from its sources to its end: as data, as rows, as a drawing that anybody can read."""

import re
from itertools import pairwise, product
from xml.etree import ElementTree

import pytest

from pipelines.field_lineage import HEADS, Language, fields, of, rows, svg
from pipelines.lineage import edges
from pipelines.lineage_rules import DIRECT, INDIRECT, _known, _parts, rule
from schemas.errors import Malformed
from schemas.records import CANONICAL, RECORDS, exported_fields
from store.tables import ROWS
from tests.functional.cli.conftest import call

SVG = "{http://www.w3.org/2000/svg}"
LANGUAGES: tuple[Language, ...] = ("fr", "en")


def test_every_column_of_the_model_has_its_lineage_from_the_same_links() -> None:
    assert len(fields()) == sum(len(exported_fields(r)) for r in CANONICAL)
    for name in fields():
        found = of(name)
        links = [
            (e.system, e.source_table, e.source_column, e.rule) for e in edges() if f"{e.table}.{e.column}" == name
        ]
        assert [(o.system, o.table, o.column, o.code) for o in found.origins] == links
        assert found.scope == RECORDS[found.table].scope
        assert found.erasure
        assert found.exits
        assert (found.held.state == "clear") == (found.column in ROWS[found.table].c or found.column == "source_system")


def test_every_rule_has_words_in_both_languages_and_every_word_is_a_rules() -> None:
    codes = {e.rule for e in edges()}
    for code in codes:
        said = rule(code)
        assert said.subtype in {"DIRECT": DIRECT, "INDIRECT": INDIRECT}[said.kind]
        assert said.fr.strip()
        assert said.en.strip()
    used = {part for code in codes for part in ([code] if code in _known() else _parts(code, _known()))}
    assert used == set(_known())


@pytest.mark.parametrize(
    ("code", "kind", "subtype", "masking"),
    [
        ("copied", "DIRECT", "IDENTITY", False),
        ("N1, N3", "DIRECT", "TRANSFORMATION", False),
        ("N1, N3, when type_tiers is P", "DIRECT", "TRANSFORMATION", False),
        ("email or phone", "INDIRECT", "CONDITIONAL", False),
        ("reading order", "INDIRECT", "SORT", False),
        ("the person of the role", "INDIRECT", "JOIN", False),
        ("SHA-256 of PJ/<file> when it came", "DIRECT", "TRANSFORMATION", True),
    ],
)
def test_a_rule_says_whether_the_value_comes_from_the_column_or_is_decided_by_it(
    code: str, kind: str, subtype: str, masking: bool
) -> None:
    found = rule(code)
    assert (found.kind, found.subtype, found.masking) == (kind, subtype, masking)


def test_a_rule_without_words_is_told() -> None:
    with pytest.raises(Malformed):
        rule("N1, by magic")


@pytest.mark.parametrize(
    ("name", "language"), list(product(("person.last_name", "lease.source_key", "contact.value"), LANGUAGES))
)
def test_the_drawing_is_whole_named_and_without_anything_that_runs(name: str, language: Language) -> None:
    found, drawn = of(name), svg(of(name), language)
    root = ElementTree.fromstring(drawn)
    assert (root.get("role"), root[0].tag, root[1].tag) == ("img", f"{SVG}title", f"{SVG}desc")
    labels = (root.get("aria-labelledby") or "").split()
    assert labels == [root[0].get("id"), root[1].get("id")]
    groups = root.findall(f"{SVG}g")
    assert len(groups) == len(found.origins) + 1 + len(found.exits) + len(found.erasure)
    assert len(root.findall(f"{SVG}path")) == len(groups) - 1
    (field,) = [g for g in groups if "field" in (g.get("class") or "").split()]
    assert {f"scope-{found.scope}", f"category-{found.category}"} <= set((field.get("class") or "").split())
    assert re.search(r"<script|<style|style=|\son\w+=|href|#[0-9a-f]{3,6}\b", drawn) is None
    box = [float(n) for n in (root.get("viewBox") or "").split()]
    for rect in root.iter(f"{SVG}rect"):
        x, y, wide, high = (float(rect.get(k) or 0) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + wide <= box[2]
        assert y >= 0
        assert y + high <= box[3]


def test_boxes_do_not_lie_on_each_other() -> None:
    for name in fields():
        places = [
            (r.get("x"), float(r.get("y") or 0)) for r in ElementTree.fromstring(svg(of(name))).iter(f"{SVG}rect")
        ]
        for x in {x for x, _ in places}:
            tops = sorted(y for at, y in places if at == x)
            assert all(b - a >= 44 for a, b in pairwise(tops)), name


def test_the_rows_say_what_the_drawing_says() -> None:
    for name, language in product(fields(), LANGUAGES):
        found = of(name)
        told = rows(found, language)
        assert len(told) == len(found.origins) + 1 + len(found.exits) + len(found.erasure)
        assert {len(row) for row in told} == {len(HEADS[language])}


def test_a_column_that_the_model_has_not_is_told_with_those_that_are_near() -> None:
    with pytest.raises(Malformed) as no:
        of("person.email")
    assert "staff.email" in no.value.hint
    for wrong in ("", "person", "person.", "role.kind", "nothing.at_all"):
        with pytest.raises(Malformed):
            of(wrong)


def test_the_command_tells_a_field_without_a_home() -> None:
    said = call("trace", "--field", "contact.value", "--json")
    assert said.code == 0
    assert said.json["scope"] == "processor"
    assert call("trace", "--field", "contact.none").code == 2
    assert call("trace").code == 2
