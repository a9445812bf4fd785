"""What Dagster adds to a night in which nothing changed, beside an empty run of the same job.

`python -m benchmarks.orchestrator [--agencies 50 1000] [--dagster postgresql]` makes a home, settles a first night
through the orchestrator, and then measures, each in a process of its own and after a run that brings everything into
memory: an empty run; a night of new archives with the old contents; and the same files once more. What the night itself
takes (`pipelines.sync.settle`, without those that listen to it) is taken off: the rest is the orchestrator's.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.generate import NIGHTS, agencies, deliver
from benchmarks.home import make, noon
from schemas.home import Home
from schemas.ids import System

ROOT = Path(__file__).parents[1]
PERSONS = 20  # an agency: what is measured is not the reading
SYSTEM = System.SDGI


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestrator", description=__doc__.splitlines()[0])
    parser.add_argument("--agencies", nargs="+", type=int, default=[50, 1000])
    parser.add_argument("--dagster", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.task:
        print(json.dumps(_measure(json.loads(chosen.task))))
        return
    print(
        "| agencies | night | events | whole, CPU s | Dagster, CPU s | ms an agency more than an empty run | × an empty run |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|")
    for number in chosen.agencies:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="depositaire-bench-")))
            server = None
            if chosen.dagster == "postgresql":
                from benchmarks.server import serving

                server = stack.enter_context(serving())
            _table(folder, number, chosen.runs, server)


def _table(folder: Path, number: int, runs: int, server: Any) -> None:
    those = agencies(PERSONS * number, number, 1)
    for name in ("first", "again"):
        deliver(SYSTEM, those, NIGHTS[name], folder / name)
    found: dict[str, list[dict[str, float]]] = {"empty": [], "unchanged": [], "replayed": []}
    for turn in range(runs):
        home = make(folder / f"home-{turn}", those)
        url = server.database() if server else None
        base = {"home": str(home.root), "url": url, "server": server.postmaster if server else 0}
        _child(base | {"what": "night", "inbox": str(folder / "first"), "night": "first"})
        found["empty"].append(_child(base | {"what": "empty"}))
        for kind in ("unchanged", "replayed"):
            found[kind].append(_child(base | {"what": "night", "inbox": str(folder / "again"), "night": "again"}))
        shutil.rmtree(home.root)
    empty = _middle(found["empty"])
    for kind, of in found.items():
        told = _middle(of)
        more = 1000 * (told["dagster"] - empty["dagster"]) / number
        print(
            f"| {number} | {kind} | {told['events']:.0f} | {told['cpu']:.2f} | {told['dagster']:.2f} | {more:.2f}"
            f" | {told['dagster'] / empty['dagster']:.2f} |",
            flush=True,
        )


def _middle(of: list[dict[str, float]]) -> dict[str, float]:
    return {name: sorted(each[name] for each in of)[len(of) // 2] for name in of[0]}


def _child(task: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.orchestrator", "--task", json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(task: dict[str, Any]) -> dict[str, float]:
    from pipelines import quality
    from pipelines.defs.instance import open_instance, write_instance
    from pipelines.defs.run import execute_sync
    from pipelines.sync import Night

    home = Home.at(Path(task["home"]))
    write_instance(home, task["url"])
    _empty(home)
    quality._suite(SYSTEM)
    inside = _watched()
    with open_instance(home) as instance:
        before = _events(instance)
    wall, cpu = time.perf_counter(), _cpu(task)
    if task["what"] == "empty":
        _empty(home)
    else:
        of = NIGHTS[task["night"]]
        reports = execute_sync(Night(home, noon(of), Path(task["inbox"]), (SYSTEM,)))
        assert {r.outcome for r in reports} <= {"accepted", "replayed"}
    cpu, wall = _cpu(task) - cpu, time.perf_counter() - wall
    with open_instance(home) as instance:
        told = _events(instance) - before
    return {"cpu": cpu, "dagster": cpu - inside["night"] + inside["desk"], "seconds": wall, "events": told}


def _watched() -> dict[str, float]:
    """Processor time of a night from now on, and of the desk that it tells, which is the orchestrator's."""
    from pipelines import sync
    from pipelines.defs.sync import _Desk

    inside = {"night": 0.0, "desk": 0.0}

    def timed(owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def run(*given: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return real(*given, **named)
            finally:
                inside[what] += time.process_time() - started

        setattr(owner, name, run)

    timed(sync, "settle", "night")
    for name in ("settled", "checked"):
        timed(_Desk, name, "desk")
    return inside


def _cpu(task: dict[str, Any]) -> float:
    """Of this process and of the database's server."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    own = used.ru_utime + used.ru_stime
    if not task["server"]:
        return own
    from benchmarks.server import cpu

    return own + cpu(task["server"])


def _events(instance: Any) -> int:
    """Events that speak of an agency."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
    from sqlalchemy import func, select

    with instance.event_log_storage.index_connection() as db:
        return int(db.scalar(select(func.count()).where(Events.c.partition.is_not(None))) or 0)


def _empty(home: Home) -> None:
    """The same job for nobody."""
    from pipelines.defs import run
    from pipelines.defs.door import SyncCommand
    from pipelines.defs.instance import open_instance
    from pipelines.defs.keys import SYNC_JOB, sync_key
    from pipelines.sync import Night

    door = SyncCommand(Night(home, noon(NIGHTS["first"]), None, (SYSTEM,)), lambda _: None)
    with open_instance(home) as instance:
        run._run(instance, SYNC_JOB, door, [sync_key(SYSTEM)], {})


if __name__ == "__main__":
    main()
