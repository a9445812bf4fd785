"""Lines put aside: the list for everybody of the agency, what one says for whom its mandate allows, each time noted."""

import datetime as dt
import re
from html import unescape
from pathlib import Path

import pytest

from ledger.entry import Instruction
from pipelines import aside
from pipelines.lineage import edges
from portal.cli.reasons import reasons
from schemas.access import Role
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose
from tests.functional.web.conftest import Browser, Door

LONG_AGO = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def support(door: Door, agency: str, tables: tuple[str, ...] = ("*",)) -> str:
    entry = Instruction(
        AgencyCode(agency),
        AGENCY_SYSTEMS,
        tables,
        (Purpose.SUPPORT,),
        LONG_AGO,
        None,
        "ANNEXE-2027",
        "gerance",
        LONG_AGO,
    )
    door.site.log(agency).append(entry, door.clock())
    return entry.id


@pytest.fixture(scope="module")
def signatory(standing: Door) -> Browser:
    return standing.person(Role.SIGNATORY, "A0001", "aside@agence.example").browser


def test_each_line_put_aside_has_file_line_column_rule_and_what_to_correct(door: Door, signatory: Browser) -> None:
    said = words(signatory.get("/a/A0001/quarantine").text)
    assert "3 lignes n'ont pas pu être lues" in said
    assert re.search(r"[A-Z_]+\.CSV · ligne \d+ SDGI · SDGI_A0001_\d+_0210.zip", said)
    for reason in re.findall(r"row\.[a-z_]+", said):
        assert reasons()[reason]["fr_do"] in said
    english = door.person(Role.AUDITOR, "A0001", "aside.en@agence.example", language="en").browser
    page = english.get("/a/A0001/quarantine").text
    assert "3 lines could not be read" in words(page)
    assert "Show the line" not in page  # an auditor sees places, and opens nothing here


def test_filters_keep_what_they_name_and_links_of_the_first_page_lead_to_a_rule(door: Door, signatory: Browser) -> None:
    first = signatory.get("/a/A0001").text
    link = re.search(r'href="(/a/A0001/quarantine\?reason=([^"]+))"', first)
    assert link is not None
    page = signatory.get(link[1]).text
    assert set(re.findall(r'<code class="aside">([^<]+)<', page)) == {link[2]}
    assert "Aucune ligne ne répond" in words(signatory.get("/a/A0001/quarantine?reason=row.nothing").text)
    assert "Aucune ligne n'est mise de côté" in words(
        door.person(Role.READER, "A0002", "none@agence.example").browser.get("/a/A0002/quarantine").text
    )


def opened(browser: Browser, number: str) -> tuple[int, str, str]:
    answer = browser.send("/a/A0001/quarantine/line", "/a/A0001/quarantine", line=number)
    return answer.status_code, words(answer.text), answer.headers["cache-control"]


def test_a_line_is_opened_under_an_instruction_for_support_alone_and_each_opening_is_noted(
    door: Door, signatory: Browser
) -> None:
    numbers = re.findall(r'name="line" value="(\d+)"', signatory.get("/a/A0001/quarantine").text)
    assert numbers
    status, said, _ = opened(signatory, numbers[0])
    assert (status, "Aucune instruction en vigueur" in said) == (403, True)
    support(door, "A0001")
    status, said, kept = opened(signatory, numbers[0])
    assert (status, kept) == (200, "no-store")
    assert ";" in said.split("Telle qu'elle est venue")[1]
    assert opened(signatory, "999999")[0] == 404
    assert signatory.get("/a/A0001/quarantine/line").status_code == 404  # no address shows it
    log = [a for a in door.service.counter.journal.of(AgencyCode("A0001")) if a["question"] == "quarantine.line"]
    assert [(a["outcome"], bool(a["object"])) for a in log] == [
        ("refused", True),
        ("answered", True),
        ("refused", False),
    ]
    assert re.fullmatch(rf"delivery \d+ line {numbers[0]}", str(log[1]["object"]))


def test_another_agencys_line_is_no_line(door: Door) -> None:
    other = door.person(Role.SIGNATORY, "A0002", "other@agence.example").browser
    assert other.send("/a/A0001/quarantine/line", "/sessions", line="1").status_code == 404


def test_the_columns_of_a_rule_are_those_of_its_kind() -> None:
    assert "Date d'entrée" in aside.columns(System.SDGI, "COPROPRIETAIRES.CSV", "row.bad_date")
    assert "Nom" not in aside.columns(System.SDGI, "COPROPRIETAIRES.CSV", "row.bad_date")
    assert aside.columns(System.SDGI, "LOTS.CSV", "row.missing_key")[:2] == ("Code immeuble", "N° lot")
    assert aside.columns(System.SDGI, "LOTS.CSV", "row.field_count") == ()
    assert {
        s for s, source in {(e.system, e.source_table) for e in edges()} if aside.columns(s, source, "row.missing_key")
    } >= {*AGENCY_SYSTEMS}


def test_every_reason_of_the_contracts_says_in_both_languages_what_it_means_and_what_to_do() -> None:
    """The codes that connectors and the store give, read from their code: a new one without words fails."""
    root = Path(__file__).parents[3]
    roots = "row|sdgi|gpi|login|spilasuite|portal|agencies|delivery|agency|source"
    code = re.compile(rf'"((?:{roots})\.(?!web")[a-z0-9_]+)"')
    rooms = ("connectors", "store", "schemas", "pipelines")
    texts = [path.read_text() for room in rooms for path in (root / room).rglob("*.py")]
    given = {found for text in texts for found in code.findall(text)}
    assert len(given) > 50
    for found in sorted(given):
        said = reasons().get(found, {})
        assert sorted(said) == ["en", "en_do", "fr", "fr_do"], found
        assert all(said.values()), found
