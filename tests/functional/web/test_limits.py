"""What ends at once, what is too much, and what is forgotten."""

import datetime as dt
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import httpx2
import pytest
from sqlalchemy import func, insert, select

from pipelines.reception import beside
from pipelines.reception.beside import door as opened_door
from pipelines.reception.journal import KEPT
from pipelines.reception.sweeping import sweep
from pipelines.reception.tables import ACCESS, ACCOUNT, INVITATION, PASSKEY, ROLE, SESSION, stamp
from schemas.access import NotThere, Question, Role, SignedOut
from store.keys import open_root
from tests.functional.conftest import Installation
from tests.functional.dagster.test_serve import free_port
from tests.functional.web.conftest import PASSWORD, Door, Person


@pytest.fixture
def reader(door: Door) -> Person:
    return door.person(Role.READER, "A0001", f"limits.{time.monotonic_ns()}@agence.example")


def test_somebody_who_asks_too_often_waits_a_minute(
    door: Door, reader: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = door.person(Role.READER, "A0001", f"calm.{time.monotonic_ns()}@agence.example")
    door.clock.pass_(minutes=1)
    monkeypatch.setattr(door.service.counter.rate, "most", 5)
    assert [reader.browser.get("/a/A0001/log").status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert reader.browser.get("/a/A0001/log/checkpoint").status_code == 429
    assert other.browser.get("/a/A0001/log").status_code == 200
    door.clock.pass_(minutes=1)
    assert reader.browser.get("/a/A0001/log").status_code == 200


def test_a_session_that_was_ended_is_out_with_its_next_request(door: Door, reader: Person) -> None:
    """However it was ended; and no request that was answered after that was answered as theirs."""
    desk = door.service.counter.desk
    assert reader.browser.get("/a/A0001").status_code == 200
    begin = time.perf_counter()
    assert desk.accounts.revoke(reader.email, door.clock()) == 1
    answer = reader.browser.get("/a/A0001")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert time.perf_counter() - begin < 5
    assert reader.browser.get("/a/A0001/log/checkpoint").status_code == 401


def test_requests_that_run_while_a_session_is_ended_are_served_before_it_or_not_at_all(door: Door) -> None:
    person = door.person(Role.READER, "A0001", f"racing.{time.monotonic_ns()}@agence.example")
    token, ended, late = person.browser.client.cookies["__Host-session"], threading.Event(), []

    def asking() -> None:
        for _ in range(60):
            after = ended.is_set()
            try:
                door.socket.ask(Question.SESSIONS, token, "127.0.0.1")
                late.append(after)
            except (SignedOut, NotThere):  # its session, or its roles, whichever was looked for first
                pass

    threads = [threading.Thread(target=asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    door.service.counter.desk.accounts.revoke(person.email, door.clock())
    ended.set()
    for thread in threads:
        thread.join()
    assert late
    assert not any(late)


def test_a_new_way_to_sign_in_ends_the_sessions_of_the_one_before(door: Door, reader: Person) -> None:
    link = f"/invitation/{door.invite(reader.email, Role.READER, 'A0001')}"
    assert reader.browser.get("/a/A0001").status_code == 200, "an invitation alone ends nothing"
    fresh = door.browser()
    secret = re.search(r'id="key">([A-Z2-7]+)<', fresh.get(link).text)
    assert secret is not None
    sent = fresh.send(link, password=PASSWORD, again=PASSWORD, code=door.code(secret[1]))
    assert sent.status_code == 303
    assert reader.browser.get("/a/A0001").headers["location"] == "/sign-in"


def test_trace_is_no_page(door: Door, reader: Person) -> None:
    answer = reader.browser.client.request("TRACE", "/a/A0001", headers={"x-mark": "CANARY-TRACE"})
    assert (answer.status_code, "CANARY" in answer.text) == (404, False)


def test_of_a_field_that_is_sent_twice_the_last_counts(door: Door, reader: Person) -> None:
    body = f"form={reader.browser.token}&language=xx&language=en&back=/sessions"
    kind = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    answer = reader.browser.client.post("/language?language=fr", content=body, headers=kind)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sessions")
    assert reader.browser.client.cookies["__Host-language"] == "en"


def test_a_sign_in_that_failed_is_in_the_log_of_what_was_asked(door: Door, reader: Person) -> None:
    door.sign_in(door.browser(), reader.email, "quatre mots sans rapport", "000000")
    with door.service.counter.journal._engine.connect() as db:
        last = db.execute(select(ACCESS).order_by(ACCESS.c.id.desc()).limit(1)).one()
    assert (last.question, last.outcome) == ("sign_in.password", "not verified")


def test_who_has_no_role_any_more_is_forgotten_after_thirty_days(door: Door, reader: Person) -> None:
    desk, counter = door.service.counter.desk, door.service.counter
    staying = door.person(Role.READER, "A0001", f"staying.{time.monotonic_ns()}@agence.example")
    brief = f"brief.{time.monotonic_ns()}@agence.example"
    door.invite(brief, Role.AUDITOR, "A0001", door.clock() + dt.timedelta(days=5))
    with desk.engine.connect() as db:
        ids = {e: desk.accounts.find(db, e) for e in (reader.email, staying.email, brief)}
    desk.accounts.revoke(reader.email, door.clock())

    def there(email: str) -> int:
        with desk.engine.connect() as db:
            tables = ((ACCOUNT, ACCOUNT.c.id), *((t, t.c.account) for t in (ROLE, SESSION, INVITATION, PASSKEY)))
            return sum(db.scalar(select(func.count()).select_from(t).where(c == ids[email])) or 0 for t, c in tables)

    door.clock.pass_(days=29)
    sweep(desk, counter.journal, door.clock())
    assert there(reader.email)
    door.clock.pass_(days=2)
    assert sweep(desk, counter.journal, door.clock()).accounts >= 1
    assert there(reader.email) == 0
    assert there(brief), "its role ended five days later than the other one"
    door.clock.pass_(days=5)
    sweep(desk, counter.journal, door.clock())
    assert there(brief) == 0
    assert there(staying.email), "who has a role stays"
    assert sweep(desk, counter.journal, door.clock()).accounts == 0


def test_an_invitation_that_nobody_took_is_forgotten_after_thirty_days(door: Door) -> None:
    desk, email = door.service.counter.desk, f"never.{time.monotonic_ns()}@agence.example"
    door.invite(email, Role.READER, "A0001")
    with desk.engine.connect() as db:
        account = desk.accounts.find(db, email)

    def invited() -> int:
        with desk.engine.connect() as db:
            return db.scalar(select(func.count()).where(INVITATION.c.account == account)) or 0

    door.clock.pass_(days=32)
    sweep(desk, door.service.counter.journal, door.clock())
    assert invited() == 1
    door.clock.pass_(days=2)
    sweep(desk, door.service.counter.journal, door.clock())
    assert invited() == 0


def test_what_was_asked_is_trimmed_each_day_while_the_reception_runs(door: Door) -> None:
    counter, journal = door.service.counter, door.service.counter.journal
    real = dt.datetime.now(dt.UTC)
    old = {"at": stamp(real - KEPT - dt.timedelta(days=1)), "question": "own.who", "outcome": "answered"}
    with journal._engine.begin() as db:
        db.execute(insert(ACCESS).values(**old))
    door.clock.at = real
    counter._swept = real - dt.timedelta(hours=23)
    assert counter.sweep().asked == 0, "once a day"
    counter._swept = real - dt.timedelta(hours=24)
    assert counter.sweep().asked >= 1
    counter._swept = None


def test_pages_that_die_are_told_of_and_started_again_three_times(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_LOOK_SECONDS", 0.05)
    said: list[bool] = []
    port = free_port()
    origin = f"http://localhost:{port}"
    root = open_root(installation.home)
    now = dt.datetime.now(dt.UTC)
    with opened_door(installation.home, root, origin, f"127.0.0.1:{port}", lambda: now, told=said.append) as pages:
        _open(origin)
        first = pages.process.pid
        os.kill(first, signal.SIGKILL)
        _until(lambda: said == [True] and pages.process.pid != first)
        _open(origin)
        assert pages.poll() is None
        for n in range(2, 5):
            os.kill(pages.process.pid, signal.SIGKILL)
            _until(partial(_said_times, said, n))
            _until(lambda: pages.process.poll() is None or pages.poll() is not None)
        assert said == [True, True, True, False]
        assert pages.poll() == -signal.SIGKILL
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{origin}/sign-in")


def _said_times(said: list[bool], times: int) -> bool:
    return len(said) == times


def _until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def _open(origin: str) -> None:
    def answers() -> bool:
        try:
            return httpx2.get(f"{origin}/sign-in").status_code == 200
        except httpx2.TransportError:
            return False

    _until(answers)
