"""Dagster's storage as SQLite files, for whoever makes it forget an agency (`pipelines.defs.trace`)."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from schemas.errors import TryAgain
from schemas.ids import AgencyCode

_CHUNK = 2**20

PATIENCE_SECONDS = 60.0


class File:
    """One open database. Rows are known by their number (`at`)."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.label = label(path)
        self._db = db

    def tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        return [name for (name,) in self._db.execute(query)]

    def candidates(self, table: str, code: AgencyCode) -> Iterator[Mapping[str, Any]]:
        """Rows in which the code occurs. Packed columns are handed out unseen: a byte search would miss it there."""
        columns = [c[1] for c in self._db.execute(f"PRAGMA table_info({_quoted(table)})")]
        hay = " OR ".join(f"instr({_quoted(c)}, ?) > 0 OR typeof({_quoted(c)}) = 'blob'" for c in columns)
        query = f"SELECT rowid AS at, * FROM {_quoted(table)} WHERE {hay}"  # noqa: S608 - names of Dagster's own
        for row in self._db.execute(query, [code] * len(columns)).fetchall():
            yield dict(zip(("at", *columns), row, strict=True))

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(statement, values).fetchall()

    def delete(self, table: str, row: Mapping[str, Any]) -> None:
        self._db.execute(f"DELETE FROM {_quoted(table)} WHERE rowid = ?", (row["at"],))  # noqa: S608

    def change(self, table: str, row: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        told = ", ".join(f"{_quoted(c)} = ?" for c in columns)
        self._db.execute(f"UPDATE {_quoted(table)} SET {told} WHERE rowid = ?", (*columns.values(), row["at"]))  # noqa: S608


@contextmanager
def reading(path: Path) -> Iterator[File]:
    with opened(path) as db:
        yield File(path, db)


@contextmanager
def writing(path: Path) -> Iterator[File]:
    with opened(path) as db:
        db.execute("BEGIN IMMEDIATE")
        yield File(path, db)
        db.execute("COMMIT")


@contextmanager
def in_nobodys_way() -> Iterator[None]:
    """Raises TryAgain when a file stays locked."""
    try:
        yield
    except sqlite3.OperationalError as busy:
        if "locked" in str(busy) or "busy" in str(busy):
            raise TryAgain("Dagster's storage is in use", "Wait until its runs end, then do the same again.") from None
        raise


def databases(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*.db") if p.is_file())


def other_files(root: Path) -> list[Path]:
    of_databases = (".db", ".db-wal", ".db-shm")
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.name.endswith(of_databases))


def label(path: Path) -> str:
    """The name of a database: those of runs are named after their run."""
    return path.stem if path.stem in ("index", "runs", "schedules") else "run"


def holds(path: Path, code: AgencyCode) -> bool:
    """Whether the code occurs in the bytes of a database or of its log, or may occur in packed columns."""
    return path.stem == "runs" or any(_in_bytes(f, code.encode()) for f in (path, path.with_name(path.name + "-wal")))


def _in_bytes(path: Path, wanted: bytes) -> bool:
    """Read, not mapped: Dagster may cut the log shorter meanwhile, and whoever looks past the end of a map dies."""
    if not path.exists():
        return False
    with path.open("rb") as f:
        tail = b""
        while chunk := f.read(_CHUNK):
            window = tail + chunk
            if wanted in window:
                return True
            tail = window[1 - len(wanted) :]
    return False


def drop_shards(root: Path) -> int:
    """Dagster leaves the file of a deleted run where it was."""
    dropped = 0
    for path in databases(root):
        if path.stem == "runs":
            with opened(path) as db:
                known = {r for (r,) in db.execute("SELECT run_id FROM runs")}
            for shard in path.parent.rglob("*-*-*-*-*.db"):
                if shard.stem not in known:
                    for file in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm"))):
                        file.unlink(missing_ok=True)
                    dropped += 1
    return dropped


def scrub(path: Path) -> None:
    """Write the file anew: nothing of a deleted row stays in a free page."""
    with opened(path) as db:
        db.execute("VACUUM")
    empty_log(path)


def empty_log(path: Path) -> None:
    """Move a database's log into it. Readers leave logs behind; the last one that may write takes them away."""
    with opened(path) as db:
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise TryAgain("Dagster's storage is being read", "Do the same again.")


def opened(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
