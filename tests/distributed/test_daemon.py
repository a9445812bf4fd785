"""Dagster's own daemon over workers: it cuts a night into runs, hands them out, and has those of a lost worker begun
again."""

import os
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from pipelines.defs import partitions
from pipelines.defs.schedules import SCHEDULES
from pipelines.defs.serve import told
from tests.distributed.conftest import ROOT, SYSTEM, Site, kill, wait_for
from tests.distributed.test_workers import DONE, FAILED, settled_once

NIGHTLY = f"nightly_{SYSTEM}"


@pytest.fixture
def daemon(site: Site) -> Iterator[None]:
    """As `depositaire up` starts it, but without the page, and looking oftener."""
    settings = site.home.dagster / "dagster.yaml"
    text = settings.read_text().replace("poll_interval_seconds: 20", "poll_interval_seconds: 2")
    text = text.replace("max_concurrent_runs: 8", "max_concurrent_runs: 2")
    settings.write_text(text)
    child = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
        env={**os.environ, **told(site.home), "PYTHONPATH": str(ROOT)},
        cwd=site.home.dagster,
        start_new_session=True,
    )
    try:
        yield
    finally:
        kill(child)


@pytest.mark.soak
def test_runs_of_a_lost_worker_are_begun_again_until_the_night_is_complete(
    site: Site, instance: dg.DagsterInstance, daemon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "SLICE", 6)
    lost = site.worker("--hands", "1")
    site.worker("--hands", "1")
    schedule = next(s for s in SCHEDULES if s.name == NIGHTLY)
    site.queue(instance, schedule)
    wait_for(lambda: len(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))) == 2)
    kill(lost)
    wait_for(lambda: ended(instance), 300)
    runs = instance.get_runs()
    again = [run for run in runs if PARENT_RUN_ID_TAG in run.tags]
    assert [run.status for run in runs].count(FAILED) == len(again) == 1
    assert {run.status for run in again} == {DONE}
    assert len(runs) - len(again) == 2
    assert settled_once(site)


def ended(instance: dg.DagsterInstance) -> bool:
    """Every run is over, and whatever failed was asked for again."""
    runs = instance.get_runs()
    failed = {run.run_id for run in runs if run.status is FAILED}
    return all(run.is_finished for run in runs) and failed <= {run.tags.get(PARENT_RUN_ID_TAG) for run in runs}
