"""What the database's own refusal costs (`store.guard`): writing lines and rows with its triggers, and without.

    python -m benchmarks.guard [ROWS]        by default 100000

Both shelves are written by turns in one process; CPU seconds of the thread, medians of seven. Rows are as large as
sealed ones are; nothing is sealed here, so that the share of a whole night is smaller still.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, text

from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import OpenShelf
from store.engine import on
from store.keys import Keyring, create_root, open_root
from store.tables import ROWS
from tests.leave import capability, warrant

CODE = AgencyCode("A0003")
TIMES = 7


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
    ids = range(turn * rows + 1, (turn + 1) * rows + 1)
    names = [f"L{n}" for n in ids]
    lines: dict[str, Sequence[Any]] = {
        "id": ids, "system": ["sdgi"] * rows, "source": ["LOTS.CSV"] * rows, "key": names,
        "signature": [bytes(16)] * rows, "live": [1] * rows,
    }  # fmt: skip
    sealed: dict[str, Sequence[Any]] = {c.name: [None] * rows for c in ROWS["lot"].c}
    sealed |= {
        "system": ["sdgi"] * rows, "source_key": names, "dropped": [0] * rows, "owner": ids, "kid": [0] * rows,
        "digest": [bytes(16)] * rows, "sealed": [bytes(250)] * rows, "delivery": [1] * rows, "loc": ["7"] * rows,
    }  # fmt: skip
    begun = time.thread_time()
    with opened.writing() as db:
        on(db).put_lines(db, lines)
        on(db).put_rows(db, ROWS["lot"], sealed, new=True)
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
