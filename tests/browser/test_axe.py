"""No barrier that axe-core finds and nothing that does not fit, on any page, in both languages, on a desk and on a
telephone, by day and by night.

The pages are those of the list (`portal.web.registry`): a new one is looked at without being named here, and one that
cannot be reached with the addresses below fails. axe-core finds what a machine can (WCAG 2.2 A and AA, and its own best
practices); what it cannot is looked at by people.
"""

import datetime as dt
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import select

from pipelines.reception import requests, sessions, tables
from pipelines.reception.oidc import settings
from pipelines.reception.requests import Kind, New
from pipelines.reception.tables import ACCOUNT
from pipelines.reception.vault import Vault
from portal.web.description import FILES
from portal.web.registry import PAGES, Page as Listed
from schemas.access import TABLE, Needs, Role
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import open_root
from tests.browser.fitting import misfits
from tests.browser.test_door import DESK, TELEPHONE, Served, chromium, opened, served  # noqa: F401 - fixtures
from tests.functional.conftest import Installation
from tests.functional.web.certificates import certify
from tests.functional.web.test_matrix import PARTS, path_of

LANGUAGES = ("fr-FR", "en-GB")
SHOWN = [
    p for p in PAGES
    if p.method == "GET" and not p.script and not p.path.startswith("/static/") and p.path not in FILES
]  # fmt: skip
# Pages that answer with a file or send elsewhere have nothing to look at; each says why.
NOT_LOOKED_AT = {
    "GET /sign-in/agency/{entrance}/go": "leads to the agency's sign-in",
    "GET /sign-in/agency/{entrance}/return": "leads to the first page, or shows what /sign-in/agency/{entrance} shows",
    "GET /invitation/{token}/agency": "leads to the agency's sign-in",
}
# Each size and each scheme in either language, each size with each scheme in one of them: a look takes a second.
LOOKS = {
    "fr": ((DESK, "light"), (TELEPHONE, "dark")),
    "en": ((DESK, "dark"), (TELEPHONE, "light")),
}
AXE = Axe()


def role_of(page: Listed) -> Role | None:
    """Somebody who is shown a page; None: whoever is not signed in."""
    if page.needs is Needs.NOTHING:
        return None
    able = frozenset.intersection(*(TABLE[q].roles for q in page.asks if TABLE[q].needs is not Needs.NOTHING))
    # An operator is of every agency: they are shown the choice of one, where others are sent on to theirs.
    order = [Role.OPERATOR] if page.needs is Needs.SESSION else list(Role)[::-1]
    return next(role for role in order if role in able)


@pytest.fixture(scope="module")
def people(served: Served, chromium: Browser) -> Iterator[dict[tuple[Role | None, str], BrowserContext]]:  # noqa: F811
    """Somebody of each role in each language, signed in."""
    home = Home.at(served.home)
    engine, vault, now = tables.accounts(home), Vault.of(home, open_root(home)), dt.datetime.now(dt.UTC)
    found: dict[tuple[Role | None, str], BrowserContext] = {}
    for role, language in itertools.product((None, *Role), LANGUAGES):
        context = found[role, language] = opened(chromium, language)
        if role is None:
            continue
        email = f"axe.{role}@agence.example"
        if language == LANGUAGES[0]:
            until = ["--until", f"{now + dt.timedelta(days=30):%Y-%m-%d}"] if role is Role.AUDITOR else []
            agency = [] if role is Role.OPERATOR else ["--agency", "A0001"]
            served.run("door", "invite", "--role", role, "--email", email, *agency, *until)
        with engine.begin() as db:
            mark = vault.mark("email", email)
            account = db.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.email_mark == mark)).scalar_one()
            token = sessions.begin(db, account, "passkey", now)
        cookie: Any = {"name": "__Host-session", "value": token, "domain": "localhost", "path": "/", "secure": True,
                       "httpOnly": True, "sameSite": "Lax"}  # fmt: skip
        context.add_cookies([cookie])
    yield found
    for context in found.values():
        context.close()
    engine.dispose()


@pytest.fixture(scope="module")
def there(
    served: Served,  # noqa: F811
    people: dict[tuple[Role | None, str], BrowserContext],
) -> Iterator[dict[str, str]]:
    """Parts of paths that lead to something: the agency has a certificate, a request of a person, and a sign-in of its
    own, where nobody goes."""
    certify(Installation.on(served.home.parent), "A0001")
    home, agency, now = Home.at(served.home), AgencyCode("A0001"), dt.datetime.now(dt.UTC)
    asked = New(Kind.ACCESS, System.GPI, f"REF-{'0' * 32}", "RGPD-2026-014", dt.date(2026, 1, 5))
    engine, vault = tables.accounts(home), Vault.of(home, open_root(home))
    settings.keep(engine, vault, settings.Settings(agency, "https://connexion.agence.example", "portail", "x"), now)
    yield {
        "request_id": requests.of(home, vault, agency).add(asked, "USR-0", now),
        "entrance": settings.entrance(vault, agency),
    }
    settings.remove(engine, vault, agency, now)
    engine.dispose()


def barriers(page: Page, name: str) -> list[str]:
    """What axe-core finds on a page as it stands, and what does not fit."""
    found = []
    for size, scheme in LOOKS[name.rpartition(" ")[2]]:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += misfits(page, name)
        told = AXE.run(page)
        for each in told.response["violations"]:
            those = [node["target"] for node in each["nodes"]][:3]
            found.append(f"{name} {size['width']} {scheme}: {each['id']} {those}")
        assert told.response["url"].startswith("http://localhost")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name.strip('/').replace('/', '-')}-{size['width']}-{scheme}.png")
    return found


@pytest.mark.parametrize("language", [LANGUAGES[0], *(pytest.param(n, marks=pytest.mark.soak) for n in LANGUAGES[1:])])
@pytest.mark.parametrize("listed", SHOWN, ids=lambda listed: listed.path)
def test_no_barrier_on_a_page(
    served: Served,  # noqa: F811
    people: dict[tuple[Role | None, str], BrowserContext],
    there: dict[str, str],
    listed: Listed,
    language: str,
) -> None:
    if listed.name in NOT_LOOKED_AT:
        assert NOT_LOOKED_AT[listed.name]
        return
    path = path_of(listed, "A0001")
    for part, value in there.items():
        path = path.replace(PARTS[part], value)
    if listed.path == "/invitation/{token}":
        path = served.invite("axe.invited@agence.example").removeprefix(served.origin)
    page = people[role_of(listed), language].new_page()
    answer = page.goto(served.origin + path)
    assert answer is not None
    # A page that is not reached is not looked at: give its parts in PARTS or ASKED of the tenants' matrix.
    assert (answer.status, page.url.split("?")[0]) == (200, served.origin + path.split("?")[0])
    assert page.evaluate("document.documentElement.lang") == language[:2]
    assert barriers(page, f"{listed.path} {language[:2]}") == []
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", ["/nothing", "/a/A0002", "/a/A0001/log?since=2099-01-01", "/sign-in#wrong", "/error"])
def test_no_barrier_on_what_is_shown_when_something_is_not_as_hoped(
    served: Served,  # noqa: F811
    people: dict[tuple[Role | None, str], BrowserContext],
    path: str,
    language: str,
) -> None:
    page = people[Role.READER if path.startswith("/a") else None, language].new_page()
    page.goto(served.origin + ("/sign-in" if path == "/error" else path))
    if path == "/sign-in#wrong":
        page.locator("#email").fill("nobody@agence.example")
        page.locator("#password").fill("quatre mots sans rapport")
        page.locator("#code").fill("000000")
        page.locator("form[action='/sign-in'] button").click()
        page.locator("[role=alert]:visible").wait_for()
    if path == "/error":  # a form that was not shown
        page.evaluate("document.querySelectorAll('[name=form]').forEach((e) => { e.value = 'x'; })")
        page.locator("form[action='/language'] button").click()
        page.wait_for_url("**/language")
    assert barriers(page, f"{path} {language[:2]}") == []
    page.close()


def test_what_does_not_fit_would_be_found(
    served: Served,  # noqa: F811
    people: dict[tuple[Role | None, str], BrowserContext],
) -> None:
    """So is the measure: a table without its rules of style, on a telephone."""
    page = people[Role.READER, "fr-FR"].new_page()
    page.set_viewport_size(TELEPHONE)  # type: ignore[arg-type]
    page.goto(f"{served.origin}/a/A0001")
    assert misfits(page, "overview") == []
    page.evaluate("document.querySelectorAll('.scroll').forEach((e) => e.classList.remove('scroll', 'stacked'))")
    page.evaluate("document.querySelector('table').style.tableLayout = 'fixed'")
    found = " ".join(misfits(page, "overview"))
    assert "taken apart" in found
    page.evaluate("document.querySelector('h1').style.width = '500px'")
    assert "wider" in " ".join(misfits(page, "overview"))
    page.close()


def test_axe_would_find_a_barrier(served: Served, people: dict[tuple[Role | None, str], BrowserContext]) -> None:  # noqa: F811
    """The look itself is looked at: a page with two barriers made on purpose."""
    page = people[None, "fr-FR"].new_page()
    page.goto(f"{served.origin}/sign-in")
    page.evaluate(
        "document.querySelector('label[for=email]').remove(); document.documentElement.removeAttribute('lang')"
    )
    found = " ".join(barriers(page, "broken fr"))
    assert " label " in found
    assert " html-has-lang " in found
    page.close()
