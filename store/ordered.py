"""Erasing what an agency orders to be erased while its contract runs: whole tables, or persons (28(3)(g), R21, R28).

What goes is deleted, the keys of persons of whom nothing is left are destroyed, and the file is rewritten. Lines that
keep other rows go on as if they had never yielded these: they are withheld from the next delivery on.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, delete, select, union, update

from schemas.ids import AGENCY_SYSTEMS
from schemas.records import PROCESSOR_TABLES, RECORDS
from store.agency import OpenShelf
from store.endings import FALL_WITH, FORGET_IN, erase_person, forget_reference, take_from_lines
from store.engine import on, put
from store.keep import finish_erasures
from store.tables import DOOMED_KEY, LINE, QUARANTINE, ROWS
from store.writing import Place


def erase_tables(shelf: OpenShelf, tables: Iterable[str], day: date) -> dict[str, int]:
    """Every row of these tables ("*": of all), and what cannot stand without its person. Rows by table; again is the
    same as once."""
    wanted = set(tables)
    everything = "*" in wanted
    if "person" in wanted:
        wanted |= set(FALL_WITH)
    names = [n for n in PROCESSOR_TABLES if everything or n in wanted]
    gone: Counter[str] = Counter()
    with shelf.writing() as db:
        before = _used(db)
        if everything:
            gone.update(_delete_all(db))
        else:
            for name in names:
                gone[name] += _delete_table(db, name)
            if "person" in wanted:
                _forget_persons(db, shelf, day)
        _doom(db, before - _used(db))
    _finish(shelf)
    return {n: gone[n] for n in names if gone[n]}


def erase_persons(shelf: OpenShelf, references: frozenset[str], day: date) -> dict[str, int]:
    """Persons that the log names by reference, with everything that is theirs, and for good: as an erasure on the
    person's own request that the agency relays (canonical §7, EFFACEMENT)."""
    before = _counts(shelf)
    person, line = ROWS["person"], LINE
    with shelf.writing() as db:
        for system in AGENCY_SYSTEMS:
            found = db.execute(
                select(person.c.source_key, line.c.source, line.c.key)
                .join(line, line.c.id == person.c.owner)
                .where(person.c.system == system)
            ).all()
            for row in found:
                if shelf.keyring.reference(system, "person", row.source_key) in references:
                    end = {"source": row.source, "key": row.key, "person": row.source_key}
                    erase_person(db, Place(shelf, system, 0, day), end)
    _finish(shelf)
    after = _counts(shelf)
    return {n: before[n] - after[n] for n in before if before[n] > after[n]}


def _delete_all(db: Connection) -> Counter[str]:
    gone = Counter({name: db.execute(delete(t)).rowcount for name, t in ROWS.items()})
    db.execute(delete(LINE))
    db.execute(update(QUARANTINE).values(sealed=None, key=None))
    return gone


def _delete_table(db: Connection, name: str) -> int:
    t = ROWS[name]
    rows = db.execute(select(t.c.source_key, t.c.owner, t.c.digest, t.c.dropped)).all()
    db.execute(delete(t))
    take_from_lines(db, list(rows))
    return len(rows)


def _forget_persons(db: Connection, shelf: OpenShelf, day: date) -> None:
    """Columns that name a person where no person is left."""
    for name, (column, instead) in FORGET_IN.items():
        t = ROWS[name]
        for system in AGENCY_SYSTEMS:
            named = set(db.scalars(select(t.c[column]).where(t.c.system == system, t.c[column].is_not(None))))
            if named:
                forget_reference(db, Place(shelf, system, 0, day), name, column, named, instead)


def _used(db: Connection) -> set[int]:
    """Person keys with which something is sealed."""
    return set(db.scalars(union(*(select(t.c.kid).where(t.c.kid > 0) for t in ROWS.values()))))


def _doom(db: Connection, kids: set[int]) -> None:
    if kids:
        put(db, DOOMED_KEY, [{"kid": k} for k in sorted(kids)])


def _finish(shelf: OpenShelf) -> None:
    if not finish_erasures(shelf):
        on(shelf.db).scrub(shelf.db)


def _counts(shelf: OpenShelf) -> dict[str, int]:
    return {n: c for n, c in shelf.counts().items() if n in PROCESSOR_TABLES and RECORDS[n].exported}
