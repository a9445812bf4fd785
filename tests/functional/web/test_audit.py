"""Origin and evidence: what an auditor is shown, as far as their mandate goes, and what the agency sees of it."""

import datetime as dt
import json
import re
import zipfile
from html import unescape
from io import BytesIO

import pytest
from sqlalchemy import select

from ledger.entry import Instruction
from pipelines import field_lineage
from pipelines.reception.questions.lineage import PAGE
from pipelines.reception.questions.register import OUTSIDE
from portal.web.registry import PAGES
from schemas.access import Needs, Role
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose
from schemas.records import CATEGORIES
from store.agency import Shelf
from store.tables import ROWS
from tests.functional.web.certificates import certify
from tests.functional.web.conftest import HERE, MINE, Browser, Door
from tests.functional.web.test_matrix import path_of
from tests.functional.web.test_pages import words


@pytest.fixture(scope="module")
def row(standing: Door) -> dict[str, str]:
    """A person of A0001 as GPI sent it: what the form asks for, and a value that the page may show or not."""
    t = ROWS["person"]
    with Shelf.known(standing.site.home, AgencyCode("A0001")) as shelf:
        keys = set(shelf.db.scalars(select(t.c.source_key).where(t.c.system == "gpi", t.c.ended_on.is_(None))))
    person = next(
        p for p in standing.site.tables("A0001")["person"]
        if p["source_system"] == "gpi" and p["source_key"] in keys and p["last_name"]
    )  # fmt: skip
    return {"table": "person", "system": "gpi", "key": person["source_key"], "name": person["last_name"]}


@pytest.fixture(scope="module")
def support(standing: Door) -> None:
    """From here on the mandate of A0001 names support."""
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    entry = Instruction(
        AgencyCode("A0001"), tuple(AGENCY_SYSTEMS), ("*",), (Purpose.SUPPORT,), at, None, "ANNEXE-3", "gerance", at
    )
    standing.site.log("A0001").append(entry, at)


def asked(row: dict[str, str], **more: str) -> dict[str, str]:
    return {"table": row["table"], "system": row["system"], "key": row["key"]} | more


# -- columns -----------------------------------------------------------------------------------------------------------


def test_every_column_is_on_one_page_of_the_list(door: Door, auditor: Browser) -> None:
    seen: list[str] = []
    path = f"{HERE}/fields"
    while path:
        page = auditor.get(path).text
        rows = re.findall(r'audit/fields/([a-z_]+\.[a-z_0-9]+)"', page)
        assert len(rows) <= PAGE
        seen += rows
        found = re.search(r'<a href="([^"]+)" rel="next">', page)
        path = unescape(found[1]) if found else ""
    assert seen == list(field_lineage.fields())


def test_the_search_and_the_filters_show_what_fits(door: Door, auditor: Browser) -> None:
    def found(query: str) -> list[str]:
        return re.findall(r'audit/fields/([a-z_]+\.[a-z_0-9]+)"', auditor.get(f"{HERE}/fields?{query}").text)

    assert found("text=IBAN") == [n for n in field_lineage.fields() if "iban" in n]
    assert {CATEGORIES[tuple(n.split("."))] for n in found("category=financial")} == {"financial"}  # type: ignore[index]
    assert {field_lineage.of(n).scope for n in found("scope=controller")} == {"controller"}
    assert all(any(o.system == "login" for o in field_lineage.of(n).origins) for n in found("system=login"))
    assert "Aucune colonne ne convient" in words(auditor.get(f"{HERE}/fields?text=zzz").text)


def test_a_column_is_drawn_and_told_in_the_same_words(door: Door, auditor: Browser) -> None:
    page = auditor.get(f"{HERE}/fields/person.birth_date").text
    known = field_lineage.of("person.birth_date")
    assert 'class="box field scope-processor category-identity"' in page
    assert page.count('class="box origin') == len(known.origins)
    said = words(page)
    for line in field_lineage.rows(known, "fr"):
        assert all(re.sub(r"\s+", " ", cell) in said for cell in line)


def test_a_column_outside_the_mandate_shows_its_name_and_nothing_more(door: Door, limited: Browser) -> None:
    for path in (f"{HERE}/fields/bank_detail.iban", f"{HERE}/fields?text=iban"):
        page = limited.get(path).text
        assert "hors de votre mandat" in words(page)
        assert "<svg" not in page
        for origin in field_lineage.of("bank_detail.iban").origins:
            assert origin.column not in words(page).split()
    assert "<svg" in limited.get(f"{HERE}/fields/person.last_name").text
    assert "bank_detail.iban" not in limited.get(f"{HERE}/fields?system=gpi&text=iban").text


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_record_is_followed_to_its_line_and_shows_no_value(door: Door, auditor: Browser, row: dict[str, str]) -> None:
    page = auditor.send(f"{HERE}/record", f"{HERE}/record", **asked(row))
    said = words(page.text)
    assert page.status_code == 200
    assert re.search(r"Livraison GPIA0001\.\d{6}", said)
    assert re.search(r"Position \(octets\) \d+", said)
    assert re.search(r"En vertu de INS-[0-9a-f]{10}", said)
    assert "a écrit ce qui est conservé" in said
    assert row["name"] not in said


def test_what_was_known_on_a_day_is_told_or_that_it_is_not_kept(
    door: Door, auditor: Browser, row: dict[str, str]
) -> None:
    def on(day: str) -> str:
        return words(auditor.send(f"{HERE}/record", f"{HERE}/record", **asked(row, day=day)).text)

    assert "telle qu'elle est conservée aujourd'hui" in on("2026-01-06")
    early = on("2025-12-24")
    assert "Rien n'était encore venu de ce système" in early
    assert "Position (octets)" not in early
    assert "Ce n'est pas un jour" in on("2026-13-40")


def test_a_later_delivery_leaves_only_that_it_is_not_kept(door: Door, auditor: Browser) -> None:
    """A row that the second night wrote: of the first day's state nothing is told, not even a place."""
    t, home = ROWS, door.site.home
    from store.tables import DELIVERY

    with Shelf.known(home, AgencyCode("A0001")) as shelf:
        late = shelf.db.execute(
            select(t["person"].c.source_key, t["person"].c.system)
            .join(DELIVERY, DELIVERY.c.id == t["person"].c.delivery)
            .where(DELIVERY.c.day == "2026-01-06")
        ).first()
    assert late is not None
    form = {"table": "person", "system": late.system, "key": late.source_key, "day": "2026-01-05"}
    said = words(auditor.send(f"{HERE}/record", f"{HERE}/record", **form).text)
    assert "les valeurs antérieures ne sont pas conservées ici" in said
    assert "Empreinte du fichier" not in said


@pytest.mark.parametrize(
    "form", [{"key": "no-such-key"}, {"table": "portal_account"}, {"system": "x"}, {"day": "x"}, {"table": "role"}]
)
def test_what_there_is_not_is_told_in_words(
    door: Door, auditor: Browser, row: dict[str, str], form: dict[str, str]
) -> None:
    page = auditor.send(f"{HERE}/record", f"{HERE}/record", **(asked(row) | form))
    assert page.status_code == 400
    assert 'role="alert"' in page.text


def test_values_stay_sealed_where_the_mandate_does_not_name_support(door: Door) -> None:
    browser = door.person(Role.AUDITOR, "A0002", "autre@audit.example").browser
    person = next(p for p in door.site.tables("A0002")["person"] if p["last_name"])
    form = {"table": "person", "system": person["source_system"], "key": person["source_key"]}
    page = browser.send("/a/A0002/audit/record/values", "/a/A0002/audit/record", **form)
    assert "Aucune instruction en vigueur ne le permet" in words(page.text)
    assert person["last_name"] not in words(page.text)


def test_values_open_for_the_categories_of_the_mandate_and_no_others(
    door: Door, auditor: Browser, row: dict[str, str], support: None
) -> None:
    assert "Ouvrir les valeurs" in words(auditor.send(f"{HERE}/record", f"{HERE}/record", **asked(row)).text)
    assert row["name"] in words(auditor.send(f"{HERE}/record/values", f"{HERE}/record", **asked(row)).text)
    person = next(
        p
        for p in door.site.tables("A0001")["person"]
        if (p["source_system"], p["source_key"]) == ("gpi", row["key"])
    )  # fmt: skip
    for category in {CATEGORIES["person", c] for c in person}:
        one = door.person(
            Role.AUDITOR, "A0001", f"{category}@audit.example", categories=frozenset({category})
        ).browser  # fmt: skip
        page = one.send(f"{HERE}/record/values", f"{HERE}/record", **asked(row)).text
        shown = {name for name, value in cells(page) if value != "hors de votre mandat"}
        assert shown == {c for c in person if CATEGORIES["person", c] == category}
        assert (row["name"] in words(page)) == (category == "identity")


def cells(page: str) -> list[tuple[str, str]]:
    """Column and value of each row of the table of columns."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page, flags=re.DOTALL)
    values = [
        (words(h).strip(), re.findall(r"<td[^>]*>(.*?)</td>", rest, flags=re.DOTALL)) for h, rest in found
    ]  # fmt: skip
    return [(name, words(tds[1]).strip()) for name, tds in values if name in {c for _, c in CATEGORIES}]


def test_an_operator_is_shown_no_value(door: Door, row: dict[str, str], support: None) -> None:
    operator = door.person(Role.OPERATOR, None, "op@house.example").browser
    page = operator.send(f"{HERE}/record", f"{HERE}/record", **asked(row))
    assert "Les valeurs ne sont montrées qu'à l'agence et à ses auditeurs" in words(page.text)
    assert operator.send(f"{HERE}/record/values", f"{HERE}/record", **asked(row)).status_code == 404


# -- the auditor's limits, and what the agency sees --------------------------------------------------------------------


def test_every_page_of_an_auditor_says_how_far_it_goes(door: Door, limited: Browser, reader: Browser) -> None:
    looked_at = 0
    certify(door.site, "A0003")
    third = door.person(Role.AUDITOR, "A0003", "fin@audit.example", categories=MINE).browser
    for page in PAGES:
        if page.needs is not Needs.AGENCY or page.method != "GET" or page.script:
            continue
        answer = third.get(path_of(page, "A0003"))
        if answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"):
            said = words(answer.text)
            assert "Accès jusqu'au 5 février 2026 12:00 ; catégories : identité, technique." in said, page.name
            looked_at += 1
    assert looked_at >= 10
    assert "catégories :" not in words(reader.get(HERE).text)


def test_the_agency_sees_who_looked_by_pseudonym_role_and_object(
    door: Door, auditor: Browser, reader: Browser, row: dict[str, str], support: None
) -> None:
    auditor.send(f"{HERE}/record/values", f"{HERE}/record", **asked(row))
    page = reader.get(f"{HERE}/access?role=auditor").text
    first = re.search(r'<tr><th scope="row">.*?</tr>', page, flags=re.DOTALL)
    assert first is not None
    said = words(first[0])
    assert re.search(r"USR-[0-9a-f]{16} auditeur valeurs d'une fiche person [0-9a-f]{16}", said), said
    assert "identity" in said
    assert "lecteur" not in re.sub(r"<form.*?</form>", "", page.split("<tbody>")[1], flags=re.DOTALL)


def test_the_access_log_is_paged_and_holds_no_key_and_no_value(
    door: Door, reader: Browser, row: dict[str, str]
) -> None:
    for _ in range(51):
        reader.get(f"{HERE}/certificates")
    path, seen = f"{HERE}/access", 0
    while path:
        page = reader.get(path).text
        lines = page.count('<tr><th scope="row">')
        assert lines <= 50
        seen += lines
        found = re.search(r'<a href="([^"]+)" rel="next">', page)
        path = unescape(found[1]) if found else ""
    assert seen > 50
    raw = json.dumps(door.service.counter.journal.of(AgencyCode("A0001")))
    assert row["key"] not in raw
    assert row["name"] not in raw
    assert "@" not in raw


def test_no_page_takes_a_key_in_its_address() -> None:
    posts = {p.path for p in PAGES if p.method == "POST"}
    assert {"/a/{agency}/audit/record", "/a/{agency}/audit/record/values"} <= posts
    assert not any("{key}" in p.path for p in PAGES)


# -- the register and the certificates ---------------------------------------------------------------------------------


def test_the_register_is_read_and_taken_away_as_it_is_written(door: Door, auditor: Browser, limited: Browser) -> None:
    assert "Réception, contrôle, normalisation" in words(auditor.get(f"{HERE}/register").text)
    whole = auditor.get(f"{HERE}/register/json").json()
    assert whole["about"] == ["A0001"]
    assert {"identity", "financial"} <= set(whole["article_30_2"]["records"][0]["data"])
    assert auditor.get(f"{HERE}/register/csv").content.startswith(b"\xef\xbb\xbf")
    assert zipfile.ZipFile(BytesIO(auditor.get(f"{HERE}/register/ods").content)).testzip() is None
    assert auditor.get(f"{HERE}/register/exe").status_code == 404
    for record in limited.get(f"{HERE}/register/json").json()["article_30_2"]["records"]:
        for category, names in record["data"].items():
            assert (names == [OUTSIDE]) == (category not in MINE)
    label = field_lineage.of("bank_detail.iban").label_fr
    for form in ("json", "csv"):
        assert label in auditor.get(f"{HERE}/register/{form}").content.decode()
        assert label not in limited.get(f"{HERE}/register/{form}").content.decode()
    assert "hors de votre mandat" in words(limited.get(f"{HERE}/register").text)


def test_a_certificate_is_told_in_words_and_a_changed_one_does_not_hold(door: Door) -> None:
    name = certify(door.site, "A0002")
    browser = door.person(Role.AUDITOR, "A0002", "preuve@audit.example").browser
    here = "/a/A0002/audit/certificates"
    assert "tient" in words(browser.get(here).text)
    said = words(browser.get(f"{here}/1").text)
    assert "Ce certificat tient." in said
    assert "Les clés de l'agence ont été détruites" in said
    assert "5 des 5 témoins placés ont été trouvés" in said
    path = door.site.home.certificates / name
    whole = path.read_bytes()
    assert browser.get(f"{here}/1/file").content == whole
    path.write_bytes(whole.replace(b'"person": 31', b'"person": 30'))
    try:
        assert "Ce certificat ne tient pas." in words(browser.get(f"{here}/1").text)
    finally:
        path.write_bytes(whole)
    assert browser.get(f"{here}/9").status_code == 404
