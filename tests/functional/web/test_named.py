"""A system is called on every page, in every letter and in every report as people know it, and not by the model's
word."""

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from pipelines import field_lineage
from pipelines.notices.letters import Letter, Told, as_json, as_mail
from portal.web.registry import PAGES
from schemas.access import TABLE, Needs, Role
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, system_name
from store.agency import Shelf
from store.tables import ROWS
from tests.functional.web.certificates import certify
from tests.functional.web.conftest import Browser, Door
from tests.functional.web.test_matrix import path_of

# A word of its own: not in a code (`gpi.sequence_gap`), an address or a reference of ours (`A0001/receive/gpi`).
RAW = re.compile(r"(?<![\w./:-])(spilasuite|sdgi|gpi|login)(?![\w/:]|\.\w)")
AT = dt.datetime(2026, 1, 6, 11, tzinfo=dt.UTC)


def seen(page: str) -> str:
    """What somebody reads, also in drawings; what is recorded word for word, and what browsers compare, is not read."""
    body = re.sub(r"<(script|style|pre)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def raw(page: str) -> list[str]:
    text = seen(page)
    return [text[max(0, m.start() - 40) : m.end() + 20] for m in RAW.finditer(text)]


@pytest.fixture(scope="module")
def readers(standing: Door) -> dict[str, list[tuple[Role, Browser]]]:
    certify(standing.site, AgencyCode("A0001"))
    return {
        language: [
            (role, standing.person(role, "A0001", f"{role}.{language}@agence.example", language).browser)
            for role in (Role.SIGNATORY, Role.AUDITOR)
        ]
        for language in ("fr", "en")
    }


@pytest.mark.parametrize("language", ["fr", "en"])
def test_no_page_shows_the_word_of_the_model(
    readers: dict[str, list[tuple[Role, Browser]]], door: Door, language: str
) -> None:
    looked_at, named = 0, set[str]()
    for role, browser in readers[language]:
        for page in PAGES:
            shown = page.needs is Needs.AGENCY and page.method == "GET" and not page.script
            if not shown or not all(role in TABLE[q].roles for q in page.asks):
                continue
            answer = browser.get(path_of(page, "A0001"))
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert raw(answer.text) == [], page.name
                named |= {s for s in AGENCY_SYSTEMS if system_name(s) in seen(answer.text)}
                looked_at += 1
    assert looked_at > 20
    assert named == set(AGENCY_SYSTEMS)


def test_the_origin_of_a_record_names_the_system(readers: dict[str, list[tuple[Role, Browser]]], door: Door) -> None:
    t = ROWS["lot"]
    with Shelf.known(door.site.home, AgencyCode("A0001")) as shelf:
        key = shelf.db.scalars(select(t.c.source_key).where(t.c.system == "gpi")).first()
    for language in ("fr", "en"):
        browser = next(b for role, b in readers[language] if role is Role.AUDITOR)
        path = "/a/A0001/audit/record"
        page = browser.send(path, path, table="lot", system="gpi", key=str(key), day="", time="")
        assert page.status_code == 200
        assert "GPI 01.02" in seen(page.text)
        assert raw(page.text) == []


def test_what_an_instruction_would_start_and_stop_is_named(
    readers: dict[str, list[tuple[Role, Browser]]], door: Door
) -> None:
    browser = next(b for role, b in readers["fr"] if role is Role.SIGNATORY)
    page = browser.get("/a/A0001/log?sort=instructions").text
    number = re.findall(r"/a/A0001/log/(\d+)", page)[0]
    stopping = browser.send(f"/a/A0001/log/{number}/withdraw", f"/a/A0001/log/{number}")
    assert stopping.status_code == 200
    assert re.search(r"ne seraient plus lus : \w+", seen(stopping.text))
    assert "SDGI" in seen(stopping.text)
    assert raw(stopping.text) == []


FACTS: dict[str, dict[str, Any]] = {
    "arrived": {"lines": 3}, "refused": {"reason": "gpi.sequence_gap"}, "late": {}, "aside": {"count": 2},
}  # fmt: skip


@pytest.mark.parametrize("code", FACTS)
@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_letter_names_the_system_and_a_programme_is_told_the_word(code: str, language: str) -> None:
    told = [Told(code, "2026-01-06T11:00:00Z", FACTS[code] | {"number": 7, "system": s}) for s in map(str, System)]
    letter = Letter("LTR-1", AgencyCode("A0001"), AT, told, "https://depositaire.example")
    said = as_mail(letter, "avis@depositaire.example", "dpo@agence.example", language).get_content()
    assert RAW.findall(said) == []
    for name in ("SpiLaSuite", "SDGI", "GPI", "LOGIN", "portail" if language == "fr" else "portal"):
        assert name in said
    assert b'"system":"spilasuite"' in as_json(letter)


def test_the_lineage_of_a_column_names_the_system() -> None:
    told: list[str] = []
    for lineage in map(field_lineage.of, field_lineage.fields()):
        if "login" in f"{lineage.name} {lineage.label_en}":  # a column of that name
            continue
        told += [field_lineage.svg(lineage, "en"), *(" ".join(r) for r in field_lineage.rows(lineage, "fr"))]
    assert any("SDGI" in t for t in told)
    assert [m for t in told for m in raw(t)] == []


def test_a_spreadsheet_of_the_register_names_the_system(
    readers: dict[str, list[tuple[Role, Browser]]], door: Door
) -> None:
    (browser,) = (b for role, b in readers["fr"] if role is Role.AUDITOR)
    told = browser.get("/a/A0001/audit/register/csv").text
    cells = [c for line in told.splitlines() for c in line.split(";")]
    assert {"SDGI", "GPI", "LOGIN"} & set(cells)
    assert not {"sdgi", "gpi", "login", "spilasuite"} & set(cells)
    assert '"system": "sdgi"' in browser.get("/a/A0001/audit/register/json").text
