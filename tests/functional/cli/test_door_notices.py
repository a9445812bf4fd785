"""`door notify` and `door webhook`; and what the web door keeps of an agency, which goes with the agency."""

import datetime as dt
import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, insert, select

from pipelines.notices.tables import EVENT, POST, PREFERENCE, open_outbox
from pipelines.reception import requests, signing_keys
from pipelines.reception.desk import Desk as Reception
from pipelines.reception.oidc import settings
from pipelines.reception.passkeys import Site
from pipelines.reception.requests import Kind, New
from pipelines.reception.sweeping import sweep
from pipelines.reception.vault import Vault
from portal.cli import dooring
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


def after_the_erasure() -> dt.datetime:
    return dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)


def test_requests_and_notices_go_with_the_agency_and_its_erasure_is_told(
    night: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setattr(dooring, "_now", after_the_erasure)
    with post_office() as post:
        night.home.joinpath("depositaire.toml").write_text(
            f'[notices]\nsmtp = "127.0.0.1:{post.port}"\nfrom = "avis@depositaire.example"\nsecurity = "none"\n'
        )
        assert night("door", "notify", "--json").json["sent"] == 1
    said = post.letters[0].get_content()
    assert "Les données ont été effacées" in said
    assert said.count("\n- ") == 1  # and nothing of before


def door_of(desk: Desk) -> Reception:
    home = Home.at(desk.home)
    site = Site("https://depositaire.example", "depositaire.example")
    return Reception.of(home, open_root(home), site, lambda: dt.datetime(2026, 1, 20, tzinfo=dt.UTC), str)


def in_accounts(desk: Desk) -> dict[str, int]:
    mark = Vault.of(Home.at(desk.home), open_root(Home.at(desk.home))).mark("agency", A3)
    with closing(sqlite3.connect(desk.home / "reception" / "accounts.db")) as db:
        tables = ("signing_key", "pack", "provider", "binding", "role")
        found = {
            t: db.execute(f"SELECT count(*) FROM {t} WHERE agency_mark = ?", (mark,)).fetchone()[0] for t in tables
        }
        return found | {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("invitation", "account")}


def let_in(desk: Desk) -> str:
    """A passkey that signs, a pack, a sign-in of the agency's own, and a second person, who comes in by that and is
    also of another agency. Returns that one's account."""
    door = door_of(desk)
    for agency in ("A0001", "A0003"):
        told = ("--role", "reader", "--agency", agency, "--at", "2026-01-01")
        assert desk("door", "invite", "--email", "deux@agence.example", *told).code == 0
    key = signing_keys.Key("CRD-0123456789", b"id", "USR-1", b"key", -7, "direction", 0, "2026-01-02T00:00:00Z")
    with door.engine.begin() as db:
        signing_keys.keep(db, door.vault.mark("agency", A3), key)
        account = door.accounts.find(db, "deux@agence.example")
        assert account is not None
        settings.bind(db, account, door.vault.mark("agency", A3), "0" * 32, dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    how = settings.Settings(A3, "https://connexion.agence.example", "portail", "x")
    settings.keep(door.engine, door.vault, how, dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    door.packs.ask(A3, account, None, dt.datetime(2026, 1, 20, tzinfo=dt.UTC))
    door.packs.stop()
    return account


def test_what_the_accounts_say_of_an_agency_goes_with_it_and_its_people_thirty_days_later(
    night: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = let_in(night)
    own, gone = {"provider": 1, "binding": 1}, {"provider": 0, "binding": 0}
    assert night("door", "notify", "--json").json["left"] > 0
    assert in_accounts(night) == {"signing_key": 1, "pack": 1, **own, "role": 2, "invitation": 2, "account": 2}
    assert erased(night)[0] == 0
    assert in_accounts(night) == {"signing_key": 0, "pack": 0, **gone, "role": 2, "invitation": 1, "account": 2}
    (path,) = (night.home / "certificates").glob("A0003-*.json")
    said = json.loads(path.read_text())
    step = next(s for s in said["steps"] if s["step"] == "forget_in_house")
    assert {k: step["counts"][k] for k in ("sign_in", "signing_keys", "packs", "invitations", "roles_ended")} == {
        "sign_in": 2, "signing_keys": 1, "packs": 1, "invitations": 1, "roles_ended": 2,
    }  # fmt: skip
    assert "30 days" in said["left"]["web_door"]
    door = door_of(night)
    with door.engine.connect() as db:
        account = door.accounts.find(db, EMAIL)
        assert account is not None
        assert [g.until for g in door.accounts.grants(db, account)] == [dt.datetime(2026, 2, 18, 23, tzinfo=dt.UTC)]
    monkeypatch.setattr(dooring, "_now", after_the_erasure)
    assert night("door", "notify", "--json").json["left"] > 0, "that it was erased is told"
    office = open_outbox(door.home)
    with office.begin() as db:
        db.execute(insert(PREFERENCE), [{"account": a, "pace": "daily"} for a in (account, both)])

    def told() -> set[str]:
        with office.connect() as db:
            return {*db.scalars(select(PREFERENCE.c.account)), *db.scalars(select(POST.c.recipient))}

    sweep(door, door.journal, dt.datetime(2026, 2, 18, tzinfo=dt.UTC))
    assert in_accounts(night)["role"] == 2
    assert account in told()
    assert sweep(door, door.journal, dt.datetime(2026, 2, 20, tzinfo=dt.UTC)).accounts == 1
    assert in_accounts(night)["role"] == 0
    assert told() == {both}
    with office.connect() as db:
        mark = door.vault.mark("agency", A3)
        assert db.scalar(select(func.count()).select_from(EVENT).where(EVENT.c.agency_mark == mark)) == 0
    with door.engine.connect() as db:
        assert [g.agency for g in door.accounts.grants(db, both)] == ["A0001"]
    office.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO signing_key VALUES ('CRD-1', x'00', 'USR-1', :mark, x'00', -7, 'direction', 0, '2026-01-02')",
        "INSERT INTO pack VALUES ('1', 'USR-1', :mark, '2026-01-02', NULL, 'ready', NULL, NULL, NULL, NULL)",
        "INSERT INTO role (account, role, agency_mark, since) VALUES ('USR-1', 'reader', :mark, '2026-01-02')",
        "INSERT INTO role VALUES (7, 'USR-1', 'auditor', x'00', :mark, NULL, '2026-01-02', '2027-01-02', NULL)",
    ],
)
def test_what_the_accounts_still_say_of_an_agency_is_found(
    night: Desk, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    home = Home.at(night.home)
    mark = Vault.of(home, open_root(home)).mark("agency", A3)
    with closing(sqlite3.connect(night.home / "reception" / "accounts.db")) as db, db:
        db.execute("DELETE FROM role")
        db.execute(statement, {"mark": mark})
    monkeypatch.setattr("pipelines.reception.forgetting._in_accounts", lambda *_: {})
    code, said = erased(night)
    assert code != 0
    assert '"web door"' in said


def test_what_was_not_forgotten_is_found_and_no_certificate_is_written(
    night: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(night)
    monkeypatch.setattr("pipelines.reception.requests.Requests.forget", lambda _: 0)
    code, said = erased(night)
    assert code != 0
    assert '"web door"' in said
    assert not list((night.home / "certificates").glob("A0003-*.json"))
