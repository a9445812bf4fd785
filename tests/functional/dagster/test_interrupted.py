"""A run whose process was killed is over; one that is at work is left alone."""

import subprocess
import sys
from pathlib import Path

import dagster as dg

from pipelines.defs.instance import open_instance
from pipelines.defs.interrupted import alive, mend
from schemas.ids import System
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import DAY, colours, prepare, settle

KILLED_AFTER_ITS_FIRST_DELIVERY = """
import os, signal, sys
from pathlib import Path
from schemas.ids import System
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import settle
kill = lambda report: os.kill(os.getpid(), signal.SIGKILL)
settle(Installation.on(Path(sys.argv[1])), systems=[System.GPI], progress=kill)
"""


def kill_a_night(root: Path) -> None:
    command = [sys.executable, "-c", KILLED_AFTER_ITS_FIRST_DELIVERY, str(root)]
    assert subprocess.run(command, cwd=Path(__file__).parents[3]).returncode == -9


def test_the_next_run_marks_a_killed_one_as_failed_and_finishes_its_work(tmp_path: Path) -> None:
    installation = prepare(tmp_path)
    installation.place_day(DAY)
    kill_a_night(tmp_path)
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


def test_a_run_at_work_is_left_alone(after: Installation, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.Definitions(jobs=[nothing]).resolve_job_def("nothing"))
    with alive(after.home, run.run_id):
        assert mend(instance, after.home) == 0
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert not found.is_finished
    assert list(after.home.locks.glob("run-*")) == []


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
