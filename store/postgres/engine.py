"""Shared tables, the agency leading every key; each agency through a login of its own (row-level security)."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Integer, LargeBinary, Table, text
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import Refused
from schemas.home import PORTAL, Home
from schemas.ids import AgencyCode, System
from store import keys
from store.engine import Last, Note, Standing, Told
from store.postgres import install
from store.postgres.copying import HEAD, TAIL, body, listed
from store.postgres.faults import faults
from store.postgres.locks import Locks
from store.postgres.sessions import Sessions, told
from store.postgres.settings import Login, Settings
from store.tables import HOLDING_TABLES, LINE

# Rows that are handed over in one statement; rows that are turned into one message of COPY at a time.
FEW = 4_096
CHUNK = 50_000
_SMALL = frozenset({"live", "dropped", "receipted"})


class Desk(Protocol):
    """What the engine asks the machine for that has the keys, and the login that makes the tables."""

    def login(self, agency: AgencyCode | None) -> str:
        """The password of an agency's login. Raises Refused where there are no keys."""
        ...

    def vacuum(self, schema: str) -> None: ...


class _Here:
    """This machine."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._home, self._settings = home, settings

    def login(self, agency: AgencyCode | None) -> str:
        return keys.login(self._home, agency)

    def vacuum(self, schema: str) -> None:
        install.vacuum(self._settings, schema)


class PostgresEngine:
    """The database of one home (`store.engine.Engine`)."""

    def __init__(self, home: Home) -> None:
        self._settings = Settings.read(home)
        self._sessions = Sessions(self._settings)
        self._looked_at = False
        self._locks = Locks(self._sessions.apart)
        self._desk: Desk = _Here(home, self._settings)

    def close(self) -> None:
        self._locks.close()
        self._sessions.close()

    def lean_on(self, desk: Desk) -> None:
        """On a machine that has no keys of its own."""
        self._desk = desk

    # -- the house -----------------------------------------------------------------------------------------------------

    def has_house(self) -> bool:
        return install.is_installed(self._sessions)

    def house(self) -> Connection:
        if not self._looked_at:
            install.demand_newest(self._sessions)
            self._looked_at = True
        return self._mine(self._sessions.clerk())

    def make_house(self) -> None:
        install.install(self._settings)

    def upgrade(self) -> tuple[str, str]:
        before = install.reached(self._sessions)
        install.migrate(self._settings)
        return before, install.reached(self._sessions)

    def faults(self) -> list[str]:
        return faults(self._sessions)

    # -- one agency's shelf --------------------------------------------------------------------------------------------

    def holds(self, agency: AgencyCode | None) -> bool:
        with self._sessions.clerk() as db:
            found = db.scalar(text("SELECT 1 FROM dep.shelf WHERE agency = :code"), {"code": agency or PORTAL})
            return found is not None

    def shelf(self, agency: AgencyCode | None) -> Connection:
        if not self.holds(agency):
            raise Refused("nothing is held for this agency")
        return self._mine(self._sessions.agency(self._login(agency)))

    def make_shelf(self, agency: AgencyCode | None) -> Connection:
        login = self._login(agency)
        if not self.holds(agency):
            with self._sessions.clerk() as db:
                own: Any = db.connection.driver_connection
                given = {"code": agency or PORTAL, "verifier": install.verifier(own, login)}
                db.execute(text("SELECT dep.make_shelf(:code, :verifier)"), given)
                db.commit()
        return self._mine(self._sessions.agency(login))

    def shelves_at_once(self) -> int:
        """A connection each; a quarter of what the server allows is left to whoever else asks it something."""
        with self._sessions.clerk() as db:
            return int(db.scalar(text("SELECT current_setting('max_connections')::int * 3 / 4")))

    def standing(
        self, system: System, deliveries: Mapping[AgencyCode | None, str]
    ) -> Mapping[AgencyCode | None, Standing]:
        asked = {agency or PORTAL: agency for agency in deliveries}
        given = {"system": str(system), "codes": list(asked), "names": list(deliveries.values())}
        with self._sessions.clerk() as db:
            rows = db.execute(text(_STANDING), given).all()
        return {
            asked[r.agency]: Standing(
                {} if r.name is None else {r.name: r.sha256},
                r.cursor,
                bool(r.due and asked[r.agency]),
                r.doomed,
                Last(r.day, r.report, r.generation, r.until, r.excess, r.proof) if r.proof is not None else None,
            )
            for r in rows
        }

    def note_unchanged(self, notes: Sequence[Note], told: Told) -> Sequence[int | None]:
        """All in one transaction; one whose flow is another by now is left out of it."""
        if not notes:
            return []
        with self._sessions.clerk() as db:
            self._locks.fence_all(db, [n.agency for n in notes])
            given = _json([_noted(n) for n in notes])
            found = db.execute(text("SELECT n, number FROM dep.note_unchanged(CAST(:notes AS jsonb))"), given)
            numbers = {n: number for n, number in found}  # noqa: C416 - mypy cannot see that a row is a pair
            db.commit()
            done = frozenset(told(numbers))
            receipted = [
                {"agency": notes[n].agency, "system": notes[n].system, "proof": notes[n].proof.hex(), "number": number}
                for n, number in numbers.items()
                if n in done
            ]
            self._locks.fence_all(db, [note["agency"] for note in receipted])
            db.execute(text("SELECT dep.note_receipts(CAST(:notes AS jsonb))"), _json(receipted))
            db.commit()
        return [numbers.get(n) for n in range(len(notes))]

    def tally(self, agency: AgencyCode) -> Mapping[str, int]:
        try:
            with self._sessions.broom() as db:
                found = db.execute(text("SELECT name, held FROM dep.tally(:code)"), {"code": agency}).all()
        except SQLAlchemyError:
            return {}
        held = {name: count for name, count in found if name in HOLDING_TABLES}
        return held if any(held.values()) or self.holds(agency) else {}

    def drop(self, agency: AgencyCode) -> bool:
        with self._sessions.broom() as db:
            gone = bool(db.scalar(text("SELECT dep.drop_shelf(:code)"), {"code": agency}))
            db.commit()
        return gone

    def purge(self) -> None:
        for schema in ("shelf", "house"):
            install.vacuum(self._settings, schema, full=True)

    def eye(self) -> Connection:
        return self._sessions.eye()

    # -- one writer an agency ------------------------------------------------------------------------------------------

    def sole(self, agency: AgencyCode | None, patience: float | None) -> AbstractContextManager[None]:
        return self._locks.sole(agency, patience)

    def fence(self, db: Connection, agency: AgencyCode | None) -> None:
        self._locks.fence(db, agency)

    # -- on an open connection -----------------------------------------------------------------------------------------

    def scrub(self, db: Connection) -> None:
        db.rollback()
        self._desk.vacuum("shelf" if db.info.get("leading") else "house")

    def index(self, db: Connection, table: Table) -> None:
        """An upgrade makes them."""

    def put_lines(self, db: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        names = [c.name for c in LINE.c]
        if len(columns["id"]) <= FEW:
            self._hand_over(db, LINE, names, columns)
            return
        self._stage(db, LINE, names, columns, "id")
        self._run(db, f"INSERT INTO line ({_list(names)}) SELECT {_list(names)} FROM pg_temp.staged_line")  # noqa: S608

    def sign_lines(self, db: Connection, ids: Sequence[int], signatures: Sequence[bytes]) -> None:
        self._stage(db, LINE, ["id", "signature"], {"id": ids, "signature": signatures}, "id")
        self._run(
            db,
            "UPDATE line t SET signature = s.signature, live = 1 FROM pg_temp.staged_line s"
            " WHERE t.agency = (SELECT dep.agency()) AND t.id = s.id",
        )

    def put_rows(self, db: Connection, table: Table, columns: Mapping[str, Sequence[Any]], new: bool = False) -> None:
        names = [c.name for c in table.c]
        if new and len(columns["source_key"]) <= FEW:
            self._hand_over(db, table, names, columns)
            return
        self._stage(db, table, names, columns, "source_key")
        into = f"INSERT INTO {table.name} ({_list(names)}) SELECT {_list(names)} FROM pg_temp.staged_{table.name}"  # noqa: S608
        self._run(db, into if new else _merge(table))

    def change_rows(
        self, db: Connection, table: Table, system: str, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        given = {"system": [system] * len(keys), "source_key": keys, **columns}
        self._stage(db, table, list(given), given, "source_key")
        sets = ", ".join(f"{c} = s.{c}" for c in columns)
        self._run(db, f"UPDATE {table.name} t SET {sets} FROM pg_temp.staged_{table.name} s WHERE {_SAME}")  # noqa: S608

    def _hand_over(
        self, db: Connection, table: Table, names: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """New rows in one statement: an array a column, or what is the same in all rows once. A temporary table costs
        more than a few thousand rows do."""
        if not len(columns[names[0]]):
            return
        kinds = {n: _kind(table.c[n]) for n in names}
        once = [n for n in names if _is_same(columns[n])]
        each = [n for n in names if n not in once] or [once.pop()]
        same = [f"%s::{kinds[n]}" for n in once]
        arrays = ", ".join(f"%s::{kinds[n]}[]" for n in each)
        statement = (
            f"INSERT INTO {table.name} ({_list([*once, *each])}) "  # noqa: S608 - our own names
            f"SELECT {_list([*same, 'rows.*'])} FROM unnest({arrays}) AS rows"
        )
        self._run(db, statement, (*(columns[n][0] for n in once), *(listed(columns[n], kinds[n]) for n in each)))

    # -- staging -------------------------------------------------------------------------------------------------------

    def _stage(
        self, db: Connection, table: Table, names: Sequence[str], columns: Mapping[str, Sequence[Any]], by: str
    ) -> None:
        """Rows in a temporary table: this session's alone, without a log, gone with it. In the order of their keys,
        which the indexes of the target take twice as fast."""
        if not db.in_transaction():
            db.begin()
        wanted = ", ".join(f"{c.name} {_kind(c)}" for c in table.c)
        self._run(db, f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{table.name} ({wanted}) ON COMMIT DELETE ROWS")
        transaction, filled = db.info.get("staged", (None, frozenset()))
        filled = filled if transaction is db.get_transaction() else frozenset()
        if table.name in filled:
            self._run(db, f"TRUNCATE pg_temp.staged_{table.name}")
        db.info["staged"] = (db.get_transaction(), filled | {table.name})
        arrays = {n: _array(columns[n], _kind(table.c[n])) for n in names}
        order = pc.sort_indices(arrays[by])
        kinds = [_kind(table.c[n]) for n in names]
        own: Any = db.connection.driver_connection
        statement = f"COPY pg_temp.staged_{table.name} ({_list(names)}) FROM STDIN (FORMAT binary)"
        try:
            with own.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(HEAD)
                for at in range(0, len(order), CHUNK):
                    some = order.slice(at, CHUNK)
                    copy.write(body([_taken(arrays[n], some) for n in names], kinds))
                copy.write(TAIL)
        except psycopg.Error as no:
            raise told(no, own.closed) from None

    def _run(self, db: Connection, statement: str, given: tuple[Any, ...] | None = None) -> None:
        db.exec_driver_sql(statement, given)

    # -- logins --------------------------------------------------------------------------------------------------------

    def _login(self, agency: AgencyCode | None) -> Login:
        return Login(self._settings.agency(agency), self._desk.login(agency))

    def _mine(self, db: Connection) -> Connection:
        db.info["engine"] = self
        return db


# Receipts are made for all that is due at once: when the newest delivery has its own, all have.
_STANDING = """SELECT s.agency, f.cursor, d.name, d.sha256, newest.receipted = 0 AS due,
    EXISTS (SELECT 1 FROM shelf.doomed_key k WHERE k.agency = s.agency) AS doomed,
    last.day, last.report, f.generation, f.until, f.excess, f.proof
FROM unnest(CAST(:codes AS text[]), CAST(:names AS text[])) AS asked (agency, name)
JOIN dep.shelf s ON s.agency = asked.agency
LEFT JOIN shelf.flow f ON f.agency = s.agency AND f.system = :system
LEFT JOIN LATERAL (
    SELECT name, sha256 FROM shelf.delivery
    WHERE agency = s.agency AND system = :system AND name = asked.name LIMIT 1
) d ON true
LEFT JOIN LATERAL (
    SELECT receipted FROM shelf.delivery WHERE agency = s.agency ORDER BY id DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT day, report FROM shelf.delivery
    WHERE agency = s.agency AND system = :system AND f.proof IS NOT NULL ORDER BY id DESC LIMIT 1
) last ON true"""
_SAME = "t.agency = (SELECT dep.agency()) AND t.system = s.system AND t.source_key = s.source_key"


def _noted(note: Note) -> dict[str, Any]:
    c = note.capability
    return {
        "agency": note.agency, "proof": note.proof.hex(), "generation": note.generation, "cursor": note.cursor,
        "digest": c.digest, "act": str(c.act), "ground": " ".join(c.ground), "size": c.size, "root": c.root,
        "minted_at": c.minted_at.isoformat(), **note.row,
    }  # fmt: skip


def _json(notes: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {"notes": json.dumps(notes)}


@cache
def _merge(table: Table) -> str:
    """A row that says the same, is owned by the same line and is open is not written again (`store.compare`)."""
    names = [c.name for c in table.c]
    taken = [n for n in names if n not in ("system", "source_key")]
    return (
        f"MERGE INTO {table.name} t USING pg_temp.staged_{table.name} s ON {_SAME} "  # noqa: S608 - our own names
        "WHEN MATCHED AND (t.digest, t.owner, t.dropped, t.ended_reason) IS DISTINCT FROM "
        "(s.digest, s.owner, s.dropped, s.ended_reason) "
        f"THEN UPDATE SET {', '.join(f'{n} = s.{n}' for n in taken)} "
        f"WHEN NOT MATCHED THEN INSERT ({_list(names)}) VALUES ({', '.join(f's.{n}' for n in names)})"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _kind(column: Any) -> str:
    if isinstance(column.type, Integer):
        return "smallint" if column.name in _SMALL else "bigint"
    return "bytea" if isinstance(column.type, LargeBinary) else "text"


def _array(values: Sequence[Any], kind: str) -> pa.Array:
    types = {"smallint": pa.int16(), "bigint": pa.int64(), "text": pa.large_string(), "bytea": pa.large_binary()}
    return pa.array(values, types[kind])


def _is_same(column: Sequence[Any]) -> bool:
    """Whether a column says the same in all its rows, as far as that is quickly told."""
    return isinstance(column, list) and column.count(column[0]) == len(column)


def _taken(array: pa.Array, order: pa.Array) -> Any:
    taken = array.take(order)
    return taken if pa.types.is_large_string(taken.type) or pa.types.is_large_binary(taken.type) else np.asarray(taken)
