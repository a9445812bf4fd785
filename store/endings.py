"""Ends, three of the four reasons (canonical §7): SORTIE and DOUBLON keep rows, EFFACEMENT deletes them and their
keys.

In the order SORTIE, DOUBLON, EFFACEMENT, then absences. An end line counts ignored (no such row), unchanged or
stored. Ends are few beside lines; each is a handful of statements inside the delivery's transaction.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, delete, func, select, update

from store.among import among
from store.batch import Batch
from store.compare import UNCOUNTED
from store.engine import put
from store.patch import change, sign
from store.tables import DOOMED_KEY, ERASED_KEY, LINE, QUARANTINE, ROWS
from store.writing import Place

# Tables whose rows fall with a person they name (canonical §7).
FALL_WITH = {
    "contact": ("person_key",), "person_link": ("group_key", "member_key"), "co_ownership": ("person_key",),
    "council_membership": ("person_key",), "lease_party": ("person_key",), "account": ("person_key",),
    "bank_detail": ("person_key",), "document": ("person_key",),
}  # fmt: skip
# Columns that forget an erased person, and what stands there instead. A role outlives its person (it may still be
# ended, or come again and dangle), but no longer knows whose it was. `-` is how a key says that a part is missing
# (canonical §1); no person of LOGIN can be called so (login.xsd, type Ref).
FORGET_IN = {"mandate": ("landlord_key", None), "person": ("merged_into", None), "role": ("person_key", "-")}


def apply_endings(db: Connection, batch: Batch, d: int, place: Place) -> Counter[str]:
    """Every explicit end of delivery d. Returns how many source lines ended, by reason."""
    mine = batch.endings.filter(_accepted_ends(batch, d))
    ended: Counter[str] = Counter()
    for reason, apply in (("SORTIE", _sortie), ("DOUBLON", _doublon), ("EFFACEMENT", _effacement)):
        for end in mine.filter(pc.equal(mine["reason"], reason)).to_pylist():
            outcome = apply(db, batch, place, end)
            if outcome == "stored" and (reason != "EFFACEMENT" or end["held"]):
                ended[reason] += 1
            if not end["implied"]:
                batch.settle(end["line"], outcome)
    return ended


def _accepted_ends(batch: Batch, d: int) -> pa.Array:
    """Ends of delivery d whose line was accepted."""
    lines = batch.endings["line"].to_numpy()
    accepted = batch.ok | batch.came_to("stored") | batch.came_to("unchanged")
    return pa.array((batch.d[lines] == d) & accepted[lines])


def end_lines(db: Connection, lines: Iterable[int], reason: str, on: str) -> int:
    """End every row of these lines that has no end yet. Returns how many rows ended."""
    lines = list(lines)
    rows = 0
    for t in ROWS.values():
        rows += db.execute(
            update(t)
            .where(among(t.c.owner, lines), t.c.ended_reason.is_(None))
            .values(ended_reason=reason, ended_on=on)
        ).rowcount
    db.execute(update(LINE).where(among(LINE.c.id, lines)).values(live=0))
    return rows


def _line_of(db: Connection, place: Place, end: dict[str, Any]) -> int | None:
    return db.scalar(
        select(LINE.c.id).where(LINE.c.system == place.system, LINE.c.source == end["source"], LINE.c.key == end["key"])
    )


def _sortie(db: Connection, _: Batch, place: Place, end: dict[str, Any]) -> str:
    line = _line_of(db, place, end)
    if line is None:
        return "ignored"
    return "stored" if end_lines(db, [line], "SORTIE", _on(end, place)) else "unchanged"


def _doublon(db: Connection, batch: Batch, place: Place, end: dict[str, Any]) -> str:
    line = _line_of(db, place, end)
    if line is None:
        return "ignored"
    survivor = end["merged_into"]
    if survivor is not None and survivor not in place.shelf.present("person", place.system, [survivor]):
        batch.raise_flag(np.array([end["line"]]), "ref_unresolved")
        survivor = None
    t = ROWS["person"]
    rows = end_lines(db, [line], "DOUBLON", _on(end, place))
    main = db.execute(
        select(t).where(t.c.owner == line, t.c.dropped == 0).order_by(func.length(t.c.source_key)).limit(1)
    ).one_or_none()
    if main is None:
        return "stored" if rows else "unchanged"
    now = ("DOUBLON", _on(end, place), survivor)
    was = (main.ended_reason, main.ended_on, main.merged_into)
    if was != now:
        db.execute(
            update(t)
            .where(t.c.system == place.system, t.c.source_key == main.source_key)
            .values(ended_reason=now[0], ended_on=now[1], merged_into=survivor)
        )
        rows += 1
    return "stored" if rows else "unchanged"


def _effacement(db: Connection, _: Batch, place: Place, end: dict[str, Any]) -> str:
    return erase_person(db, place, end)


def erase_person(db: Connection, place: Place, end: dict[str, Any]) -> str:
    """Everything that a person's line yields or that is theirs goes, and the person is not taken in again. `end` names
    the line (source, key) and the person."""
    line = _line_of(db, place, end)
    end["held"] = line is not None
    t = ROWS["person"]
    persons = db.execute(select(t.c.source_key, t.c.kid).where(t.c.owner == line)).all() if line is not None else []
    keys = {r.source_key for r in persons} | ({end["person"]} if end["person"] else set())
    fresh = _remember(db, place, keys)
    _forget_content(db, place, end)
    if line is None:
        return "stored" if fresh else "ignored"
    for name in ROWS:
        _delete_rows(db, name, line, place, keys)
    for name, (column, instead) in FORGET_IN.items():
        forget_reference(db, place, name, column, keys, instead)
    db.execute(delete(LINE).where(LINE.c.id == line))
    kids = [{"kid": r.kid} for r in persons if r.kid]
    if kids:
        put(db, DOOMED_KEY, kids)
    return "stored"


def _remember(db: Connection, place: Place, keys: set[str]) -> int:
    """The erased keys, as digests that only this agency's key can make."""
    fresh = 0
    for key in keys:
        values = {"system": place.system, "mark": place.shelf.keyring.mark(key.encode())}
        fresh += put(db, ERASED_KEY, values)
    return fresh


def _forget_content(db: Connection, place: Place, end: dict[str, Any]) -> None:
    """Lines of that person that were put aside earlier: where and why stays, what they said goes."""
    q = QUARANTINE
    db.execute(
        update(q)
        .where(q.c.system == place.system, q.c.source == end["source"], q.c.key == end["key"])
        .values(sealed=None, key=None)
    )


def _delete_rows(db: Connection, name: str, line: int, place: Place, persons: set[str]) -> None:
    t = ROWS[name]
    named = [among(t.c[c], persons) for c in FALL_WITH.get(name, ())]
    doomed = db.execute(
        select(t.c.source_key, t.c.owner, t.c.digest, t.c.dropped).where(
            t.c.system == place.system, _any([t.c.owner == line, *named])
        )
    ).all()
    if not doomed:
        return
    db.execute(delete(t).where(t.c.system == place.system, among(t.c.source_key, [r.source_key for r in doomed])))
    take_from_lines(db, [r for r in doomed if r.owner != line])


def _any(conditions: list[Any]) -> Any:
    out = conditions[0]
    for c in conditions[1:]:
        out = out | c
    return out


def take_from_lines(db: Connection, rows: list[Any]) -> None:
    """Other lines lost a row: their signatures follow; a line that has nothing left is forgotten, with what was only
    remembered beside its row."""
    for r in rows:
        if not r.dropped:
            sign(db, r.owner, take=r.digest)
    for owner in {r.owner for r in rows}:
        counted = (t for name, t in ROWS.items() if name not in UNCOUNTED)
        if not any(db.scalar(select(t.c.owner).where(t.c.owner == owner).limit(1)) for t in counted):
            for name in UNCOUNTED:
                db.execute(delete(ROWS[name]).where(ROWS[name].c.owner == owner))
            db.execute(delete(LINE).where(LINE.c.id == owner))


def forget_reference(
    db: Connection, place: Place, name: str, column: str, persons: set[str], instead: str | None
) -> None:
    t = ROWS[name]
    where = (t.c.system == place.system, among(t.c[column], persons))
    if column == "merged_into":
        db.execute(update(t).where(*where).values(merged_into=None))
        return
    found = db.execute(select(t).where(*where)).all()
    change(db, place, name, found, {column: [instead] * len(found)})


def _on(end: dict[str, Any], place: Place) -> str:
    on = end["on"] or place.day
    return str(on.isoformat())
