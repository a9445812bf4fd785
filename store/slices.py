"""A batch of one large delivery that lies in a spool: whole as far as lines, keys and references go, and for the rest a
slice at a time.

References are settled on the whole, as in any batch, by the columns that stayed in memory. Afterwards only three things
are kept of that: which rows stand, the references that are no longer what the line said, and whose person each row is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import ENDINGS
from store.agency import OpenShelf
from store.batch import Batch, said_by
from store.spool import Spool, emptied, joined
from store.writing import BOUND_TO, PERSON

_DANGLING = "row.dangling_ref"
ROW = "row"


@dataclass(slots=True)
class Sliced(Batch):
    """`rows` hold what references are settled by, each with its place (`row`) among the record's rows as they came."""

    spool: Spool | None = field(default=None, repr=False)
    bounds: Sequence[int] = ()

    def parts(self) -> Iterator[Batch]:
        for number in range(len(self.bounds) - 1):
            yield self._part(number)

    def remember_lost_rows(self) -> None:
        """Each part does so when it is looked at: what they said is not here."""

    def settled(self) -> None:
        self.once = frozenset(name for name, t in self.rows.items() if _is_once(t["source_key"]))
        persons = self.rows["person"]["source_key"] if "person" in self.rows else None
        for name in list(self.rows):
            self.rows[name] = self._condensed(name, self.rows[name], persons)

    def _condensed(self, name: str, table: pa.Table, persons: pa.ChunkedArray | None) -> pa.Table:
        columns = {"line": table["line"], ROW: table[ROW]}
        if name in BOUND_TO and persons is not None:
            columns[PERSON] = pc.index_in(table[BOUND_TO[name]], value_set=persons)
        if name == "person":
            columns["source_key"] = table["source_key"]
        for column in self.changed_references.get(name, ()):
            columns[column] = table[column]
        for column in ("right",) if name == "holding" else ():
            columns |= {"source_key": table["source_key"], column: table[column]}
        return pa.table(columns)

    def _part(self, number: int) -> Batch:
        assert self.spool is not None
        first, end = self.bounds[number : number + 2]
        came = self.spool.rows(number)
        reason, outcome = self.reason[first:end], self.outcome[first:end]
        content = self.spool.content(number)
        said = dict(zip(content["line"].to_pylist(), content["content"].to_pylist(), strict=True))
        if _DANGLING in self.reasons:
            said |= said_by(came, reason == self.reasons.index(_DANGLING))
        return Batch(
            system=self.system,
            deliveries=self.deliveries,
            shelves=self.shelves,
            held=self.held,
            d=self.d[first:end],
            sources=self.sources,
            source_code=self.source_code[first:end],
            key=self.key.slice(first, end - first),
            loc=self.loc.slice(first, end - first),
            outcome=outcome,
            reason=reason,
            reasons=self.reasons,
            flags=self.flags[first:end],
            partial=self.partial[first:end],
            rows={name: self._rows(number, name, table) for name, table in came.items()},
            endings=ENDINGS.empty_table(),
            content=said,
            snapshot=self.snapshot,
            ending_lines=self.ending_lines[first:end],
            first=first,
        )

    def _rows(self, number: int, name: str, came: pa.Table) -> pa.Table:
        """The rows of one record in one slice as references left them."""
        assert self.spool is not None
        starts = self.spool.kept.starts[name]
        settled = self.rows[name]
        at = settled[ROW].to_numpy()
        low, high = np.searchsorted(at, starts[number : number + 2])
        settled = settled.slice(low, high - low)
        table = came if len(settled) == len(came) else came.take(pa.array(at[low:high] - starts[number]))
        for column in self.changed_references.get(name, ()):
            table = table.set_column(table.column_names.index(column), column, settled[column])
        if PERSON in settled.column_names:
            table = table.append_column(PERSON, settled[PERSON])
        return table.select([c for c in table.column_names if not c.startswith("via:")]).combine_chunks()


def sliced(spool: Spool, shelves: Sequence[OpenShelf]) -> Sliced:
    """What the spool holds, as a batch of one delivery."""
    kept = spool.kept
    delivery, _ = spool.whose
    n = kept.bounds[-1]
    endings = pa.concat_tables(kept.endings).combine_chunks()
    ending = np.zeros(n, bool)
    ending[endings["line"].to_numpy()[pc.invert(endings["implied"]).to_numpy()]] = True
    rows = {}
    for name, table in emptied(kept.rows):
        rows[name] = table.append_column(ROW, pa.array(np.arange(len(table), dtype=np.int32)))
    return Sliced(
        system=delivery.system,
        deliveries=(delivery,),
        shelves=shelves,
        held=spool.held,
        d=np.broadcast_to(np.int32(0), n),
        sources=kept.sources,
        source_code=_joined(kept.source_code),
        key=joined(_emptied(kept.key)),
        loc=joined(_emptied(kept.loc)),
        outcome=_joined(kept.outcome),
        reason=_joined(kept.reason),
        reasons=kept.reasons,
        flags=_joined(kept.flags),
        partial=_joined(kept.partial),
        rows=rows,
        endings=endings,
        content={},
        snapshot=spool.snapshot,
        ending_lines=ending,
        spool=spool,
        bounds=kept.bounds,
    )


def _emptied(arrays: list[pa.Array]) -> list[pa.Array]:
    """The same, let go of in the list they were in."""
    taken, arrays[:] = list(arrays), []
    return taken


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    whole: np.ndarray = np.concatenate(arrays)
    arrays.clear()
    return whole


def _is_once(keys: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(keys).as_py() == len(keys))
