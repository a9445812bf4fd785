"""Another password: with the one of now and a code, for nobody else, and every other session ends with it."""

import time

import pytest

from schemas.access import NotThere, Question, Role
from tests.functional.web.conftest import BROWSER, PASSWORD, Door, Person
from tests.functional.web.test_pages import words

FRESH = "rivage gris, neuf cormorans"
WRONG = "quatre mots sans rapport ici"


@pytest.fixture
def reader(door: Door) -> Person:
    person = door.person(Role.READER, "A0001", f"change.{time.monotonic_ns()}@agence.example")
    door.clock.pass_(minutes=1)
    return person


def changed(door: Door, person: Person, **other: str) -> tuple[int, str]:
    form = {"current": PASSWORD, "code": door.code(person.secret), "password": FRESH, "again": FRESH} | other
    answer = person.browser.send("/password", "/password", **form)
    return answer.status_code, words(answer.text)


def lets_in(door: Door, person: Person, password: str) -> bool:
    door.clock.pass_(seconds=30)
    return door.sign_in(door.browser(), person.email, password, door.code(person.secret)).status_code == 303


def test_who_knows_the_password_and_has_the_code_chooses_another(door: Door, reader: Person) -> None:
    assert "/password" in reader.browser.get("/sessions").text
    status, said = changed(door, reader)
    assert status == 200
    assert "Votre mot de passe est changé." in said
    assert "pas d'autre session" in said
    assert reader.browser.get("/a/A0001").status_code == 200
    assert not lets_in(door, reader, PASSWORD)
    assert lets_in(door, reader, FRESH)


def test_every_other_session_ends_with_it(door: Door, reader: Person) -> None:
    others = [door.browser(), door.browser()]
    for other in others:
        assert door.sign_in(other, reader.email, PASSWORD, door.code(reader.secret)).status_code == 303
        door.clock.pass_(minutes=1)
    _, said = changed(door, reader)
    assert "2 autres sessions ont été fermées" in said
    assert [other.get("/a/A0001").headers.get("location") for other in others] == ["/sign-in"] * 2
    assert reader.browser.get("/a/A0001").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"current": WRONG}, "ne vont pas ensemble"),
        ({"code": "000000"}, "ne vont pas ensemble"),
        ({"again": WRONG}, "diffèrent"),
        ({"password": "azertyuiopazertyuiop", "again": "azertyuiopazertyuiop"}, "essaie d'abord"),
        ({"password": "bref", "again": "bref"}, "trop court"),
        ({"password": PASSWORD, "again": PASSWORD}, "celui d'aujourd'hui"),
    ],
)
def test_anything_else_leaves_it_as_it_is(door: Door, reader: Person, wrong: dict[str, str], told: str) -> None:
    status, said = changed(door, reader, **wrong)
    assert (status, told in said) == (400, True), said
    assert not [value for value in (WRONG, "azertyuiop", PASSWORD) if value in said]
    assert lets_in(door, reader, PASSWORD)


def test_a_code_is_good_once_here_too(door: Door, reader: Person) -> None:
    code = door.code(reader.secret)
    assert changed(door, reader, code=code)[0] == 200
    assert changed(door, reader, code=code, current=FRESH, password=PASSWORD, again=PASSWORD)[0] == 400
    assert lets_in(door, reader, FRESH)


def test_tries_count_with_those_of_signing_in(door: Door, reader: Person) -> None:
    statuses = [changed(door, reader, current=WRONG)[0] for _ in range(21)]
    assert statuses == [400] * 20 + [429]
    assert door.sign_in(door.browser(), reader.email, PASSWORD, door.code(reader.secret)).status_code == 429


def test_a_form_of_another_site_changes_nothing(door: Door, reader: Person) -> None:
    page = reader.browser.get("/password")
    assert page.status_code == 200
    form = {"current": PASSWORD, "code": door.code(reader.secret), "password": FRESH, "again": FRESH}
    form |= {"form": "f" * 64}
    assert reader.browser.client.post("/password", data=form, headers=BROWSER).status_code == 403
    assert lets_in(door, reader, PASSWORD)


def test_who_has_no_password_is_told_so_and_gets_none(door: Door, reader: Person) -> None:
    from sqlalchemy import update

    from pipelines.reception.tables import ACCOUNT

    desk = door.service.counter.desk
    with desk.engine.begin() as db:
        account = desk.accounts.find(db, reader.email)
        db.execute(update(ACCOUNT).where(ACCOUNT.c.id == account).values(password=None))
    assert "/password" not in reader.browser.get("/sessions").text
    assert "sans mot de passe" in words(reader.browser.get("/password").text)
    token = reader.browser.client.cookies["__Host-session"]
    with pytest.raises(NotThere):
        door.socket.ask(Question.PASSWORD, token, "127.0.0.1", current=PASSWORD, code="1", password=FRESH)
