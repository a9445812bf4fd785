"""What it costs to carry out a run that finds nothing to do, by whom it is carried out: `python -m benchmarks.launching`.

- process: a new process for each run, as Dagster's default launcher starts it; the step in that process;
- workers: the run handed to a warm worker through Redis (`pipelines.defs.launcher`), the step in that process;
- steps: a new process for each run, its step handed to a warm worker through Redis (dagster-celery's executor).

Dagster's records are in PostgreSQL for all three. Processor time is that of every process of ours and of PostgreSQL.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.launcher import LaunchRunContext

from benchmarks.generate import agencies
from benchmarks.home import make
from benchmarks.server import cpu, serving
from pipelines.defs.address import Address
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.keys import SYNC_JOB, sync_key
from pipelines.defs.partitions import AGENCIES_TAG
from schemas.home import Home
from schemas.ids import System
from tests.broker import Broker

ROOT = Path(__file__).parents[1]
SYSTEM = System.SDGI
OF_OURS, ON_STEPS = "pipelines.defs.definitions", "benchmarks.on_steps"
ONE_RUN = (
    "import sys; from dagster import DagsterInstance; from dagster._cli.api import _execute_run_command_body as body\n"
    "with DagsterInstance.get() as instance: body(sys.argv[1], instance, lambda _: None, False)"
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launching", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args(arguments)
    found: dict[str, list[tuple[float, float]]] = {"process": [], "workers": [], "steps": []}
    with serving() as server, tempfile.TemporaryDirectory(prefix="depositaire-bench-") as folder:
        (Path(folder) / "broker").mkdir()
        broker = Broker(Path(folder) / "broker")
        try:
            home = make(Path(folder) / "home", agencies(20, 1, 1))
            write_instance(home, server.database(), broker.url)
            _environment(home)
            ways = {"process": _by_process, "workers": _by_workers, "steps": _by_steps}
            for _ in range(chosen.turns):
                for way, carry_out in ways.items():
                    with open_instance(home) as instance, _worker(way) as spent:
                        runs = [_made(instance, way) for _ in range(chosen.runs + 1)]
                        carry_out(instance, runs[:1])  # whatever is loaded once is loaded
                        wall, used = time.perf_counter(), _own() + spent() + cpu(server.postmaster)
                        carry_out(instance, runs[1:])
                        used = _own() + spent() + cpu(server.postmaster) - used
                        found[way].append((used / chosen.runs, (time.perf_counter() - wall) / chosen.runs))
                        print(way, found[way][-1], file=sys.stderr, flush=True)
        finally:
            broker.stop()
    print("| | CPU s a run | seconds a run | × workers |\n|---|---:|---:|---:|")
    middle = {way: sorted(each)[len(each) // 2] for way, each in found.items()}
    for way, (used, wall) in middle.items():
        print(f"| {way} | {used:.2f} | {wall:.2f} | {used / middle['workers'][0]:.1f} |")


def _environment(home: Home) -> None:
    stored = Address.read(home)
    assert stored is not None
    os.environ |= {
        **stored.environment(), "DAGSTER_HOME": str(home.dagster), "DEPOSITAIRE_HOME": str(home.root),
        "DEPOSITAIRE_LOG_LEVEL": "WARNING", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def _made(instance: dg.DagsterInstance, way: str) -> str:
    """A run of nobody's agencies that was handed out by Dagster's queue."""
    module = ON_STEPS if way == "steps" else OF_OURS
    job = ReconstructableRepository.for_module(module, "defs").get_reconstructable_job(SYNC_JOB)
    run = instance.create_run_for_job(
        job.get_definition().get_subset(asset_selection={sync_key(SYSTEM)}),
        tags={AGENCIES_TAG: ""},
        asset_selection=frozenset({sync_key(SYSTEM)}),
        job_code_origin=job.get_python_origin(),
    )
    starting = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
    instance.report_dagster_event(starting, run.run_id)
    return run.run_id


def _by_process(_: dg.DagsterInstance, runs: Sequence[str]) -> None:
    for run in runs:
        subprocess.run([sys.executable, "-c", ONE_RUN, run], cwd=ROOT, check=True)


def _by_workers(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    for run_id in runs:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.run_launcher.launch_run(LaunchRunContext(run, None))
    while not all(run.is_finished for run in _told(instance, runs)):
        time.sleep(0.1)
    assert all(run.is_success for run in _told(instance, runs))


def _told(instance: dg.DagsterInstance, runs: Sequence[str]) -> list[dg.DagsterRun]:
    return [run for run_id in runs if (run := instance.get_run_by_id(run_id)) is not None]


def _by_steps(instance: dg.DagsterInstance, runs: Sequence[str]) -> None:
    _by_process(instance, runs)
    assert all(run.is_success for run in _told(instance, runs))


@contextmanager
def _worker(way: str) -> Iterator[Callable[[], float]]:
    """A worker of one process for those who hand something to it. Yields what it has spent."""
    if way == "process":
        yield lambda: 0.0
        return
    module = "benchmarks.on_steps" if way == "steps" else "pipelines.defs.tasks"
    command = [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "-A",
        module,
        "worker",
        "-c",
        "1",
        "-Q",
        "dagster",
        "-l",
        "WARNING",
    ]
    child = subprocess.Popen([*command, "--without-mingle", "--without-gossip"], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield lambda: cpu(child.pid)
    finally:
        child.terminate()
        child.wait(60)


def _own() -> float:
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


if __name__ == "__main__":
    main()
