"""A night that another machine runs is the same night; one that was stopped is gone on with by any."""

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines import sync
from pipelines.host.client import Served
from pipelines.premises import HostAway, NotAdmitted
from schemas.ids import AgencyCode, System
from store.house import House
from tests.functional.conftest import DAYS, RUN, Quiet, noon
from tests.functional.host.conftest import AGENCIES, Hosting, Site, check_logs, check_once, reports
from tests.postgres import Cluster

FILES = ("sdgi", "gpi")


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda r: [str(r[k]) for k in ("system", "agency", "delivery")])


def test_three_days_on_another_machine_are_those_of_the_host_byte_for_byte(
    hosting: Hosting, tmp_path: Path, cluster: Cluster
) -> None:
    alone, worker = Site(tmp_path / "alone", cluster), hosting.admit("worker-1")
    for day in DAYS:
        alone.day(day)
        hosting.site.day(day)
        theirs, ours = in_order(hosting.night(worker, day)), in_order(alone.sync(noon(day)))
        assert theirs == ours
        assert {r["system"] for r in theirs if r["outcome"] == "accepted"} >= {"spilasuite", "sdgi", "portal"}
        for agency in (*AGENCIES, None):
            assert hosting.site.exported(agency) == alone.exported(agency)
    for agency in AGENCIES:
        assert hosting.site.receipts(agency) == alone.receipts(agency) != []
    check_logs(hosting.site)


def test_what_came_before_is_replayed_whichever_machine_received_it(hosting: Hosting) -> None:
    hosting.site.day(DAYS[0])
    first, second = hosting.admit("first"), hosting.admit("second")
    assert {r["outcome"] for r in hosting.night(first, DAYS[0])} == {"accepted"}
    again = [*hosting.night(second, DAYS[0]), *hosting.site.sync(noon(DAYS[0]))]
    assert {r["outcome"] for r in again if r["system"] != "spilasuite"} == {"replayed"}
    check_once(hosting.site)


def test_a_worker_opens_no_file_of_the_host_and_the_check_would_see_it(hosting: Hosting) -> None:
    hosting.site.day(DAYS[0])
    worker = hosting.admit("worker-1")
    process = hosting.begin(worker, DAYS[0], forbidden=worker.root)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 9
    assert "the worker opened a file of the host" in err
    hosting.night(worker, DAYS[0])


def test_two_workers_and_the_host_at_once_receive_each_delivery_once(
    hosting: Hosting, crowd: Sequence[AgencyCode]
) -> None:
    running = [hosting.begin(hosting.admit(f"worker-{n}"), DAYS[0], *FILES) for n in (1, 2)]
    ours = hosting.site.sync(noon(DAYS[0]), hosting.systems(FILES), portal=False)
    theirs = [reports(process) for process in running]
    accepted = [(r["agency"], r["delivery"]) for each in (ours, *theirs) for r in each if r["outcome"] == "accepted"]
    assert len(accepted) == len(set(accepted)) == len(crowd) * len(FILES)
    assert {r["outcome"] for each in (ours, *theirs) for r in each} <= {"accepted", "replayed"}
    check_once(hosting.site, crowd)


def killed_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    time.sleep(seconds)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def run_trials(hosting: Hosting, crowd: Sequence[AgencyCode], days: Sequence[str], seed: int) -> None:
    """Each day a worker is killed at some instant of its night, and the other finishes it."""
    rng = random.Random(seed)
    one, other = hosting.admit("one"), hosting.admit("other")
    killed = 0
    for day in days:
        hosting.deliver(crowd, day, FILES)
        killed += killed_after(hosting.begin(one, day, *FILES), rng.uniform(0.0, 2.5))
        found = hosting.night(other, day, *FILES)
        assert {r["outcome"] for r in found} <= {"accepted", "replayed"}
        check_once(hosting.site, crowd)
    assert killed >= len(days) // 2, "most of the kills came too late to show anything"


def test_a_worker_killed_in_mid_night_is_replaced_by_another(hosting: Hosting, crowd: Sequence[AgencyCode]) -> None:
    run_trials(hosting, crowd, ("2026-01-05", "2026-01-06"), 1)


@pytest.mark.soak
def test_workers_killed_in_many_nights(hosting: Hosting, crowd: Sequence[AgencyCode]) -> None:
    run_trials(hosting, crowd, [f"2026-01-{n:02d}" for n in range(5, 25)], 2)


# -- the host is away --------------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_without_the_host_a_night_says_so_within_its_patience_and_resumes_later(hosting: Hosting) -> None:
    hosting.site.day(DAYS[0])
    worker, address = hosting.admit("worker-1"), hosting.address
    assert hosting.stop() == 0
    began = time.monotonic()
    process = hosting.begin(worker, DAYS[0])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 7
    assert "HostAway: the machine with the keys does not answer" in err
    assert time.monotonic() - began < 60
    hosting.serve(address)
    assert {r["outcome"] for r in hosting.night(worker, DAYS[0])} == {"accepted"}
    check_once(hosting.site)


@pytest.mark.parametrize("seconds", [0.3, pytest.param(1.2, marks=pytest.mark.soak)])
def test_a_host_killed_in_mid_night_loses_nothing(
    hosting: Hosting, crowd: Sequence[AgencyCode], seconds: float
) -> None:
    worker, address = hosting.admit("worker-1"), hosting.address
    process = hosting.begin(worker, DAYS[0], *FILES, patience=4)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    time.sleep(seconds)
    hosting.stop(signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (0, 7), err
    assert process.returncode == 0 or "HostAway" in err
    hosting.serve(address)
    found = hosting.night(worker, DAYS[0], *FILES)
    assert {r["outcome"] for r in found} <= {"accepted", "replayed"}
    check_once(hosting.site, crowd)


@pytest.mark.soak
def test_a_short_absence_of_the_host_is_waited_for(hosting: Hosting, crowd: Sequence[AgencyCode]) -> None:
    worker, address = hosting.admit("worker-1"), hosting.address
    hosting.stop()
    process = hosting.begin(worker, DAYS[0], *FILES)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    hosting.serve(address)
    assert {r["outcome"] for r in reports(process)} == {"accepted"}
    check_once(hosting.site, crowd)


# -- what only the host may do -----------------------------------------------------------------------------------------


def test_a_person_that_is_erased_by_a_workers_night_has_no_key_on_the_host(hosting: Hosting) -> None:
    worker = hosting.admit("worker-1")
    before = {a: hosting.zeros(a) for a in AGENCIES}
    for day in DAYS:
        hosting.site.day(day)
        hosting.night(worker, day)
    after = {a: hosting.zeros(a) for a in AGENCIES}
    assert before == dict.fromkeys(AGENCIES, 0)
    assert any(after.values()), "the samples erase somebody"


@pytest.mark.parametrize("no", [HostAway("away"), NotAdmitted("dismissed")], ids=["away", "dismissed"])
def test_a_host_that_goes_in_mid_night_stops_it_and_refuses_no_delivery(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch, no: Exception
) -> None:
    hosting.site.day(DAYS[0])
    night = sync.Night(hosting.admit("worker-1"), noon(DAYS[0]), hosting.site.inbox, (System.SDGI,))

    def gone(*_: Any, **__: Any) -> Any:
        raise no

    monkeypatch.setattr(Served, "keyring", gone)
    with pytest.raises(type(no)):
        sync.settle(night, System.SDGI, AGENCIES, Quiet(), RUN)
    with House.open(hosting.site.home) as house:
        assert house.journal() == []
    monkeypatch.undo()
    assert {r.outcome for r in sync.settle(night, System.SDGI, AGENCIES, Quiet(), RUN)} == {"accepted"}
