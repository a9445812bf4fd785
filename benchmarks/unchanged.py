"""What a night costs in which every agency sends what it sent before: `python -m benchmarks.unchanged --help`.

Beside it, in processes of their own and on the same files: the same night read in full, and the floor, a script that
reads each file, hashes it, unfolds it and counts its lines, and keeps nothing. The second night follows the first one, as
in docs/benchmarks.md; one agency in twenty-eight would be read in full on any day, and is not here unless
`--as-it-runs`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.generate import agencies, deliver
from benchmarks.portfolio import FIRST, Night
from benchmarks.server import serving
from schemas.ids import System

ROOT = Path(__file__).parents[1]
SYSTEMS = (System.SDGI, System.GPI, System.LOGIN)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _arguments(arguments)
    print(
        f"| {'system':10} | agencies | persons | engine     | ms CPU: floor | short cut | in full | × floor | s by the clock |"
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.where, prefix="depositaire-bench-")))
        server = stack.enter_context(serving()) if chosen.store == "postgresql" else None
        for system in chosen.systems:
            for count in chosen.agencies:
                task = {
                    "system": str(system),
                    "agencies": count,
                    "persons": chosen.persons * count,
                    "every": chosen.as_it_runs,
                }
                place = folder / f"{system}-{count}"
                if server is not None:
                    task |= {"store": server.database(), "server": server.postmaster}
                _measured(task, place, chosen.runs)


def _measured(task: dict[str, Any], place: Path, runs: int) -> None:
    """The first night, then as many others as are measured, by turns."""
    number = 1
    found: dict[str, list[dict[str, Any]]] = {"floor": [], "short": [], "full": []}
    _child(task | {"what": "deliver", "number": 1, "inbox": str(place / "1")})
    _child(task | {"what": "full", "number": 1, "inbox": str(place / "1"), "home": str(place / "home")})
    for _ in range(runs):
        for what in ("short", "full"):
            number += 1
            told = task | {"number": number, "inbox": str(place / str(number)), "home": str(place / "home")}
            _child(told | {"what": "deliver"})
            if what == "short":
                found["floor"].append(_child(told | {"what": "floor"}))
            found[what].append(_child(told | {"what": what}))
    n = task["agencies"]
    cpu = {what: statistics.median(r["cpu"] + r["server"] for r in each) for what, each in found.items()}
    figures = " | ".join(f"{1000 * cpu[what] / n:9.2f}" for what in ("floor", "short", "full"))
    clock = statistics.median(r["seconds"] for r in found["short"])
    engine = "postgresql" if "store" in task else "sqlite"
    ratio = cpu["short"] / cpu["floor"]
    print(
        f"| {task['system']:10} | {n:8} | {task['persons']:7} | {engine:10} | {figures} | {ratio:6.2f} | {clock:6.2f} |",
        flush=True,
    )


def _child(task: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.unchanged", "--child", json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{task['system']} {task['agencies']} {task['what']} {task['number']}: {told}", file=sys.stderr, flush=True)
    return told


# -- in a process of its own -------------------------------------------------------------------------------------------


def _run(task: dict[str, Any]) -> dict[str, Any]:
    system, those = System(task["system"]), agencies(task["persons"], task["agencies"])
    night, inbox = replace(FIRST, number=task["number"]), Path(task["inbox"])
    if task["what"] == "deliver":
        deliver(system, those, night, inbox)
        return {}
    work = _floor(system, inbox) if task["what"] == "floor" else _night(task, system, those, night, inbox)
    from benchmarks.server import cpu as served

    server = served(task["server"]) if "server" in task else 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    told = work()
    seconds, spent = time.perf_counter() - wall, time.process_time() - cpu
    server = served(task["server"]) - server if "server" in task else 0.0
    return {"seconds": round(seconds, 3), "cpu": round(spent, 4), "server": round(server, 4), **told}


def _floor(system: System, inbox: Path) -> Any:
    from benchmarks import floor

    def work() -> dict[str, Any]:
        return {"lines": sum(floor.READERS[system](path) for path in sorted(inbox.glob(f"*/{system}/*")))}

    return work


def _night(task: dict[str, Any], system: System, those: Sequence[Any], night: Night, inbox: Path) -> Any:
    from benchmarks import home as homes
    from pipelines import quality, unchanged
    from schemas.home import Home

    root = Path(task["home"])
    home = Home.at(root) if root.exists() else homes.make(root, those, task.get("store"))
    quality._suite(system)
    unchanged.code()
    if not task["every"]:
        unchanged.is_due_in_full = lambda *_: False

    def work() -> dict[str, Any]:
        reports = homes.night(home, inbox, system, night, short_cut=task["what"] == "short")
        if {r.outcome for r in reports} != {"accepted"} or len(reports) != len(those):
            raise SystemExit(f"not what was to be measured: {[r.reason for r in reports][:3]}")
        return {"lines": sum(c.read for r in reports for c in r.tables.values())}

    if "profile" in task:
        return _profiled(work, task["profile"])
    return work


def _profiled(work: Any, path: str) -> Any:
    import cProfile

    def around() -> dict[str, Any]:
        profile = cProfile.Profile()
        told: dict[str, Any] = profile.runcall(work)
        profile.dump_stats(path)
        return told

    return around


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unchanged", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", nargs="+", type=System, choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--agencies", nargs="+", type=int, default=(50,))
    parser.add_argument("--persons", type=int, default=200, help="of each agency")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement; medians are told")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--as-it-runs", action="store_true", help="with those that are read in full that day")
    parser.add_argument("--where", type=Path, help="folder for deliveries and homes (default: the system's own)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_run(json.loads(sys.argv[2]))))
    else:
        main()
