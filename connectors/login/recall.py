"""What is held of the objects that a delta changes: it completes what their lines do not say (login.md, action M)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Recalled
from connectors.login.objects import Objects, Positions
from connectors.normalise.octets import Mask, none, truth
from schemas.frames import row_schema
from schemas.records import RECORDS


@dataclass(frozen=True, slots=True)
class Owned:
    """Rows of one record that changed objects of one sheet own: `parent` is the object of each."""

    parent: Positions
    rows: pa.Table

    def where(self, mask: Mask) -> "Owned":
        return Owned(self.parent[mask], self.rows.filter(pa.array(mask)))

    def column(self, name: str) -> pa.Array:
        return self.rows.column(name).combine_chunks()


def _owners(d: pa.Array, source: pa.Array, key: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(d.cast(pa.string()), source, key, "\x1f")


def _pairs(held: pa.Array, objects: Objects) -> pd.DataFrame:
    """Which held row belongs to which changed object. An object that stands twice there finds its rows twice."""
    changed = np.flatnonzero(objects.partial)
    at = pa.array(changed)
    owners = _owners(pa.array(objects.d).take(at), objects.source.take(at), objects.key.take(at))
    rows = pd.DataFrame({"owner": held.to_numpy(zero_copy_only=False), "row": np.arange(len(held))})
    wanted = pd.DataFrame({"owner": owners.to_numpy(zero_copy_only=False), "object": changed})
    return rows.merge(wanted, on="owner").sort_values(["object", "row"])


class Recall:
    """The answer of the store, by record, brought beside the objects of a sheet."""

    def __init__(self, recalled: Recalled) -> None:
        self._rows: Mapping[str, pa.Table] = recalled.rows

    def owned(self, record: str, objects: Objects) -> Owned:
        """The rows of a record that the changed objects of a sheet own."""
        table = self._rows.get(record)
        if table is None or not table.num_rows or not objects.partial.any():
            return Owned(np.empty(0, np.int64), row_schema(RECORDS[record]).empty_table())
        held = _owners(*(table.column(name).combine_chunks() for name in ("d", "source", "owner")))
        pairs = _pairs(held, objects)
        return Owned(pairs["object"].to_numpy(np.int64), table.take(pa.array(pairs["row"].to_numpy(np.int64))))

    def holds(self, d: pa.Array, source: pa.Array, key: pa.Array) -> Mask:
        """Whether anything at all is held of these objects. A change of nothing is not an object (row.unknown_key)."""
        tables = [t for t in self._rows.values() if t.num_rows]
        if not tables:
            return none(len(d))
        parts = [_owners(*(t.column(name).combine_chunks() for name in ("d", "source", "owner"))) for t in tables]
        return truth(pc.fill_null(pc.is_in(_owners(d, source, key), value_set=pa.concat_arrays(parts)), False))

    def beside(self, record: str, objects: Objects) -> "Beside":
        """The one row of a record that each changed object owns, in the order of the objects."""
        return Beside(self.owned(record, objects), len(objects))


class Beside:
    """Held columns, aligned with objects; null beside an object of which nothing is held."""

    def __init__(self, owned: Owned, n: int) -> None:
        self._owned = owned
        at = np.zeros(n, np.int64)
        self.found: Mask = none(n)
        at[owned.parent], self.found[owned.parent] = np.arange(len(owned.parent)), True
        self._at = pa.array(at, mask=~self.found)

    def column(self, name: str, kind: pa.DataType) -> pa.Array:
        """The held values of a column."""
        if not self.found.any():
            return pa.nulls(len(self.found), kind)
        return self._owned.column(name).take(self._at).cast(kind)


def kept(owned: Owned, said: Mask) -> Owned:
    """The rows that stay as they are: those of objects that say nothing of their container."""
    return owned.where(~said[owned.parent]) if said.any() else owned


def of_kind(owned: Owned, *kinds: str) -> Owned:
    """The rows whose column `kind` is one of these."""
    return owned.where(truth(pc.is_in(owned.column("kind"), value_set=pa.array(kinds))))
