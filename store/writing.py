"""Writing what changed: upserts of sealed rows, the lines that own them, and what a line no longer yields (canonical
§7)."""

from collections.abc import Sequence
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
from store.encode import joined
from store.engine import on
from store.sealing import seal_rows
from store.tables import LINE, ROWS

# Whose key seals a row: the person it names. Everything else is sealed with the agency's own key (kid 0).
BOUND_TO = {
    "person": "source_key", "contact": "person_key", "co_ownership": "person_key", "council_membership": "person_key",
    "lease_party": "person_key", "account": "person_key", "bank_detail": "person_key", "document": "person_key",
    "person_link": "member_key",
}  # fmt: skip

DELETED_WHEN_DROPPED = ("contact", "portal_account", "portal_attachment", "role", "copropriete", "holding", "sense")


@dataclass(frozen=True, slots=True)
class Place:
    """One delivery on its shelf: where its rows say they come from."""

    shelf: OpenShelf
    system: System
    delivery: int
    day: date


def write_lines(db: Connection, batch: Batch, compared: Compared, d: int, place: Place) -> None:
    """Everything the stored lines of delivery d yield. Rows that are equal and open are not written again."""
    changed = np.flatnonzero(compared.changed & (batch.d == d))
    known = changed[compared.held_id[changed] >= 0]
    owners = _own(db, batch, compared, changed, place)
    kids = _Kids(place, batch, d)
    for name, table in batch.rows.items():
        mine = (batch.d_of(table) == d) & (compared.changed[table["line"].to_numpy()] | (name in UNCOUNTED))
        if mine.any():
            _write_rows(db, batch, compared, name, np.flatnonzero(mine), owners, kids, place)
    if len(known):
        _drop_what_is_gone(db, batch, d, known, owners, place)


def _own(db: Connection, batch: Batch, compared: Compared, lines: np.ndarray, place: Place) -> np.ndarray:
    """The line rows themselves; returns the shelf's id for every line of the batch (-1: not one of these)."""
    ids = compared.held_id.copy()
    fresh = lines[ids[lines] < 0]
    first = (db.scalar(select(func.max(LINE.c.id))) or 0) + 1
    ids[fresh] = np.arange(first, first + len(fresh))
    at = pa.array(fresh)
    signature = np.stack([compared.lo, compared.hi], axis=1).astype("<u8")
    if len(fresh):
        new = {
            "id": ids[fresh].tolist(), "system": [str(place.system)] * len(fresh),
            "source": batch.source.take(at).to_pylist(), "key": batch.key.take(at).to_pylist(),
            "signature": [signature[n].tobytes() for n in fresh], "live": [1] * len(fresh),
        }  # fmt: skip
        on(db).put_lines(db, new)
    old = lines[compared.held_id[lines] >= 0]
    if len(old):
        on(db).sign_lines(db, ids[old].tolist(), [signature[n].tobytes() for n in old])
    return ids


def _write_rows(
    db: Connection,
    batch: Batch,
    compared: Compared,
    name: str,
    mine: np.ndarray,
    owners: np.ndarray,
    kids: "_Kids",
    place: Place,
) -> None:
    table = batch.rows[name].take(pa.array(mine)) if len(mine) < len(batch.rows[name]) else batch.rows[name]
    digests = compared.digests[name]
    if len(mine) < len(digests):
        digests = [digests[i] for i in mine]
    keys = table["source_key"].to_pylist()
    lines = table["line"].to_numpy()
    owner = owners[lines].tolist()
    held = (
        place.shelf.row_states(name, place.system, keys)
        if (compared.held_id[lines] >= 0).any() or _used(db, name, place.system)
        else {}
    )
    write = [
        i
        for i, (k, g, o) in enumerate(zip(keys, digests, owner, strict=True))
        if held.get(k, (b"", 0, False, 0))[:3] != (g, o, True)
    ]
    if name in UNCOUNTED:
        write = [i for i in write if owner[i] >= 0]
    if not write:
        return
    if len(write) < len(keys):
        table, keys = table.take(pa.array(write)), [keys[i] for i in write]
        digests, owner = [digests[i] for i in write], [owner[i] for i in write]
    locs = (
        batch.loc.take(table["line"]).to_pylist()
        if isinstance(table["line"], pa.Array)
        else batch.loc.take(table["line"].combine_chunks()).to_pylist()
    )
    put_rows(
        db, name, table, keys, kids.of(name, table, held), digests, owner, [place.delivery] * len(keys), locs, place
    )


def put_rows(
    db: Connection, name: str, table: pa.Table, keys: list[str], kids: list[int], digests: list[bytes],
    owner: list[int], delivery: list[int], locs: list[str], place: Place,
) -> None:  # fmt: skip
    """Seal and upsert rows of one record; whatever end they had is lifted."""
    record = RECORDS[name]
    fields = record.sealed_fields
    sealed = seal_rows(
        place.shelf.binding(name, place.system),
        keys,
        kids,
        [x.encode() for x in joined(table, fields)],
        place.shelf.keyring.cipher,
    )
    n = len(keys)
    columns: dict[str, Sequence[Any]] = {
        "system": [str(place.system)] * n, "source_key": keys, "ended_reason": [None] * n, "ended_on": [None] * n,
        "merged_into": [None] * n, "owner": owner, "dropped": [0] * n, "kid": kids, "digest": digests, "sealed": sealed,
        "delivery": delivery, "loc": locs,
    }  # fmt: skip
    columns |= {f.name: table[f.name].to_pylist() for f in record.refs}
    columns |= {
        f"{f.name}_index": blind_index(place, table[f.name], f"{name}.{f.name}") for f in record.fields if f.searchable
    }
    on(db).put_rows(db, ROWS[name], columns)


def blind_index(place: Place, column: pa.ChunkedArray, purpose: str) -> list[bytes | None]:
    """Keyed digest of the folded value, so that equal values can be found and nothing else (canonical §2)."""
    folded = fold_for_search(column)
    index = place.shelf.keyring.index
    return [None if v is None else index(f"{purpose}\x1e{v}".encode()) for v in folded.to_pylist()]


def fold_for_search(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Case folded, accents removed."""
    apart = pc.utf8_normalize(pc.utf8_lower(column), "NFD")
    return pc.replace_substring_regex(apart, pattern=r"\p{Mn}", replacement="")


def _drop_what_is_gone(
    db: Connection, batch: Batch, d: int, lines: np.ndarray, owners: np.ndarray, place: Place
) -> None:
    """Rows that these lines of delivery d used to own and no longer yield: contacts are deleted, every other row gets
    SORTIE (canonical §7)."""
    of = {int(owners[n]) for n in lines}
    for name, t in ROWS.items():
        held = place.shelf.owned(name, of)
        if not held:
            continue
        table = batch.rows.get(name)
        kept = set()
        if table is not None:
            # Another agency's rows may have the same keys, and its lines the same ids.
            table = table.filter(pa.array(batch.d_of(table) == d))
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

    def __init__(self, place: Place, batch: Batch, d: int) -> None:
        self._place = place
        self._known: dict[str, int] = {}
        persons = batch.rows.get("person")
        self._arriving: set[str] = set()
        if persons is not None:
            mine = persons["source_key"].filter(pa.array(batch.d_of(persons) == d))
            self._arriving = set(mine.to_pylist())

    def of(self, name: str, table: pa.Table, held: dict[str, tuple[bytes, int, bool, int]]) -> list[int]:
        if name not in BOUND_TO:
            if self._place.shelf.agency is None and name == "portal_account":
                return self._by_key(table["source_key"].to_pylist(), held)
            return [0] * len(table)
        persons = table[BOUND_TO[name]].to_pylist()
        wanted = {p for p in persons if p is not None and p not in self._known}
        if wanted:
            self._known |= self._place.shelf.kids(self._place.system, wanted)
            fresh = [p for p in wanted if p not in self._known and p in self._arriving]
            self._known |= dict(zip(fresh, self._place.shelf.keyring.allocate(len(fresh)), strict=True))
        # A person that the instruction does not let us hold has no key of its own.
        return [self._known.get(p, 0) for p in persons]

    def _by_key(self, keys: list[str], held: dict[str, tuple[bytes, int, bool, int]]) -> list[int]:
        fresh = [k for k in keys if k not in held]
        given = dict(zip(fresh, self._place.shelf.keyring.allocate(len(fresh)), strict=True))
        return [given.get(k) or held[k][3] for k in keys]


def _used(db: Connection, name: str, system: System) -> bool:
    t = ROWS[name]
    return db.scalar(select(t.c.kid).where(t.c.system == system).limit(1)) is not None
