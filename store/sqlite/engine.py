"""One file an agency (write-ahead log, synchronous FULL: an acknowledged commit survives a power cut)."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.pool import NullPool

from schemas.errors import Malformed, Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.engine import Last, Note, Standing, Told
from store.sqlite import guard, noting
from store.tables import HOLDING_TABLES, LINE

# Shelves that are open at once to be noted in; each takes three descriptors of the process.
OPEN = 64


class SqliteEngine:
    """The files of one home (`store.engine.Engine`)."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def close(self) -> None:
        """Nothing is kept open."""

    # -- the house -----------------------------------------------------------------------------------------------------

    def has_house(self) -> bool:
        return self._home.house.exists()

    def house(self) -> Connection:
        return self._connect(self._home.house)

    def make_house(self) -> None:
        from store import house, register

        self._home.root.mkdir(parents=True, exist_ok=True)
        with self.house() as db:
            house.META.create_all(db)
            register.META.create_all(db)
            db.commit()

    def upgrade(self) -> tuple[str, str]:
        return str(guard.VERSION), str(guard.VERSION)

    def faults(self) -> list[str]:
        return []

    # -- one agency's shelf --------------------------------------------------------------------------------------------

    def holds(self, agency: AgencyCode | None) -> bool:
        return self._home.shelf(agency).exists()

    def shelf(self, agency: AgencyCode | None) -> Connection:
        if not self.holds(agency):
            raise Refused("nothing is held for this agency")
        return self._connect(self._home.shelf(agency))

    def make_shelf(self, agency: AgencyCode | None) -> Connection:
        path = self._home.shelf(agency)
        path.parent.mkdir(parents=True, exist_ok=True)
        db = self._connect(path)
        guard.prepare(db)
        return db

    def shelves_at_once(self) -> None:
        return None

    def standing(
        self, system: System, deliveries: Mapping[AgencyCode | None, str]
    ) -> Mapping[AgencyCode | None, Standing]:
        found = {a: self._standing(system, a, name) for a, name in deliveries.items()}
        return {agency: standing for agency, standing in found.items() if standing is not None}

    def _standing(self, system: System, agency: AgencyCode | None, name: str) -> Standing | None:
        path = self._home.shelf(agency)
        if not path.exists():
            return None
        # Without a write-ahead log beside it the file says everything, and whoever would change what is looked at here
        # waits for the agency's lock: then no other file need be made, nor locked, to read it.
        alone = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode={'ro' if alone else 'rw'}{alone}", uri=True)) as db:
                row = db.execute(_STANDING, {"system": str(system), "name": name}).fetchone()
        except sqlite3.Error:  # a broken file, or one of another version: opening it will tell
            return None
        version, cursor, accepted, sha256, due, doomed, *last = row
        if version != guard.VERSION:
            return None
        known = Last(*last) if last[-1] is not None else None
        return Standing({name: sha256} if accepted else {}, cursor, bool(due and agency), bool(doomed), known)

    def note_unchanged(self, notes: Sequence[Note], told: Told) -> Sequence[int | None]:
        """Some at a time, whose files stay open until they have their receipts: opening one costs the most."""
        numbers: dict[int, int] = {}
        for first in range(0, len(notes), OPEN):
            some = notes[first : first + OPEN]
            with noting.Files([self._home.shelf(n.agency) for n in some]) as files:
                found = {first + i: n for i, n in enumerate(files.note(some)) if n is not None}
                receipted = told(found)
                files.receipted({n - first: found[n] for n in receipted})
            numbers |= found
        return [numbers.get(n) for n in range(len(notes))]

    def tally(self, agency: AgencyCode) -> Mapping[str, int]:
        path = self._home.shelf(agency)
        if not path.exists():
            return {}
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
                return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in HOLDING_TABLES}  # noqa: S608 - our own tables
        except sqlite3.Error:  # a broken file has no count
            return {}

    def drop(self, agency: AgencyCode) -> bool:
        """Truncated first, so that a file that is still open somewhere says nothing any more."""
        gone = False
        path = self._home.shelf(agency)
        for each in (path, *(path.with_name(path.name + tail) for tail in ("-wal", "-shm", "-journal"))):
            if each.exists():
                os.truncate(each, 0)
                each.unlink()
                gone = True
        if gone:
            handle = os.open(path.parent, os.O_RDONLY)  # the removal itself must survive a power cut
            os.fsync(handle)
            os.close(handle)
        return gone

    def purge(self) -> None:
        """A shelf that was dropped shared its pages with nobody."""

    def eye(self) -> None:
        """The files themselves are searched."""

    # -- one writer an agency ------------------------------------------------------------------------------------------

    def sole(self, agency: AgencyCode | None, patience: float | None) -> None:
        """The files' own (`pipelines.locks`)."""

    def fence(self, db: Connection, agency: AgencyCode | None) -> None:
        """The kernel takes no lock away from a process that lives."""

    # -- on an open connection -----------------------------------------------------------------------------------------

    def scrub(self, db: Connection) -> None:
        """Rewrite the file, and empty its write-ahead log."""
        db.rollback()
        own = _driver(db)
        own.execute("VACUUM")
        own.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.rollback()

    def index(self, db: Connection, table: Table) -> None:
        for each in table.indexes:
            each.create(db, checkfirst=True)

    def put_lines(self, db: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        names = [c.name for c in LINE.c]
        statement = f"INSERT OR ROLLBACK INTO line ({', '.join(names)}) VALUES ({_marks(names)})"  # noqa: S608
        _many(db, statement, (columns[n] for n in names))

    def sign_lines(self, db: Connection, ids: Sequence[int], signatures: Sequence[bytes]) -> None:
        _many(db, "UPDATE OR ROLLBACK line SET signature = ?, live = 1 WHERE id = ?", (signatures, ids))

    def put_rows(self, db: Connection, table: Table, columns: Mapping[str, Sequence[Any]], new: bool = False) -> None:
        if new:  # a parameter that is null in every row costs as much as one that says something
            said = tuple(c.name for c in table.columns if columns[c.name].count(None) < len(columns[c.name]))
            statement, order = _insert(table, said), said
        else:
            statement, order = _upsert(table)
        _many(db, statement, (columns[c] for c in order))

    def change_rows(
        self, db: Connection, table: Table, system: str, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        # Names come from our own schema, values are bound.
        sets = ", ".join(f'"{c}" = ?' for c in columns)
        statement = f'UPDATE "{table.name}" SET {sets} WHERE system = ? AND source_key = ?'  # noqa: S608
        _many(db, statement, (*columns.values(), [system] * len(keys), keys))

    # -- files ---------------------------------------------------------------------------------------------------------

    def _connect(self, path: Path) -> Connection:
        db = connect(path)
        db.info["engine"] = self
        return db


# Receipts are made for all that is due at once: when the newest delivery has its own, all have.
_STANDING = """SELECT (SELECT user_version FROM pragma_user_version),
(SELECT cursor FROM flow WHERE system = :system),
(SELECT 1 FROM delivery WHERE system = :system AND name = :name),
(SELECT sha256 FROM delivery WHERE system = :system AND name = :name),
(SELECT receipted = 0 FROM delivery ORDER BY id DESC LIMIT 1),
EXISTS (SELECT 1 FROM doomed_key),
day, report, generation, until, excess, proof
FROM (SELECT 1) LEFT JOIN (SELECT * FROM flow WHERE system = :system AND proof IS NOT NULL)
LEFT JOIN (SELECT day, report FROM delivery WHERE system = :system ORDER BY id DESC LIMIT 1)"""
_COMPILED: dict[Any, Any] = {}
_DIALECTS: dict[str, Dialect] = {}


def connect(path: Path) -> Connection:
    """A connection to one file, made when it is missing."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": 60},
        hide_parameters=True,  # an error of the database names the statement, never what was bound to it
    )

    @event.listens_for(engine, "connect")
    def _settle(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say, not where the driver guesses
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA secure_delete = ON")
        raw.execute("PRAGMA temp_store = MEMORY")  # no temporary file is left behind
        raw.execute("PRAGMA cache_size = -65536")

    # One cache of compiled statements for all shelves: each has an engine of its own. A statement is compiled for one
    # dialect object, so that the engines have to share theirs for the cache to be of use, and not to grow for ever.
    engine.dialect = _DIALECTS.setdefault("sqlite", engine.dialect)
    db = engine.connect().execution_options(compiled_cache=_COMPILED)

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.info.get("immediate") else "BEGIN")

    return db


def _driver(db: Connection) -> Any:
    """The driver's connection: bulk statements take tuples as they are."""
    own = db.connection.driver_connection
    if own is None:
        raise Malformed("the connection to the shelf is closed")
    return own


def _many(db: Connection, statement: str, columns: Any) -> None:
    if not db.in_transaction():
        db.begin()
    _driver(db).executemany(statement, zip(*columns, strict=True))


@cache
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    """The insert of rows that are not held. OR ROLLBACK, here and for lines: what a failed delivery wrote goes whole,
    so that SQLite need not keep a journal of each statement to take only that one back (1 to 2 µs a row)."""
    names = ", ".join(f'"{c}"' for c in columns)
    return f'INSERT OR ROLLBACK INTO "{table.name}" ({names}) VALUES ({_marks(columns)})'  # noqa: S608


def _marks(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


@cache
def _upsert(table: Table) -> tuple[str, tuple[str, ...]]:
    """The upsert of a row table and the order of its parameters; compiled once a process."""
    columns = [c.name for c in table.columns]
    statement = upsert(table)
    changing = {c: statement.excluded[c] for c in columns if c not in ("system", "source_key")}
    statement = statement.on_conflict_do_update(index_elements=["system", "source_key"], set_=changing)
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=columns)
    return str(compiled), tuple(compiled.positiontup or ())
