"""Which rows a restriction by building, lot or person closes (R2): the row itself, every row that refers to it, and for
buildings and lots what stands on them.

The log names rows by keyed reference only, so that each key has to be tried: `refer` makes the reference of a key.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import RECORDS

# (table, key) -> reference
Refer = Callable[[str, str], str]
# What closes with its building or its lot: table, its reference, and the table that this names rows of. In order.
STANDS_ON = (("lot", "building_key", "building"), ("lease", "lot_key", "lot"))


class Held(Protocol):
    """What is on the shelf: keys of a table whose reference column names one of these keys."""

    def standing_on(self, table: str, column: str, keys: Iterable[str]) -> set[str]: ...


def closed_keys(
    rows: Mapping[str, pa.Table], targets: Mapping[str, frozenset[str]], refer: Refer, held: Held
) -> dict[str, set[str]]:
    """Keys that are closed, by table: of those that these rows have or name, those that the references mean, and what
    stands on them here or on the shelf."""
    closed = {
        table: {key for key in named(rows, table) if refer(table, key) in wanted} for table, wanted in targets.items()
    }
    for table, column, on in STANDS_ON:
        below = closed.get(on)
        if below:
            here = closed.setdefault(table, set())
            here |= held.standing_on(table, column, below)
            if table in rows:
                mask = pc.is_in(rows[table][column], value_set=pa.array(sorted(below), pa.string()))
                here.update(rows[table]["source_key"].filter(mask).to_pylist())
    return closed


def named(rows: Mapping[str, pa.Table], table: str) -> set[str]:
    """Keys of a table that its rows have, and that others refer to."""
    found: set[str] = set()
    for name, part in rows.items():
        columns = [f.name for f in RECORDS[name].refs if f.target == table and f.name in part.column_names]
        for column in (*columns, *(("source_key",) if name == table else ())):
            found.update(k for k in pc.unique(part[column]).to_pylist() if k is not None)
    return found


def is_closed(name: str, rows: pa.Table, closed: Mapping[str, set[str]]) -> np.ndarray:
    """Per row: whether it is closed, or refers to one that is."""
    mask = np.zeros(len(rows), np.bool_)
    for table, keys in closed.items():
        if not keys:
            continue
        columns = [f.name for f in RECORDS[name].refs if f.target == table and f.name in rows.column_names]
        for column in (*columns, *(("source_key",) if name == table else ())):
            hit = pc.fill_null(pc.is_in(rows[column], value_set=pa.array(sorted(keys), pa.string())), False)
            mask |= hit.to_numpy(zero_copy_only=False)
    return mask
