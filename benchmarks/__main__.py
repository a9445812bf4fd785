"""`make bench`: what a night costs, connector by connector, beside pandas reading the same files.

Every figure comes from a process of its own. Deliveries are made up for the run and removed after it; results go to
stdout as tables and to benchmarks/results/ as JSON. docs/benchmarks.md says what is compared with what.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import WHAT, parts, tables
from benchmarks.server import serving

SYSTEMS = ("sdgi", "gpi", "login", "spilasuite")
SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
QUICK = (2_000,)
NIGHTS = ("first", "again", "changed")
ROOT = Path(__file__).parents[1]
if TYPE_CHECKING:
    from tests.postgres import Cluster

Results = dict[str, dict[str, list[dict[str, Any]]]]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _arguments(arguments)
    started = datetime.now(UTC)
    results: Results = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.where, prefix="depositaire-bench-"))
        server = stack.enter_context(serving()) if chosen.store == "postgresql" else None
        for system, persons in _plan(chosen):
            title = f"{system}, {persons:,} persons in " + (
                "one agency" if chosen.agencies == 1 else f"{chosen.agencies:,} agencies"
            )
            results[title] = _measured(chosen, system, persons, Path(folder) / f"{system}-{persons}", server)
            print("\n".join(tables({title: results[title]})), flush=True)
            for night in NIGHTS if chosen.stages else ():
                for run in results[title].get(night, [])[:1]:
                    print(f"{title}, {WHAT[night]}, by stage\n\n{parts(run['stages'])}\n", flush=True)
    print(f"written: {_keep(chosen, results, started)}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument(
        "--sizes", nargs="+", type=int, metavar="PERSONS", help="default: 1000 10000 100000, and a million for sdgi"
    )
    parser.add_argument("--agencies", type=int, default=1, help="that share the persons (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(WHAT), default=list(WHAT), help="which measurements")
    parser.add_argument("--runs", type=int, help="of each measurement (default: 3, and 1 from 100,000 persons on)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite", help="where nights keep records")
    parser.add_argument("--quick", action="store_true", help="one small size, one run")
    parser.add_argument("--stages", action="store_true", help="also where the time of a night goes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--where", type=Path, help="folder for deliveries and homes (default: the system's own)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args(arguments)


def _plan(chosen: argparse.Namespace) -> Iterator[tuple[str, int]]:
    for persons in chosen.sizes or (QUICK if chosen.quick else SIZES):
        for system in chosen.systems:
            yield system, persons
    if not chosen.sizes and not chosen.quick and "sdgi" in chosen.systems:
        yield "sdgi", MILLION


def _measured(
    chosen: argparse.Namespace, system: str, persons: int, folder: Path, server: "Cluster | None"
) -> dict[str, list[dict[str, Any]]]:
    """All measurements of one system and size, `runs` times; its files are gone afterwards."""
    runs = chosen.runs or (1 if chosen.quick or persons >= 100_000 else 3)
    base = {"system": system, "persons": persons, "agencies": chosen.agencies, "seed": chosen.seed}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen.only}
    # A night needs the ones before it.
    nights = NIGHTS[: 1 + max((NIGHTS.index(n) for n in chosen.only if n in NIGHTS), default=-1)]
    try:
        _child(base | {"what": "generate", "nights": nights or NIGHTS[:1], "inbox": str(folder)})
        for turn in range(runs):
            for what in (w for w in ("pandas", "read") if w in found):
                found[what].append(_child(base | {"what": what, "inbox": str(folder / "first")}))
            url = ""
            for night in nights:
                home, inbox = folder / f"home-{turn}", folder / night
                task = {
                    "what": "night",
                    "night": night,
                    "home": str(home),
                    "inbox": str(inbox),
                    "stages": chosen.stages,
                }
                if server is not None:
                    url = url or server.database()
                    task |= {"store": url, "server": server.postmaster}
                told = _child(base | task)
                if night in found:
                    found[night].append(told)
            shutil.rmtree(folder / f"home-{turn}", ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _child(task: dict[str, Any]) -> dict[str, Any]:
    """One measurement in a process of its own."""
    said = f"{task['system']}, {task['persons']:,} persons: {task['what']} {task.get('night', '')}".rstrip()
    print(said, end=" … ", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{result['seconds']:.2f} s", file=sys.stderr, flush=True)
    return result


def _keep(chosen: argparse.Namespace, results: Results, started: datetime) -> Path:
    chosen.out.mkdir(parents=True, exist_ok=True)
    path: Path = chosen.out / f"{started:%Y%m%dT%H%M%SZ}.json"
    machine = {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    path.write_text(json.dumps({"started": started.isoformat(), "machine": machine, "results": results}, indent=1))
    return path


if __name__ == "__main__":
    main()
