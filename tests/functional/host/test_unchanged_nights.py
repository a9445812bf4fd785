"""A worker notes what has not changed as the host does: without a key ring, and nothing once it has lost its hold."""

from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import generate, portfolio
from connectors.sdgi import Sdgi
from pipelines import sync
from pipelines.host.client import Served
from pipelines.premises import HostAway, NotAdmitted
from schemas.errors import TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Report
from store.agency import Shelf
from store.postgres.engine import PostgresEngine
from tests.functional.conftest import RUN, Quiet, noon
from tests.functional.host.conftest import Hosting, check_once
from tests.postgres import Cluster

SECOND = "2026-01-06"


@pytest.fixture
def worker(hosting: Hosting, crowd: Sequence[AgencyCode]) -> Home:
    """One that has received the first delivery of each, and finds a second one that says the same."""
    home = hosting.admit("worker-1")
    with home.settings.open("a", encoding="utf-8") as settings:
        settings.write("[night]\nfull_reading_days = 366\n")
    assert {r.outcome for r in night(home, hosting, crowd, "2026-01-05")} == {"accepted"}
    those = generate.agencies(20 * len(crowd), len(crowd))
    generate.deliver(System.SDGI, those, portfolio.AGAIN, hosting.site.inbox)
    return home


def night(home: Home, hosting: Hosting, crowd: Sequence[AgencyCode], day: str) -> list[Report]:
    of = sync.Night(home, noon(day), hosting.site.inbox, (System.SDGI, System.GPI))
    return [r for s in of.systems for r in sync.settle(of, s, crowd, Quiet(), f"{RUN} {day}")]


def second(home: Home, hosting: Hosting, crowd: Sequence[AgencyCode]) -> list[Report]:
    """What became of the second deliveries."""
    return [r for r in night(home, hosting, crowd, SECOND) if r.outcome != "replayed"]


def raising(no: Exception) -> Any:
    def raised(*_: Any, **__: Any) -> Any:
        raise no

    return raised


def test_it_opens_no_key_ring_for_what_has_not_changed(
    worker: Home, hosting: Hosting, crowd: Sequence[AgencyCode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Served, "keyring", raising(RuntimeError("a key ring was opened")))
    monkeypatch.setattr(Sdgi, "read", raising(RuntimeError("a delivery was read")))
    found = second(worker, hosting, crowd)
    assert [r.outcome for r in found] == ["accepted"] * len(crowd)
    assert {c.stored for r in found for c in r.tables.values()} == {0}
    check_once(hosting.site, crowd)
    for agency in crowd:
        with Shelf.known(hosting.site.home, agency) as shelf:
            assert {d.receipted for d in shelf.deliveries()} == {1}


@pytest.mark.parametrize("no", [HostAway("away"), NotAdmitted("dismissed")], ids=["away", "dismissed"])
def test_a_host_that_goes_stops_the_night_and_nothing_was_noted(
    worker: Home, hosting: Hosting, crowd: Sequence[AgencyCode], monkeypatch: pytest.MonkeyPatch, no: Exception
) -> None:
    monkeypatch.setattr(Served, "prover", raising(no))
    with pytest.raises(type(no)):
        second(worker, hosting, crowd)
    monkeypatch.undo()
    assert {r.outcome for r in second(worker, hosting, crowd)} == {"accepted"}
    check_once(hosting.site, crowd)


def test_where_the_host_gives_no_key_for_it_it_is_read(
    worker: Home, hosting: Hosting, crowd: Sequence[AgencyCode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Served, "prover", raising(TryAgain("the log has grown since it was read")))
    read: list[Any] = []
    real = Sdgi.read

    def reading(*told: Any) -> Any:
        read.extend(told[1])
        return real(*told)

    monkeypatch.setattr(Sdgi, "read", reading)
    assert [r.outcome for r in second(worker, hosting, crowd)] == ["accepted"] * len(crowd)
    assert len(read) == len(crowd)
    check_once(hosting.site, crowd)


def test_who_lost_its_hold_notes_nothing(
    worker: Home, hosting: Hosting, crowd: Sequence[AgencyCode], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = PostgresEngine.note_unchanged

    def cut_off(*told: Any) -> Any:
        with cluster.admin() as db:
            held = db.execute("SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory'").fetchall()
            for (pid,) in held:
                db.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        return note(*told)

    monkeypatch.setattr(PostgresEngine, "note_unchanged", cut_off)
    with pytest.raises(TryAgain, match="lost its hold"):
        second(worker, hosting, crowd)
    for agency in crowd:
        with Shelf.known(hosting.site.home, agency) as shelf:
            assert len(shelf.deliveries()) == 2, "one of each system"
    monkeypatch.undo()
    assert {r.outcome for r in second(worker, hosting, crowd)} == {"accepted"}
    check_once(hosting.site, crowd)
