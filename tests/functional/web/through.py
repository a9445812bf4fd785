"""Somebody on the way through their agency's sign-in, and what the door and the log of what was asked say of it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import delete, select

from pipelines.reception.oidc import settings
from pipelines.reception.oidc.settings import Settings
from pipelines.reception.tables import ACCESS, BINDING, FLOW, PROVIDER, SESSION
from schemas.access import Role
from schemas.ids import AgencyCode
from tests.functional.web.conftest import Browser, Door
from tests.functional.web.providers import CLIENT, SECRET, Provider, provider


@pytest.fixture
def idp(door: Door) -> Iterator[Provider]:
    """That of A0001, as its operator set it. Nobody came in by it before."""
    desk = door.service.counter.desk
    with desk.engine.begin() as db:
        for table in (PROVIDER, BINDING, FLOW):
            db.execute(delete(table))
        db.execute(delete(SESSION).where(SESSION.c.by.like("provider %")))
    with provider(clock=door.clock) as made:
        configure(door, made)
        yield made


def configure(
    door: Door, made: Provider, agency: str = "A0001", require_mfa: bool = True, acr: str | None = None
) -> None:
    desk = door.service.counter.desk
    how = Settings(AgencyCode(agency), made.issuer, CLIENT, SECRET, require_mfa, acr)
    settings.keep(desk.engine, desk.vault, how, door.clock())


def entrance(door: Door, agency: str = "A0001") -> str:
    return f"/sign-in/agency/{settings.entrance(door.service.counter.desk.vault, AgencyCode(agency))}"


def local(address: str) -> str:
    """An address of ours as the test's browser asks for it."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def there(browser: Browser, start: str) -> str:
    """Set out; gives where the browser is sent."""
    begun = browser.get(start)
    assert begun.status_code == 303, begun.text
    return str(begun.headers["location"])


def through(idp: Provider, browser: Browser, start: str) -> httpx2.Response:
    """There and back."""
    return browser.get(local(idp.browse(there(browser, start))))


def joined(
    door: Door, idp: Provider, email: str, subject: str, role: Role = Role.READER, agency: str = "A0001"
) -> Browser:
    """Somebody who was invited and came in through the agency's sign-in."""
    idp.subject = subject
    idp.marked.add(subject)
    browser = door.browser()
    came = through(idp, browser, f"/invitation/{door.invite(email, role, agency)}/agency")
    assert (came.status_code, came.headers.get("location")) == (303, "/"), came.text
    return browser


def noted(door: Door) -> tuple[str, str | None]:
    """Outcome, and what did not hold, of the last return."""
    with door.service.counter.journal._engine.connect() as db:
        returns = select(ACCESS).where(ACCESS.c.question == "provider.return").order_by(ACCESS.c.id.desc())
        row = db.execute(returns).first()
    assert row is not None
    return row.outcome, row.object


def home(browser: Browser, agency: str = "A0001") -> int:
    return browser.get(f"/a/{agency}").status_code
