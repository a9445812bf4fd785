"""What a person weighs in PostgreSQL: rows, bytes in tables and indexes, write-ahead log, connections.

    .venv/bin/python -m benchmarks.footprint [--persons 20000] [--agencies 10]

One first night of SDGI deliveries, then the tables written anew as after an erasure. Counts and sizes do not depend on how
busy the machine is.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.generate import agencies, deliver
from benchmarks.home import make, night
from benchmarks.portfolio import FIRST
from benchmarks.server import serving
from schemas.ids import System
from store import engine
from store.postgres import install
from store.postgres.settings import Settings
from tests.postgres import Cluster

_SIZES = """
SELECT coalesce(sum(pg_table_size(c.oid)), 0), coalesce(sum(pg_indexes_size(c.oid)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = 'shelf'"""


def asked(cluster: Cluster, database: str, text: str) -> tuple[float, ...]:
    with cluster.admin(database) as db:
        row = db.execute(text).fetchone()
    assert row is not None
    return tuple(float(each) for each in row)


def rows(cluster: Cluster, database: str) -> int:
    with cluster.admin(database) as db:
        tables = db.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname = 'shelf'"
        ).fetchall()
        return sum(int((db.execute(f"SELECT count(*) FROM shelf.{name}").fetchone() or (0,))[0]) for (name,) in tables)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--persons", type=int, default=20_000)
    parser.add_argument("--agencies", type=int, default=10)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dep-") as name, serving() as cluster:
        those = agencies(told.persons, told.agencies)
        home = make(Path(name) / "home", those, cluster.database())
        inbox = Path(name) / "inbox"
        deliver(System.SDGI, those, FIRST, inbox)
        settings = Settings.read(home)
        database = str(settings.address).rpartition("/")[2].partition("?")[0]
        (before,) = asked(cluster, database, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        night(home, inbox, System.SDGI, FIRST)
        (after,) = asked(cluster, database, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        (sessions,) = asked(
            cluster,
            database,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        engine.close_all()
        held = rows(cluster, database)
        tables, indexes = asked(cluster, database, _SIZES)
        start = time.perf_counter()
        install.vacuum(settings, "shelf")
        lasted = time.perf_counter() - start
        n = told.persons
        print(f"persons {n}, rows {held} ({held / n:.1f} a person), sessions {sessions:.0f}")
        print(
            f"tables {tables / n:.0f} B a person ({tables / held:.0f} a row), indexes {indexes / n:.0f} ({indexes / held:.0f})"
        )
        print(
            f"write-ahead log of the first night {(after - before) / n:.0f} B a person ({(after - before) / held:.0f} a row)"
        )
        print(f"written anew in {lasted:.1f} s, {lasted / held * 1e6:.1f} s a million rows")


if __name__ == "__main__":
    main()
