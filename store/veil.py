"""What a restriction hides from whoever reads a shelf (R2, R27). Nothing is erased: it shows again when the restriction
ends.

What the agency ordered to be given back to itself is not hidden from it (28(3)(g)).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Row, select

from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Mandate
from schemas.records import RECORDS
from schemas.restriction import closed_keys, is_closed
from store.among import among
from store.tables import ROWS


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on a building or a lot of one system, as far as a shelf knows."""

    db: Connection
    system: System

    def standing_on(self, table: str, column: str, keys: Iterable[str]) -> set[str]:
        """Keys of the rows of a table whose reference names one of these keys."""
        t = ROWS[table]
        return set(self.db.scalars(select(t.c.source_key).where(t.c.system == self.system, among(t.c[column], keys))))


class Veil:
    """The restrictions of one mandate, over one shelf."""

    def __init__(self, db: Connection, mandate: Mandate, refer: Callable[[System, str, str], str]) -> None:
        self._db, self._mandate = db, mandate
        self._ordered = frozenset(t for task in mandate.tasks if task.does == "return" for t in task.tables)
        self._closed = {s: self._keys(s, refer) for s in AGENCY_SYSTEMS} if mandate.rows_closed else {}

    def columns(self, table: str) -> frozenset[str] | None:
        """Columns that show nothing; None when no row of the table shows."""
        return frozenset() if self._given_back(table) else self._mandate.veiled(table)

    def hidden(self, table: str, found: Sequence[Row[Any]]) -> np.ndarray:
        """Per row of the table: whether a building, a lot or a person hides it."""
        mask = np.zeros(len(found), np.bool_)
        if not self._closed or self._given_back(table):
            return mask
        systems = np.array([r.system for r in found])
        keys = [f.name for f in RECORDS[table].refs if f.target]
        rows = pa.table({c: pa.array([getattr(r, c) for r in found], pa.string()) for c in ("source_key", *keys)})
        for system, closed in self._closed.items():
            mask |= (systems == system) & is_closed(table, rows, closed)
        return mask

    def _given_back(self, table: str) -> bool:
        return "*" in self._ordered or table in self._ordered

    def _keys(self, system: System, refer: Callable[[System, str, str], str]) -> dict[str, set[str]]:
        targets = self._mandate.rows_closed
        held = {
            name: pa.table({"source_key": pa.array(self._db.scalars(self._all(name, system)).all(), pa.string())})
            for name in targets
        }
        return closed_keys(held, targets, lambda table, key: refer(system, table, key), Standing(self._db, system))

    def _all(self, name: str, system: System) -> Any:
        t = ROWS[name]
        return select(t.c.source_key).where(t.c.system == system)
