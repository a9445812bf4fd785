"""Absence in a snapshot (sdgi.md "Ends"): what is no longer in its file has left, unless the file proves nothing.

Absence never erases and never merges. The portal is the exception: it decides over its own accounts, so that an
absent account is deleted (portal.md).
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, delete, select

from schemas.ids import System
from store.among import among
from store.batch import Batch
from store.endings import end_lines
from store.tables import LINE, ROWS
from store.writing import Place


@dataclass(frozen=True, slots=True)
class Absent:
    """Per source table: line ids that were live before and are not in the delivery, and how many were live."""

    source: str
    lines: tuple[int, ...]
    live: int
    announced: int


def absentees(batch: Batch, d: int) -> list[Absent]:
    """Looked for before anything is written."""
    held = batch.held_lines(d)
    held = held.filter(held["live"])
    batch.forget_held_lines(d)
    mine = batch.d == d
    mine_ends = batch.endings.filter(
        pa.array((batch.d[batch.endings["line"].to_numpy()] == d) & batch.ok[batch.endings["line"].to_numpy()])
    )
    announced = set(zip(mine_ends["source"].to_pylist(), mine_ends["key"].to_pylist(), strict=True))
    out = []
    for source in sorted(batch.snapshot):
        live = held.filter(pc.equal(held["source"], source))
        present = batch.key.filter(pa.array(mine & batch.is_of(source))).drop_null()
        gone = live.filter(pc.invert(pc.is_in(live["key"], value_set=present)))
        told = [(source, k) in announced for k in gone["key"].to_pylist()]
        lines = [i for i, t in zip(gone["id"].to_pylist(), told, strict=True) if not t]
        out.append(Absent(source, tuple(lines), len(live), sum(told)))
    return out


def apply_absences(
    db: Connection, batch: Batch, d: int, place: Place, absent: list[Absent]
) -> tuple[Counter[str], list[str]]:
    """Ends by absence after the two guards. Returns ended lines by reason and the delivery's flags."""
    if batch.system is System.PORTAL:
        _delete_absent(db, absent)
        return Counter(), []
    gone = {a.source: _still_live(db, a) for a in absent if a.lines}
    vanished = [a.source for a in absent if len(gone.get(a.source, ())) > 5 and len(gone[a.source]) * 10 > a.live]
    if vanished:
        return Counter(), [f"mass_disappearance:{s}" for s in vanished]
    ended: Counter[str] = Counter()
    flags = []
    for source, lines in gone.items():
        if not lines:
            continue
        if _has_quarantine(batch, d, source):
            flags.append(f"absence_held:{source}")
            continue
        end_lines(db, lines, "SORTIE", place.day.isoformat())
        ended["SORTIE"] += len(lines)
    return ended, flags


def _still_live(db: Connection, absent: Absent) -> list[int]:
    """Without the lines that a person erased in this very delivery took along: their end was announced too."""
    return list(db.scalars(select(LINE.c.id).where(among(LINE.c.id, absent.lines), LINE.c.live == 1)))


def _has_quarantine(batch: Batch, d: int, source: str) -> bool:
    return bool(((batch.d == d) & batch.is_of(source) & batch.came_to("quarantined")).any())


def _delete_absent(db: Connection, absent: list[Absent]) -> None:
    gone = [i for a in absent for i in a.lines]
    for name in ("portal_account", "portal_attachment"):
        db.execute(delete(ROWS[name]).where(among(ROWS[name].c.owner, gone)))
    db.execute(delete(LINE).where(among(LINE.c.id, gone)))
