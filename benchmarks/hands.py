"""Threads against processes: one first night of many agencies, settled by one process alone, by threads of one process,
and by processes (`pipelines.crew`): `python -m benchmarks.hands --help`.

Each on a home of its own; wall seconds, CPU of all processes of ours and of the server. What the two processes need to
start is counted, about three seconds of CPU each; the one that measures has what it needs.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from benchmarks import home as homes
from benchmarks.generate import agencies, deliver
from benchmarks.portfolio import FIRST
from benchmarks.server import cpu as served, serving
from pipelines import crew, sync
from pipelines.night import Night
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Report

RUN = "benchmark"
Settle = Callable[[Night, System, list[AgencyCode]], list[Report]]


def alone(night: Night, system: System, codes: list[AgencyCode]) -> list[Report]:
    return sync.settle_share(night, system, codes, homes.Nobody(), RUN)


def by_threads(night: Night, system: System, codes: list[AgencyCode]) -> list[Report]:
    with ThreadPoolExecutor(2) as pool:
        parts = [pool.submit(alone, night, system, codes[n::2]) for n in range(2)]
        return [report for part in parts for report in part.result()]


def by_processes(night: Night, system: System, codes: list[AgencyCode]) -> list[Report]:
    found = sync.settle(night, system, codes, homes.Nobody(), RUN)
    crew.close()  # only processes that have ended are counted
    return found


WAYS: dict[str, tuple[Settle, int]] = {
    "one process alone": (alone, 1), "two threads": (by_threads, 1), "two processes": (by_processes, 2),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hands", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agencies", type=int, default=100)
    parser.add_argument("--persons", type=int, default=200, help="of each agency (default: 200)")
    parser.add_argument("--system", type=System, default=System.SDGI)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="postgresql")
    chosen = parser.parse_args(arguments)
    import_module("great_expectations")
    print("| settled by | s | CPU s, ours | of the server |\n|---|--:|--:|--:|", flush=True)
    for name, (settle, processes) in WAYS.items():
        _measure(chosen, name, settle, processes)


def _measure(chosen: argparse.Namespace, name: str, settle: Settle, processes: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="depositaire-bench-")))
        server = stack.enter_context(serving()) if chosen.store == "postgresql" else None
        those = agencies(chosen.persons * chosen.agencies, chosen.agencies)
        home: Home = homes.make(folder / "home", those, server.database() if server else None)
        deliver(chosen.system, those, FIRST, folder / "inbox")
        night = Night(home, homes.noon(FIRST), folder / "inbox", (chosen.system,), processes=processes)
        before, begun, wall = served(server.postmaster) if server else 0.0, _cpu(), time.perf_counter()
        reports = settle(night, chosen.system, [AgencyCode(a.code) for a in those])
        seconds, ours = time.perf_counter() - wall, _cpu() - begun
        theirs = (served(server.postmaster) if server else 0.0) - before
        if len(reports) != chosen.agencies or {r.outcome for r in reports} != {"accepted"}:
            raise SystemExit(f"{name}: not what was to be measured")
        print(f"| {name} | {seconds:.1f} | {ours:.1f} | {theirs:.1f} |", flush=True)


def _cpu() -> float:
    """Of this process and of all that it has seen end."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
