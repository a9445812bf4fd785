"""What the database's own refusal costs (`store.guard`): writing lines and rows with its triggers, and without.

    python -m benchmarks.guard [ROWS]        by default 100000

Both shelves are written by turns in one process; CPU seconds of the thread, medians of seven. Rows are as large as
sealed ones are; nothing is sealed here, so that the share of a whole night is smaller still.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, text

from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import OpenShelf
from store.keys import Keyring, create_root, open_root
from tests.leave import capability, warrant

CODE = AgencyCode("A0003")
TIMES = 7
LINE = "INSERT INTO line (id, system, source, key, signature, live) VALUES (?, 'sdgi', 'LOTS.CSV', ?, ?, 1)"
ROW = (
    "INSERT INTO lot (system, source_key, dropped, owner, kid, digest, sealed, delivery, loc)"
    " VALUES ('sdgi', ?, 0, ?, 0, ?, ?, 1, '7')"
)


def shelf(folder: Path) -> OpenShelf:
    home = Home.at(folder)
    create_root(home)
    keyring = Keyring.open(home, open_root(home), capability(CODE), create=True)
    return OpenShelf.open(home, keyring, warrant(CODE), create=True)


def unguarded(db: Connection) -> None:
    for name in db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
        db.exec_driver_sql(f'DROP TRIGGER "{name}"')
    db.commit()


def written(opened: OpenShelf, turn: int, rows: int) -> float:
    """CPU seconds to write so many lines, and a row of each, in one transaction."""
    first = turn * rows
    lines: list[tuple[Any, ...]] = [(n, f"L{n}", bytes(16)) for n in range(first + 1, first + rows + 1)]
    sealed: list[tuple[Any, ...]] = [(f"L{n}", n, bytes(32), bytes(250)) for n in range(first + 1, first + rows + 1)]
    begun = time.thread_time()
    with opened.writing() as db:
        db.exec_driver_sql(LINE, lines)
        db.exec_driver_sql(ROW, sealed)
    return time.thread_time() - begun


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with_guard, without = shelf(Path(folder) / "with"), shelf(Path(folder) / "without")
        unguarded(without.db)
        pairs = [(written(with_guard, n, rows), written(without, n, rows)) for n in range(TIMES)]
        for opened in (with_guard, without):
            opened.__exit__()
            opened.keyring.__exit__()
    guarded, bare = median(g for g, _ in pairs), median(b for _, b in pairs)
    print(
        f"{2 * rows:,} rows: {guarded:.2f} CPU s with the guard, {bare:.2f} without: "
        f"{(guarded - bare) / (2 * rows) * 1e6:.2f} µs a row, × {guarded / bare:.2f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
