"""`door log`: what was asked at the web door, for people and for programmes."""

import datetime as dt
import json
from collections.abc import Iterator

import pytest

from pipelines.reception import journal as journals, tables
from pipelines.reception.journal import Journal
from pipelines.reception.vault import Vault
from portal.cli import access_log
from schemas.access import Question
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.cli.conftest import Desk

AT = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
A1, A9 = AgencyCode("A0001"), AgencyCode("A0009")


@pytest.fixture
def asked(desk: Desk) -> Iterator[Journal]:
    """Questions of two agencies, one of which the register does not have, and one of nobody."""
    desk.open()
    home = Home.at(desk.home)
    engine = tables.access(home)
    journal = Journal(engine, Vault.of(home, open_root(home)))
    for n in range(3):
        journal.note(AT + dt.timedelta(minutes=n), f"USR-{n}", Question.LOG_TIMELINE, A1, "ok", f"entry {n}")
    journal.note(AT, "USR-9", Question.LOG_TIMELINE, A9, "not_found")
    journal.note(AT, None, None, None, "refused")
    yield journal
    engine.dispose()


def lines(out: str) -> list[dict[str, object]]:
    return [json.loads(each) for each in out.splitlines()]


@pytest.mark.usefixtures("asked")
def test_a_programme_gets_every_line_once_in_their_order(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "AT_ONCE", 2)
    told = lines(desk("door", "log", "--json").out)
    assert [(each["number"], each["who"], each["agency"], each["outcome"]) for each in told] == [
        (1, "USR-0", "A0001", "ok"), (2, "USR-1", "A0001", "ok"), (3, "USR-2", "A0001", "ok"),
        (4, "USR-9", None, "not_found"), (5, None, None, "refused"),
    ]  # fmt: skip
    assert told[1] == {
        "number": 2, "at": "2026-01-05T12:01:00Z", "who": "USR-1", "question": "log.timeline", "reads": "log",
        "object": "entry 1", "outcome": "ok", "agency": "A0001",
    }  # fmt: skip
    assert lines(desk("door", "log", "--json", "--after", "3").out) == told[3:]
    assert lines(desk("door", "log", "--json", "--after", "5").out) == []


@pytest.mark.usefixtures("asked")
def test_a_person_sees_the_newest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "LATEST", 2)
    shown = desk("door", "log").out
    assert "USR-9" in shown
    assert "not_found" in shown
    assert "USR-2" not in shown


def test_before_anything_was_asked_it_says_so(desk: Desk) -> None:
    desk.open()
    assert "Nothing has been asked yet." in desk("door", "log").out
    assert desk("door", "log", "--json").out == ""
