"""The triggers of `store.guard` in a shelf's file, made with its tables."""

from functools import cache

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from schemas.errors import Refused
from store.guard import PASSING, PASSING_COLUMNS
from store.tables import DELIVERY, FLOW, HOLDING_TABLES, META

VERSION = 4
# Columns that tables of an earlier version lack.
_ADDED = {
    DELIVERY.name: {"capability": "VARCHAR"},
    FLOW.name: {
        "generation": "INTEGER NOT NULL DEFAULT 0", "proof": "BLOB", "until": "VARCHAR", "excess": "VARCHAR",
    },
}  # fmt: skip
_VERBS = ("INSERT", "UPDATE", "DELETE")
_STALE = "SELECT 1 FROM capability c WHERE c.size > NEW.size OR (c.size = NEW.size AND c.root <> NEW.root)"
_NEWEST = "SELECT digest FROM capability WHERE size = (SELECT max(size) FROM capability)"


def prepare(db: Connection) -> None:
    """Make the tables and their guards, once; a shelf of an earlier version gets what it lacks."""
    found = db.exec_driver_sql("PRAGMA user_version").scalar()
    if found == VERSION:
        db.rollback()
        return
    if found is not None and found > VERSION:
        db.rollback()
        raise Refused("this shelf was written by a later version", "Use that version.")
    for statement in _tables():
        db.exec_driver_sql(statement)
    for table, added in _ADDED.items():
        there = {row[1] for row in db.exec_driver_sql(f"PRAGMA table_info({table})")}
        for name, kind in added.items():
            if name not in there:
                db.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for statement in _triggers():
        db.exec_driver_sql(statement)
    db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    db.commit()


@cache
def _tables() -> tuple[str, ...]:
    """As `create_all` makes them, put into words once: a night may make thousands of shelves."""
    dialect = sqlite.dialect()
    made: list[str] = []
    for table in META.sorted_tables:
        made.append(str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda each: str(each.name))
        made += [str(CreateIndex(each, if_not_exists=True).compile(dialect=dialect)) for each in indexes]
    return tuple(made)


@cache
def _triggers() -> tuple[str, ...]:
    """Guards of every table that holds something of somebody, and of the capabilities themselves."""
    return (
        *(each for name in HOLDING_TABLES for verb in _VERBS for each in _guard(META.tables[name], verb)),
        *_refusal("capability_stale", "INSERT ON capability", f"EXISTS ({_STALE})", "the capability is out of date"),
        *_refusal("capability_kept", "UPDATE ON capability", "TRUE", "capabilities are kept as they were"),
        *_refusal("capability_there", "DELETE ON capability", "TRUE", "capabilities are kept as they were"),
        *_refusal(
            "granted_known", "INSERT ON granted", f"NEW.digest NOT IN ({_NEWEST})", "the capability is out of date"
        ),
    )


def _guard(table: Table, verb: str) -> list[str]:
    when, what = "NOT EXISTS (SELECT 1 FROM granted)", verb
    if (table.name, verb) in PASSING:
        when = "FALSE"
    if (table.name, verb) in PASSING_COLUMNS:
        free = PASSING_COLUMNS[table.name, verb]
        what = f"UPDATE OF {', '.join(c.name for c in table.c if c.name not in free)}"
    return _refusal(f"{table.name}_{verb.lower()}", f'{what} ON "{table.name}"', when, "no capability")


def _refusal(name: str, what: str, when: str, told: str) -> list[str]:
    """ROLLBACK: the transaction ends whole. ABORT (version 2) takes back one statement, for which SQLite has to keep a
    journal of each."""
    return [
        f'DROP TRIGGER IF EXISTS "{name}"',
        f"CREATE TRIGGER \"{name}\" BEFORE {what} WHEN {when} BEGIN SELECT RAISE(ROLLBACK, '{told}'); END",
    ]
