"""`door notify` and `door webhook`; and what the web door keeps of an agency, which goes with the agency."""

import datetime as dt
import json
import sqlite3
from contextlib import closing

import pytest

from pipelines.reception import requests
from pipelines.reception.requests import Kind, New
from pipelines.reception.vault import Vault
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import open_root
from tests.functional.cli.conftest import SAMPLES, Desk
from tests.mail_server import post_office

EMAIL = "dpo.c@agence.example"
A3 = AgencyCode("A0003")


@pytest.fixture
def night(desk: Desk) -> Desk:
    desk.open()
    assert (
        desk("door", "invite", "--email", EMAIL, "--role", "reader", "--agency", "A0003", "--at", "2026-01-01").code
        == 0
    )
    desk.place_day("2026-01-05")
    assert desk("sync", "--inbox", desk.inbox, "--at", "2026-01-05T12:00").code == 0
    return desk


def test_notices_leave_from_the_command_line_and_wait_while_there_is_no_server(night: Desk) -> None:
    waits = night("door", "notify", "--json").json
    assert (waits["sent"], waits["troubles"]) == (0, [])
    assert waits["left"] > 0
    with post_office() as post:
        night.home.joinpath("depositaire.toml").write_text(
            f'[notices]\nsmtp = "127.0.0.1:{post.port}"\nfrom = "avis@depositaire.example"\nsecurity = "none"\n'
        )
        assert night("door", "notify", "--origin", "https://depositaire.example", "--json").json["left"] == 0
        assert "Notices sent: 0" in night("door", "notify").out
    assert post.to == [EMAIL]
    assert "https://depositaire.example/a/A0003/log/" in post.letters[0].get_content()


def test_a_secret_is_printed_once_and_a_programme_can_be_told_no_more(night: Desk) -> None:
    assert night("door", "webhook", "--agency", "A0003").code != 0
    told = night("door", "webhook", "--agency", "A0003", "--url", "https://agence.example/avis", "--json")
    assert len(told.json["secret"]) > 40
    assert night("door", "webhook", "--agency", "A0003", "--off").code == 0
    assert "no programme of this agency is told" in night("door", "webhook", "--agency", "A0003", "--off").err


def registered(desk: Desk) -> None:
    home = Home.at(desk.home)
    mine = requests.of(home, Vault.of(home, open_root(home)), A3)
    mine.add(
        New(Kind.ACCESS, System.LOGIN, f"REF-{'0' * 32}", "R-1", dt.date(2026, 1, 5)), "USR-1", dt.datetime.now(dt.UTC)
    )


def rows(desk: Desk) -> dict[str, int]:
    found = {}
    for name, table in (
        ("requests.db", "request"),
        ("requests.db", "step"),
        ("notices.db", "event"),
        ("notices.db", "post"),
    ):
        with closing(sqlite3.connect(desk.home / "reception" / name)) as db:
            found[table] = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def erased(desk: Desk) -> tuple[int, str]:
    assert desk("agencies", "load", SAMPLES / "agencies" / "AGENCES_20260106.csv", "--at", "2026-01-06").code == 0
    said = desk("retention", "run", "--agency", "A0003", "--at", "2026-01-20", "--json")
    return said.code, said.out


def test_requests_and_notices_go_with_the_agency_and_its_erasure_is_told(night: Desk) -> None:
    registered(night)
    night("door", "webhook", "--agency", "A0003", "--url", "https://agence.example/avis")
    assert night("door", "notify", "--json").json["left"] > 0
    assert all(rows(night).values())
    code, _ = erased(night)
    assert code == 0
    assert not any(rows(night).values())
    (path,) = (night.home / "certificates").glob("A0003-*.json")
    step = next(s for s in json.loads(path.read_text())["steps"] if s["step"] == "forget_in_house")
    assert step["counts"]["requests"] == 1
    assert step["counts"]["notices"] > 1
    with post_office() as post:
        night.home.joinpath("depositaire.toml").write_text(
            f'[notices]\nsmtp = "127.0.0.1:{post.port}"\nfrom = "avis@depositaire.example"\nsecurity = "none"\n'
        )
        assert night("door", "notify", "--json").json["sent"] == 1
    said = post.letters[0].get_content()
    assert "Les données ont été effacées" in said
    assert said.count("\n- ") == 1  # and nothing of before


def test_what_was_not_forgotten_is_found_and_no_certificate_is_written(
    night: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(night)
    monkeypatch.setattr("pipelines.reception.requests.Requests.forget", lambda _: 0)
    code, said = erased(night)
    assert code != 0
    assert '"web door"' in said
    assert not list((night.home / "certificates").glob("A0003-*.json"))
