"""door invite, people, revoke: what is printed once, and what is never printed."""

import pytest

from tests.functional.cli.conftest import SAMPLES, Desk

EMAIL = "dpo@agence.example"


@pytest.fixture
def registered(desk: Desk) -> Desk:
    desk.open()
    return desk


def test_a_link_is_printed_once_and_kept_nowhere(registered: Desk) -> None:
    said = registered("door", "invite", "--email", EMAIL, "--role", "reader", "--agency", "A0001")
    link = said.out.strip().split("\n")[-1]
    assert link.startswith("http://localhost:8620/invitation/")
    token = link.rsplit("/", 1)[1].encode()
    assert len(token) == 43
    assert [p for p in registered.home.rglob("*") if p.is_file() and token in p.read_bytes()] == []
    people = registered("door", "people").out
    assert EMAIL in people
    assert "reader A0001" in people
    assert token.decode() not in people


def test_the_origin_is_remembered(registered: Desk) -> None:
    told = ("--email", EMAIL, "--role", "operator")
    first = registered("door", "invite", *told, "--origin", "https://door.example").out
    assert "https://door.example/invitation/" in first
    assert "https://door.example/invitation/" in registered("door", "invite", *told).out
    assert registered("door", "invite", *told, "--origin", "http://door.example").code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--role", "king", "--agency", "A0001"), "an unknown role was named"),
        (("--role", "reader"), "an operator is of no agency"),
        (("--role", "operator", "--agency", "A0001"), "an operator is of no agency"),
        (("--role", "reader", "--agency", "A0009"), "agency A0009 is not in the register"),
        (("--role", "auditor", "--agency", "A0001"), "an auditor is invited for a time"),
        (("--role", "auditor", "--agency", "A0001", "--until", "2020-01-01"), "the role would end before it begins"),
        (
            ("--role", "auditor", "--agency", "A0001", "--until", "2099-01-01", "--categories", "x"),
            "an unknown category",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(registered: Desk, options: tuple[str, ...], said: str) -> None:
    answer = registered("door", "invite", "--email", EMAIL, *options)
    assert answer.code == 2
    assert said in answer.err


def test_a_role_ends_with_its_last_day(registered: Desk) -> None:
    registered("door", "invite", "--email", EMAIL, "--role", "auditor", "--agency", "A0001", "--until", "2099-06-30",
               "--categories", "identity,financial")  # fmt: skip
    (person,) = registered("door", "people", "--json").json
    (role,) = person["roles"]
    assert role == {
        "role": "auditor", "agency": "A0001", "until": "2099-06-30T22:00:00Z", "categories": ["financial", "identity"],
    }  # fmt: skip


def test_somebody_who_was_revoked_has_nothing_left(registered: Desk) -> None:
    registered("door", "invite", "--email", EMAIL, "--role", "reader", "--agency", "A0001")
    registered("door", "revoke", "--email", EMAIL)
    (person,) = registered("door", "people", "--json").json
    assert (person["roles"], person["sessions"]) == ([], 0)
    assert "nobody of this address" in registered("door", "revoke", "--email", "x@agence.example").err


def test_an_agency_whose_people_were_invited_is_erased_without_residue(registered: Desk) -> None:
    """What the web door keeps names no agency in clear: the search for residue finds nothing of it."""
    invited = ("door", "invite", "--email", EMAIL, "--role", "reader", "--agency", "A0003")
    assert registered(*invited).code == 0
    registered.place_day("2026-01-05")
    assert registered("sync", "--inbox", registered.inbox, "--at", "2026-01-05T12:00").code == 0
    ended = SAMPLES / "agencies" / "AGENCES_20260106.csv"
    assert registered("agencies", "load", ended, "--at", "2026-01-06").code == 0
    said = registered("retention", "run", "--agency", "A0003", "--at", "2026-01-20")
    assert (said.code, said.err) == (0, "")
    assert (registered.home / "reception" / "accounts.db").exists()
    assert list((registered.home / "certificates").glob("A0003-*.json"))
