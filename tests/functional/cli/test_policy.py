"""Which privacy policy was in force: kept whole, cited by digest in every instruction and receipt (R3)."""

import datetime as dt
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.entry import Entry, Instruction, Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines import policies
from schemas.errors import Malformed, Refused
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.cli.conftest import SAMPLES, Desk

FIRST, SECOND = "Politique, version 1", "Politique, version 2 (indiquer ses coordonnées)"


def written(desk: Desk, text: str) -> Path:
    path = desk.root / "politique.txt"
    path.write_text(text)
    return path


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def entries(desk: Desk) -> tuple[Entry, ...]:
    home = Home.at(desk.home)
    return Log.at(home, AgencyCode("A0002"), LogKeys(home, open_root(home))).read().entries


def test_instructions_and_receipts_cite_the_version_in_force(desk: Desk) -> None:
    assert desk("init").code == 0
    made = desk("policy", "set", written(desk, FIRST), "--at", "2026-01-01", "--json")
    assert (made.json["sha256"], made.json["placeholder"]) == (digest(FIRST), False)
    register = SAMPLES / "agencies" / "AGENCES_20260105.csv"
    assert desk("agencies", "load", register, "--at", "2026-01-05").code == 0
    assert desk("instruct", "--agency", "A0002", "--file", desk.instruction(), "--at", "2026-01-05").code == 0
    said = desk("policy", "set", written(desk, SECOND), "--at", "2026-01-05T01:00")
    assert "address is missing" in said.out
    desk.place_day("2026-01-05")
    desk("sync", "--inbox", desk.inbox, "--agency", "A0002", "--system", "sdgi", "--at", "2026-01-05T06:00")
    found = entries(desk)
    assert [e.policy_sha256 for e in found if isinstance(e, Instruction)] == [digest(FIRST)]
    assert [e.policy_sha256 for e in found if isinstance(e, Receipt)] == [digest(SECOND)]
    listed = desk("policy", "list", "--json").json
    assert [p["sha256"] for p in listed] == [digest(FIRST), digest(SECOND)]
    kept = sorted((desk.home / "policies").iterdir())
    assert [p.read_text() for p in kept] == [FIRST, SECOND]


def test_the_version_in_force_is_kept_once_and_an_older_one_is_refused(desk: Desk) -> None:
    assert desk("init").code == 0
    first = desk("policy", "set", written(desk, FIRST), "--at", "2026-01-02", "--json").json
    assert desk("policy", "set", written(desk, FIRST), "--at", "2026-01-03", "--json").json == first
    refused = desk("policy", "set", written(desk, SECOND), "--at", "2026-01-01")
    assert refused.code == 2
    assert "of that instant or later" in refused.err
    assert len(list((desk.home / "policies").iterdir())) == 1


def test_without_a_policy_nothing_is_cited_and_a_file_that_cannot_be_one_is_refused(after_night: Desk) -> None:
    assert {e.policy_sha256 for e in entries(after_night) if isinstance(e, Receipt)} == {None}
    assert "No version is kept" in after_night("policy", "list").out
    assert after_night("policy", "set", written(after_night, "")).code == 2
    assert after_night("policy", "set", after_night.root / "nowhere.txt").code == 2
    assert not (after_night.home / "policies").exists()


DAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
LATER = DAY + dt.timedelta(days=1)
SECOND_LONG = dt.timedelta(seconds=1)


def test_a_version_is_in_force_from_its_own_instant_until_that_of_the_next(desk: Desk) -> None:
    home = Home.at(desk.home)
    assert policies.in_force(home, DAY) is None
    paris = dt.timezone(dt.timedelta(hours=1))
    policies.adopt(home, written(desk, FIRST), DAY.astimezone(paris))
    policies.adopt(home, written(desk, SECOND), LATER)
    assert [v.since for v in policies.versions(home)] == [DAY, LATER]
    assert policies.in_force(home, DAY - SECOND_LONG) is None
    assert policies.in_force(home, DAY) == policies.in_force(home, LATER - SECOND_LONG) == digest(FIRST)
    assert policies.in_force(home, LATER) == digest(SECOND)


def test_an_earlier_text_that_comes_back_is_a_version_of_its_own(desk: Desk) -> None:
    home = Home.at(desk.home)
    for days, text in enumerate((FIRST, SECOND, FIRST)):
        policies.adopt(home, written(desk, text), DAY + dt.timedelta(days=days))
    assert [v.sha256 for v in policies.versions(home)] == [digest(FIRST), digest(SECOND), digest(FIRST)]
    assert policies.in_force(home, DAY + dt.timedelta(days=2)) == digest(FIRST)


def test_two_texts_cannot_begin_at_one_instant_and_one_text_can_be_set_twice(desk: Desk) -> None:
    home = Home.at(desk.home)
    for text in (FIRST, SECOND):
        kept = policies.adopt(home, written(desk, text), DAY)
        assert policies.adopt(home, written(desk, text), DAY) == kept
        assert kept.open_place == (text == SECOND), "what is still open is told each time"
        for other in (FIRST, SECOND):
            if other != text:
                with pytest.raises(Refused, match="of that instant or later"):
                    policies.adopt(home, written(desk, other), DAY)
        (only,) = (home.policies).iterdir()
        only.unlink()


def test_a_file_that_nobody_could_read_is_no_policy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "_LIMIT", len(FIRST.encode()))
    policies.adopt(Home.at(desk.home), written(desk, FIRST), DAY)
    for text in (FIRST + "!", ""):
        with pytest.raises(Malformed, match="empty, or longer"):
            policies.adopt(Home.at(desk.home), written(desk, text), LATER)
