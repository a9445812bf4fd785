"""Writing what changed: upserts of sealed rows, the lines that own them, and what a line no longer yields (canonical
§7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, exists, func, literal, select, union_all, update

from schemas.ids import System
from schemas.records import RECORDS
from store.agency import OpenShelf
from store.among import among
from store.batch import Batch, flat
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

# Where a slice of a large delivery says whose its rows are: the person's number (`_Kids`).
PERSON = "bound to"

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


class Writing:
    """One delivery on its way onto its shelf, in one transaction, a part of its batch at a time.

    By line of the whole batch: `owner`, the shelf's line id or -1; `known`, whether a line that changed was held.
    """

    def __init__(self, db: Connection, batch: Batch, d: int, place: Place, first: bool = False) -> None:
        """`first`: no delivery of its system came before."""
        self.db, self.d, self.place = db, d, place
        self.owner = np.full(len(batch.d), -1, np.int64)
        self.known = np.zeros(len(batch.d), bool)
        held = frozenset[str]() if first else _held(db, [*batch.rows, "person"], place.system)
        self._kids = _Kids(place, batch, d, "person" not in held)
        self._used = held.union(() if batch.once is None else set(batch.rows) - batch.once)

    def write_lines(self, part: Batch, compared: Compared) -> None:
        """Everything the stored lines of a part yield. Rows that are equal and open are not written again."""
        changed = compared.changed & (part.d == self.d)
        at = slice(part.first, part.first + len(part.d))
        owners = self.owner[at] = _own(self.db, part, compared, np.flatnonzero(changed), self.place)
        self.known[at] = changed & (compared.held_id >= 0)
        found = []
        for name, table in part.rows.items():
            mine = (part.d_of(table) == self.d) & (changed[table["line"].to_numpy()] | (name in UNCOUNTED))
            if mine.any():
                rows = self._to_write(part, compared, name, np.flatnonzero(mine), owners)
                found += [rows] if rows is not None else []
        for rows, sealed in zip(found, _seal(found, self.place), strict=True):
            _put(self.db, part, rows, sealed, self.place)

    def drop_what_is_gone(self, parts: Iterable[Batch]) -> None:
        """Once every part is written: a row may have gone over to another line."""
        lines: list[int] = []
        kept: dict[str, set[tuple[str, int]]] = {}
        for part in parts if self.known.any() else ():
            at = slice(part.first, part.first + len(part.d))
            known, owner = self.known[at], self.owner[at]
            lines += owner[known].tolist()
            for name, table in part.rows.items():
                of = table["line"].to_numpy()
                here = pa.array(known[of])
                keys = zip(table["source_key"].filter(here).to_pylist(), owner[of[known[of]]].tolist(), strict=True)
                kept.setdefault(name, set()).update(keys)
            if len(lines) > AT_ONCE:
                _drop(self.db, lines, kept, self.place)
                lines, kept = [], {}
        if lines:
            _drop(self.db, lines, kept, self.place)

    def _to_write(
        self, part: Batch, compared: Compared, name: str, mine: np.ndarray, owners: np.ndarray
    ) -> _Rows | None:
        """Those of these rows that are not held as they are."""
        table, digests = part.rows[name], compared.digests[name]
        if len(mine) < len(table):
            table, digests = table.take(pa.array(mine)), digests[mine]
        lines = table["line"].to_numpy()
        owner = owners[lines]
        keys = table["source_key"].to_pylist()
        used = name in self._used  # as it was before anything was written, or because it comes more than once
        held = (
            self.place.shelf.row_states(name, self.place.system, keys)
            if used or (compared.held_id[lines] >= 0).any()
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
        return _Rows(name, table, self._kids.of(name, table, held), digests, owner, new)


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
            "source": [batch.source(n) for n in fresh.tolist()], "key": batch.key.take(at).to_pylist(),
            "signature": signature[fresh].tolist(), "live": [1] * len(fresh),
        }  # fmt: skip
        on(db).put_lines(db, new)
    old = lines[compared.held_id[lines] >= 0]
    if len(old):
        on(db).sign_lines(db, ids[old].tolist(), signature[old].tolist())
    return ids


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


def _drop(db: Connection, lines: Sequence[int], kept: Mapping[str, set[tuple[str, int]]], place: Place) -> None:
    """Rows that these lines used to own and no longer yield: contacts are deleted, every other row gets SORTIE
    (canonical §7). `kept`: keys and lines of the rows that they still yield."""
    for name, t in ROWS.items():
        still = kept.get(name, set())
        gone = [k for k, o in place.shelf.owned(name, lines) if (k, o) not in still]
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
    """Which key seals which row: one per person, made when the person is first seen.

    Persons that arrive are numbered in the order of their rows; `_kid` is by that number, 0: not looked up yet.
    """

    def __init__(self, place: Place, batch: Batch, d: int, first: bool) -> None:
        self._place = place
        self._first = first
        persons = batch.rows.get("person")
        self._persons = pa.array([], pa.string())
        if persons is not None:
            keys, mine = flat(persons["source_key"]), batch.d_of(persons) == d
            self._persons = keys if mine.all() else keys.filter(pa.array(mine))
        self._kid = np.zeros(len(self._persons), np.int64)
        self._others: dict[str, int] = {}

    def of(self, name: str, table: pa.Table, held: dict[str, tuple[bytes, int, bool, int]]) -> np.ndarray:
        if name not in BOUND_TO:
            if self._place.shelf.agency is None and name == "portal_account":
                return np.array(self._by_key(table["source_key"].to_pylist(), held), np.int64)
            return np.zeros(len(table), np.int64)
        persons = flat(table[BOUND_TO[name]])
        at = flat(table[PERSON]) if PERSON in table.column_names else pc.index_in(persons, value_set=self._persons)
        place = pc.fill_null(at, -1).to_numpy()
        arriving = place >= 0
        self._look_up(place[arriving])
        kids = np.zeros(len(table), np.int64)
        kids[arriving] = self._kid[place[arriving]]
        if not arriving.all() and not self._first:
            others = persons.filter(pa.array(~arriving)).to_pylist()
            kids[~arriving] = self._of_others(others)
        # A person that the instruction does not let us hold has no key of its own.
        return kids

    def _look_up(self, places: np.ndarray) -> None:
        """Keys of persons that arrive: as held, or new, in the order of their rows, so that a page of keys holds
        persons that lie together."""
        new = places[self._kid[places] == 0]
        if not len(new):
            return
        _, firsts = np.unique(new, return_index=True)
        new = new[np.sort(firsts)]
        if not self._first:
            keys = self._persons.take(pa.array(new)).to_pylist()
            known = self._place.shelf.kids(self._place.system, keys)
            self._kid[new] = [known.get(k, 0) for k in keys]
            new = new[[k not in known for k in keys]]
        self._kid[new] = np.array(self._place.shelf.keyring.allocate(len(new)), np.int64)

    def _of_others(self, persons: list[str | None]) -> list[int]:
        """Keys of persons that are held and do not arrive; 0 where there is none."""
        wanted = dict.fromkeys(p for p in persons if p is not None and p not in self._others)
        if wanted:
            found = self._place.shelf.kids(self._place.system, wanted)
            self._others |= {p: found.get(p, 0) for p in wanted}
        return [0 if p is None else self._others[p] for p in persons]

    def _by_key(self, keys: list[str], held: dict[str, tuple[bytes, int, bool, int]]) -> list[int]:
        fresh = [k for k in keys if k not in held]
        given = dict(zip(fresh, self._place.shelf.keyring.allocate(len(fresh)), strict=True))
        return [given.get(k) or held[k][3] for k in keys]


def _held(db: Connection, names: Iterable[str], system: System) -> frozenset[str]:
    """Those of these records of which the system has something held."""
    some = [
        select(literal(name).label("name")).where(exists().where(ROWS[name].c.system == str(system)))
        for name in sorted(set(names))
    ]
    return frozenset(db.scalars(union_all(*some)))
