"""A run whose process was killed is over; one that is at work is left alone."""

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipelines.defs import telling
from pipelines.defs.instance import open_instance
from pipelines.defs.interrupted import alive, mend
from pipelines.defs.keys import sync_key
from schemas.home import Home
from schemas.ids import System
from store.house import House
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import DAY, colours, launched_on_the_page, prepare, settle

STOPPED_AFTER_ITS_FIRST_DELIVERY = """
import os, sys
from pathlib import Path
from schemas.ids import System
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import settle
stop = lambda report: os.kill(os.getpid(), int(sys.argv[2]))
settle(Installation.on(Path(sys.argv[1])), systems=[System.GPI], progress=stop)
"""


def stop_a_night(root: Path, by: signal.Signals) -> int:
    command = [sys.executable, "-c", STOPPED_AFTER_ITS_FIRST_DELIVERY, str(root), str(int(by))]
    return subprocess.run(command, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL, timeout=90).returncode


def test_the_next_run_marks_a_killed_one_as_failed_and_finishes_its_work(tmp_path: Path) -> None:
    installation = prepare(tmp_path)
    installation.place_day(DAY)
    assert stop_a_night(tmp_path, signal.SIGKILL) == -signal.SIGKILL
    with open_instance(installation.home) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.STARTED, "nobody told Dagster"
        settle(installation, systems=[System.GPI])
        killed, next_one = instance.get_run_by_id(run.run_id), instance.get_runs(limit=1)[0]
        assert killed is not None
        assert killed.status is dg.DagsterRunStatus.FAILURE
        assert next_one.status is dg.DagsterRunStatus.SUCCESS
        assert colours(instance, System.GPI) == {"A0001": "green", "A0002": "green", "A0003": "grey"}
    assert list(installation.home.locks.glob("run-*")) == []


def test_a_run_stopped_from_the_keyboard_ends_at_once_and_says_so(tmp_path: Path) -> None:
    installation = prepare(tmp_path)
    installation.place_day(DAY)
    assert stop_a_night(tmp_path, signal.SIGINT) == -signal.SIGINT
    with open_instance(installation.home) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
    assert {r.outcome for r in settle(installation, systems=[System.GPI])} <= {"accepted", "replayed"}


def test_the_daemon_waits_for_a_silent_source_and_the_command_line_does_not(
    after: Installation, instance: dg.DagsterInstance, at_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PAUSE_SECONDS", 0)
    after.set_source("A0001", after.inbox / "gone.sqlite")
    (report,) = settle(after, systems=[System.SPILASUITE], agencies=["A0001"])
    assert report.reason == "source.unreachable"
    assert waits(instance) == 0
    launched_on_the_page(instance, sync_key(System.SPILASUITE), {"dagster/partition": "A0001"}, succeeds=False)
    assert waits(instance) == telling.RETRIES
    assert colours(instance, System.SPILASUITE)["A0001"] == "red"


def test_what_would_be_refused_again_is_not_tried_again(
    after: Installation, instance: dg.DagsterInstance, at_home: Home
) -> None:
    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    launched_on_the_page(instance, sync_key(System.GPI), {"dagster/partition": "A0002"}, succeeds=False)
    assert waits(instance) == 0


def waits(instance: dg.DagsterInstance) -> int:
    """How often the newest run was put off."""
    (run,) = instance.get_runs(limit=1)
    return len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))


def test_a_run_at_work_is_left_alone(after: Installation, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.Definitions(jobs=[nothing]).resolve_job_def("nothing"))
    with alive(after.home, run.run_id):
        assert mend(instance, after.home) == 0
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert not found.is_finished
    assert list(after.home.locks.glob("run-*")) == []


@pytest.mark.files
def test_a_storage_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    installation = prepare(tmp_path)
    half = installation.home.dagster / "half-made-by-somebody-killed"
    half.mkdir()
    with open_instance(installation.home) as instance:
        assert instance.get_runs() == []
    made = {p.name for p in installation.home.dagster.iterdir()}
    assert made == {"dagster.yaml", "workspace.yaml", "history", "schedules"}


@dg.job
def nothing() -> None: ...
