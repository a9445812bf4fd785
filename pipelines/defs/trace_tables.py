"""Dagster's storage as a PostgreSQL database, for whoever makes it forget an agency (`pipelines.defs.trace`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.defs.address import Address
from pipelines.defs.database import connect
from schemas.errors import TryAgain
from schemas.ids import AgencyCode

PATIENCE_SECONDS = 60.0


class Database:
    """An open transaction. Rows are known by their place (`at`), and are locked when they are found: Dagster's daemon
    may be about to write the same run."""

    label = "database"

    def __init__(self, db: "psycopg.Connection[Any]", lock: bool) -> None:
        self._db = db
        self._lock = sql.SQL(" FOR UPDATE" if lock else "")

    def tables(self) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return [str(name) for (name,) in self._db.execute(query).fetchall()]

    def candidates(self, table: str, code: AgencyCode) -> Iterator[Mapping[str, Any]]:
        """Rows in which the code occurs. Packed columns are handed out unseen: they are compressed."""
        columns = self._db.execute(
            "SELECT attname::text, atttypid = 'bytea'::regtype FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [f'public."{table}"'],
        ).fetchall()
        tests = [
            sql.SQL("{} IS NOT NULL" if packed else "position(%(code)s IN {}::text) > 0").format(sql.Identifier(name))
            for name, packed in columns
        ]
        query = sql.SQL("SELECT ctid::text AS at, * FROM {} WHERE {}{}").format(
            sql.Identifier("public", table), sql.SQL(" OR ").join(tests) if tests else sql.SQL("false"), self._lock
        )
        with self._db.cursor(row_factory=dict_row) as found:
            yield from found.execute(query, {"code": str(code)}).fetchall()

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        done = self._db.execute(statement.replace("?", "%s").encode(), values)
        return done.fetchall() if done.description else []

    def delete(self, table: str, row: Mapping[str, Any]) -> None:
        query = sql.SQL("DELETE FROM {} WHERE ctid = %s::tid").format(sql.Identifier("public", table))
        self._db.execute(query, [row["at"]])

    def change(self, table: str, row: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        told = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in columns)
        query = sql.SQL("UPDATE {} SET {} WHERE ctid = %s::tid").format(sql.Identifier("public", table), told)
        self._db.execute(query, [*columns.values(), row["at"]])


@contextmanager
def reading(address: Address) -> Iterator[Database]:
    with connect(address) as db:
        yield Database(db, lock=False)


@contextmanager
def writing(address: Address) -> Iterator[Database]:
    """One transaction. Raises TryAgain when somebody stays in the way."""
    with connect(address) as db:
        db.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{PATIENCE_SECONDS:.3f}s")))
        try:
            with db.transaction():
                yield Database(db, lock=True)
        except psycopg.OperationalError:  # a lock, a deadlock, a server that went away
            raise TryAgain("Dagster's database is in use", "Wait until its runs end, then do the same again.") from None


def statistics(address: Address) -> list[str]:
    """What the planner remembers of values, as texts."""
    query = """SELECT concat_ws(' ', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
    FROM pg_stats WHERE schemaname = 'public'"""
    with connect(address) as db:
        return [str(text) for (text,) in db.execute(query).fetchall() if text]
