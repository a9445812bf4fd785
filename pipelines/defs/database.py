"""Dagster's own database: made whole or not at all, without statistics of what could name an agency, looked into."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine, make_url

from pipelines.defs.address import Address
from schemas.errors import Refused, TryAgain

# The last table that is made. It holds the runs at work (`pipelines.defs.interrupted`).
_MARK = "depositaire_dagster"
# Columns of text that name no agency. Of every other one the planner must not remember values: they would stay in its
# statistics when their rows are gone.
_NAMELESS = frozenset(
    {"run_id", "asset_key", "dagster_event_type", "step_key", "status", "mode", "check_name", "execution_status"}
)
_LOCK = "SELECT pg_advisory_lock(hashtextextended('depositaire dagster', 0))"
_PATIENCE = "60s"


def connect(address: Address) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection of our own, each statement for itself. Raises TryAgain, without what the driver says."""
    url = make_url(address.url)  # its text is not the one that libpq reads
    told = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    try:
        return psycopg.connect(autocommit=True, connect_timeout=20, application_name="depositaire", **told)
    except psycopg.OperationalError:
        raise TryAgain("Dagster's database does not answer", "Start its server, or correct its address.") from None


def install(address: Address) -> None:
    """Dagster's tables in a database of their own. Again is the same as once; what was half made is made anew.

    Dagster makes its tables one by one, and takes some of them for all of them.
    """
    from dagster_postgres import DagsterPostgresStorage

    with connect(address) as db:
        db.execute(_LOCK)
        known = {(schema, name) for schema, name in db.execute(_TABLES).fetchall()}
        if ("public", _MARK) not in known:
            _refuse_what_is_not_ours(known)
            for schema, name in sorted(known):
                db.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(str(schema), str(name))))
            made = DagsterPostgresStorage(address.url)
            made.event_log_storage.set_concurrency_slots("erasure", 1)
            db.execute(sql.SQL("CREATE TABLE {} (run_id text PRIMARY KEY)").format(sql.Identifier(_MARK)))
        forget_values(db)


def _refuse_what_is_not_ours(known: set[tuple[object, object]]) -> None:
    from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
    from dagster._core.storage.runs.schema import RunStorageSqlMetadata
    from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

    every = (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
    of_dagster = {("public", name) for metadata in every for name in metadata.tables} | {("public", "alembic_version")}
    if not known <= of_dagster:
        raise Refused("the database of --dagster holds something else", "Give Dagster a database of its own.")


def forget_values(db: "psycopg.Connection[tuple[object, ...]]") -> None:
    """No statistics of columns that could name an agency; none that were made before stay."""
    for schema, table, column in db.execute(_TEXTS, [list(_NAMELESS)]).fetchall():
        place, name = sql.Identifier(str(schema), str(table)), sql.Identifier(str(column))
        db.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET STATISTICS 0").format(place, name))


def rewrite(address: Address) -> None:
    """Write every table anew: deleting leaves the bytes of a row where they were, and VACUUM alone leaves them in free
    space. Raises TryAgain when somebody is in the way."""
    with connect(address) as db:
        db.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(_PATIENCE)))
        try:
            for schema, table in db.execute(_TABLES).fetchall():
                place = sql.Identifier(str(schema), str(table))
                db.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(place))
        except psycopg.OperationalError:  # a lock, a deadlock, a server that went away
            raise TryAgain("Dagster's database is in use", "Wait until its runs end, then do the same again.") from None


@contextmanager
def looked_into(address: Address | None) -> Iterator[Connection | None]:
    """A connection to search with, which changes nothing; None where Dagster's records are files."""
    if address is None:
        yield None
        return
    engine = create_engine(address.url, poolclass=NullPool)
    try:
        with engine.connect() as db:
            yield db
    finally:
        engine.dispose()


_OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp%%'"
_TABLES = f"""SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_OURS} ORDER BY 1, 2"""  # noqa: S608 - words of our own
_TEXTS = f"""SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r' AND {_OURS} AND a.attnum > 0 AND NOT a.attisdropped
AND coalesce(a.attstattarget, -1) <> 0 AND a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bytea'::regtype)
AND a.attname <> ALL (%s)"""  # noqa: S608 - words of our own
