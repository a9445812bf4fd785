"""A night shared by workers: each delivery is settled once, whoever is killed and whatever is started again."""

import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence

import dagster as dg
import pytest
from dagster import DagsterEventType
from sqlalchemy import make_url, select

from ledger.entry import Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.defs.address import Address
from pipelines.defs.interrupted import is_at_work, mend
from pipelines.defs.keys import sync_key
from pipelines.defs.launcher import HOST_QUEUE, QUEUE
from schemas.ids import AgencyCode
from store.house import JOURNAL, House
from store.keys import open_root
from tests.broker import Broker
from tests.distributed.conftest import SYSTEM, Site, free_port, kill, wait_for

DONE, FAILED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def finished(instance: dg.DagsterInstance, runs: Sequence[str]) -> bool:
    return all(status(instance, run) in (DONE, FAILED) for run in runs)


def processes(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The processes that were at a run."""
    told = (e.message for e in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT))
    return [m for m in told if m.startswith("Started process for run")]


def settled_once(site: Site) -> bool:
    """Every delivery was accepted, kept and receipted once. What was handed out again was found to be there."""
    with House.open(site.home) as house:
        rows = house.db.execute(select(JOURNAL.c.agency, JOURNAL.c.outcome)).all()
    accepted = Counter(agency for agency, outcome in rows if outcome == "accepted")
    assert {outcome for _, outcome in rows} <= {"accepted", "replayed"}
    assert accepted == Counter(dict.fromkeys(site.codes, 1))
    keys = LogKeys(site.home, open_root(site.home))
    for code in site.codes:
        entries = Log.at(site.home, AgencyCode(code), keys).read().entries
        assert sum(isinstance(e, Receipt) for e in entries) == 1, code
    return True


def test_two_workers_share_a_night(site: Site, instance: dg.DagsterInstance) -> None:
    site.worker("--hands", "1")
    site.worker("--hands", "1")
    runs = site.ask_for_everyone(instance)
    wait_for(lambda: finished(instance, runs))
    assert {status(instance, run) for run in runs} == {DONE}
    assert len({each for run in runs for each in processes(instance, run)}) == 2
    assert settled_once(site)
    assert instance.get_materialized_partitions(sync_key(SYSTEM)) == set(site.codes)


@pytest.mark.parametrize(
    "seconds", [pytest.param(0.0, marks=pytest.mark.soak), 0.7, pytest.param(1.4, marks=pytest.mark.soak)]
)
def test_what_a_killed_worker_had_is_settled_by_the_next_one(
    site: Site, instance: dg.DagsterInstance, seconds: float
) -> None:
    worker = site.worker("--hands", "1")
    run = site.ask(instance, site.codes)
    wait_for(lambda: status(instance, run) is dg.DagsterRunStatus.STARTED)
    time.sleep(seconds)
    kill(worker)
    wait_for(lambda: not is_at_work(site.home, run), 30)
    assert status(instance, run) is dg.DagsterRunStatus.STARTED, "nobody told Dagster"
    health = instance.run_launcher.check_run_worker_health(instance.get_runs()[0])
    assert health.status.value == "FAILED"
    assert mend(instance, site.home) == 1
    assert status(instance, run) is FAILED
    site.worker("--hands", "1")
    again = site.ask(instance, site.codes)
    wait_for(lambda: finished(instance, [again]))
    assert status(instance, again) is DONE
    assert settled_once(site)


def test_a_broker_that_is_killed_and_started_again_loses_and_doubles_nothing(
    site: Site, instance: dg.DagsterInstance, broker: Broker
) -> None:
    site.worker("--hands", "1")
    runs = site.ask_for_everyone(instance)
    wait_for(lambda: any(status(instance, run) is dg.DagsterRunStatus.STARTED for run in runs))
    broker.kill()
    time.sleep(2)
    assert not finished(instance, runs)
    broker.start()
    wait_for(lambda: finished(instance, runs))
    assert {status(instance, run) for run in runs} == {DONE}
    assert settled_once(site)


@pytest.mark.soak
def test_a_run_that_is_handed_out_twice_is_carried_out_once(site: Site, instance: dg.DagsterInstance) -> None:
    site.worker("--hands", "2")
    run = site.ask(instance, site.codes)
    site.hand_out(instance, run)
    later = site.ask(instance, site.codes[:1])
    wait_for(lambda: finished(instance, [run, later]))
    site.hand_out(instance, run)
    last = site.ask(instance, site.codes[:1])
    wait_for(lambda: finished(instance, [last]))
    assert {status(instance, each) for each in (run, later, last)} == {DONE}
    assert len(processes(instance, run)) == 1
    assert settled_once(site)


def test_what_the_broker_is_told_names_nobody_and_opens_nothing(
    site: Site, instance: dg.DagsterInstance, broker: Broker
) -> None:
    run = site.ask(instance, site.codes)
    told = broker.everything()
    assert run.encode() in told, "the search finds what is there"
    stored = Address.read(site.home)
    assert stored is not None
    password = make_url(stored.url).password
    assert password is not None
    forbidden = [*site.codes, str(site.home.root), str(site.inbox), password, "postgresql"]
    assert [word for word in forbidden if word.encode() in told] == []


def test_what_needs_the_homes_own_machine_waits_in_a_queue_of_its_own(
    site: Site, instance: dg.DagsterInstance, broker: Broker
) -> None:
    run = site.ask_to_clear(instance)
    assert (broker.waiting(HOST_QUEUE), broker.waiting(QUEUE)) == (1, 0)
    site.ask(instance, site.codes[:1])
    assert (broker.waiting(HOST_QUEUE), broker.waiting(QUEUE)) == (1, 1)
    site.worker("--hands", "1")
    wait_for(lambda: finished(instance, [run]))
    assert status(instance, run) is DONE


@pytest.mark.soak
def test_a_worker_that_is_told_to_stop_finishes_what_it_has(site: Site, instance: dg.DagsterInstance) -> None:
    worker = site.worker("--hands", "1")
    first, second = site.ask(instance, site.codes), site.ask(instance, site.codes[:1])
    wait_for(lambda: status(instance, first) is dg.DagsterRunStatus.STARTED)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0
    assert (status(instance, first), finished(instance, [second])) == (DONE, False)
    assert settled_once(site)
    site.worker("--hands", "1")
    wait_for(lambda: finished(instance, [second]))


def health(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as no:
        return no.code, no.read().decode()
    except OSError:
        return 0, ""


def test_a_worker_says_whether_it_is_well(site: Site, instance: dg.DagsterInstance, broker: Broker) -> None:
    port = free_port()
    site.worker("--hands", "1", "--listen-health", f"127.0.0.1:{port}")
    wait_for(lambda: health(port) == (200, "well\n"))
    broker.kill()
    assert health(port) == (503, "broker away\n")
    broker.start()
    assert health(port) == (200, "well\n")
