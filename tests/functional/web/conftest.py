"""A home made from the samples, its reception behind a real socket, and the pages asked as a browser asks them."""

import datetime as dt
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import httpx2
import pyotp
import pytest
from starlette.testclient import TestClient

from pipelines.reception.accounts import Accounts
from pipelines.reception.service import Service, socket_of
from portal.web.app import app
from portal.web.reception import Socket
from portal.web.site import Site
from schemas.access import Grant, Role
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.conftest import SAMPLES, Installation, noon

# Over TLS as far as the pages can tell: the client below keeps Secure cookies for https alone, while Chromium keeps
# them for localhost too (tests/browser/test_door.py).
ORIGIN = "https://localhost:8620"
NOW = dt.datetime(2026, 1, 6, 11, tzinfo=dt.UTC)
AGENCIES = tuple(AgencyCode(f"A000{n}") for n in (1, 2, 3))
PASSWORD = "marée basse, quatre mouettes"
BROWSER = {"sec-fetch-site": "same-origin"}
# What an auditor of the first agency reads, and the categories of one who is limited.
HERE = "/a/A0001/audit"
MINE = frozenset({"identity", "technical"})


@dataclass
class Clock:
    """The reception's. Tests that need time to pass move it."""

    at: dt.datetime = NOW

    def __call__(self) -> dt.datetime:
        return self.at

    def pass_(self, **by: float) -> None:
        self.at += dt.timedelta(**by)


@dataclass
class Person:
    """Somebody who set up a password, and the browser that they use."""

    email: str
    secret: str
    browser: "Browser"


@dataclass
class Browser:
    """Keeps cookies and fills in forms; follows no redirect by itself."""

    client: TestClient
    language: str = "fr"
    last: httpx2.Response | None = field(default=None, repr=False)
    _tokens: dict[str | None, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """What the forms of this browser's pages hold; it stays with its cookie."""
        key = self.client.cookies.get("__Host-form")
        if key not in self._tokens:
            page = self.get("/sessions").text
            self._tokens[self.client.cookies.get("__Host-form")] = token_of(page)
            key = self.client.cookies.get("__Host-form")
        return self._tokens[key]

    def get(self, path: str, **headers: str) -> httpx2.Response:
        self.last = self.client.get(path, headers={"accept-language": self.language, **headers})
        return self.last

    def send(self, path: str, page: str | None = None, **form: str) -> httpx2.Response:
        """Fill in the form of a page (the last one that was read) and send it."""
        if page is not None:
            self.get(page)
        assert self.last is not None
        filled = {"form": token_of(self.last.text), **form}
        told = {"accept-language": self.language, **BROWSER}
        return self.client.post(path, data=filled, headers=told)


def token_of(page: str) -> str:
    found = re.search(r'name="form" (?:content|value)="([0-9a-f]{64})"', page)
    return found[1] if found else "0" * 64


@dataclass
class Door:
    """The whole: home, reception and pages."""

    site: Installation
    service: Service
    clock: Clock
    socket: Socket
    clients: ExitStack = field(default_factory=ExitStack)

    @property
    def accounts(self) -> Accounts:
        return self.service.counter.desk.accounts

    def browser(self, language: str = "fr") -> Browser:
        client = TestClient(app(self.socket, Site(ORIGIN)), base_url=ORIGIN, follow_redirects=False)
        return Browser(self.clients.enter_context(client), language)

    def invite(
        self, email: str, role: Role, agency: str | None, until: dt.datetime | None = None,
        categories: frozenset[str] | None = None,
    ) -> str:  # fmt: skip
        code = None if agency is None else AgencyCode(agency)
        if role is Role.AUDITOR and until is None:
            until = self.clock() + dt.timedelta(days=30)
        return self.accounts.invite(email, Grant(role, code, self.clock(), until, categories), self.clock())

    def person(
        self, role: Role, agency: str | None, email: str | None = None, language: str = "fr",
        categories: frozenset[str] | None = None,
    ) -> Person:  # fmt: skip
        """Somebody who was invited, has set up a password and is signed in."""
        address = email or f"{role}.{(agency or 'house').lower()}@agence.example"
        token = self.invite(address, role, agency, categories=categories)
        browser = self.browser(language)
        page = browser.get(f"/invitation/{token}")
        assert page.status_code == 200, page.text
        secret = re.search(r'id="key">([A-Z2-7]+)<', page.text)
        assert secret is not None
        form = {"password": PASSWORD, "again": PASSWORD, "code": self.code(secret[1])}
        sent = browser.send(f"/invitation/{token}", **form)
        assert sent.status_code == 303, unescape(sent.text)
        return Person(address, secret[1], browser)

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).at(self.clock())

    def sign_in(self, browser: Browser, email: str, password: str, code: str) -> httpx2.Response:
        return browser.send("/sign-in", "/sign-in", email=email, password=password, code=code)


def opened(folder: Path) -> Door:
    """Two nights of the samples, under instructions for all three agencies."""
    site = Installation(folder)
    for day in ("20260105", "20260106"):
        site.load_register(SAMPLES / "agencies" / f"AGENCES_{day}.csv")
    for agency in AGENCIES:
        site.instruct(agency)
    for day in ("2026-01-05", "2026-01-06"):
        site.place_day(day)
        site.sync(noon(day), portal=False)
    clock = Clock()
    service = Service(site.home, open_root(site.home), ORIGIN, clock)
    service.counter.rate.most = 10**9  # the tests below ask as nobody does; test_limits.py has the limit
    service.start()
    return Door(site, service, clock, Socket(socket_of(site.home)))


@pytest.fixture(scope="module")
def standing() -> Iterator[Door]:
    """One door for all the tests of a file: making it takes a few seconds."""
    folder = Path(tempfile.mkdtemp(prefix="dep-door-"))  # a short path: a socket's name has a limit
    made = opened(folder)
    yield made
    made.clients.close()
    made.socket.close()
    made.service.stop()
    made.service.counter.desk.engine.dispose()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def door(standing: Door) -> Iterator[Door]:
    """The door at noon of the second day, with nobody blocked."""
    from sqlalchemy import delete

    from pipelines.reception.tables import ATTEMPT

    standing.clock.at = NOW
    with standing.service.counter.desk.engine.begin() as db:
        db.execute(delete(ATTEMPT))
    yield standing
    standing.clock.at = NOW


@pytest.fixture(scope="module")
def auditor(standing: Door) -> Browser:
    return standing.person(Role.AUDITOR, "A0001", "cac@audit.example").browser


@pytest.fixture(scope="module")
def limited(standing: Door) -> Browser:
    return standing.person(Role.AUDITOR, "A0001", "identite@audit.example", categories=MINE).browser


@pytest.fixture(scope="module")
def reader(standing: Door) -> Browser:
    return standing.person(Role.READER, "A0001", "dpo@agence.example").browser
