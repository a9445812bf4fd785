"""Workers on one home: a real broker, Dagster's records in a real PostgreSQL, `depositaire worker` as it is started."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.launcher import LaunchRunContext
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from benchmarks.generate import NIGHTS, agencies, deliver
from benchmarks.home import make, noon
from benchmarks.portfolio import Agency
from pipelines.defs.definitions import defs
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.keys import SYNC_JOB, sync_key
from pipelines.defs.partitions import AGENCIES_TAG, SYSTEM_TAG
from schemas.home import Home
from schemas.ids import System
from store.house import House
from tests import engines
from tests.broker import Broker, running
from tests.postgres import Cluster, at_hand

ROOT = Path(__file__).parents[2]
SYSTEM = System.SDGI
CLEARING = "clearing"
MANY, PERSONS, IN_A_RUN = 12, 400, 3


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with at_hand() as made:
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(tmp_path / "broker") as made:
        yield made


@pytest.fixture(scope="session")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Agency], Path]:
    """Agencies with a delivery each, in an inbox."""
    those = agencies(PERSONS * MANY, MANY, 1)
    inbox = tmp_path_factory.mktemp("portfolio") / "inbox"
    deliver(SYSTEM, those, NIGHTS["first"], inbox)
    return those, inbox


class Site:
    """One home whose runs go to workers."""

    def __init__(self, home: Home, codes: Sequence[str], inbox: Path) -> None:
        self.home, self.codes, self.inbox = home, codes, inbox
        self._workers: list[subprocess.Popen[bytes]] = []

    def worker(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """`depositaire worker`, in a session of its own: with everything that it starts it can be killed."""
        command = [sys.executable, "-c", "import sys; from portal.cli import main; sys.exit(main())", "worker"]
        started = subprocess.Popen(
            [*command, "--home", str(self.home.root), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            start_new_session=True,
        )
        self._workers.append(started)
        return started

    def ask(self, instance: dg.DagsterInstance, codes: Sequence[str]) -> str:
        """A run for these agencies, handed to the broker as the daemon does it. Returns its number."""
        run = self._made(instance, {AGENCIES_TAG: ",".join(codes), SYSTEM_TAG: str(SYSTEM)})
        # Dagster's queue says that a run is starting before it hands it on.
        starting = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
        instance.report_dagster_event(starting, run.run_id)
        self.hand_out(instance, run.run_id)
        return run.run_id

    def ask_to_clear(self, instance: dg.DagsterInstance) -> str:
        """A run of a job that needs the home's own machine."""
        job = defs().resolve_job_def(CLEARING)
        repository = ReconstructableRepository.for_module("pipelines.defs.definitions", "defs")
        origin = repository.get_reconstructable_job(CLEARING).get_python_origin()
        run = instance.create_run_for_job(job, job_code_origin=origin)
        starting = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
        instance.report_dagster_event(starting, run.run_id)
        self.hand_out(instance, run.run_id)
        return run.run_id

    def _made(self, instance: dg.DagsterInstance, tags: dict[str, str], remote: bool = False) -> dg.DagsterRun:
        job = defs().resolve_job_def(SYNC_JOB)
        repository = ReconstructableRepository.for_module("pipelines.defs.definitions", "defs")
        origin = repository.get_reconstructable_job(SYNC_JOB).get_python_origin()
        return instance.create_run_for_job(
            job.get_subset(asset_selection={sync_key(SYSTEM)}),
            tags={**job.run_tags, **tags},
            asset_selection=frozenset({sync_key(SYSTEM)}),
            job_code_origin=origin,
            remote_job_origin=_remote(self.home) if remote else None,
            status=dg.DagsterRunStatus.QUEUED if remote else None,
        )

    def hand_out(self, instance: dg.DagsterInstance, run_id: str) -> None:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.run_launcher.launch_run(LaunchRunContext(run, None))

    def queue(self, instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition) -> None:
        """What a tick of this schedule asks for, put where the daemon takes it from."""
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance, noon(NIGHTS["first"])))
        for request in tick.run_requests or ():
            self._queued(instance, dict(request.tags))

    def queue_for(self, instance: dg.DagsterInstance, codes: Sequence[str]) -> None:
        """A run for these agencies, put where the daemon takes it from."""
        self._queued(instance, {AGENCIES_TAG: ",".join(codes), SYSTEM_TAG: str(SYSTEM)})

    def _queued(self, instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
        run = self._made(instance, tags, remote=True)
        instance.report_dagster_event(
            DagsterEvent(event_type_value=DagsterEventType.PIPELINE_ENQUEUED.value, job_name=SYNC_JOB), run.run_id
        )

    def ask_for_everyone(self, instance: dg.DagsterInstance) -> list[str]:
        cuts = [self.codes[n : n + IN_A_RUN] for n in range(0, len(self.codes), IN_A_RUN)]
        return [self.ask(instance, cut) for cut in cuts]

    def stop(self) -> None:
        for each in self._workers:
            kill(each)


def _remote(home: Home) -> RemoteJobOrigin:
    """Where the daemon finds the job: in the one code location of its workspace."""
    module = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="pipelines.defs.definitions", working_directory=str(home.dagster)
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(module, "depositaire")
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), SYNC_JOB)


def kill(worker: "subprocess.Popen[bytes]") -> None:
    """At once, with everything that it started. Twice is once: a number is another process's as soon as it is free."""
    if worker.returncode is not None:
        return
    for pid in sessions_below(worker.pid):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    worker.wait()


def sessions_below(pid: int) -> list[int]:
    """A worker and the broker's client that it started: each leads a session."""
    told = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(int(child) for child in told)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


@pytest.fixture
def site(
    cluster: Cluster,
    broker: Broker,
    portfolio: tuple[list[Agency], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    those, inbox = portfolio
    home = make(tmp_path / "home", those, engines.store())
    write_instance(home, cluster.database(), broker.url)
    with House.open(home) as house:
        house.remember_inbox(inbox)
    monkeypatch.setenv("DEPOSITAIRE_HOME", str(home.root))
    made = Site(home, [a.code for a in those], inbox)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def instance(site: Site) -> Iterator[dg.DagsterInstance]:
    with open_instance(site.home) as opened:
        yield opened
