"""Every page × verb × agency × role, from the list of pages: a new page is tried without being named here."""

import itertools
from collections.abc import Iterator

import pytest

from portal.web.app import app, close
from portal.web.registry import PAGES, Page, Pages, Unlisted
from portal.web.site import Site
from schemas.access import TABLE, Needs, Question, Role
from tests.functional.web.certificates import certify
from tests.functional.web.conftest import AGENCIES, BROWSER, ORIGIN, Browser, Door

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ABSENT = "ZZ999"
# Values for the parts of a path, and for what follows it, with which a page is served where it may be. A page that
# needs another one names it here.
PARTS = {"number": "1", "name": "style.css", "token": "no-such-invitation", "session": "0" * 16,
         "field": "person.last_name", "form": "json", "act": "return", "passkey": "CRD-0123456789",
         "request_id": "REQ-000000000000", "entrance": "0" * 32}  # fmt: skip
ASKED = "?number=1&first=1"
# What these forms are sent empty with is not taken; that they are looked at shows that they were let in.
NOT_TAKEN = (400, 403, 409)
AGENCY_PAGES = [p for p in PAGES if p.needs is Needs.AGENCY]


def path_of(page: Page, agency: str) -> str:
    return page.path.format(agency=agency, **PARTS) + (ASKED if page.method == "GET" else "")


def asked(browser: Browser, verb: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    headers = {"accept-language": "fr", **BROWSER}
    data = {"form": browser.token} if verb in ("POST", "PUT", "PATCH") else None
    answer = browser.client.request(verb, path, headers=headers, data=data)
    told = {k: v for k, v in answer.headers.items() if k not in ("date", "set-cookie")}
    return answer.status_code, answer.content, told


@pytest.fixture(scope="module")
def people(standing: Door) -> dict[tuple[Role, str | None], Browser]:
    """Everybody: each role at each agency, and an operator. Each agency has a certificate of an erasure."""
    for agency in AGENCIES:
        certify(standing.site, agency)
    found: dict[tuple[Role, str | None], Browser] = {}
    for role, agency in itertools.product((Role.READER, Role.SIGNATORY, Role.AUDITOR), AGENCIES[:2]):
        found[role, agency] = standing.person(role, agency).browser
    found[Role.OPERATOR, None] = standing.person(Role.OPERATOR, None).browser
    return found


def allowed(page: Page, role: Role) -> bool:
    return all(role in TABLE[q].roles for q in page.asks)


def tried() -> Iterator[tuple[Page, str]]:
    return itertools.product(AGENCY_PAGES, VERBS)


def test_there_are_pages_to_try() -> None:
    assert len(AGENCY_PAGES) >= 6
    assert {p.needs for p in PAGES} == set(Needs)


def test_what_is_foreign_and_what_is_absent_are_the_same_bytes(
    door: Door, people: dict[tuple[Role, str | None], Browser]
) -> None:
    looked_at = 0
    for (role, own), browser in people.items():
        for (page, verb), agency in itertools.product(tried(), AGENCIES):
            if own in (None, agency):
                continue
            foreign = asked(browser, verb, path_of(page, agency))
            assert foreign[0] == 404, (page.name, verb, role, own, agency)
            assert foreign == asked(browser, verb, path_of(page, ABSENT)), (page.name, verb, role, own, agency)
            looked_at += 1
    assert looked_at >= len(AGENCY_PAGES) * len(VERBS) * 6


def test_each_role_is_served_its_own_and_nothing_else(
    door: Door, people: dict[tuple[Role, str | None], Browser]
) -> None:
    for (role, own), browser in people.items():
        for page, agency in itertools.product(AGENCY_PAGES, AGENCIES):
            status, *_ = asked(browser, page.method, path_of(page, agency))
            if own in (None, agency) and allowed(page, role):
                taken = status < 400 or (page.method == "POST" and status in NOT_TAKEN)
                assert taken, (page.name, role, agency, status)
            else:
                assert status == 404, (page.name, role, agency)


def test_a_verb_that_is_not_listed_is_no_page(door: Door, people: dict[tuple[Role, str | None], Browser]) -> None:
    listed = {(p.path, p.method) for p in PAGES}
    browser = people[Role.READER, AGENCIES[0]]
    for page, verb in itertools.product(PAGES, VERBS):
        if (page.path, verb) not in listed:
            status, *_ = asked(browser, verb, path_of(page, AGENCIES[0]))
            assert status == 404, (page.name, verb)


def test_whoever_is_not_signed_in_is_shown_nothing(door: Door) -> None:
    for page in PAGES:
        if page.needs is Needs.NOTHING or page.method != "GET":
            continue
        browser = door.browser()
        answer = browser.get(path_of(page, AGENCIES[0]))
        assert (answer.status_code == 401) if page.script else (answer.headers.get("location") == "/sign-in"), page.name
        assert len(answer.content) < 200


def test_a_page_without_an_entry_in_the_table_cannot_be_listed() -> None:
    pages = Pages()
    with pytest.raises(Unlisted):
        pages.get("/loose")(lambda: None)
    with pytest.raises(Unlisted):
        pages.get("/loose", "no.question")(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(Unlisted):
        pages.get("/log", Question.LOG_TIMELINE)(lambda: None)  # of an agency, and not below one


def test_a_route_that_is_not_listed_keeps_the_pages_from_starting(door: Door) -> None:
    made = app(door.socket, Site(ORIGIN))
    close(made.routes)
    made.add_api_route("/loose", lambda: None)
    with pytest.raises(Unlisted):
        close(made.routes)


def test_a_page_asks_what_it_is_listed_with_and_nothing_else(
    door: Door, monkeypatch: pytest.MonkeyPatch, people: dict[tuple[Role, str | None], Browser]
) -> None:
    """The page of the sessions tries to read a log with the session of somebody who may."""
    from portal.web import visit

    asks = visit.Visit.ask

    def greedy(self: visit.Visit, question: Question, **fields: object) -> object:
        return asks(self, Question.HOME, agency="A0001")

    monkeypatch.setattr(visit.Visit, "ask", greedy)
    assert people[Role.READER, "A0001"].get("/sessions").status_code == 500
