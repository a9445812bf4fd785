"""The figures are right after a night that went wrong in several ways, they name nobody, and what fails is a figure."""

import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from pipelines.journal_figures import LINES
from pipelines.metrics import Measuring, Night, Orchestrator
from pipelines.metrics_page import Page
from schemas.home import Home
from schemas.ids import System
from store import engine
from store.house import JOURNAL, House
from tests import engines
from tests.functional.cli.conftest import SAMPLES, Desk, Said

MORNING = "2026-01-06T06:00"
NOON = datetime.fromisoformat("2026-01-06T12:00:00+01:00")
MARKED = "Marquée Dupont"
STATES = {
    "not_started",
    "running",
    "return",
    "closed",
    "erased",
    "reachable",
    "away",
    "succeeded",
    "failed",
    "unfinished",
}
LABELS = {
    "part": {"store", "keys", "erasures", "inbox", "dagster"},
    "state": STATES,
    "system": {*(str(s) for s in System), "other"},
    "freshness": {"late", "ok"},
    "outcome": {"accepted", "replayed", "refused", *LINES},
}


def told(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as they are written."""
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*(?: \S*})?) (\S+)$", text, re.MULTILINE)}


def figures(desk: Desk, at: str | datetime = NOON) -> dict[str, float]:
    said = desk("metrics", "--at", at if isinstance(at, str) else at.isoformat())
    assert said.code == 0, said.err
    return told(said.out)


@pytest.fixture(scope="module")
def wrong_night(_first_night: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, list[Any]]:
    """A second night, in which one delivery is refused, lines are put aside, one agency sends nothing, and a stranger
    has a folder; and what `sync` said of it."""
    root = tmp_path_factory.mktemp("wrong") / "copy"
    desk = Desk(engines.copied(_first_night[0], root))
    day = SAMPLES / "deliveries" / "2026-01-06"
    desk.place(next((day / "A0001" / "login").iterdir()), "A0001", "login")
    desk.place(next((day / "A0002" / "gpi").iterdir()), "A0002", "gpi")
    whole = next((day / "A0002" / "sdgi").iterdir())
    folder = desk.inbox / "A0002" / "sdgi"
    (folder / whole.name).write_bytes(whole.read_bytes()[:-40])
    (folder / f"{MARKED}.zip").write_bytes(b"")
    (desk.inbox / MARKED / MARKED).mkdir(parents=True)
    said = desk("sync", "--inbox", desk.inbox, "--at", MORNING, "--json")
    return desk, said.json


@pytest.fixture
def after_wrong_night(wrong_night: tuple[Desk, list[Any]], tmp_path: Path) -> Desk:
    """A copy, to change things in."""
    return Desk(engines.copied(wrong_night[0].root, tmp_path / "copy"))


def test_deliveries_and_lines_are_those_that_the_sync_told_of(wrong_night: tuple[Desk, list[Any]]) -> None:
    desk, reports = wrong_night
    found = figures(desk)
    listed = [r for r in reports if r["agency"] in ("A0001", "A0002", "A0003")]
    refused = {(r["system"], r["reason"]) for r in listed if r["outcome"] == "refused"}
    assert ("sdgi", "sdgi.zip_unreadable") in refused
    for system in ("spilasuite", "sdgi", "gpi", "login"):
        mine = [r for r in listed if r["system"] == system]
        for outcome in ("accepted", "replayed", "refused"):
            sample = f'depositaire_deliveries_last_day{{outcome="{outcome}",system="{system}"}}'
            assert found[sample] == sum(r["outcome"] == outcome for r in mine), sample
        for name in LINES:
            sample = f'depositaire_lines_last_day{{outcome="{name}",system="{system}"}}'
            tables = [t for r in mine if r["outcome"] == "accepted" for t in r["tables"].values()]
            assert found[sample] == sum(t.get(name, 0) for t in tables), sample
    assert found['depositaire_refusals_last_day{reason="sdgi.zip_unreadable",system="sdgi"}'] == 1


def test_lines_put_aside_are_a_share_of_those_read(night: Desk, first_sync: Said) -> None:
    found, reports = figures(night, "2026-01-05T12:00"), first_sync.json
    aside = 0
    for system in ("sdgi", "gpi", "login"):
        tables = [t for r in reports if r["system"] == system for t in r["tables"].values()]
        put_aside, read = (sum(t.get(n, 0) for t in tables) for n in ("quarantined", "read"))
        assert found[f'depositaire_quarantine_ratio{{system="{system}"}}'] == pytest.approx(put_aside / read)
        aside += put_aside
    assert aside > 0


def test_flows_are_late_when_nothing_was_accepted_for_so_long(wrong_night: tuple[Desk, list[Any]]) -> None:
    desk, _ = wrong_night
    flows = 'depositaire_flows{{freshness="{}",system="{}"}}'
    found = figures(desk, "2026-01-06T20:00")  # 38 hours after the first night, 14 after the second
    assert (found[flows.format("late", "gpi")], found[flows.format("ok", "gpi")]) == (1, 1)
    assert (found[flows.format("late", "sdgi")], found[flows.format("ok", "sdgi")]) == (2, 0)
    assert found['depositaire_flow_oldest_age_seconds{system="sdgi"}'] == 38 * 3600
    patient = told(desk("metrics", "--at", "2026-01-06T20:00", "--late-after", "39").out)
    assert patient[flows.format("late", "sdgi")] == 0


def test_a_flow_that_never_came_is_late_since_the_contract_began(desk: Desk) -> None:
    desk.open()
    found = figures(desk, "2026-01-05T12:00")
    assert found['depositaire_flows_never{system="sdgi"}'] == 2
    assert found['depositaire_flows{freshness="late",system="sdgi"}'] == 2
    began = datetime.fromisoformat("2023-07-20T00:00:00+02:00")
    age = (datetime.fromisoformat("2026-01-05T12:00:00+01:00") - began).total_seconds()
    assert found['depositaire_flow_oldest_age_seconds{system="sdgi"}'] == age


def test_an_erasure_is_due_at_the_closing_and_overdue_an_hour_later(after_wrong_night: Desk) -> None:
    desk = after_wrong_night
    names = ("due", "overdue", "held", "begun")

    def counted(at: str) -> tuple[float, ...]:
        found = figures(desk, at)
        return (
            *(found[f"depositaire_erasures_{n}"] for n in names),
            found["depositaire_erasure_oldest_overdue_seconds"],
        )

    assert counted("2026-01-13T23:59") == (0, 0, 0, 0, 0)
    assert counted("2026-01-14T00:30") == (1, 0, 0, 0, 0)
    assert counted("2026-01-14T02:00") == (1, 1, 0, 0, 7200)
    assert figures(desk, "2026-01-14T02:00")['depositaire_agencies{state="closed"}'] == 1
    assert desk("retention", "run", "--at", "2026-01-14T02:00").code == 0
    assert counted("2026-01-14T02:00") == (0, 0, 0, 0, 0)
    after = figures(desk, "2026-01-14T02:00")
    assert (after['depositaire_agencies{state="erased"}'], after['depositaire_agencies{state="running"}']) == (1, 2)
    assert after['depositaire_flows{freshness="late",system="spilasuite"}'] == 1


def test_the_night_is_the_one_that_dagster_knows(wrong_night: tuple[Desk, list[Any]]) -> None:
    found = figures(wrong_night[0])
    now = datetime.now(UTC).timestamp()
    ended, lasted = found["depositaire_night_ended_timestamp_seconds"], found["depositaire_night_duration_seconds"]
    assert 0 < lasted < 600
    assert now - 3600 < ended <= now
    assert found["depositaire_night_began_timestamp_seconds"] == pytest.approx(ended - lasted, abs=0.01)
    assert found['depositaire_night_runs{state="unfinished"}'] == 0
    assert found['depositaire_night_runs{state="succeeded"}'] == 1
    # To Dagster a run in which something was refused is a failed one.
    assert found['depositaire_night_runs{state="failed"}'] == 1


def test_no_figure_names_an_agency_a_delivery_or_a_person(wrong_night: tuple[Desk, list[Any]]) -> None:
    desk, reports = wrong_night
    assert any(MARKED in json.dumps(r, ensure_ascii=False) for r in reports)
    text = desk("metrics", "--at", NOON.isoformat()).out
    for mark in (
        "A0001",
        "A0002",
        "A0003",
        "OREE",
        "HELENE",
        "90403487300011",
        MARKED,
        "Dupont",
        "SDGI_",
        "GPIA",
        ".test",
    ):
        assert mark not in text
    labels = {
        (n, v) for line in text.split("\n") if not line.startswith("#") for n, v in re.findall(r'(\w+)="([^"]*)"', line)
    }
    for name, value in labels - {(n, v) for n, v in labels if n in ("reason", "version")}:
        assert value in LABELS[name], f"{name}={value}"
    known = {r["reason"] for r in reports if r["reason"]}
    assert {v for n, v in labels if n == "reason"} <= known


def test_a_reason_that_is_no_code_of_ours_is_not_repeated(after_wrong_night: Desk) -> None:
    desk = after_wrong_night
    strange = {"agency": "A0001", "system": MARKED, "delivery": MARKED, "day": None, "at": NOON.isoformat(),
               "outcome": "refused", "reason": MARKED, "run": "r", "report": "{}"}  # fmt: skip
    with House.open(Home.at(desk.home)) as house, house.writing() as db:
        db.execute(insert(JOURNAL), [strange])
    text = desk("metrics", "--at", NOON.isoformat()).out
    assert MARKED not in text
    assert told(text)['depositaire_refusals_last_day{reason="other",system="other"}'] == 1


def test_prometheus_has_nothing_to_say_against_the_figures(wrong_night: tuple[Desk, list[Any]]) -> None:
    text = wrong_night[0]("metrics", "--at", NOON.isoformat()).out
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_figures_as_json_are_the_same(wrong_night: tuple[Desk, list[Any]]) -> None:
    desk, _ = wrong_night
    said = desk("metrics", "--at", NOON.isoformat(), "--json").json
    ours = {s["name"]: s["value"] for s in said if not s["labels"] and "collect" not in s["name"]}
    plain = figures(desk)
    assert len(ours) > 5
    assert all(plain[name] == value for name, value in ours.items())


# -- what fails --------------------------------------------------------------------------------------------------------


def break_store(home: Home) -> None:
    engine.close_all()
    if engines.CLUSTERS:
        body = json.loads(home.store.read_bytes())
        home.store.write_text(json.dumps(body | {"address": "postgresql://127.0.0.1:1/nothing"}))
    else:
        home.house.rename(home.house.with_suffix(".away"))


def break_keys(home: Home) -> None:
    home.root_key.rename(home.root_key.with_suffix(".away"))


def break_dagster(home: Home) -> None:
    (home.dagster / "dagster.yaml").write_text(f"{MARKED}: [")


def break_inbox(home: Home) -> None:
    shutil.rmtree(home.root.parent / "inbox")
    with House.open(home) as house, house.writing() as db:
        for path in house.inboxes():
            if "inbox" in str(path) and not str(path).startswith(str(home.root.parent)):
                db.exec_driver_sql("DELETE FROM inbox" if not engines.CLUSTERS else "DELETE FROM house.inbox")
    with House.open(home) as house:
        house.remember_inbox(home.root.parent / "inbox")


BREAKS = {"store": break_store, "keys": break_keys, "dagster": break_dagster, "inbox": break_inbox}


@pytest.mark.parametrize("part", BREAKS)
def test_what_is_away_is_a_figure_and_the_others_stay(part: str, after_wrong_night: Desk) -> None:
    BREAKS[part](Home.at(after_wrong_night.home))
    said = after_wrong_night("metrics", "--at", NOON.isoformat())
    assert (said.code, said.err) == (0, "")
    assert MARKED not in said.out
    found = told(said.out)
    assert found[f'depositaire_up{{part="{part}"}}'] == 0
    assert {p for p in ("store", "keys", "dagster") if found[f'depositaire_up{{part="{p}"}}'] == 0} == {part} - {
        "inbox"
    }
    assert ("depositaire_erasures_due" in found) == (part != "store")
    assert ("depositaire_night_duration_seconds" in found) == (part != "dagster")


def test_a_key_provider_that_nobody_runs_is_down(wrong_night: tuple[Desk, list[Any]]) -> None:
    found = told(wrong_night[0]("metrics", "--provider", "127.0.0.1:1").out)
    assert found['depositaire_up{part="host"}'] == 0


def test_a_store_that_comes_back_is_measured_again(after_wrong_night: Desk) -> None:
    home = Home.at(after_wrong_night.home)
    measuring = Measuring(home)
    kept = home.store.read_bytes() if engines.CLUSTERS else b""
    before = told(measuring.text(NOON).decode())
    break_store(home)
    assert told(measuring.text(NOON).decode())['depositaire_up{part="store"}'] == 0
    assert not measuring.well
    if engines.CLUSTERS:
        home.store.write_bytes(kept)
        engine.close_all()
    else:
        home.house.with_suffix(".away").rename(home.house)
    after = told(measuring.text(NOON).decode())
    steady = {name for name in before if "collect" not in name}
    assert {n: after[n] for n in steady} == {n: before[n] for n in steady}


def test_what_a_journal_takes_in_later_is_counted_once(after_wrong_night: Desk) -> None:
    home = Home.at(after_wrong_night.home)
    measuring = Measuring(home)
    sample = 'depositaire_deliveries_last_day{outcome="accepted",system="gpi"}'
    before = told(measuring.text(NOON).decode())[sample]
    tables = {"T": {"read": 5, "stored": 5}}
    row = {"agency": "A0001", "system": "gpi", "delivery": "GPIA0001.000009", "day": None, "at": NOON.isoformat(),
           "outcome": "accepted", "reason": None, "run": "later", "report": json.dumps({"tables": tables})}  # fmt: skip
    with House.open(home) as house, house.writing() as db:
        db.execute(insert(JOURNAL), [row])
    for seconds in (1, 2):
        assert told(measuring.text(NOON + timedelta(seconds=seconds)).decode())[sample] == before + 1
    assert told(measuring.text(NOON + timedelta(hours=25)).decode())[sample] == 0


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@contextmanager
def served(measuring: Measuring, every: float = 0.2) -> Iterator[str]:
    page = Page(measuring, ("127.0.0.1", 0), lambda: NOON, every)
    page.start()
    ended = threading.Thread(target=page.wait)
    ended.start()
    try:
        yield "http://{}:{}".format(*page.address)
    finally:
        page.stop()
        ended.join(10)


def asked(address: str) -> tuple[int, bytes, Mapping[str, str]]:
    try:
        with urllib.request.urlopen(address, timeout=20) as page:
            return page.status, page.read(), dict(page.headers)
    except urllib.error.HTTPError as no:
        with no:
            return no.code, no.read(), dict(no.headers)


def until(address: str, code: int) -> bytes:
    for _ in range(200):
        found = asked(address)
        if found[0] == code:
            return found[1]
        threading.Event().wait(0.1)
    raise AssertionError(f"never {code}")


def test_the_page_serves_the_figures_and_says_whether_all_is_well(after_wrong_night: Desk) -> None:
    home = Home.at(after_wrong_night.home)
    with served(Measuring(home)) as address:
        code, text, headers = asked(f"{address}/metrics")
        assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert told(text.decode())['depositaire_up{part="store"}'] == 1
        assert until(f"{address}/healthz", 200) == b"well\n"
        assert asked(f"{address}/")[0] == 404
        break_keys(home)
        assert until(f"{address}/healthz", 503) == b"not well\n"
        assert told(asked(f"{address}/metrics")[1].decode())['depositaire_up{part="keys"}'] == 0


def test_a_part_that_hangs_keeps_nobody_waiting_and_is_found_out(after_wrong_night: Desk) -> None:
    hanging = threading.Event()
    calls = []

    def night(_: datetime) -> Night:
        calls.append(1)
        if len(calls) > 1:
            hanging.wait(60)
        return Night()

    try:
        with served(Measuring(Home.at(after_wrong_night.home), orchestrator=Orchestrator(night)), 1.0) as address:
            until(f"{address}/healthz", 200)
            until(f"{address}/healthz", 503)
            assert asked(f"{address}/metrics")[0] == 200
    finally:
        hanging.set()


def test_an_address_that_is_taken_is_said(wrong_night: tuple[Desk, list[Any]]) -> None:
    with served(Measuring(Home.at(wrong_night[0].home))) as address:
        said = wrong_night[0]("metrics", "--listen", address.removeprefix("http://"))
    assert said.code == 2
    assert "--listen names no address of this machine that is free" in said.err


def test_a_folder_that_is_no_home_is_said(tmp_path: Path) -> None:
    assert Desk(tmp_path)("metrics").code == 2
