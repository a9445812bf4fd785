"""Every story of the web door, walked by a signatory in French and English on a desk and on a telephone.

One door and one signing key for all of them. Each walk leaves a picture in `.walks/` (or where SCREENSHOTS says), for
people to look at. How well each page is made is for the other files here; these find that the stories can be told.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from portal.web.words import Language, catalogue
from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import Shelf
from store.tables import ROWS
from tests.browser.fitting import misfits
from tests.browser.test_acting import arrived, verdict
from tests.browser.test_door import DESK, ROOT, TELEPHONE, Served, chromium, opened, served
from tests.functional.conftest import Installation
from tests.functional.web.certificates import certify

__all__ = ["chromium", "served"]  # fixtures

SUPPORT = """\
reference = "ANNEXE-2026-02"
kind = "synchronise"
systems = ["spilasuite", "sdgi", "gpi", "login"]
tables = ["*"]
purposes = ["support"]
valid_from = "2025-01-01"
given_by = "gerance"
"""
INFRINGES = """\
kind = "infringement"
reference = "ALERTE-{number}"
channel = "email"
law = "RGPD, art. 9"
instruction = "{instruction}"
"""
SIZES = {"desk": DESK, "telephone": TELEPHONE}


@dataclass
class Walk:
    """Somebody at a page, in a language and a size."""

    page: Page
    served: Served
    language: Language = "fr"
    size: str = "desk"

    @property
    def name(self) -> str:
        return f"{self.language}-{self.size}"

    def say(self, text: str) -> str:
        return catalogue(self.language).gettext(text)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.served.origin}/a/A0001{path}")

    def button(self, text: str) -> None:
        self.page.locator("main").get_by_role("button", name=self.say(text)).first.click()

    def link(self, text: str) -> None:
        self.page.locator("main").get_by_role("link", name=self.say(text)).first.click()

    def reads(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(self.say(text))

    def signed(self) -> str:
        """Look at what would change, sign it, find it in the log, verified by the browser. Its number."""
        # The same words on the same day would be the same instruction, which is in the log already.
        self.page.locator("[name=reference]").fill(f"LETTRE-{self.name}")
        self.button("See what it would change")
        self.reads("What you sign")
        return self.put_name_to_it()

    def put_name_to_it(self) -> str:
        self.button("Sign with my passkey")
        self.page.wait_for_url("**/log/*given=1")
        assert verdict(self.page) in ("first", "holds")
        expect(self.page.locator("[data-verdict-of-entry]")).to_have_attribute("data-verdict", "signed")
        return self.page.url.rpartition("/")[2].split("?")[0]

    def picture(self, name: str) -> None:
        folder = Path(os.environ.get("SCREENSHOTS", ROOT / ".walks"))
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}-{self.name}.png", full_page=True)


@pytest.fixture(scope="module")
def signatory(served: Served, chromium: Browser) -> Iterator[Walk]:
    """Somebody whose signing passkey is the first of an agency that instructed support and has a certificate."""
    certify(Installation.on(served.home.parent), "A0001")
    path = served.home.parent / "support.toml"
    path.write_text(SUPPORT)
    served.run("instruct", "--agency", "A0001", "--file", str(path))
    with opened(chromium) as context:
        page = arrived(served, context, "histoires@agence.example", "signatory", "Créer une clé d'accès")
        walk = Walk(page, served)
        walk.go("/keys")
        walk.button("Continue")
        walk.button("Make it on this device")
        page.wait_for_url("**/keys?made=CRD-*")
        yield walk


# Each language and each size in every run; the other two ways in the long ones.
_WAYS = [
    pytest.param((language, size), id=f"{language}-{size}", marks=() if often else pytest.mark.soak)
    for language, size, often in (
        ("fr", "desk", True), ("en", "telephone", True), ("fr", "telephone", False), ("en", "desk", False),
    )
]  # fmt: skip


@pytest.fixture(params=_WAYS)
def walk(signatory: Walk, request: pytest.FixtureRequest) -> Walk:
    """The same person, who now reads in another language, on another screen."""
    language, size = request.param
    signatory.page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    signatory.page.goto(f"{signatory.served.origin}/sessions")
    if signatory.page.evaluate("document.documentElement.lang") != language:
        signatory.page.locator("form[action='/language'] button").click()
        expect(signatory.page.locator("html")).to_have_attribute("lang", language)
    signatory.language, signatory.size = language, size
    return signatory


# -- the stories -------------------------------------------------------------------------------------------------------


def reviews_the_log(walk: Walk) -> None:
    walk.go("")
    walk.page.get_by_role("navigation").get_by_role("link", name=walk.say("Instruction log")).click()
    assert verdict(walk.page) in ("first", "holds")
    walk.page.locator("select[name=sort]").select_option("deliveries")
    expect(walk.page.locator(".timeline li.synchronise")).to_have_count(0)
    walk.page.locator(".timeline a").first.click()
    assert verdict(walk.page) == "holds"
    walk.reads("Word for word, as it is recorded")


def gives_an_instruction(walk: Walk) -> None:
    walk.go("/instruct/synchronise")
    walk.page.locator("[name='systems.gpi']").check()
    walk.page.locator("[name='purposes.extranet']").check()
    walk.signed()
    walk.reads("Signed and recorded.")


def restricts_and_withdraws(walk: Walk) -> None:
    walk.go("/instruct/restrict?scope=table")
    walk.page.locator("[name='tables.staff']").check()
    number = walk.signed()
    walk.go(f"/log/{number}")
    walk.button("Withdraw this instruction …")
    walk.put_name_to_it()
    walk.go(f"/log/{number}")
    expect(walk.page.locator(".badge.withdrawn")).to_be_visible()


def objects_to_a_sub_processor(walk: Walk) -> None:
    walk.go("/instruct/object")
    walk.page.locator("[name=name]").fill("Nuages Exemple")
    walk.page.locator("[name=country]").fill("US")
    walk.page.locator("[name=service]").fill("hébergement")
    walk.signed()
    walk.reads("Objection to a sub-processor")


def asks_for_the_data_back(walk: Walk) -> None:
    walk.go("/instruct/return")
    walk.signed()
    walk.reads("What happens now")


def asks_for_an_erasure(walk: Walk) -> None:
    walk.go("/instruct/erase")
    walk.page.locator("[name=keys]").fill(f"NOBODY-{walk.name}")
    walk.signed()
    walk.reads("What happens now")


def answers_a_notice(walk: Walk) -> None:
    walk.go("/instruct/authorise")
    walk.page.locator("[name=name]").fill("Courrier Exemple")
    walk.page.locator("[name=country]").fill("FR")
    walk.page.locator("[name=service]").fill("envoi")
    walk.signed()
    found = re.search(r"INS-[0-9a-f]{10}", walk.page.locator("main").inner_text())
    assert found is not None
    path = walk.served.home.parent / "notice.toml"
    path.write_text(INFRINGES.format(number=walk.name, instruction=found[0]))
    walk.served.run("instruct", "--agency", "A0001", "--file", str(path))
    walk.go("")
    walk.link("Answer it")
    walk.page.locator("[name=outcome][value=withdrawn]").check()
    walk.signed()


def answers_a_request(walk: Walk) -> None:
    walk.go("/requests")
    walk.page.locator("#reference").fill(f"RGPD-{walk.name}")
    walk.page.locator("#system").select_option("gpi")
    walk.page.locator("#person").fill(key_of_a_person(walk.served))
    walk.button("Register")
    expect(walk.page.locator("h1")).to_contain_text(f"RGPD-{walk.name}")
    with walk.page.expect_download() as taken:
        walk.button("Take as a spreadsheet (CSV)")
    assert taken.value.suggested_filename.startswith("REQ-")
    walk.page.locator("details", has_text=walk.say("Close the request")).locator("summary").click()
    walk.page.locator("details[open]").get_by_role("button").click()
    walk.reads("Closed on")


def opens_a_line_put_aside(walk: Walk) -> None:
    walk.go("/quarantine")
    walk.page.locator(".asides button").first.click()
    expect(walk.page.locator("pre.line")).not_to_be_empty()


def looks_at_documents(walk: Walk) -> None:
    walk.go("/documents")
    walk.page.locator("td button").first.click()
    walk.reads("Shown once, and noted in the log of what was consulted.")


def chooses_messages(walk: Walk) -> None:
    walk.page.goto(f"{walk.served.origin}/preferences")
    walk.page.locator("[name=pace]").nth(2).check()
    walk.button("Save")
    walk.reads("Saved.")


def follows_a_column(walk: Walk) -> None:
    walk.go("/audit/fields")
    walk.page.locator("[name=text]").fill("birth_date")
    walk.page.get_by_role("link", name="person.birth_date").click()
    expect(walk.page.locator("svg.lineage")).to_be_visible()


def follows_a_value(walk: Walk) -> None:
    walk.go("/audit/record")
    walk.page.locator("select[name=table]").select_option("person")
    walk.page.locator("select[name=system]").select_option("gpi")
    walk.page.locator("input[name=key]").fill(key_of_a_person(walk.served))
    walk.page.locator("main form button").first.click()
    walk.button("Open the values")
    assert walk.page.locator("td.value").count() > 0
    assert "key=" not in walk.page.url


def reads_a_certificate(walk: Walk) -> None:
    walk.go("/audit/certificates")
    walk.page.locator("main .rows a, main li a").first.click()
    walk.reads("This certificate holds.")


def takes_a_pack_away(walk: Walk) -> None:
    walk.go("/log")
    walk.link("Take the evidence away")
    make = walk.page.locator("form[action$='/audit/evidence'] button")
    make.click()
    with walk.page.expect_download() as taken:
        walk.link("Take it away")
    assert re.fullmatch(r"A0001-.*\.zip", taken.value.suggested_filename)


def sees_who_looked(walk: Walk) -> None:
    walk.go("/audit/access")
    expect(walk.page.locator("tbody tr").first).to_contain_text(walk.say("you"))


STORIES: tuple[Callable[[Walk], None], ...] = (
    reviews_the_log, gives_an_instruction, restricts_and_withdraws, objects_to_a_sub_processor, asks_for_the_data_back,
    asks_for_an_erasure, answers_a_notice, answers_a_request, opens_a_line_put_aside, looks_at_documents,
    chooses_messages, follows_a_column, follows_a_value, reads_a_certificate, takes_a_pack_away, sees_who_looked,
)  # fmt: skip


def key_of_a_person(served: Served) -> str:
    t = ROWS["person"]
    with Shelf.known(Home.at(served.home), AgencyCode("A0001")) as shelf:
        return str(shelf.db.scalars(t.select().with_only_columns(t.c.source_key).where(t.c.system == "gpi")).first())


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_signatory(walk: Walk, story: Callable[[Walk], None]) -> None:
    story(walk)
    walk.picture(story.__name__)
    assert misfits(walk.page, story.__name__) == []
