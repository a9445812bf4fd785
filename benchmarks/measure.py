"""One measurement in a process of its own: `python -m benchmarks.measure '{"what": "night", …}'` prints one line of JSON.

Imports, the set-up of Great Expectations and the making of deliveries and homes are not in the seconds; they are in the
peak, of which `base_mb` is what the process held before it began.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.generate import NIGHTS, agencies, deliver
from benchmarks.portfolio import Agency
from schemas.ids import System


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure. `nights` are made up in folders of the inbox. `home` is made when it is not there; `stages`
    asks for the parts of a night. `store`: the URL of a PostgreSQL database for a home that is made, whose server is the
    process `server`."""

    what: str
    system: str
    persons: int
    agencies: int
    inbox: str
    night: str = "first"
    nights: tuple[str, ...] = ()
    home: str = ""
    seed: int = 1
    stages: bool = False
    store: str = ""
    server: int = 0

    @property
    def those(self) -> list[Agency]:
        return agencies(self.persons, self.agencies, self.seed)

    @property
    def files(self) -> list[Path]:
        return sorted(Path(self.inbox).glob(f"*/{self.system}/*"))


@dataclass(frozen=True, slots=True)
class Result:
    """`lines`: source lines read. `done`: what became of them. Seconds: by the clock, and of the processors; `server`:
    of the database's own."""

    seconds: float
    cpu: float
    server: float
    peak_mb: float
    base_mb: float
    lines: int
    bytes: int
    done: dict[str, int]
    stages: dict[str, dict[str, float]]


def run(task: Task) -> Result:
    work, finish = _PREPARE[task.what](task)
    base, wall, cpu, server = _peak_mb(), time.perf_counter(), time.process_time(), _server(task)
    lines, done = work()
    seconds, cpu, server = time.perf_counter() - wall, time.process_time() - cpu, _server(task) - server
    stages = finish()
    peak = max([_peak_mb(), *(stage["peak_mb"] for stage in stages.values())])
    size = sum(path.stat().st_size for path in task.files)
    return Result(seconds, cpu, server, peak, base, lines, size, done, stages)


def _server(task: Task) -> float:
    if not task.server:
        return 0.0
    from benchmarks.server import cpu

    return cpu(task.server)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


Done = tuple[int, dict[str, int]]
Prepared = tuple[Callable[[], Done], Callable[[], dict[str, Any]]]


def _nothing() -> dict[str, Any]:
    return {}


def _generate(task: Task) -> Prepared:
    def work() -> Done:
        made = [deliver(System(task.system), task.those, NIGHTS[n], Path(task.inbox) / n) for n in task.nights]
        return 0, {"deliveries": sum(map(len, made))}

    return work, _nothing


def _pandas(task: Task) -> Prepared:
    from benchmarks.pandas_alone import read

    return lambda: (sum(read(System(task.system), path) for path in task.files), {}), _nothing


def _read(task: Task) -> Prepared:
    """Open and read as a night would: the same batches, nothing held yet."""
    from benchmarks.home import noon
    from connectors.base import Delivery, Known, Permitted, Recalled, find
    from ledger.minting import mint_inspection
    from pipelines.sync import bounded as in_batches
    from schemas.ids import AgencyCode

    system, at = System(task.system), noon(NIGHTS[task.night])
    connector, sirets = find(system), {a.code: a.siret for a in task.those}
    odbc = "Driver=SQLite3;Database={}" if system is System.SPILASUITE else None
    deliveries = [
        Delivery(AgencyCode(p.parts[-3]), system, p.name, at, None if odbc else p, odbc and odbc.format(p))
        for p in task.files
    ]

    leave = mint_inspection(at)  # what is read is counted and thrown away

    def work() -> Done:
        lines = rows = 0
        for batch in in_batches(deliveries, connector.weight):
            opened = [connector.open(Permitted.of(d, leave), Known(sirets[d.agency or ""])) for d in batch]
            reading = connector.read(opened, Recalled())
            lines += len(reading.lines)
            rows += sum(map(len, reading.rows.values()))
        return lines, {"rows": rows}

    return work, _nothing


def _night(task: Task) -> Prepared:
    from benchmarks import home as homes
    from benchmarks.stages import watch
    from pipelines import quality
    from schemas.home import Home

    system, root = System(task.system), Path(task.home)
    home = Home.at(root) if root.exists() else homes.make(root, task.those, task.store or None)
    if system is System.SPILASUITE:
        homes.point(home, task.files)
    quality._suite(system)  # Great Expectations is brought in and set up before the clock starts
    stages = watch(system) if task.stages else None

    def work() -> Done:
        if stages:
            stages.start()
        reports = homes.night(home, Path(task.inbox), system, NIGHTS[task.night])
        if stages:
            stages.stop()
        odd = {r.reason for r in reports if r.outcome != "accepted"}
        counts = [c for r in reports for c in r.tables.values()]
        done = {
            name: sum(getattr(c, name) for c in counts) for name in ("stored", "unchanged", "quarantined", "ignored")
        }
        if odd or done["quarantined"] or len(reports) != task.agencies:
            raise SystemExit(f"not what was to be measured: {odd or done}")
        return sum(c.read for c in counts), done

    return work, lambda: {name: asdict(stage) for name, stage in stages.found.items()} if stages else {}


_PREPARE: dict[str, Callable[[Task], Prepared]] = {
    "generate": _generate,
    "pandas": _pandas,
    "read": _read,
    "night": _night,
}


def main(arguments: Sequence[str]) -> None:
    task = Task(**json.loads(arguments[0]))
    result = run(task)
    told = asdict(result)
    print(json.dumps({n: round(value, 4) if isinstance(value, float) else value for n, value in told.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
