"""The links between exports and model: whole, and naming nothing that is not there."""

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipelines.lineage import NO_SOURCE, Edge, _parsed, edges, edges_of
from portal.cli.drawing import draw
from schemas.errors import Malformed
from schemas.ids import System
from schemas.records import CANONICAL, RECORDS, exported_fields

ROOT = Path(__file__).parents[3]
LAYOUTS = ROOT / "connectors" / "layouts"
SAMPLES = ROOT / "samples"


def filled() -> dict[tuple[str, str], set[str]]:
    """Columns that some row of the samples fills, by system and table."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in (*SAMPLES.glob("truth/*/*/*.jsonl"), *SAMPLES.glob("faults/*/truth/*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found[(row["source_system"], path.stem)] |= {c for c, v in row.items() if v is not None}
    return found


def test_every_column_that_the_samples_fill_comes_from_somewhere() -> None:
    linked = defaultdict(set)
    for e in edges():
        linked[(str(e.system), e.table)].add(e.column)
    known = filled()
    assert len(known) > 50
    missing = {key: columns - linked[key] - NO_SOURCE for key, columns in known.items()}
    assert {key: columns for key, columns in missing.items() if columns} == {}


def sdgi(source: str) -> set[str]:
    return set(tomllib.loads((LAYOUTS / "sdgi-1.4.toml").read_text())["files"][source])


def gpi(source: str) -> set[str]:
    said = tomllib.loads((LAYOUTS / "gpi-01.02.toml").read_text())
    return {*said["prefix"], *said["record"][source]}


def spilasuite(source: str) -> set[str]:
    views = tomllib.loads((LAYOUTS / "spilasuite-1.0.toml").read_text())["view"]
    return {c["name"] for view in views if view["name"] == source for c in view["columns"]}


def portal(source: str) -> set[str]:
    files = tomllib.loads((LAYOUTS / "portal-1.0.toml").read_text())["file"]
    return {c["name"] for file in files if file["name"] == source for c in file["columns"]}


def login(source: str) -> set[str]:
    """Every name of the schema: elements, and attributes with their @."""
    text = (LAYOUTS / "login-2.3.xsd").read_text()
    assert f'name="{source}"' in text
    elements = set(re.findall(r'<xs:element (?:name|ref)="(\w+)"', text))
    return elements | {f"@{name}" for name in re.findall(r'<xs:attribute name="(\w+)"', text)}


NAMES: dict[System, Callable[[str], set[str]]] = {
    System.SDGI: sdgi, System.GPI: gpi, System.SPILASUITE: spilasuite, System.PORTAL: portal, System.LOGIN: login,
}  # fmt: skip


@pytest.mark.parametrize("system", list(System))
def test_every_source_column_stands_in_the_layout_of_its_system(system: System) -> None:
    links = [e for e in edges() if e.system is system]
    assert links
    for e in links:
        names = NAMES[system](e.source_table)
        parts = e.source_column.split("/") if system is System.LOGIN else [e.source_column]
        assert set(parts) <= names, f"{e.source_table} {e.source_column}"


def test_a_link_to_no_column_of_the_model_is_refused() -> None:
    text = 'system = "gpi"\nversion = "1"\n["10".building]\nshoe_size = { from = ["CODIMM"], by = "x" }\n'
    with pytest.raises(Malformed, match=r"building\.shoe_size"):
        list(_parsed("lineage-gpi-1.toml", text))
    with pytest.raises(Malformed, match="comes from nothing"):
        list(_parsed("lineage-gpi-1.toml", text.replace("shoe_size", "code").replace('["CODIMM"]', "[]")))


def test_stars_stand_for_every_table_of_the_section_or_of_the_system() -> None:
    text = """
system = "gpi"
version = "1"
["10".building]
code = { from = ["CODIMM"], by = "x" }
["15".lot]
number = { from = ["NUMLOT"], by = "x" }
["10"."*"]
ended_reason = { from = ["CODMVT"], by = "x" }
["00"."**"]
ended_on = { from = ["DATENV"], by = "x" }
"""
    found = list(_parsed("lineage-gpi-1.toml", text))
    assert [e.table for e in found if e.column == "ended_reason"] == ["building"]
    assert [e.table for e in found if e.column == "ended_on"] == ["building", "lot"]


def test_no_link_crosses_from_an_agency_to_the_portal_or_back() -> None:
    controller = {r.name for r in CANONICAL if r.scope == "controller"}
    assert {e.table for e in edges() if e.system is System.PORTAL} == controller
    assert not {e.table for e in edges() if e.system is not System.PORTAL} & controller


def test_a_row_is_linked_to_its_own_line_and_to_what_completes_it() -> None:
    found = edges_of(System.GPI, "co_ownership", "15")
    assert {(e.source_table, e.source_column) for e in found["right"]} == {
        ("15", "NUMCOP"),
        ("20", "CODDRO"),
        ("20", "CODDEM"),
    }
    person = edges_of(System.GPI, "person", "20")
    assert "legal_form" not in person, "only a landlord's record has one"
    assert {e.source_table for e in person["merged_into"]} == {"80"}


def test_the_drawing_holds_every_column_of_every_table_and_is_well_formed() -> None:
    for language in ("fr", "en"):
        drawn = draw(edges(), language)
        root = ElementTree.fromstring(drawn)
        texts = [t for e in root.iter("{http://www.w3.org/2000/svg}text") for t in e.itertext()]
        for record in CANONICAL:
            assert record.name in texts
            wanted = {f.name for f in exported_fields(record)} & {e.column for e in edges() if e.table == record.name}
            assert wanted <= set(texts)
        assert {str(s) for s in System} <= set(texts)


def test_links_say_their_scope_and_category() -> None:
    edge = Edge(System.SDGI, "LOCATAIRES.CSV", "Nom", "person", "last_name", "S1")
    assert edge in edges()
    assert (edge.as_json()["scope"], edge.as_json()["category"]) == ("processor", "identity")
    assert RECORDS["person"].field("last_name").personal
