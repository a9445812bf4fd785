"""Sending events over HTTP to a real receiver on loopback: in order, none lost, and known when they come twice."""

import json
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.openlineage import sending
from pipelines.openlineage.outbox import Outbox
from pipelines.openlineage.settings import API_KEY, receiver
from schemas.errors import Malformed, TryAgain
from schemas.home import Home
from tests import engines
from tests.functional.cli.conftest import Desk
from tests.functional.cli.test_openlineage import killed
from tests.receiver import Receiver, receiving

SEND = """\
import sys
from pathlib import Path
from pipelines.openlineage import sending
from pipelines.openlineage.outbox import Outbox
from pipelines.openlineage.settings import receiver
from schemas.home import Home
home = Home.at(Path(sys.argv[1]))
flows = Outbox.open(home).flows()
print("ready", flush=True)
sending.turn(home, receiver(home), flows)
print("done", flush=True)
"""


@pytest.fixture
def desk(night: Desk, tmp_path: Path) -> Desk:
    """A home after a night, whose events are written and wait."""
    made = Desk(engines.copied(night.root, tmp_path / "copy"))
    shutil.rmtree(made.home / "lineage", ignore_errors=True)
    assert made("openlineage", "status", "--json").json["queue"] > 15
    return made


def name_receiver(desk: Desk, to: Receiver | str) -> None:
    settings = desk.home / "depositaire.toml"
    kept = settings.read_text().partition("\n[openlineage]")[0] if settings.exists() else ""
    settings.write_text(f'{kept}\n[openlineage]\nurl = "{to if isinstance(to, str) else to.url}"\n')


def written(desk: Desk) -> list[tuple[str, str, str]]:
    """Every event of the home's files, flow by flow, as a receiver would name them."""
    files = sorted((desk.home / "lineage").glob("*.jsonl"))
    events = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return [(e["job"]["namespace"], e["run"]["runId"], e["eventType"]) for e in events]


def by_flow(names: list[tuple[str, str, str]]) -> dict[str, list[tuple[str, str, str]]]:
    return {flow: [n for n in names if n[0] == flow] for flow in {n[0] for n in names}}


def test_every_event_goes_once_and_in_order(desk: Desk) -> None:
    with receiving() as there:
        name_receiver(desk, there)
        said = desk("openlineage", "send", "--json")
        assert (said.code, said.json["left"], said.json["error"]) == (0, 0, None)
        assert said.json["sent"] == len(there.taken)
        assert by_flow(there.names()) == by_flow(written(desk))
        assert there.paths == {"/api/v1/lineage"}
        assert desk("openlineage", "send", "--json").json["sent"] == 0
    assert len(there.taken) == len(set(there.names()))


def test_a_receiver_that_was_away_loses_nothing(desk: Desk) -> None:
    with receiving() as there:
        name_receiver(desk, there)
    waits = desk("openlineage", "status", "--json").json["queue"]
    for turn in range(1, 4):
        said = desk("openlineage", "send", "--json")
        assert (said.code, said.json) == (1, {"sent": 0, "left": waits, "error": "unreachable"})
        told = desk("openlineage", "status", "--json").json
        assert (told["queue"], told["error"], told["turns"]) == (waits, "unreachable", turn)
    # Meanwhile the work goes on, and what it tells waits too.
    desk.place_day("2026-01-06")
    assert desk("sync", "--inbox", desk.inbox, "--at", "2026-01-06T06:00").code == 0
    with receiving(there):
        said = desk("openlineage", "send", "--json")
    assert said.json["left"] == 0
    assert said.json["sent"] > waits
    assert by_flow(there.names()) == by_flow(written(desk))
    assert desk("openlineage", "status", "--json").json["error"] is None


def test_a_sender_killed_at_random_instants_loses_nothing_and_keeps_the_order(desk: Desk) -> None:
    rng = random.Random(20260114)
    with receiving(Receiver(slowly=0.01)) as there:
        name_receiver(desk, there)
        stopped = sum(killed(SEND, desk.home, rng.uniform(0.0, 0.25)) for _ in range(8))
        there.slowly = 0.0
        time.sleep(0.1)
        assert desk("openlineage", "send", "--json").json["left"] == 0
    assert stopped >= 4, "most of the kills came too late to show anything"
    names = there.names()
    assert by_flow(list(dict.fromkeys(names))) == by_flow(written(desk))  # in order, once each is known by its name
    assert len(names) - len(set(names)) <= stopped  # a kill sends at most one event again
    again = {n for n in names if names.count(n) > 1}
    for n in again:
        same = [e for e, m in zip(there.taken, names, strict=True) if m == n]
        assert all(e == same[0] for e in same)


def test_an_event_that_is_refused_keeps_its_own_flow_waiting_and_no_other(desk: Desk) -> None:
    def answers(event: dict[str, Any]) -> int:
        return 422 if event["job"]["namespace"] == "depositaire://A0001" else 200

    with receiving(Receiver(answers=answers)) as there:
        name_receiver(desk, there)
        said = desk("openlineage", "send", "--json")
        assert (said.code, said.json["error"]) == (1, "refused 422")
        assert {n[0] for n in there.names()} == {n[0] for n in written(desk)} - {"depositaire://A0001"}
        assert set(desk("openlineage", "status", "--json").json["flows"]) == {"A0001"}
        there.answers = lambda _: 200
        assert desk("openlineage", "send", "--json").json["left"] == 0
    assert by_flow(there.names()) == by_flow(written(desk))


@pytest.mark.parametrize("status", [302, 401, 429, 503])
def test_a_receiver_that_cannot_take_anything_now_is_asked_again_later(desk: Desk, status: int) -> None:
    asked = []

    def answers(event: dict[str, Any]) -> int:
        asked.append(event)
        return status

    with receiving(Receiver(answers=answers)) as there:
        name_receiver(desk, there)
        said = desk("openlineage", "send", "--json")
    assert (said.code, said.json["sent"], said.json["error"]) == (1, 0, f"status {status}")
    assert len(asked) == 1


def test_a_receiver_that_says_nothing_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SILENCE_SECONDS", 0.2)
    with receiving(Receiver(slowly=1.0)) as there:
        name_receiver(desk, there)
        assert desk("openlineage", "send", "--json").json["error"] == "silent"


def test_the_key_comes_from_the_environment_and_is_written_nowhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, "clef-de-demonstration-7141")
    with receiving() as there:
        name_receiver(desk, there)
        said = desk("openlineage", "send", "--json")
    assert there.keys == {"Bearer clef-de-demonstration-7141"}
    assert "7141" not in said.out + said.err
    assert [p for p in desk.root.rglob("*") if p.is_file() and b"demonstration-7141" in p.read_bytes()] == []
    assert "7141" not in repr(receiver(Home.at(desk.home)))


@pytest.mark.parametrize(
    "table",
    [
        'url = "http://lignage.example"',
        'url = "ftp://127.0.0.1"',
        'url = "https://moi:clef@lignage.example"',
        'url = "https://lignage.example?key=clef"',
        'url = "https://lignage.example"\napi_key = "clef"',
        "url = 7",
        'endpoint = "api"',
        'url = "https://[lignage"',
    ],
)
def test_settings_that_cannot_be_meant_are_refused(desk: Desk, table: str) -> None:
    (desk.home / "depositaire.toml").write_text(f"[openlineage]\n{table}\n")
    with pytest.raises(Malformed) as no:
        receiver(Home.at(desk.home))
    assert "clef" not in str(no.value)


def test_a_second_sender_leaves_the_first_alone(desk: Desk) -> None:
    home = Home.at(desk.home)
    with receiving(Receiver(slowly=0.05)) as there:
        name_receiver(desk, there)
        to = receiver(home)
        assert to is not None
        flows = Outbox.open(home).flows()
        first = threading.Thread(target=sending.turn, args=(home, to, flows))
        first.start()
        while not there.taken:
            time.sleep(0.01)
        with pytest.raises(TryAgain):
            sending.turn(home, to, flows)
        first.join()
    assert len(there.taken) == len(set(there.names())) == len(written(desk))


class _Stop(Exception):
    """Stands for whoever stops it."""


def test_following_waits_longer_and_longer_for_a_receiver_that_is_away_and_then_goes_on(desk: Desk) -> None:
    home = Home.at(desk.home)
    pauses: list[float] = []
    turns: list[sending.Turn] = []
    with receiving() as there:
        name_receiver(desk, there)
    to = receiver(home)
    assert to is not None

    def away(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            raise _Stop

    with pytest.raises(_Stop):
        sending.follow(home, Outbox.open(home), to, 30.0, None, turns.append, away)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0]
    assert sum(pauses) > 1200

    def back(seconds: float) -> None:
        pauses.append(seconds)
        raise _Stop

    with receiving(there), pytest.raises(_Stop):
        sending.follow(home, Outbox.open(home), to, 30.0, None, turns.append, back)
    assert pauses[-1] == 30.0
    assert by_flow(there.names()) == by_flow(written(desk))


def test_a_file_that_was_made_anew_is_sent_again_from_its_beginning(desk: Desk) -> None:
    with receiving() as there:
        name_receiver(desk, there)
        desk("openlineage", "send")
        once = len(there.taken)
        sent = desk.home / "lineage" / "A0001.sent"
        sent.unlink()
        desk("openlineage", "send")
    mine = [n for n in there.names() if n[0] == "depositaire://A0001"]
    assert len(there.taken) == once + len(mine) // 2
    assert len(set(there.names())) == once


def test_without_a_receiver_events_stay_in_their_files(desk: Desk) -> None:
    shutil.rmtree(desk.home / "lineage")
    said = desk("openlineage", "send", "--json")
    assert said.json["sent"] is None
    assert said.json["written"] == len(written(desk)) > 15
    assert desk("openlineage", "send", "--follow").code == 2
