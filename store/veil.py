"""What a restriction hides from whoever reads a shelf (R2, R27). Nothing is erased: it shows again when the restriction
ends.

What the agency ordered to be given back to itself is not hidden from it (28(3)(g)).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Row, select

from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Mandate
from schemas.records import RECORDS
from schemas.restriction import closed_keys
from store.among import among
from store.tables import ROWS


class Veil:
    """The restrictions of one mandate, over one shelf."""

    def __init__(self, db: Connection, mandate: Mandate, refer: Callable[[System, str, str], str]) -> None:
        self._db, self._mandate = db, mandate
        self._ordered = frozenset(t for task in mandate.tasks if task.does == "return" for t in task.tables)
        self._closed = {s: self._keys(s, refer) for s in AGENCY_SYSTEMS} if mandate.rows_closed else {}

    def columns(self, table: str) -> frozenset[str] | None:
        """Columns that show nothing; None when no row of the table shows."""
        return frozenset() if self._given_back(table) else self._mandate.veiled(table)

    def shown(self, table: str, found: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
        """The rows that are not hidden, in their order."""
        if not self._closed or self._given_back(table):
            return found
        columns = [(f.name, f.target) for f in RECORDS[table].refs if f.target]
        return [r for r in found if not self._hides(table, r, columns)]

    def standing_on(self, table: str, column: str, keys: Iterable[str]) -> set[str]:
        t = ROWS[table]
        return set(self._db.scalars(select(t.c.source_key).where(t.c.system == self._system, among(t.c[column], keys))))

    def _hides(self, table: str, row: Row[Any], columns: Sequence[tuple[str, str]]) -> bool:
        closed = self._closed[System(row.system)]
        if row.source_key in closed.get(table, ()):
            return True
        return any(getattr(row, name) in closed.get(target, ()) for name, target in columns)

    def _given_back(self, table: str) -> bool:
        return "*" in self._ordered or table in self._ordered

    def _keys(self, system: System, refer: Callable[[System, str, str], str]) -> dict[str, set[str]]:
        self._system = system
        targets = self._mandate.rows_closed
        held = {
            name: pa.table({"source_key": pa.array(self._db.scalars(self._all(name, system)).all(), pa.string())})
            for name in targets
        }
        return closed_keys(held, targets, lambda table, key: refer(system, table, key), self)

    def _all(self, name: str, system: System) -> Any:
        t = ROWS[name]
        return select(t.c.source_key).where(t.c.system == system)
