"""Where the pages of an agency's person keys lie: sealed, beside the agency's own key, in its key ring."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from schemas.errors import Refused, TryAgain

NO_KEYS = "the keys of this agency do not exist: nothing is held for it, or it was erased"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page to be stored. `used`: how many of its slots were given out; None leaves that as it is. `before`: SHA-256
    of the sealed page whose place it takes, None where there is none."""

    no: int
    used: int | None
    sealed: bytes
    before: bytes | None


class Pages(Protocol):
    """The pages of one key ring."""

    def last(self) -> tuple[int, int]:
        """The number of the last page, and how many of its slots were given out; (0, 0) when there is none."""
        ...

    def load(self, no: int) -> bytes | None:
        """A page as it is sealed; None when there is none of this number."""
        ...

    def store(self, sheets: Sequence[Sheet]) -> None:
        """On disk when this returns, all of them or none; twice is once. Raises TryAgain when a page is not the one
        that was read: whoever changed it knew of keys that this caller does not, or of a destruction."""
        ...

    def vacuum(self) -> None:
        """Rewrite what is there without what was replaced."""
        ...

    def close(self) -> None: ...


class FilePages:
    """Those of a key ring on this machine."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)

    def last(self) -> tuple[int, int]:
        found = self._db.execute("SELECT no, used FROM page ORDER BY no DESC LIMIT 1").fetchone()
        return found or (0, 0)

    def load(self, no: int) -> bytes | None:
        row = self._db.execute("SELECT sealed FROM page WHERE no = ?", (no,)).fetchone()
        return None if row is None else bytes(row[0])

    def store(self, sheets: Sequence[Sheet]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for sheet in sheets:
                self._store(sheet)
            self._db.commit()
        except BaseException:
            self._db.rollback()
            raise

    def _store(self, sheet: Sheet) -> None:
        there = self.load(sheet.no)
        if there == sheet.sealed:
            return
        if (None if there is None else sha256(there).digest()) != sheet.before:
            raise TryAgain("another run has changed the keys of this agency", "Nothing was written: begin again.")
        if sheet.used is None:
            self._db.execute("UPDATE page SET sealed = ? WHERE no = ?", (sheet.sealed, sheet.no))
        else:
            self._db.execute(
                "INSERT INTO page VALUES (?, ?, ?)"
                " ON CONFLICT (no) DO UPDATE SET used = excluded.used, sealed = excluded.sealed",
                (sheet.no, sheet.used, sheet.sealed),
            )

    def vacuum(self) -> None:
        self._db.execute("VACUUM")

    def close(self) -> None:
        self._db.close()


def connect(path: Path, create: bool = False) -> sqlite3.Connection:
    """A connection to the file of a key ring. Raises Refused when there is none: one that was destroyed must not come
    back empty."""
    try:
        db = sqlite3.connect(f"{path.as_uri()}?mode={'rwc' if create else 'rw'}", timeout=30, uri=True)
    except sqlite3.OperationalError:
        if path.exists():
            raise
        raise Refused(NO_KEYS) from None
    # No write-ahead log beside keys: old pages would outlive their destruction there. EXTRA: a commit survives a
    # power cut.
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA secure_delete = ON")
    return db
