"""Writing what changed: upserts of sealed rows, the lines that own them, and what a line no longer yields (canonical
§7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, func, select, update

from schemas.ids import System
from schemas.records import RECORDS
from store.agency import OpenShelf
from store.among import among
from store.batch import Batch
from store.compare import UNCOUNTED, Compared
from store.encode import bindings, joined
from store.engine import on
from store.sealing import seal_bound
from store.tables import LINE, ROWS

# Whose key seals a row: the person it names. Everything else is sealed with the agency's own key (kid 0).
BOUND_TO = {
    "person": "source_key", "contact": "person_key", "co_ownership": "person_key", "council_membership": "person_key",
    "lease_party": "person_key", "account": "person_key", "bank_detail": "person_key", "document": "person_key",
    "person_link": "member_key",
}  # fmt: skip

# Rows sealed at once: their texts are Python objects for as long.
AT_ONCE = 65_536

DELETED_WHEN_DROPPED = ("contact", "portal_account", "portal_attachment", "role", "copropriete", "holding", "sense")


@dataclass(frozen=True, slots=True)
class Place:
    """One delivery on its shelf: where its rows say they come from."""

    shelf: OpenShelf
    system: System
    delivery: int
    day: date


@dataclass(slots=True)
class _Rows:
    """Rows of one record that are to be written. `new`: none of them is held, and none comes twice."""

    name: str
    table: pa.Table
    kids: np.ndarray
    digests: np.ndarray
    owner: np.ndarray
    new: bool

    def bound(self, place: Place) -> pa.Array:
        return bindings(place.shelf.binding(self.name, place.system), self.table["source_key"], self.kids)


def write_lines(db: Connection, batch: Batch, compared: Compared, d: int, place: Place) -> None:
    """Everything the stored lines of delivery d yield. Rows that are equal and open are not written again."""
    changed = np.flatnonzero(compared.changed & (batch.d == d))
    known = changed[compared.held_id[changed] >= 0]
    owners = _own(db, batch, compared, changed, place)
    kids = _Kids(db, place, batch, d)
    found = []
    for name, table in batch.rows.items():
        mine = (batch.d_of(table) == d) & (compared.changed[table["line"].to_numpy()] | (name in UNCOUNTED))
        if mine.any():
            rows = _to_write(db, batch, compared, name, np.flatnonzero(mine), owners, kids, place)
            found += [rows] if rows is not None else []
    for rows, sealed in zip(found, _seal(found, place), strict=True):
        _put(db, batch, rows, sealed, place)
    if len(known):
        _drop_what_is_gone(db, batch, known, owners, place)


def _own(db: Connection, batch: Batch, compared: Compared, lines: np.ndarray, place: Place) -> np.ndarray:
    """The line rows themselves; returns the shelf's id for every line of the batch (-1: not one of these)."""
    ids = compared.held_id.copy()
    fresh = lines[ids[lines] < 0]
    first = (db.scalar(select(func.max(LINE.c.id))) or 0) + 1
    ids[fresh] = np.arange(first, first + len(fresh))
    at = pa.array(fresh)
    signature = np.stack([compared.lo, compared.hi], axis=1).astype("<u8").view("V16").ravel()
    if len(fresh):
        new = {
            "id": ids[fresh].tolist(), "system": [str(place.system)] * len(fresh),
            "source": batch.source.take(at).to_pylist(), "key": batch.key.take(at).to_pylist(),
            "signature": signature[fresh].tolist(), "live": [1] * len(fresh),
        }  # fmt: skip
        on(db).put_lines(db, new)
    old = lines[compared.held_id[lines] >= 0]
    if len(old):
        on(db).sign_lines(db, ids[old].tolist(), signature[old].tolist())
    return ids


def _to_write(
    db: Connection,
    batch: Batch,
    compared: Compared,
    name: str,
    mine: np.ndarray,
    owners: np.ndarray,
    kids: "_Kids",
    place: Place,
) -> _Rows | None:
    """Those of these rows that are not held as they are."""
    table, digests = batch.rows[name], compared.digests[name]
    if len(mine) < len(table):
        table, digests = table.take(pa.array(mine)), digests[mine]
    lines = table["line"].to_numpy()
    owner = owners[lines]
    keys = table["source_key"].to_pylist()
    held = (
        place.shelf.row_states(name, place.system, keys)
        if (compared.held_id[lines] >= 0).any() or _used(db, name, place.system)
        else {}
    )
    write = np.ones(len(keys), bool)
    if held:
        states = zip(keys, digests.tolist(), owner.tolist(), strict=True)
        write &= [held.get(k, (b"", 0, False, 0))[:3] != (g, o, True) for k, g, o in states]
    if name in UNCOUNTED:
        write &= owner >= 0
    if not write.any():
        return None
    if not write.all():
        at = pa.array(np.flatnonzero(write))
        table, digests, owner = table.take(at), digests[write], owner[write]
        keys = table["source_key"].to_pylist()
    new = not any(k in held for k in keys) and len(set(keys)) == len(keys)
    return _Rows(name, table, kids.of(name, table, held), digests, owner, new)


def _seal(found: Sequence[_Rows], place: Place) -> list[np.ndarray]:
    """The ciphertexts of each of these, made person by person through all of them: a person's rows lie in many tables,
    and each cipher is made once."""
    if not found:
        return []
    kids = np.concatenate([rows.kids for rows in found])
    plain = _concatenated(joined(rows.table, RECORDS[rows.name].sealed_fields) for rows in found)
    bound = _concatenated(rows.bound(place) for rows in found)
    order = np.argsort(kids, kind="stable")
    sealed = np.empty(len(kids), object)
    for first in range(0, len(order), AT_ONCE):
        at = order[first : first + AT_ONCE]
        taken = pa.array(at)
        aads, texts = bound.take(taken).to_pylist(), plain.take(taken).to_pylist()
        sealed[at] = np.array(seal_bound(aads, kids[at].tolist(), texts, place.shelf.keyring.cipher), object)
    return np.split(sealed, np.cumsum([len(rows.kids) for rows in found])[:-1])


def _concatenated(arrays: Iterable[pa.Array]) -> pa.Array:
    """Texts of all tables may be more than 2 GB together."""
    return pa.concat_arrays([a.cast(pa.large_binary()) for a in arrays])


def _put(db: Connection, batch: Batch, rows: _Rows, sealed: np.ndarray, place: Place) -> None:
    """Insert or replace rows of one record; whatever end they had is lifted."""
    record, table, n = RECORDS[rows.name], rows.table, len(rows.kids)
    line = table["line"]
    columns: dict[str, Sequence[Any]] = {
        "system": [str(place.system)] * n, "source_key": table["source_key"].to_pylist(), "ended_reason": [None] * n,
        "ended_on": [None] * n, "merged_into": [None] * n, "owner": rows.owner.tolist(), "dropped": [0] * n,
        "kid": rows.kids.tolist(), "digest": rows.digests.tolist(), "sealed": sealed.tolist(),
        "delivery": [place.delivery] * n,
        "loc": batch.loc.take(line.combine_chunks() if isinstance(line, pa.ChunkedArray) else line).to_pylist(),
    }  # fmt: skip
    columns |= {f.name: table[f.name].to_pylist() for f in record.refs}
    columns |= {
        f"{f.name}_index": blind_index(place, table[f.name], f"{rows.name}.{f.name}")
        for f in record.fields
        if f.searchable
    }
    on(db).put_rows(db, ROWS[rows.name], columns, new=rows.new)


def blind_index(place: Place, column: pa.ChunkedArray, purpose: str) -> list[bytes | None]:
    """Keyed digest of the folded value, so that equal values can be found and nothing else (canonical §2)."""
    folded = fold_for_search(column)
    index = place.shelf.keyring.index
    said = pc.binary_join_element_wise(pa.scalar(purpose), folded.drop_null(), "\x1e").cast(pa.binary())
    digests = iter(index.each(said.to_pylist()))
    return [next(digests) if there else None for there in folded.is_valid().to_pylist()]


def fold_for_search(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Case folded, accents removed."""
    apart = pc.utf8_normalize(pc.utf8_lower(column), "NFD")
    return pc.replace_substring_regex(apart, pattern=r"\p{Mn}", replacement="")


def _drop_what_is_gone(db: Connection, batch: Batch, lines: np.ndarray, owners: np.ndarray, place: Place) -> None:
    """Rows that these lines of one delivery used to own and no longer yield: contacts are deleted, every other row gets
    SORTIE (canonical §7)."""
    of = owners[lines].tolist()
    looked = np.zeros(len(batch.d), bool)  # another agency's rows may have the same keys, and its lines the same ids
    looked[lines] = True
    for name, t in ROWS.items():
        held = place.shelf.owned(name, of)
        if not held:
            continue
        table = batch.rows.get(name)
        kept = set()
        if table is not None:
            table = table.filter(pa.array(looked[table["line"].to_numpy()]))
            kept = set(zip(table["source_key"].to_pylist(), owners[table["line"].to_numpy()].tolist(), strict=True))
        gone = [k for k, o in held if (k, o) not in kept]
        if not gone:
            continue
        where = (t.c.system == place.system, among(t.c.source_key, gone))
        if name in DELETED_WHEN_DROPPED:
            db.execute(t.delete().where(*where))
        else:
            db.execute(update(t).where(*where).values(dropped=1))
            db.execute(
                update(t)
                .where(*where, t.c.ended_reason.is_(None))
                .values(ended_reason="SORTIE", ended_on=place.day.isoformat())
            )


class _Kids:
    """Which key seals which row: one per person, made when the person is first seen."""

    def __init__(self, db: Connection, place: Place, batch: Batch, d: int) -> None:
        self._place = place
        self._known: dict[str, int] = {}
        self._first = not _used(db, "person", place.system)
        persons = batch.rows.get("person")
        self._arriving: set[str] = set()
        if persons is not None:
            mine = persons["source_key"].filter(pa.array(batch.d_of(persons) == d))
            self._arriving = set(mine.to_pylist())

    def of(self, name: str, table: pa.Table, held: dict[str, tuple[bytes, int, bool, int]]) -> np.ndarray:
        if name not in BOUND_TO:
            if self._place.shelf.agency is None and name == "portal_account":
                return np.array(self._by_key(table["source_key"].to_pylist(), held), np.int64)
            return np.zeros(len(table), np.int64)
        persons = table[BOUND_TO[name]].to_pylist()
        # In the order of their rows, so that a page of keys holds persons that lie together.
        wanted = dict.fromkeys(p for p in persons if p is not None and p not in self._known)
        if wanted:
            self._known |= {} if self._first else self._place.shelf.kids(self._place.system, wanted)
            fresh = [p for p in wanted if p not in self._known and p in self._arriving]
            self._known |= dict(zip(fresh, self._place.shelf.keyring.allocate(len(fresh)), strict=True))
        # A person that the instruction does not let us hold has no key of its own.
        return np.array([self._known.get(p, 0) for p in persons], np.int64)

    def _by_key(self, keys: list[str], held: dict[str, tuple[bytes, int, bool, int]]) -> list[int]:
        fresh = [k for k in keys if k not in held]
        given = dict(zip(fresh, self._place.shelf.keyring.allocate(len(fresh)), strict=True))
        return [given.get(k) or held[k][3] for k in keys]


def _used(db: Connection, name: str, system: System) -> bool:
    t = ROWS[name]
    return db.scalar(select(t.c.kid).where(t.c.system == system).limit(1)) is not None
