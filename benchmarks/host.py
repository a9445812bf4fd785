"""What a night costs on another machine: keys and logs through the host, beside the same night on the host itself.

    python -m benchmarks.host [--agencies 40] [--persons 200] [--runs 3]

Host, worker and PostgreSQL are on this machine, so the network takes next to no time: what is measured is the work of asking and
answering. Each night has a process of its own; the two ways take turns, each on a home of its own. `CPU` is that of the night's
process and, for the worker, of the host too.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.generate import agencies, deliver
from benchmarks.home import make, night
from benchmarks.portfolio import AGAIN, FIRST
from benchmarks.server import serving
from schemas.home import Home
from schemas.ids import System

NIGHTS = {"first": FIRST, "replayed": FIRST, "again": AGAIN}
WHAT = {
    "first": "first night", "replayed": "the same files again", "again": "new files, nothing changed",
}  # fmt: skip
ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(task: dict[str, Any]) -> dict[str, float]:
    """One night, in this process."""
    of, inbox = NIGHTS[task["night"]], Path(task["inbox"])
    home = Home.at(Path(task["home"]))
    night(home, inbox / "nothing", System.SDGI, of)  # what is set up once a process
    wall, cpu = time.perf_counter(), time.process_time()
    reports = night(home, inbox / task["folder"], System.SDGI, of)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "reports": len(reports)}


def _apart(task: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.host", "--measure", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _host(home: Home) -> Iterator[int]:
    command = [str(Path(sys.executable).parent / "depositaire"), "--home", str(home.root), "--json"]
    serve = ("host", "serve", "--listen", "127.0.0.1:0")
    process = subprocess.Popen([*command, *serve], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.terminate()
        process.communicate()


def _spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _run(folder: Path, count: int, persons: int, url: str, way: str) -> Iterator[tuple[str, dict[str, float]]]:
    """The three nights of one home, one after the other."""
    from pipelines.host import admission
    from store.keys import open_root

    home = make(folder / "home", agencies(count * persons, count), url)
    task = {"inbox": str(folder.parent / "inbox"), "home": str(home.root)}
    with _host(home) as host:
        if way == "worker":
            admission.admit(home, open_root(home), "worker", folder / "worker", None, datetime.now(UTC))
            task["home"] = str(folder / "worker")
        for name, of in NIGHTS.items():
            before = _spent(host)
            found = _apart(task | {"night": name, "folder": str(of.number)})
            yield name, found | {"host": _spent(host) - before}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description="A night on another machine")
    parser.add_argument("--agencies", type=int, default=40)
    parser.add_argument("--persons", type=int, default=200, help="of each agency")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(json.loads(given.measure))))
        return
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with TemporaryDirectory(prefix="dep") as name, serving() as server:
        folder = Path(name)
        (folder / "inbox" / "nothing").mkdir(parents=True)
        for of in (FIRST, AGAIN):
            deliver(
                System.SDGI,
                agencies(given.agencies * given.persons, given.agencies),
                of,
                folder / "inbox" / str(of.number),
            )
        for run in range(given.runs):
            for way in ("host", "worker"):
                (folder / f"{way}-{run}").mkdir()
                for which, figures in _run(
                    folder / f"{way}-{run}", given.agencies, given.persons, server.database(), way
                ):
                    found.setdefault((which, way), []).append(figures)
    print(
        f"{given.agencies} agencies of {given.persons} persons (SDGI), milliseconds an agency, medians of {given.runs}"
    )
    print(f"{'':30}{'on':8}{'wall':>8}{'CPU':>8}{'of the host':>14}")
    for which in NIGHTS:
        for way in ("host", "worker"):
            each = found[which, way]
            wall, cpu, host = (median(f[key] for f in each) * 1000 / given.agencies for key in ("wall", "cpu", "host"))
            print(f"{WHAT[which]:30}{way:8}{wall:8.1f}{cpu:8.1f}{host if way == 'worker' else 0:14.1f}")


if __name__ == "__main__":
    main()
