"""Change single columns of rows already on the shelf: open, change, seal again. For the few rows that an end or a
memory touches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Row, select

from schemas.frames import ARROW
from schemas.records import RECORDS
from store.among import among
from store.encode import joined, messages
from store.engine import on
from store.sealing import seal_rows
from store.tables import LINE, ROWS
from store.writing import Place


def change(
    db: Connection, place: Place, name: str, found: Sequence[Row[Any]], changes: Mapping[str, Sequence[Any]]
) -> int:
    """Give rows of one record new values in some columns (sealed or references). Digest and line signature follow.

    Returns how many rows really changed. Ends, owner and lineage stay: the value still comes from where it came.
    """
    record = RECORDS[name]
    if not found:
        return 0
    before = pa.table(place.shelf.opened(record, found))
    after = before
    for column, values in changes.items():
        i = after.column_names.index(column)
        after = after.set_column(i, column, pa.array(values, ARROW[record.field(column).kind]))
    differs = np.zeros(len(found), bool)
    for column in changes:
        old, new = before[column].to_pylist(), after[column].to_pylist()
        differs |= np.array([a != b for a, b in zip(old, new, strict=True)], bool)
    at = np.flatnonzero(differs).tolist()
    if len(at) == 0:
        return 0
    after, rows = after.take(pa.array(at)), [found[i] for i in at]
    keys, kids = [r.source_key for r in rows], [r.kid for r in rows]
    sealed = seal_rows(
        place.shelf.binding(name, place.system),
        keys,
        kids,
        joined(after, record.sealed_fields).to_pylist(),
        place.shelf.keyring.cipher,
    )
    digests = row_digests(place, name, after)
    refs = [f.name for f in record.refs]
    columns = {"sealed": sealed, "digest": digests, **{r: after[r].to_pylist() for r in refs}}
    on(db).change_rows(db, ROWS[name], str(place.system), keys, columns)
    for r, new in zip(rows, digests, strict=True):
        if not r.dropped:
            sign(db, r.owner, take=r.digest, give=new)
    return len(at)


def row_digests(place: Place, name: str, table: pa.Table) -> list[bytes]:
    return place.shelf.keyring.digest.each(messages(table, name, place.system))


def sign(db: Connection, line: int, take: bytes | None = None, give: bytes | None = None) -> None:
    """Take a row's digest out of a line's signature, or put one in."""
    held = db.scalar(select(LINE.c.signature).where(LINE.c.id == line))
    if held is None or take == give:
        return
    parts = np.frombuffer(held, "<u8").copy()
    if take is not None:
        parts -= np.frombuffer(take, "<u8")
    if give is not None:
        parts += np.frombuffer(give, "<u8")
    db.execute(LINE.update().where(LINE.c.id == line).values(signature=parts.astype("<u8").tobytes()))


def rows_where(db: Connection, name: str, system: str, column: str, values: Sequence[Any]) -> Sequence[Row[Any]]:
    t = ROWS[name]
    return db.execute(select(t).where(t.c.system == system, among(t.c[column], values))).all()
