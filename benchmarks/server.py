"""A PostgreSQL server for measurements: on disk as in production, its memory as it would be set, and its CPU counted."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import Cluster

SETTINGS = {
    "fsync": "on", "shared_buffers": "2GB", "max_wal_size": "8GB", "wal_compression": "on",
    "checkpoint_timeout": "30min", "max_connections": "400",
}  # fmt: skip


@contextmanager
def serving() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="dep-pg-"))  # a short path: a socket's name has a limit
    cluster = Cluster(folder)
    try:
        with cluster.admin() as db:
            for name, value in SETTINGS.items():
                db.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        cluster.again()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cpu(postmaster: int) -> float:
    """CPU seconds of a server and of all its processes, those that ended too."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(entry.name) == postmaster:
            total += sum(int(fields[n]) for n in (11, 12, 13, 14))
        elif int(fields[1]) == postmaster:
            total += int(fields[11]) + int(fields[12])
    return total / tick
