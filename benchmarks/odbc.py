"""SpiLaSuite's views through ODBC: the connector against each library alone, on real servers.

    python -m benchmarks.odbc [--persons 20000] [--runs 5] [--agency-runs 40]

Each measurement has a process of its own, and the three ways take turns, so that a busy hour is everybody's. `rows per CPU
second` counts the processor time of the client: the reading process and, for the connector, the child that holds the
driver. What the server spends is not in it. The libraries alone run the same SELECT on the same views by the same
connection string, arrow-odbc with an explicit schema and the connector's blocks; the connector also proves the reading (columns, counts, horizon).
The tools of the tests are needed: a PostgreSQL and a MariaDB are started for it, in a temporary folder.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from connectors import odbc
from connectors.odbc import children
from connectors.odbc.engines import MARIADB, POSTGRESQL, SQLITE
from connectors.odbc.sessions import BLOCK, BLOCK_BYTES
from connectors.spilasuite.layout import VERSION, View, load
from connectors.spilasuite.snapshot import Views

WAYS = ("arrow-odbc alone", "pyodbc alone", "connector")
ENGINES = {"SQLite": SQLITE, "PostgreSQL": POSTGRESQL, "MariaDB": MARIADB}
WANTED = 0.8  # of the rows per CPU second of arrow-odbc alone
_TICKS = os.sysconf("SC_CLK_TCK")
_LAST = 2**62


# ---------------------------------------------------------------- one measurement


def _select(view: View, engine: str) -> tuple[str, pa.Schema]:
    dialect = ENGINES[engine]
    names = [dialect.date.format(c.name) if c.is_date else c.name for c in view.columns]
    table = f"{load().schema}.{view.name}" if dialect.schemas else view.name
    schema = pa.schema([(c.name, pa.int64() if c.name == VERSION else pa.string()) for c in view.columns])
    where = f"{VERSION} > 0 AND {VERSION} <= {_LAST} ORDER BY {VERSION}"
    return f"SELECT {', '.join(names)} FROM {table} WHERE {where}", schema


def _by_arrow(source: str, engine: str) -> int:
    import arrow_odbc

    connection = arrow_odbc.connect(source, autocommit=engine != "PostgreSQL")
    rows = 0
    for view in load().incremental:
        statement, schema = _select(view, engine)
        reader = connection.read_arrow_batches(
            statement, batch_size=BLOCK, max_bytes_per_batch=BLOCK_BYTES, schema=schema
        )
        rows += pa.Table.from_batches(reader, schema).num_rows
    return rows


def _by_pyodbc(source: str, engine: str) -> int:
    import pyodbc

    connection = pyodbc.connect(source, autocommit=engine != "PostgreSQL", readonly=True)
    rows = 0
    for view in load().incremental:
        cursor = connection.execute(_select(view, engine)[0])
        tables = []
        while found := cursor.fetchmany(BLOCK):
            columns = [[None if c is None else str(c) for c in cells] for cells in zip(*found, strict=True)]
            tables.append(pa.table({str(n): pa.array(cells, pa.string()) for n, cells in enumerate(columns)}))
        rows += pa.concat_tables(tables).num_rows if tables else 0
    return rows


def _by_connector(source: str, agency: str) -> int:
    def read(connection: odbc.Connection) -> int:
        views = Views(connection, load())
        tables = views.since(0, views.prove(agency, 0))
        return sum(table.num_rows for table in tables.values())

    return odbc.in_one_snapshot(source, read)


def _child_seconds() -> float:
    """Processor time of the warm children so far."""
    found = 0.0
    for child in children.POOL._idle:
        stat = Path(f"/proc/{child._process.pid}/stat").read_text().rpartition(")")[2].split()
        found += (int(stat[11]) + int(stat[12])) / _TICKS
    return found


def measure(asked: dict[str, Any]) -> dict[str, float]:
    """Rows and seconds of one reading; or, with `times`, the mean of many readings by a warm child."""
    source, engine, way = asked["source"], asked["engine"], asked["way"]
    calls = {
        "arrow-odbc alone": lambda: _by_arrow(source, engine),
        "pyodbc alone": lambda: _by_pyodbc(source, engine),
        "connector": lambda: _by_connector(source, asked["agency"]),
    }
    began = time.perf_counter()
    if way == "connector":
        with odbc.connect(source):  # the child is there, the driver is loaded
            pass
    first = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time() + _child_seconds()
    for _ in range(asked.get("times", 1)):
        rows = calls[way]()
    return {
        "rows": rows,
        "cpu": (time.process_time() + _child_seconds() - cpu) / asked.get("times", 1),
        "wall": (time.perf_counter() - began) / asked.get("times", 1),
        "first": first,
    }


def _apart(asked: dict[str, Any]) -> dict[str, float]:
    """The same in a process of its own."""
    run = [sys.executable, "-m", "benchmarks.odbc", "--measure", json.dumps(asked)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    found: dict[str, float] = json.loads(done.stdout)
    return found


# ---------------------------------------------------------------- the servers


def _statements(path: Path) -> Iterator[str]:
    base = sqlite3.connect(path)
    yield from (line.rstrip(";\n") for line in base.iterdump() if line.startswith(("CREATE", "INSERT")))
    base.close()


@contextmanager
def _servers(folder: Path, path: Path) -> Iterator[dict[str, str]]:
    """Connection strings of the same database on each engine."""
    from tests.connectors.spilasuite.servers import MariaDb, PostgreSql

    postgresql, mariadb = PostgreSql(_made(folder / "po")), MariaDb(_made(folder / "ma"))
    try:
        statements = [
            s.replace('INSERT INTO "', "INSERT INTO ").replace('" VALUES', " VALUES") for s in _statements(path)
        ]
        for server in (postgresql, mariadb):
            server.clear()
            for at in range(0, len(statements), 20_000):
                server.run(["BEGIN", *statements[at : at + 20_000], "COMMIT"])
        postgresql.run(["ANALYZE"])
        sources = {"SQLite": odbc.sqlite(path), "PostgreSQL": postgresql.source(), "MariaDB": mariadb.source()}
        yield {engine: odbc.parse(source).text() for engine, source in sources.items()}
    finally:
        for server in (postgresql, mariadb):
            server.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _generated(persons: int, folder: Path) -> tuple[str, Path]:
    from benchmarks.generate import agencies
    from benchmarks.portfolio import FIRST
    from benchmarks.spilasuite import write

    (agency,) = agencies(persons)
    return agency.code, write(agency, FIRST, folder)


# ---------------------------------------------------------------- what is printed


def _compared(sources: dict[str, str], agency: str, runs: int) -> None:
    print(f"{'':12}{'':18}{'rows':>10}{'CPU s':>8}{'wall s':>8}{'rows/CPU s':>12}{'of arrow-odbc':>15}")
    for engine, source in sources.items():
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(runs):
            for way in WAYS:
                found[way].append(_apart({"engine": engine, "source": source, "way": way, "agency": agency}))
        speed = {way: median(f["rows"] / f["cpu"] for f in each) for way, each in found.items()}
        for way, each in found.items():
            cpu, wall = (median(f[key] for f in each) for key in ("cpu", "wall"))
            ratio = speed[way] / speed[WAYS[0]]
            said = f"{engine:12}{way:18}{each[0]['rows']:10,.0f}{cpu:8.2f}{wall:8.2f}{speed[way]:12,.0f}{ratio:14.0%}"
            print(
                said + (f"  {'reached' if ratio >= WANTED else 'MISSED'} ({WANTED:.0%})" if way == "connector" else "")
            )


def _small(sources: dict[str, str], agency: str, times: int) -> None:
    print(f"\nOne small agency, by a warm child ({times} readings): milliseconds")
    print(f"{'':12}{'rows':>8}{'CPU':>8}{'wall':>8}{'the first, with its child':>28}")
    for engine, source in sources.items():
        f = _apart({"engine": engine, "source": source, "way": "connector", "agency": agency, "times": times})
        print(f"{engine:12}{f['rows']:8,.0f}{f['cpu'] * 1e3:8.1f}{f['wall'] * 1e3:8.1f}{f['first'] * 1e3:28.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.odbc", description="SpiLaSuite's views through ODBC")
    parser.add_argument("--persons", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--agency-runs", type=int, default=40)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(json.loads(given.measure))))
        return
    for persons, show, runs in ((given.persons, _compared, given.runs), (200, _small, given.agency_runs)):
        with TemporaryDirectory(prefix="dep", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            agency, path = _generated(persons, folder)
            with _servers(folder, path) as sources:
                show(sources, agency, runs)


if __name__ == "__main__":
    main()
