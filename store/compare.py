"""Stored or unchanged (canonical §8): each line signs what it yields; equal signatures mean that nothing has to be
written.

A row's digest is keyed with the agency's key and covers the record's name, the key, and every column that the line
itself gives (derived columns, ends and lineage apart). A line's signature is the sum of its rows' digests, as two
64-bit numbers: the order of rows does not matter, and a row can be taken out of it again.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.memory import SENSE
from schemas.records import RECORDS
from store.batch import Batch, by_delivery
from store.encode import digest_fields, joined

# Memories that are kept up to date beside their line but do not make it `stored` (canonical §8 counts canonical rows).
UNCOUNTED = frozenset({SENSE.name})


@dataclass(slots=True)
class Compared:
    """digests: per record, one 16-byte digest a row. signature: per line, lo and hi. held_id: per line, the shelf's
    line id or -1."""

    digests: dict[str, list[bytes]]
    lo: np.ndarray
    hi: np.ndarray
    held_id: np.ndarray
    changed: np.ndarray


def compare(batch: Batch) -> Compared:
    """Signs every accepted line and sets the outcome of those that yield rows: stored or unchanged."""
    n = len(batch.d)
    lo, hi = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    digests = {}
    for name, table in batch.rows.items():
        digests[name] = _row_digests(batch, name, table)
        if name not in UNCOUNTED and len(table):
            parts = np.frombuffer(b"".join(digests[name]), "<u8").reshape(-1, 2)
            lines = table["line"].to_numpy()
            np.add.at(lo, lines, parts[:, 0])
            np.add.at(hi, lines, parts[:, 1])
    candidates = batch.ok & ~batch.ending_lines
    held_id = np.full(n, -1, np.int64)
    same = np.zeros(n, bool)
    for d, at in by_delivery(batch.d[candidates], len(batch.deliveries)):
        lines = np.flatnonzero(candidates)[at]
        held_id[lines], same[lines] = _against_shelf(batch, d, lines, lo, hi)
    batch.outcome[candidates & same] = "unchanged"
    batch.outcome[candidates & ~same] = "stored"
    return Compared(digests, lo, hi, held_id, candidates & ~same)


def _row_digests(batch: Batch, name: str, table: pa.Table) -> list[bytes]:
    texts = joined(table, digest_fields(RECORDS[name], batch.system))
    keys = table["source_key"].to_pylist()
    prefix = name + "\x1e"
    messages = [f"{prefix}{k}\x1e{t}".encode() for k, t in zip(keys, texts, strict=True)]
    if len(batch.shelves) == 1:
        digest = batch.shelves[0].keyring.digest
        return [digest(m) for m in messages]
    per_delivery = [s.keyring.digest for s in batch.shelves]
    return [per_delivery[d](m) for d, m in zip(batch.d_of(table), messages, strict=True)]


def _against_shelf(
    batch: Batch, d: int, lines: np.ndarray, lo: np.ndarray, hi: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    at = pa.array(lines)
    sources, keys = batch.source.take(at), batch.key.take(at)
    held = batch.shelves[d].lines(batch.system, _grouped(sources, keys))
    if len(held) == 0:
        return np.full(len(lines), -1, np.int64), np.zeros(len(lines), bool)
    found = pc.index_in(_name(sources, keys), value_set=_name(held["source"], held["key"]))
    missing = found.is_null().to_numpy(zero_copy_only=False)
    where = pc.fill_null(found, 0).to_numpy(zero_copy_only=False)
    same = ~missing & held["live"].to_numpy(zero_copy_only=False)[where]
    same &= (held["lo"].to_numpy()[where] == lo[lines]) & (held["hi"].to_numpy()[where] == hi[lines])
    return np.where(missing, -1, held["id"].to_numpy()[where]), same


def _grouped(sources: pa.Array, keys: pa.Array) -> dict[str, list[str]]:
    return {s: keys.filter(pc.equal(sources, s)).to_pylist() for s in pc.unique(sources).to_pylist()}


def _name(sources: pa.Array, keys: pa.Array) -> pa.Array:
    if isinstance(sources, pa.ChunkedArray):
        sources, keys = sources.combine_chunks(), keys.combine_chunks()
    return pc.binary_join_element_wise(sources, keys, "\x1e")
