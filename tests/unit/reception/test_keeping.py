"""What is kept of people: sealed, by mark, by digest; and a log that nobody shortens."""

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert

from pipelines.reception import codes, passwords, tables
from pipelines.reception.accounts import Accounts
from pipelines.reception.journal import Journal
from pipelines.reception.service import Service, site_of
from pipelines.reception.vault import Vault
from portal.web.reception import Socket
from schemas.access import Grant, Question, Role, SignedOut
from schemas.errors import Malformed, NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode
from store.house import House
from store.keys import create_root, open_root

NOW = dt.datetime.now(dt.UTC)
EMAIL = "marquee.canari@agence.example"
OURS = AgencyCode("A0001")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    create_root(made)
    return made


@pytest.fixture
def vault(home: Home) -> Vault:
    return Vault.of(home, open_root(home))


def test_neither_address_nor_token_nor_agency_is_in_the_files(home: Home, vault: Vault) -> None:
    accounts = Accounts(tables.accounts(home), vault)
    token = accounts.invite(EMAIL, Grant(Role.READER, OURS, NOW), NOW)
    Journal(tables.access(home), vault).note(NOW, "USR-1", Question.HOME, OURS, "answered")
    assert accounts.people(NOW)[0].email == EMAIL
    raw = b"".join(p.read_bytes() for p in home.reception.iterdir())
    assert b"USR-" in raw
    for secret in (EMAIL, "canari", token, OURS):
        assert secret.encode() not in raw


def test_only_its_owner_enters_the_folder(home: Home) -> None:
    tables.accounts(home)
    tables.access(home)
    assert home.reception.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o077 for p in home.reception.iterdir()} == {0}


def test_a_value_opens_where_it_was_sealed_and_nowhere_else(vault: Vault) -> None:
    sealed = vault.seal("secret", "account", "USR-1", "totp")
    assert vault.open(sealed, "account", "USR-1", "totp") == "secret"
    with pytest.raises(NotVerified):
        vault.open(sealed, "account", "USR-2", "totp")


def test_another_home_marks_otherwise(vault: Vault, tmp_path: Path) -> None:
    other = Home.at(tmp_path / "other")
    create_root(other)
    assert Vault.of(other, open_root(other)).mark("email", EMAIL) != vault.mark("email", EMAIL)


def test_what_was_asked_is_neither_changed_nor_removed_for_twelve_months(home: Home, vault: Vault) -> None:
    engine = tables.access(home)
    journal = Journal(engine, vault)
    journal.note(NOW, "USR-1", Question.HOME, OURS, "answered")
    old = {"at": tables.stamp(NOW - dt.timedelta(days=400)), "question": "home.state", "outcome": "answered"}
    with engine.begin() as db:
        db.execute(insert(tables.ACCESS).values(**old))
    with closing(sqlite3.connect(home.reception / "access.db")) as raw:
        for statement in ("DELETE FROM access", "UPDATE access SET who = 'USR-2'"):
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(statement)
    assert journal.clear(NOW) == 1
    assert journal.clear(NOW) == 0
    assert [line["who"] for line in journal.of(OURS)] == ["USR-1"]


def test_a_number_of_the_log_is_given_once(home: Home, vault: Vault) -> None:
    journal = Journal(tables.access(home), vault)
    old = NOW - dt.timedelta(days=400)
    for _ in range(3):
        journal.note(old, "USR-1", Question.HOME, OURS, "answered")
    assert [line["id"] for line in journal.since(0)] == [1, 2, 3]
    assert journal.clear(NOW) == 3
    journal.note(NOW, "USR-1", Question.HOME, OURS, "answered")
    assert [line["id"] for line in journal.since(0)] == [4]


def test_an_auditor_is_invited_for_a_time_and_others_without_categories(home: Home, vault: Vault) -> None:
    accounts = Accounts(tables.accounts(home), vault)
    wrong = [
        Grant(Role.AUDITOR, OURS, NOW),
        Grant(Role.AUDITOR, OURS, NOW, NOW),
        Grant(Role.READER, OURS, NOW, None, frozenset({"identity"})),
    ]
    for grant in wrong:
        with pytest.raises(Malformed):
            accounts.invite(EMAIL, grant, NOW)
    assert accounts.people(NOW) == []


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "a b@c.example", "@c.example", "x" * 300 + "@c.example"])
def test_what_is_no_address_is_refused_without_being_repeated(home: Home, vault: Vault, address: str) -> None:
    with pytest.raises(Malformed) as no:
        Accounts(tables.accounts(home), vault).invite(address, Grant(Role.READER, OURS, NOW), NOW)
    assert not address.strip() or address not in str(no.value)


def test_a_code_is_of_one_step_of_time() -> None:
    secret, at = codes.fresh(), dt.datetime(2026, 1, 6, 11, 0, 5, tzinfo=dt.UTC)
    import pyotp

    code = pyotp.TOTP(secret).at(at)
    step = codes.step(secret, code, at)
    assert step == int(at.timestamp()) // 30
    assert codes.step(secret, f"{code[:3]} {code[3:]}", at + dt.timedelta(seconds=30)) == step
    assert codes.step(secret, code, at + dt.timedelta(seconds=90)) is None
    assert codes.step(secret, "", at) is None


def test_a_picture_is_a_square_of_modules() -> None:
    drawn = codes.picture(codes.address(codes.fresh(), EMAIL))
    side = drawn["side"]
    assert isinstance(side, int)
    assert side in range(21, 178, 4)


@pytest.mark.parametrize(
    "password",
    ["court", "x" * 257, "aaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabcabc", "abcdefghijklmnop", "0987654321098765",
     "Correct-Horse-Battery-Staple", "azertyuiopqsdfgh", "marquee.canari.2026", "aqwzsxedcrfvtgb"],
)  # fmt: skip
def test_a_password_that_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(Malformed) as no:
        passwords.check(password, EMAIL, EMAIL.partition("@")[0])
    assert password not in str(no.value)


@pytest.mark.parametrize(
    "password",
    [
        "marée basse, quatre mouettes",
        "Kj2#pQ9vL0mZ4tR8 wE5!yU1sX6cB3nM7 oP4$aD8fG2hJ0kL9 zV6?qT5rY1iW3",
        "ぬるい 風と 三つの りんごと きのこ",
    ],
)
def test_a_few_words_of_any_language_are_taken(password: str) -> None:
    passwords.check(password, EMAIL)
    kept = passwords.hashed(password)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(password, kept)
    assert not passwords.matches(password + " ", kept)
    assert not passwords.matches(password, None)


@pytest.mark.parametrize(
    "origin",
    [
        "http://depositaire.example",
        "https://",
        "https://a.example/",
        "ftp://a.example",
        "x",
        "http://10.0.0.1:80",
        "https://a.example:x",
    ],
)
def test_an_origin_is_https_or_this_machine(origin: str) -> None:
    with pytest.raises(Malformed):
        site_of(origin)


def test_a_home_of_a_long_path_has_its_reception_too(tmp_path: Path) -> None:
    home = Home.at(tmp_path / ("long-" * 20) / "home")
    home.root.mkdir(parents=True)
    create_root(home)
    House.open(home, create=True).db.close()
    with Service(home, open_root(home), "http://localhost:8620", lambda: NOW) as service:
        assert len(str(service.path)) > 107
        socket = Socket(service.path)
        with pytest.raises(SignedOut):
            socket.ask(Question.WHO, "nobody's", "127.0.0.1")
        socket.close()


def test_passkeys_are_bound_to_the_domain() -> None:
    assert site_of("https://depositaire.example").domain == "depositaire.example"
    assert site_of("http://localhost:8620").domain == "localhost"
