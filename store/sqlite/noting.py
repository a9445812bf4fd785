"""Deliveries that changed nothing, noted in the shelves' files: one transaction each under its capability, without more
than the driver.

What `store.guard` asks of every write is asked here too, by the same triggers and in the same order.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from store.engine import Note
from store.sqlite.guard import VERSION

# Files that are written at once: nearly all of it is waiting for the disk.
WRITERS = 8


class Files:
    """Some shelves' files, open until all is written. Use as a context manager."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._open: dict[int, sqlite3.Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def note(self, notes: Sequence[Note]) -> list[int | None]:
        """The number of each delivery; None when the flow is not, or no longer, what the proof says, when a later head
        of the log was seen here, or when the file cannot be written to as it is: who opens the shelf will tell why."""

        def one(n: int) -> int | None:
            try:
                return _note(self._opened(n), notes[n])
            except sqlite3.Error:
                return None

        return _at_once(one, range(len(notes)))

    def receipted(self, numbers: Mapping[int, int]) -> None:
        """That the logs have the receipts, by the position of the file. Who opens the shelf makes up for one that
        cannot be noted."""

        def one(n: int) -> None:
            try:
                with _transaction(self._opened(n)) as db:
                    db.execute("UPDATE delivery SET receipted = 1 WHERE id = ?", (numbers[n],))
            except sqlite3.Error:
                return

        _at_once(one, list(numbers))

    def _opened(self, n: int) -> sqlite3.Connection:
        known = self._open.get(n)
        if known is None:
            place = f"{self._paths[n].as_uri()}?mode=rw"
            known = sqlite3.connect(place, timeout=60, uri=True, isolation_level=None, check_same_thread=False)
            self._open[n] = known
            known.execute("PRAGMA synchronous = FULL")
            known.execute("PRAGMA secure_delete = ON")
        return known


def _note(own: sqlite3.Connection, given: Note) -> int | None:
    with _transaction(own) as db:
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION or not _stands(db, given):
            return None
        number = int(db.execute("SELECT coalesce(max(id), 0) + 1 FROM delivery").fetchone()[0])
        digest = _grant(db, given)
        row = {**given.row, "id": number, "receipted": 0, "capability": digest}
        marks = ", ".join(f":{name}" for name in row)
        db.execute(f"INSERT INTO delivery ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608 - our own columns
        db.execute("UPDATE flow SET cursor = ? WHERE system = ?", (given.cursor, given.system))
        db.execute("DELETE FROM granted")
        return number


def _stands(db: sqlite3.Connection, given: Note) -> bool:
    found = db.execute("SELECT proof, generation FROM flow WHERE system = ?", (given.system,)).fetchone()
    if found != (given.seal, given.generation):
        return False
    size, root = given.capability.size, given.capability.root
    last = db.execute("SELECT size, root FROM capability ORDER BY size DESC LIMIT 1").fetchone()
    return last is None or last[0] < size or (last[0] == size and last[1] == root)


def _grant(db: sqlite3.Connection, given: Note) -> str:
    """As `store.guard.grant`, but that what is known of the flow stays known: nothing of it is written."""
    c = given.capability
    digest = c.digest
    db.execute(
        "INSERT INTO capability (digest, act, ground, size, root, minted_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (digest, str(c.act), " ".join(c.ground), c.size, c.root, c.minted_at.isoformat()),
    )
    db.execute("INSERT INTO granted (digest) VALUES (?)", (digest,))
    return digest


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _at_once(one: Callable[[int], Any], every: Sequence[int]) -> list[Any]:
    if len(every) < 2:
        return [one(n) for n in every]
    with ThreadPoolExecutor(min(WRITERS, len(every))) as writers:
        return list(writers.map(one, every))
