"""Documents by audience: counted under an instruction for support, against the list of the décret."""

import datetime as dt
import re
from html import unescape

import pandas as pd
import pytest

from ledger.entry import Instruction
from pipelines import documents
from pipelines.documents import item_of
from schemas.access import Role
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose
from store.keys import open_root
from tests.functional.conftest import SAMPLES, read_jsonl
from tests.functional.web.conftest import Browser, Door

TRUTH = read_jsonl(SAMPLES / "truth" / "A0001" / "2026-01-06" / "document.jsonl")


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture(scope="module")
def reader(standing: Door) -> Browser:
    return standing.person(Role.READER, "A0001", "documents@agence.example").browser


def support(door: Door, tables: tuple[str, ...]) -> None:
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    entry = Instruction(AgencyCode("A0001"), AGENCY_SYSTEMS, tables, (Purpose.SUPPORT,), at, None, "S", "gerance", at)
    door.site.log("A0001").append(entry, door.clock())


def test_nothing_is_counted_without_an_instruction_that_covers_documents(door: Door, reader: Browser) -> None:
    assert "Aucune instruction en vigueur" in words(reader.get("/a/A0001/documents").text)
    support(door, ("building",))
    page = reader.get("/a/A0001/documents")
    assert (page.status_code, "Aucune instruction en vigueur" in words(page.text)) == (200, True)
    answer = reader.send("/a/A0001/documents/title", "/a/A0001/documents", system="sdgi", line="1")
    assert answer.status_code == 403


def test_audiences_gaps_and_wrong_audiences_are_told_by_key_and_titles_on_demand(door: Door, reader: Browser) -> None:
    support(door, ("*",))
    page = reader.get("/a/A0001/documents").text
    said = words(page)
    living = [r for r in TRUTH if r["ended_reason"] is None]
    for label in {r["label"] for r in living} - {"Règlement de copropriété"}:
        assert f">{label}<" not in page  # titles are not shown
    for audience, name in (("all", "Tous les copropriétaires"), ("individual", "Le copropriétaire concerné")):
        count = sum(r["audience"] == audience for r in living)
        assert re.search(rf"{name} {count}\b", said)
    found = documents.overview(door.site.home, open_root(door.site.home), AgencyCode("A0001"), door.clock())
    exposed = {f["key"] for f in found["findings"] if f["rule"] == "individual_open"}
    truly = {r["source_key"] for r in living if r["audience"] != "individual" and r["kind"] in ("APPE", "BAIL", "CRG")}
    assert exposed == truly != set()
    first = re.search(r'name="system" value="(\w+)"><button name="line" value="(\d+)"', page)
    assert first is not None
    answer = reader.send("/a/A0001/documents/title", "/a/A0001/documents", system=first[1], line=first[2])
    assert answer.status_code == 200
    assert any(r["label"] in unescape(answer.text) for r in living)
    log = [a for a in door.service.counter.journal.of(AgencyCode("A0001")) if a["question"] == "documents.title"]
    assert [(a["outcome"], a["object"]) for a in log][-1] == ("answered", f"document line {first[2]}")


def test_a_co_ownership_says_what_is_missing_and_whether_it_is_old(door: Door) -> None:
    found = documents.overview(door.site.home, open_root(door.site.home), AgencyCode("A0001"), door.clock())
    for c in found["co_ownerships"]:
        mine = [
            r for r in TRUTH
            if (r["source_system"], r["building_key"], r["ended_reason"]) == (c["system"], c["building"], None)
        ]  # fmt: skip
        assert c["documents"] == len(mine)
        assert c["newest"] == max((r["document_date"] for r in mine if r["document_date"]), default=None)
        assert ("minutes" not in c["missing"]) == any((r["kind"], r["audience"]) == ("PVAG", "all") for r in mine)
        assert c["stale"] == (c["newest"] is None or c["newest"] < "2025-01-05")
    assert found["co_ownerships"]


@pytest.mark.parametrize(
    ("kind", "label", "item"),
    [
        ("APPE", "Procès-verbal d'assemblée générale", "calls_for_funds"),  # the kind counts before the title
        (None, "Procès-verbal d’assemblée générale 2025", "minutes"),
        ("XX", "RELEVÉ BANCAIRE janvier", "bank_statements"),
        ("XX", "Divers", None),
        (None, None, None),
    ],
)
def test_a_document_is_told_by_its_kind_then_by_its_title(
    kind: str | None, label: str | None, item: str | None
) -> None:
    assert item_of(kind, label) == item


def test_each_rule_finds_what_it_is_for_and_lets_the_rest_be() -> None:
    columns = ["source_system", "source_key", "owner", "item", "audience", "building_key", "person_key"]
    rows = {
        "individual_open": ("calls_for_funds", "all", "B", None),
        "names_person": ("minutes", "council", "B", "P"),
        "council_open": ("bank_statements", "all", "B", None),
        "open_nowhere": ("minutes", "all", None, None),
        "individual_nobody": ("calls_for_funds", "individual", "B", None),
        "closed_too_far": ("minutes", "council", "B", None),
        "well 1": ("minutes", "all", "B", None),
        "well 2": ("calls_for_funds", "individual", None, "P"),
        "well 3": (None, "council", "B", None),
    }
    table = pd.DataFrame([("sdgi", key, 1, *row) for key, row in rows.items()], columns=columns)
    assert {f["key"]: f["rule"] for f in documents._findings(table)} == {r: r for r in documents.RULES}


def test_the_list_is_that_of_the_three_articles() -> None:
    by_article = {n: {i.audience for i in documents.items() if i.article == n} for n in (1, 2, 3)}
    assert by_article == {1: {"all"}, 2: {"individual"}, 3: {"council"}}
    codes = [c for i in documents.items() for c in i.codes]
    assert len(codes) == len(set(codes))
