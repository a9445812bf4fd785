"""Stored or unchanged (canonical §8): each line signs what it yields; equal signatures mean that nothing has to be
written.

A row's digest is keyed with the agency's key and covers the record's name, the key, and every column that the line
itself gives (derived columns, ends and lineage apart). A line's signature is the sum of its rows' digests, as two
64-bit numbers: the order of rows does not matter, and a row can be taken out of it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.memory import SENSE
from store.batch import Batch, by_delivery
from store.encode import messages

# Memories that are kept up to date beside their line but do not make it `stored` (canonical §8 counts canonical rows).
UNCOUNTED = frozenset({SENSE.name})


@dataclass(slots=True)
class Located:
    """By line: the shelf's line id or -1, its signature (lo, hi), and whether it is live."""

    held_id: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    live: np.ndarray

    def of(self, part: Batch) -> "Located":
        """The lines of one part."""
        at = slice(part.first, part.first + len(part.d))
        return Located(self.held_id[at], self.lo[at], self.hi[at], self.live[at])


@dataclass(slots=True)
class Compared:
    """Of one part. digests: per record, one 16-byte digest a row (dtype V16). signature: per line, lo and hi. held_id:
    per line, the shelf's line id or -1."""

    digests: dict[str, np.ndarray]
    lo: np.ndarray
    hi: np.ndarray
    held_id: np.ndarray
    changed: np.ndarray


def locate(batch: Batch) -> Located:
    """Where the accepted lines are on their shelves."""
    n = len(batch.d)
    found = Located(np.full(n, -1, np.int64), np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, bool))
    candidates = batch.ok & ~batch.ending_lines
    for d, at in by_delivery(batch.d[candidates], len(batch.deliveries)):
        _look_up(batch, d, np.flatnonzero(candidates)[at], found)
    return found


def compare(batch: Batch, located: Located) -> Compared:
    """Signs every accepted line of a part and sets the outcome of those that yield rows: stored or unchanged."""
    n = len(batch.d)
    lo, hi = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    digests = {}
    for name, table in batch.rows.items():
        digests[name] = _row_digests(batch, name, table)
        if name not in UNCOUNTED and len(table):
            parts = digests[name].view("<u8").reshape(-1, 2)
            lines = table["line"].to_numpy()
            np.add.at(lo, lines, parts[:, 0])
            np.add.at(hi, lines, parts[:, 1])
    candidates = batch.ok & ~batch.ending_lines
    there = located.of(batch)
    same = there.live & (there.lo == lo) & (there.hi == hi) & (there.held_id >= 0)
    batch.settle(candidates & same, "unchanged")
    batch.settle(candidates & ~same, "stored")
    return Compared(digests, lo, hi, there.held_id, candidates & ~same)


def _row_digests(batch: Batch, name: str, table: pa.Table) -> np.ndarray:
    said = messages(table, name, batch.system)
    if len(batch.shelves) == 1:
        digests = batch.shelves[0].keyring.digest.each(said)
    else:
        per_delivery = [s.keyring.digest for s in batch.shelves]
        digests = [per_delivery[d](m) for d, m in zip(batch.d_of(table).tolist(), said, strict=True)]
    return np.frombuffer(b"".join(digests), "V16")


def _look_up(batch: Batch, d: int, lines: np.ndarray, found: Located) -> None:
    """Finds these lines of delivery d among those that are held."""
    codes = batch.source_code[lines]
    of = {batch.sources[code]: lines[codes == code] for code in np.unique(codes)}
    held = batch.held_lines(d) if batch.snapshot else _asked_for(batch, d, len(lines), of)
    if len(held) == 0:
        return
    for source, at in of.items():
        there = held.filter(pc.equal(held["source"], source))
        where = pc.index_in(batch.key.take(pa.array(at)), value_set=there["key"])
        known = at[where.is_valid().to_numpy(zero_copy_only=False)]
        rows = where.drop_null()
        found.held_id[known] = there["id"].take(rows).to_numpy()
        found.lo[known] = there["lo"].take(rows).to_numpy()
        found.hi[known] = there["hi"].take(rows).to_numpy()
        found.live[known] = there["live"].take(rows).to_numpy()


def _asked_for(batch: Batch, d: int, count: int, of: Mapping[str, np.ndarray]) -> pa.Table:
    """The held ones of these lines, and maybe others: a delta is small beside what is held, and asking for a line
    costs twice what reading one does."""
    if count * 2 > batch.shelves[d].count_lines(batch.system):
        return batch.shelves[d].lines(batch.system)
    return batch.shelves[d].lines(batch.system, {s: batch.key.take(pa.array(at)).to_pylist() for s, at in of.items()})
