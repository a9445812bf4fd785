"""Origin and evidence in the system's own browser: an auditor walks through it, in both languages, on a desk and on a
telephone; axe-core looks at every page."""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import Shelf
from store.tables import ROWS
from tests.browser.test_door import DESK, PASSWORD, TELEPHONE, Served, chromium, contrasts, served
from tests.functional.conftest import Installation
from tests.functional.web.certificates import certify

__all__ = ["chromium", "served"]  # fixtures

HERE = "/a/A0001/audit"
PAGES = {
    "hub": HERE,
    "fields": f"{HERE}/fields",
    "nothing-found": f"{HERE}/fields?text=zzz",
    "field": f"{HERE}/fields/person.birth_date",
    "outside": f"{HERE}/fields/bank_detail.iban",
    "record": f"{HERE}/record",
    "register": f"{HERE}/register",
    "certificates": f"{HERE}/certificates",
    "certificate": f"{HERE}/certificates/1",
    "evidence": f"{HERE}/evidence",
    "access": f"{HERE}/access",
}
SIZES = {"desk": DESK, "telephone": TELEPHONE}


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    """Of a person of A0001 that GPI sent; and the agency has a certificate."""
    certify(Installation.on(served.home.parent), "A0001")
    t = ROWS["person"]
    with Shelf.known(Home.at(served.home), AgencyCode("A0001")) as shelf:
        return str(shelf.db.scalars(t.select().with_only_columns(t.c.source_key).where(t.c.system == "gpi")).first())


def come_in(served: Served, chromium: Browser, language: str, script: bool = True) -> BrowserContext:
    """An auditor of A0001 for identity and keys, with a password and a code."""
    said = served.run(
        "door", "invite", "--role", "auditor", "--agency", "A0001", "--until", "2099-03-31",
        "--email", f"cac.{language}{script}@audit.example", "--categories", "identity,technical",
    )  # fmt: skip
    context = chromium.new_context(locale=language, viewport=DESK, java_script_enabled=script)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(json.loads(said)["link"])
    page.locator("#password").fill(PASSWORD)
    page.locator("#again").fill(PASSWORD)
    page.locator("#code").fill(pyotp.TOTP(page.locator("#key").inner_text()).now())
    page.locator("#password").locator("xpath=ancestor::form").get_by_role("button").click()
    page.wait_for_url("**/a/A0001")
    page.close()
    return context


@pytest.fixture(scope="module")
def auditors(served: Served, chromium: Browser, key: str) -> Iterator[dict[str, BrowserContext]]:
    with ExitStack() as stack:
        yield {
            language: stack.enter_context(come_in(served, chromium, language)) for language in ("fr-FR", "en-GB")
        }  # fmt: skip


# The rules of access are asked of one language a size, in both schemes of colour: pages differ in nothing else.
ASKED = ("fr-desk", "en-telephone")


def looked_at(page: Page, name: str, size: dict[str, int]) -> None:
    """It fits, can be read, and axe-core finds nothing; kept as a picture where somebody asks for it."""
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    assert contrasts(page) == [], name
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/audit-{name}.png", full_page=True)
    if not name.endswith(ASKED) and "AXE_ALL" not in os.environ:
        return
    found = Axe().run(page)
    assert found.violations_count == 0, (name, found.generate_report())


@pytest.mark.parametrize("language", ["fr-FR", pytest.param("en-GB", marks=pytest.mark.soak)])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits_is_legible_and_breaks_no_rule_of_access(
    served: Served, auditors: dict[str, BrowserContext], language: str, size: str
) -> None:
    page = auditors[language].new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark" if (size, language) == ("telephone", "en-GB") else "light")
    for name, path in PAGES.items():
        answer = page.goto(served.origin + path)
        assert answer is not None
        assert answer.status == 200, name
        assert page.locator(".limits").count() == 1
        looked_at(page, f"{name}-{language[:2]}-{size}", SIZES[size])
    assert said == []
    page.close()


@pytest.mark.parametrize("language", ["fr-FR", pytest.param("en-GB", marks=pytest.mark.soak)])
@pytest.mark.parametrize("size", SIZES)
def test_a_record_is_followed_by_the_form_and_its_key_stays_out_of_the_address(
    served: Served, auditors: dict[str, BrowserContext], key: str, language: str, size: str
) -> None:
    page = auditors[language].new_page()
    page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    page.goto(f"{served.origin}{HERE}/record")
    page.locator("select[name=table]").select_option("person")
    page.locator("select[name=system]").select_option("gpi")
    page.locator("input[name=key]").fill(key)
    page.locator("main form button").first.click()
    expect(page.locator(".verdict")).to_be_visible()
    assert page.url == f"{served.origin}{HERE}/record"
    assert page.locator(".badge.outside").count() > 0
    looked_at(page, f"found-{language[:2]}-{size}", SIZES[size])
    page.locator("input[name=key]").fill("NO-SUCH")
    page.locator("main form button").first.click()
    expect(page.locator("[role=alert]")).to_be_visible()
    looked_at(page, f"not-found-{language[:2]}-{size}", SIZES[size])
    page.close()


def test_a_drawing_scrolls_on_a_telephone_and_not_the_page(served: Served, auditors: dict[str, BrowserContext]) -> None:
    page = auditors["fr-FR"].new_page()
    page.set_viewport_size(TELEPHONE)  # type: ignore[arg-type]
    page.goto(f"{served.origin}{PAGES['field']}")
    wide = page.evaluate(
        "(() => { const d = document.querySelector('.drawing'); return [d.scrollWidth, d.clientWidth]; })()"
    )
    assert wide[0] > 2 * wide[1]
    assert page.locator("svg.lineage").get_attribute("role") == "img"
    colours = page.evaluate("""() => [...document.querySelectorAll('svg.lineage .field rect, svg.lineage .origin rect')]
      .map((r) => getComputedStyle(r).fill + getComputedStyle(r).stroke)""")
    assert len(set(colours)) == 2  # the column's own, by scope and category; and that of all its sources
    page.close()


def test_a_pack_is_asked_for_waited_for_and_taken_away(
    served: Served, auditors: dict[str, BrowserContext], tmp_path: Path
) -> None:
    page = auditors["fr-FR"].new_page()
    page.goto(f"{served.origin}{HERE}/evidence")
    page.get_by_role("button", name="Établir mon dossier").click()
    expect(page.get_by_role("heading", name="Votre dossier est prêt")).to_be_visible(timeout=30_000)
    with page.expect_download() as taken:
        page.get_by_role("link", name="L'emporter").click()
    kept = tmp_path / taken.value.suggested_filename
    taken.value.save_as(kept)
    assert kept.name.startswith("A0001-")
    assert "verify.py" in zipfile.ZipFile(kept).namelist()
    looked_at(page, "ready-fr-desk", DESK)
    page.close()


def test_without_javascript_a_pack_is_had_all_the_same(served: Served, chromium: Browser, key: str) -> None:
    with come_in(served, chromium, "fr-FR", script=False) as context:
        page = context.new_page()
        page.goto(f"{served.origin}{HERE}/evidence")
        page.get_by_role("button", name="Établir mon dossier").click()
        for _ in range(100):
            if page.get_by_role("heading", name="Votre dossier est prêt").count():
                break
            page.wait_for_timeout(200)
            page.get_by_role("link", name="Voir où il en est").click()
        assert page.get_by_role("link", name="L'emporter").count() == 1
