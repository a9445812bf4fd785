"""The database's own refusal: no row is written in a transaction that no capability opened, nor under one that was
minted from an older head of the log than the shelf has seen (R46, R52).

Triggers, made with the tables. A programme that forgets to ask is stopped by the file itself; who holds file and keys
and means harm is not: that is what the log shows.
"""

from sqlalchemy import Connection, Table, delete, insert
from sqlalchemy.dialects.sqlite import insert as upsert

from schemas.capability import Capability
from schemas.errors import Refused
from store.tables import CAPABILITY, DELIVERY, DOOMED_KEY, GRANTED, HOLDING_TABLES, META, SIGNATORY

VERSION = 2
_VERBS = ("INSERT", "UPDATE", "DELETE")


def prepare(db: Connection) -> None:
    """Make the tables and their guards, once; a shelf of the first version gets what it lacks."""
    found = db.exec_driver_sql("PRAGMA user_version").scalar()
    if found == VERSION:
        db.rollback()
        return
    if found is not None and found > VERSION:
        db.rollback()
        raise Refused("this shelf was written by a later version", "Use that version.")
    META.create_all(db)
    columns = {row[1] for row in db.exec_driver_sql(f"PRAGMA table_info({DELIVERY.name})")}
    if "capability" not in columns:
        db.exec_driver_sql(f"ALTER TABLE {DELIVERY.name} ADD COLUMN capability VARCHAR")
    for statement in _triggers():
        db.exec_driver_sql(statement)
    db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    db.commit()


def grant(db: Connection, capability: Capability) -> None:
    """Open the transaction to writing. Raises Refused for a capability that the shelf knows to be out of date."""
    last = db.exec_driver_sql("SELECT size, root FROM capability ORDER BY size DESC LIMIT 1").first()
    if last is not None and (
        last.size > capability.size or (last.size == capability.size and last.root != capability.root)
    ):
        raise Refused(
            "what was allowed stands on another head of the log than this shelf has seen",
            "If the log was restored from a copy, restore the shelf of the same day too.",
        )
    digest = capability.digest
    known = upsert(CAPABILITY).values(
        digest=digest, act=str(capability.act), ground=" ".join(capability.ground), size=capability.size,
        root=capability.root, minted_at=capability.minted_at.isoformat(),
    )  # fmt: skip
    db.execute(known.on_conflict_do_nothing())
    db.execute(insert(GRANTED).values(digest=digest))


def revoke(db: Connection) -> None:
    db.execute(delete(GRANTED))


_STALE = "SELECT 1 FROM capability c WHERE c.size > NEW.size OR (c.size = NEW.size AND c.root <> NEW.root)"
_NEWEST = "SELECT digest FROM capability WHERE size = (SELECT max(size) FROM capability)"


def _triggers() -> list[str]:
    """Guards of every table that holds something of somebody, and of the capabilities themselves."""
    return [
        *(_guard(META.tables[name], verb) for name in HOLDING_TABLES for verb in _VERBS),
        _refusal("capability_stale", "INSERT ON capability", f"EXISTS ({_STALE})", "the capability is out of date"),
        _refusal("capability_kept", "UPDATE ON capability", "TRUE", "capabilities are kept as they were"),
        _refusal("capability_there", "DELETE ON capability", "TRUE", "capabilities are kept as they were"),
        _refusal(
            "granted_known", "INSERT ON granted", f"NEW.digest NOT IN ({_NEWEST})", "the capability is out of date"
        ),
    ]


def _guard(table: Table, verb: str) -> str:
    """Bookkeeping passes: a delivery gets its receipt, the key of an erased person is gone, who signed an instruction
    is noted before there is one."""
    when, what = "NOT EXISTS (SELECT 1 FROM granted)", verb
    if (table.name, verb) in ((DOOMED_KEY.name, "DELETE"), (SIGNATORY.name, "INSERT")):
        when = "FALSE"
    if (table.name, verb) == (DELIVERY.name, "UPDATE"):
        what = f"UPDATE OF {', '.join(c.name for c in DELIVERY.c if c.name != 'receipted')}"
    return _refusal(f"{table.name}_{verb.lower()}", f'{what} ON "{table.name}"', when, "no capability")


def _refusal(name: str, what: str, when: str, told: str) -> str:
    return f"CREATE TRIGGER IF NOT EXISTS \"{name}\" BEFORE {what} WHEN {when} BEGIN SELECT RAISE(ABORT, '{told}'); END"
