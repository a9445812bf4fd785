"""Nights of many agencies on all four systems, as `depositaire sync` runs them: `python -m benchmarks.thousands --help`.

Of each number of agencies, four nights, each the command itself with the processes that it starts, their CPU, the
database server's, the most memory that all of them had at once (looked at ten times a second), and one run of Dagster:

- **first**: everything is new;
- **again**: new files that say what the last ones said (SpiLaSuite: its views, where nothing moved);
- **tenth**: the same, but for a tenth of the agencies, of which one line in a hundred is another;
- **replayed**: the files of that night once more.

Every report is looked at: a night with a delivery that was not to be expected is no measurement. `benchmarks.plot` draws
what `--to` writes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks import home as homes
from benchmarks.generate import agencies, deliver
from benchmarks.portfolio import FIRST, Agency, Night
from benchmarks.server import cpu as served, serving
from pipelines.defs.run import write_instance
from schemas.ids import AGENCY_SYSTEMS, System
from tests.postgres import Cluster

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from portal.cli import main; sys.exit(main())"
COLUMNS = ("agencies", "night", "deliveries", "s", "CPU s", "of the server", "ms CPU a delivery", "peak MiB")
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _arguments(arguments)
    print(f"| {' | '.join(COLUMNS)} |\n|--:|---|{'--:|' * (len(COLUMNS) - 2)}", flush=True)
    found: list[Figures] = []
    for count in chosen.agencies:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.where, prefix="depositaire-bench-"))
            server = stack.enter_context(serving()) if chosen.store == "postgresql" else None
            told = ["--memory", chosen.memory, *(["--processes", str(chosen.processes)] if chosen.processes else [])]
            nights = _nights(Path(folder), agencies(chosen.persons * count, count), server, told)
            for figures in islice(nights, 1 if chosen.first else None):
                found.append(figures | {"store": chosen.store, "persons": chosen.persons})
                print(f"| {' | '.join(str(figures[name]) for name in COLUMNS)} |", flush=True)
                if chosen.to:
                    chosen.to.write_text(json.dumps(found, indent=1))


def _nights(folder: Path, those: list[Agency], server: Cluster | None, told: list[str]) -> Iterable[Figures]:
    home = homes.make(folder / "home", those, server.database() if server else None)
    write_instance(home)
    sources = folder / "sources"
    moved = those[::10]
    plan: tuple[tuple[str, int, list[Agency]], ...] = (("first", 1, []), ("again", 2, []), ("tenth", 3, moved))
    for name, number, changed in plan:
        inbox = folder / "inbox" / name
        send(those, {a.code for a in changed}, number, inbox, sources)
        if name == "first":
            homes.point(home, sorted(sources.glob(f"*/{System.SPILASUITE}/*")))
        yield _night(home.root, inbox, name, number, len(those), len(changed), server, told)
        if name != "tenth":
            shutil.rmtree(inbox)
    yield _night(home.root, folder / "inbox" / "tenth", "replayed", 3, len(those), 0, server, told)


def send(those: list[Agency], changed: set[str], number: int, inbox: Path, sources: Path) -> None:
    """The files of one night; of all `those`, some `changed`."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_of_one, those, (a.code in changed for a in those), repeat(number), repeat(inbox), repeat(sources),
                      chunksize=20))  # fmt: skip


def _of_one(agency: Agency, changed: bool, number: int, inbox: Path, sources: Path) -> None:
    """A view is written where something moved; a file is sent every night."""
    night = Night(number, version=1, share=0.01) if changed else replace(FIRST, number=number)
    for system in AGENCY_SYSTEMS:
        if system is not System.SPILASUITE:
            deliver(system, [agency], night, inbox)
        elif number == 1 or changed:
            (path,) = deliver(system, [agency], night, sources)
            path.replace(path.with_name("source.sqlite"))


def _night(
    home: Path, inbox: Path, name: str, number: int, count: int, changed: int, server: Cluster | None, told: list[str]
) -> Figures:
    noon = homes.noon(replace(FIRST, number=number)).isoformat()
    command = [sys.executable, "-c", COMMAND, "sync", "--home", str(home), "--json", "--at", noon]
    command += ["--inbox", str(inbox), *told]
    before, wall = served(server.postmaster) if server else 0.0, time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out)
        with _looked_at(process.pid) as peak:
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - wall
        out.seek(0)
        reports = json.load(out)
    after = served(server.postmaster) if server else 0.0
    _check(reports, name, count, changed)
    cpu = used.ru_utime + used.ru_stime
    each = 1000 * (cpu + after - before) / len(reports)
    row = (count, name, len(reports), round(seconds, 1), round(cpu, 1), round(after - before, 1), round(each, 2),
            max(peak) >> 20)  # fmt: skip
    return dict(zip(COLUMNS, row, strict=True))


@contextmanager
def _looked_at(pid: int) -> Iterator[list[int]]:
    """Bytes in memory of a process and of all that it started, now and then; pages that they share are counted twice."""
    found, ended = [0], Event()

    def look() -> None:
        while not ended.wait(0.1):
            found.append(_resident(pid))

    looking = Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


def _resident(pid: int) -> int:
    here = Path(f"/proc/{pid}")
    try:
        own = int((here / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        started = [int(child) for each in here.glob("task/*/children") for child in each.read_text().split()]
    except OSError:  # it has ended
        return 0
    return own + sum(_resident(child) for child in started)


def _check(reports: list[dict[str, Any]], name: str, count: int, changed: int) -> None:
    """One report an agency and system, as they should be; lines only where something moved."""
    outcomes = Counter((r["outcome"], r["reason"]) for r in reports)
    whose = Counter((r["agency"], r["system"]) for r in reports)
    stored = Counter(r["agency"] for r in reports if any(t["stored"] for t in r["tables"].values()))
    wanted = {"first": count, "again": 0, "tenth": changed, "replayed": 0}[name]
    kinds = {"replayed", "accepted"} if name == "replayed" else {"accepted"}
    if (
        {o for o, _ in outcomes} - kinds
        or len(whose) != len(reports)
        or len(whose) != 4 * count
        or len(stored) != wanted
    ):
        raise SystemExit(f"{name}: not what was to be measured: {outcomes}, {len(whose)} flows, {len(stored)} wrote")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thousands", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agencies", nargs="+", type=int, default=(50, 500, 5_000))
    parser.add_argument("--persons", type=int, default=200, help="of each agency (default: 200)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--memory", default="1.5GiB", help="as of `depositaire sync`")
    parser.add_argument("--processes", type=int, help="as of `depositaire sync`")
    parser.add_argument("--first", action="store_true", help="the first night only")
    parser.add_argument("--where", type=Path, help="folder for deliveries and homes (default: the system's own)")
    parser.add_argument("--to", type=Path, help="write every figure to this file (JSON)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
