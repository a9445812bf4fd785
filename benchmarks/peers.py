"""A night of SDGI into PostgreSQL, beside dlt loading the same tables and beside the floor: `python -m benchmarks.peers`.

- **ours**: the archive opened, proved, read, normalised, admitted, examined, sealed, kept with the line of each row, receipted;
- **dlt** (merge, both of its strategies): the CSV files, unfolded for it beforehand, as text, unsealed and unchecked;
- **floor**: the same files read by pyarrow, and each table copied as it is into tables without a key, by COPY.

Three nights: everything is new; the same again in a new delivery; one line in a hundred changed (for us once more with
`--short-cut`). Each measurement in a process of its own, on one server whose CPU, WAL and time are counted; medians of
several runs in fresh databases. dlt lives in an environment of its own (`--dlt PYTHON`), which `make bench` makes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from benchmarks.generate import agencies, deliver
from benchmarks.portfolio import FIRST, Night
from benchmarks.server import cpu as served, serving
from schemas.ids import System
from tests.postgres import Cluster

ROOT = Path(__file__).parents[1]
NIGHTS: dict[str, Night] = {"first": FIRST, "again": replace(FIRST, number=2), "changed": Night(3, 1, 0.01)}
STRATEGIES = ("delete-insert", "upsert")
Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _arguments(arguments)
    found: dict[tuple[str, str], list[Figures]] = {}
    with tempfile.TemporaryDirectory(dir=chosen.where, prefix="depositaire-bench-") as folder, serving() as server:
        files = _made(Path(folder), chosen.persons)
        for run in range(chosen.runs):
            for name, command in _ways(chosen, Path(folder) / str(run), server).items():
                for night in NIGHTS:
                    figures = _measured(server, command(night, files[night]))
                    found.setdefault((name, night), []).append(figures)
                    print(f"run {run + 1}, {name}, {night}: {figures}", file=sys.stderr, flush=True)
    print(_table(found, chosen.persons))
    if chosen.to:
        chosen.to.write_text(json.dumps({" / ".join(k): v for k, v in found.items()}, indent=1))


def _made(folder: Path, persons: int) -> dict[str, Path]:
    """A folder for each night: `inbox`, and the same files unfolded in `csv`."""
    made = {}
    for name, night in NIGHTS.items():
        (path,) = deliver(System.SDGI, agencies(persons), night, folder / name / "inbox")
        with ZipFile(path) as archive:
            archive.extractall(folder / name / "csv")
        made[name] = folder / name
    return made


def _ways(chosen: argparse.Namespace, folder: Path, server: Cluster) -> dict[str, Any]:
    """What is measured, each in a database of its own: from a night and its folder to a command."""
    folder.mkdir()
    ours, floor = server.database(), server.database()
    home = folder / "home"

    def own(what: str, short: bool = False) -> Any:
        def command(night: str, files: Path) -> list[str]:
            task = {"what": what, "night": night, "files": str(files), "persons": chosen.persons, "short": short,
                    "home": str(home), "url": ours if what == "ours" else floor}  # fmt: skip
            return [sys.executable, "-m", "benchmarks.peers", "--child", json.dumps(task)]

        return command

    ways = {"ours": own("ours"), "floor": own("floor")}
    for strategy in STRATEGIES if chosen.dlt else ():
        url = server.database()

        def command(night: str, files: Path, strategy: str = strategy, url: str = url) -> list[str]:  # noqa: ARG001
            script = str(Path(__file__).with_name("peer_dlt.py"))
            return [str(chosen.dlt), script, str(files / "csv"), url, strategy, str(folder / f"dlt-{strategy}")]

        ways[f"dlt {strategy}"] = command
    return ways


def _measured(server: Cluster, command: list[str]) -> Figures:
    """`seconds` by the clock, `cpu` seconds of the process and `server` of the database's, `wal` MiB, `peak` MiB."""
    with server.admin() as db:
        db.execute("CHECKPOINT")
        before = db.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        assert before is not None
        spent = served(server.postmaster)
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        spent = served(server.postmaster) - spent
        wal = db.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before).fetchone()
        assert wal is not None
    told: Figures = json.loads(done.stdout.splitlines()[-1])
    return {**told, "server": round(spent, 2), "wal": round(float(wal[0]) / 2**20, 1)}


def _table(found: dict[tuple[str, str], list[Figures]], persons: int) -> str:
    middle = {
        key: {n: statistics.median(r[n] for r in runs) for n in ("seconds", "cpu", "server", "wal", "peak")}
        for key, runs in found.items()
    }
    lines = [
        f"SDGI, {persons:,} persons, medians of {len(next(iter(found.values())))}",
        "",
        "| night | way | s | CPU s | of the server | all CPU × ours | s × ours | WAL MiB | peak MiB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (name, night), m in sorted(middle.items(), key=lambda each: list(NIGHTS).index(each[0][1])):
        own = middle["ours", night]
        cpu, ours = m["cpu"] + m["server"], own["cpu"] + own["server"]
        lines.append(
            f"| {night} | {name} | {m['seconds']:.1f} | {m['cpu']:.1f} | {m['server']:.1f} | {cpu / ours:.2f} |"
            f" {m['seconds'] / own['seconds']:.2f} | {m['wal']:,.0f} | {m['peak']:,.0f} |"
        )
    return "\n".join(lines)


# -- in a process of its own -------------------------------------------------------------------------------------------


def _child(task: dict[str, Any]) -> Figures:
    import resource
    import time

    work = _night(task) if task["what"] == "ours" else _copied(task)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, spent = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": round(seconds, 2), "cpu": round(spent, 2), "peak": peak}


def _night(task: dict[str, Any]) -> Any:
    from benchmarks import home as homes
    from schemas.home import Home

    root, those = Path(task["home"]), agencies(task["persons"])
    home = Home.at(root) if root.exists() else homes.make(root, those, task["url"])

    def work() -> None:
        night = NIGHTS[task["night"]]
        reports = homes.night(home, Path(task["files"]) / "inbox", System.SDGI, night, short_cut=task["short"])
        if [r.outcome for r in reports] != ["accepted"]:
            raise SystemExit(f"not what was to be measured: {[r.reason for r in reports]}")

    return work


def _copied(task: dict[str, Any]) -> Any:
    import io

    import psycopg
    import pyarrow.csv as pc
    from psycopg import sql

    from benchmarks.peer_dlt import tables

    def work() -> None:
        with psycopg.connect(task["url"]) as db:
            for path in sorted((Path(task["files"]) / "csv").glob("*.CSV")):
                table, made = sql.Identifier(path.stem.lower()), False
                for part in tables(path):
                    if not made:
                        columns = sql.SQL(", ").join(
                            sql.SQL("{} text").format(sql.Identifier(n)) for n in part.column_names
                        )
                        db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
                        db.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
                        made = True
                    out = io.BytesIO()
                    pc.write_csv(part, out, pc.WriteOptions(include_header=False))
                    with db.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as rows:
                        rows.write(out.getbuffer())

    return work


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3, help="of each measurement; medians are told")
    parser.add_argument("--dlt", type=Path, metavar="PYTHON", help="of an environment that has dlt; without it, no dlt")
    parser.add_argument("--where", type=Path, help="folder for deliveries and homes (default: the system's own)")
    parser.add_argument("--to", type=Path, help="write every figure to this file (JSON)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_child(json.loads(sys.argv[2]))))
    else:
        main()
