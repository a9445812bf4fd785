"""Coming in and going out: once, with two factors, and no longer than one may."""

import datetime as dt
import re
import time

import argon2
import pytest
from sqlalchemy import select

from pipelines.reception import attempts, sessions
from pipelines.reception.tables import ACCESS
from portal.cli import run
from schemas.access import Question, Role, SignedOut
from schemas.errors import TryAgain
from tests.functional.web.conftest import PASSWORD, Browser, Door, Person, token_of

WRONG = "quatre mots sans rapport ici"


@pytest.fixture
def reader(door: Door) -> Person:
    return door.person(Role.READER, "A0001", f"reader.{time.monotonic_ns()}@agence.example")


def home(browser: Browser) -> int:
    return browser.get("/a/A0001").status_code


def test_an_invitation_is_good_once(door: Door) -> None:
    link = f"/invitation/{door.invite('once@agence.example', Role.READER, 'A0001')}"
    first, second = door.browser(), door.browser()
    for browser in (first, second):
        assert browser.get(link).status_code == 200
    secret = re.search(r'id="key">([A-Z2-7]+)<', second.last.text if second.last else "")
    assert secret
    form = {"password": PASSWORD, "again": PASSWORD, "code": door.code(secret[1])}
    assert first.send(link, **form).status_code == 303
    door.clock.pass_(seconds=30)
    assert second.send(link, **form | {"code": door.code(secret[1])}).status_code == 404
    assert second.get(link).content == second.get("/invitation/no-such").content


def test_an_invitation_is_over_after_seventy_two_hours(door: Door) -> None:
    link = f"/invitation/{door.invite('late@agence.example', Role.READER, 'A0001')}"
    door.clock.pass_(hours=71, minutes=59)
    assert door.browser().get(link).status_code == 200
    door.clock.pass_(minutes=2)
    assert door.browser().get(link).status_code == 404


@pytest.mark.parametrize(
    "password", ["bref et nu", "azertyuiopazertyuiop", "111111111111111111", "motdepassemotdepasse"]
)
def test_a_password_that_is_tried_first_is_not_taken(door: Door, password: str) -> None:
    link = f"/invitation/{door.invite('weak@agence.example', Role.READER, 'A0001')}"
    browser = door.browser()
    secret = re.search(r'id="key">([A-Z2-7]+)<', browser.get(link).text)
    assert secret
    answer = browser.send(link, password=password, again=password, code=door.code(secret[1]))
    assert (answer.status_code, password in answer.text) == (400, False)


def test_password_and_code_let_in_and_either_alone_does_not(door: Door, reader: Person) -> None:
    door.clock.pass_(minutes=1)
    code = door.code(reader.secret)
    assert door.sign_in(door.browser(), reader.email, WRONG, code).status_code == 403
    assert door.sign_in(door.browser(), reader.email, PASSWORD, "000000").status_code == 403
    browser = door.browser()
    assert door.sign_in(browser, reader.email, PASSWORD, code).status_code == 303
    assert home(browser) == 200


def test_a_code_that_let_somebody_in_lets_nobody_in_again(door: Door, reader: Person) -> None:
    door.clock.pass_(minutes=1)
    code = door.code(reader.secret)
    assert door.sign_in(door.browser(), reader.email, PASSWORD, code).status_code == 303
    assert door.sign_in(door.browser(), reader.email, PASSWORD, code).status_code == 403
    door.clock.pass_(seconds=30)
    # The one before is still within the tolerance for clocks that differ, and used all the same.
    assert door.sign_in(door.browser(), reader.email, PASSWORD, code).status_code == 403
    assert door.sign_in(door.browser(), reader.email, PASSWORD, door.code(reader.secret)).status_code == 303


def test_the_code_of_the_invitation_lets_nobody_in_again(door: Door, reader: Person) -> None:
    assert door.sign_in(door.browser(), reader.email, PASSWORD, door.code(reader.secret)).status_code == 403


def test_twenty_tries_a_minute_and_the_next_is_not_looked_at(door: Door, reader: Person) -> None:
    browser = door.browser()
    door.clock.pass_(minutes=1)
    code = door.code(reader.secret)
    statuses = [door.sign_in(browser, reader.email, WRONG, code).status_code for _ in range(21)]
    assert statuses == [403] * 20 + [429]
    assert door.sign_in(browser, reader.email, PASSWORD, code).status_code == 429
    door.clock.pass_(seconds=61)
    assert door.sign_in(browser, reader.email, PASSWORD, door.code(reader.secret)).status_code == 303


def test_tries_are_counted_for_an_account_from_wherever_they_come(door: Door) -> None:
    desk = door.service.counter.desk
    mark = desk.vault.mark("tries", "somebody@agence.example")
    for n in range(20):
        attempts.begin(desk.engine, [mark, f"machine {n}"], door.clock())
    with pytest.raises(TryAgain):
        attempts.begin(desk.engine, [mark, "machine 20"], door.clock())


def test_an_account_that_there_is_not_is_answered_alike_after_the_same_work(
    door: Door, reader: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is counted where it is spent: in the library's hash of passwords."""
    verify, spent = argon2.low_level.verify_secret, []

    def counted(kept: bytes, said: bytes, kind: argon2.Type) -> bool:
        spent.append(argon2.extract_parameters(kept.decode()))
        return verify(kept, said, kind)

    monkeypatch.setattr("argon2._password_hasher.verify_secret", counted)
    browser = door.browser()
    known, unknown = (
        door.sign_in(browser, email, WRONG, "123456") for email in (reader.email, "nobody@agence.example")
    )  # fmt: skip
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert len(spent) == 2
    assert spent[0] == spent[1]


def test_signing_in_begins_a_session_of_its_own(door: Door, reader: Person) -> None:
    before = reader.browser.client.cookies["__Host-session"]
    door.clock.pass_(minutes=1)
    assert door.sign_in(reader.browser, reader.email, PASSWORD, door.code(reader.secret)).status_code == 303
    assert reader.browser.client.cookies["__Host-session"] != before
    with pytest.raises(SignedOut):
        door.socket.ask(Question.WHO, before, "127.0.0.1")


def test_a_session_ends_when_it_is_not_used_and_after_twelve_hours(door: Door, reader: Person) -> None:
    door.clock.pass_(minutes=29)
    assert home(reader.browser) == 200
    door.clock.pass_(minutes=31)
    assert reader.browser.get("/a/A0001").headers["location"] == "/sign-in"
    other, began = door.person(Role.READER, "A0001", "busy@agence.example"), door.clock.at
    for _ in range(25):
        door.clock.pass_(minutes=29)
        if home(other.browser) != 200:
            break
    assert door.clock.at - began == sessions.ABSOLUTE + dt.timedelta(minutes=5)  # the first look of 29 minutes after it


def test_a_session_ended_from_another_browser_is_over_at_once(door: Door, reader: Person) -> None:
    second = door.browser()
    door.clock.pass_(minutes=1)
    assert door.sign_in(second, reader.email, PASSWORD, door.code(reader.secret)).status_code == 303
    page = second.get("/sessions").text
    rows = re.findall(r"<li>.*?</li>", page, re.DOTALL)
    others = [row for row in rows if "/end" in row and "badge" not in row]
    assert len(others) == 1
    assert home(reader.browser) == 200
    assert second.send(re.findall(r'action="([^"]+)"', others[0])[0], "/sessions").status_code == 303
    assert reader.browser.get("/a/A0001").headers["location"] == "/sign-in"
    assert home(second) == 200


def test_nobody_ends_somebody_elses_session(door: Door, reader: Person) -> None:
    other = door.person(Role.READER, "A0001", "other@agence.example")
    page = reader.browser.get("/sessions").text
    mine = re.findall(r'action="(/sessions/[0-9a-f]{16}/end)"', page)[0]
    assert other.browser.send(mine, "/sessions").status_code == 404
    assert home(reader.browser) == 200


def test_what_the_operator_revokes_counts_from_the_next_question_on(
    door: Door, reader: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home(reader.browser) == 200
    assert run(["--home", str(door.site.home.root), "door", "revoke", "--email", reader.email]) == 0
    assert reader.browser.get("/a/A0001").headers["location"] == "/sign-in"
    assert door.sign_in(door.browser(), reader.email, PASSWORD, door.code(reader.secret)).status_code in (303, 403)


def test_a_role_ends_with_its_time_while_somebody_is_signed_in(door: Door) -> None:
    token = door.invite("brief@agence.example", Role.AUDITOR, "A0001", door.clock() + dt.timedelta(minutes=20))
    browser = door.browser()
    secret = re.search(r'id="key">([A-Z2-7]+)<', browser.get(f"/invitation/{token}").text)
    assert secret
    form = {"password": PASSWORD, "again": PASSWORD, "code": door.code(secret[1])}
    assert browser.send(f"/invitation/{token}", **form).status_code == 303
    assert home(browser) == 200
    door.clock.pass_(minutes=20)
    assert home(browser) == 404


def test_signing_out_ends_the_session_and_not_the_cookie_alone(door: Door, reader: Person) -> None:
    token = reader.browser.client.cookies["__Host-session"]
    assert reader.browser.send("/sign-out", "/sessions").status_code == 303
    with pytest.raises(SignedOut):
        door.socket.ask(Question.WHO, token, "127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({}, False),
    ],
)
def test_a_form_that_we_did_not_show_does_nothing(
    door: Door, reader: Person, headers: dict[str, str], token: bool
) -> None:
    page = reader.browser.get("/sessions").text
    form = {"form": token_of(page) if token else "f" * 64}
    assert reader.browser.client.post("/sessions/end-all", data=form, headers=headers).status_code == 403
    assert home(reader.browser) == 200


def test_every_question_is_in_the_log_of_what_was_asked_and_no_value_is(door: Door, reader: Person) -> None:
    home(reader.browser)
    reader.browser.get("/a/A0001/log/3")
    reader.browser.get("/a/A0002")
    lines = door.service.counter.journal.of("A0001")  # type: ignore[arg-type]
    mine = [n for n in lines if n["question"] == "log.shown"][-1]
    assert (mine["object"], mine["outcome"], mine["reads"]) == ("3", "answered", "log entry")
    assert str(mine["who"]).startswith("USR-")
    with door.service.counter.journal._engine.connect() as db:
        every = [str(row) for row in db.execute(select(ACCESS))]
    assert not [row for row in every if "agence.example" in row or "A0001" in row]
    assert [row for row in every if "'refused'" in row]
