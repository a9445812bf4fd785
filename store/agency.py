"""Open one agency's shelf. A reader has no write methods; no call takes two agencies.

The same on every database (`store.engine`); an acknowledged commit survives a power cut. `Shelf` knows what is held
without opening a row: it has no keys. `OpenShelf` opens and writes, under a capability that it confirms before each
transaction; the database itself refuses a write without one (`store.guard`). What is read here is read by column; what
is written is written by `store.writing` inside one transaction a delivery.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import Any, Self

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Row, Select, func, select

from schemas.capability import Act, Capability, Warrant
from schemas.errors import Refused
from schemas.fields import Record
from schemas.frames import ARROW
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.records import RECORDS
from store import engine, guard
from store.among import among
from store.encode import split
from store.keys import Keyring
from store.sealing import framed, row_aad, unseal
from store.tables import DELIVERY, ERASED_KEY, FLOW, LINE, QUARANTINE, ROWS
from store.veil import Standing, Veil

# Acts that open rows, and those that write.
READERS = frozenset({Act.SYNCHRONISE, Act.RETURN, Act.LOOK, Act.ERASE})
WRITERS = frozenset({Act.SYNCHRONISE, Act.ERASE})
# Those to whom a restriction shows nothing of what it names.
VEILED = frozenset({Act.RETURN, Act.LOOK})


def is_held(home: Home, agency: AgencyCode | None) -> bool:
    """Whether there is a shelf, and the keys that open it: an erasure destroys the keys first."""
    return engine.of(home).holds(agency) and home.keyring(agency).exists()


class Shelf:
    """What is known of what is held for one agency (or, `agency` None, of the portal's own accounts): never what a row
    says."""

    def __init__(self, db: Connection, agency: AgencyCode | None) -> None:
        self.agency = agency
        self.db = db

    @classmethod
    def known(cls, home: Home, agency: AgencyCode | None) -> "Shelf":
        """Raises Refused when nothing is held."""
        return Shelf(engine.of(home).shelf(agency), agency)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """A transaction of bookkeeping, which must not fail because what allowed the work has ended meanwhile: that a
        delivery has its receipt, that the keys of erased persons are gone. The database lets nothing else pass."""
        self.db.rollback()  # ends the reading transaction
        self.db.info["immediate"] = True
        try:
            engine.on(self.db).fence(self.db, self.agency)
            yield self.db
            self.db.commit()
        except BaseException:
            self.db.rollback()
            raise
        finally:
            self.db.info["immediate"] = False

    # -- what is known of flows and deliveries -------------------------------------------------------------------------

    def cursor(self, system: System) -> str | None:
        return self.db.scalar(select(FLOW.c.cursor).where(FLOW.c.system == system))

    def accepted_as(self, system: System, name: str) -> str | None:
        """The SHA-256 under which a delivery of this name was accepted, or None."""
        return self.db.scalar(
            select(DELIVERY.c.sha256).where(DELIVERY.c.system == system, DELIVERY.c.name == name).limit(1)
        )

    def deliveries(self, system: System | None = None) -> Sequence[Row[Any]]:
        where = [DELIVERY.c.system == system] if system else []
        return self.db.execute(select(DELIVERY).where(*where).order_by(DELIVERY.c.id)).all()

    def erased_marks(self, system: System) -> set[bytes]:
        return set(self.db.scalars(select(ERASED_KEY.c.mark).where(ERASED_KEY.c.system == system)))

    def quarantined(self, delivery: str | None = None) -> Sequence[Any]:
        """Where and why, newest delivery last; never what."""
        q = QUARANTINE
        columns = (DELIVERY.c.name.label("delivery"), q.c.system, q.c.source, q.c.loc, q.c.reason)
        where = [DELIVERY.c.name == delivery] if delivery else []
        return self.db.execute(
            select(*columns).join(DELIVERY, DELIVERY.c.id == q.c.delivery).where(*where).order_by(q.c.id)
        ).all()

    def aside(self) -> dict[str, int]:
        """How many lines are put aside, by reason."""
        q = QUARANTINE
        found = self.db.execute(
            select(q.c.reason, func.count().label("lines"))
            .join(DELIVERY, DELIVERY.c.id == q.c.delivery)
            .group_by(q.c.reason)
        )
        return {row.reason: row.lines for row in found}

    # -- what is known of source lines ---------------------------------------------------------------------------------

    def lines(self, system: System, keys: Mapping[str, Sequence[str]] | None = None) -> pa.Table:
        """Held source lines: id, source, key, lo, hi (the signature), live. All of them, or those of the given keys."""
        columns = (LINE.c.id, LINE.c.source, LINE.c.key, LINE.c.signature, LINE.c.live)
        wanted = select(*columns).where(LINE.c.system == system)
        if keys is None:
            asked = [wanted]
        else:
            asked = [wanted.where(LINE.c.source == s, among(LINE.c.key, some)) for s, some in keys.items()]
        parts = [_lines(*found) for each in asked for found in _columns(self.db, each)]
        return pa.concat_tables(parts or [_lines((), (), (), (), ())]).combine_chunks()

    def count_lines(self, system: System) -> int:
        return self.db.scalar(select(func.count()).select_from(LINE).where(LINE.c.system == system)) or 0

    # -- what is known of rows -----------------------------------------------------------------------------------------

    def present(self, table: str, system: System, keys: Iterable[str]) -> set[str]:
        """Which of these keys are held, ended rows included (canonical §6)."""
        t = ROWS[table]
        wanted = select(t.c.source_key).where(t.c.system == system, among(t.c.source_key, keys))
        return {key for (found,) in _columns(self.db, wanted) for key in found}

    def referred(self, table: str, column: str, system: System, keys: Iterable[str]) -> dict[str, str]:
        """A reference column of a memory, by key."""
        t = ROWS[table]
        wanted = select(t.c.source_key, t.c[column]).where(t.c.system == system, among(t.c.source_key, keys))
        return {k: v for k, v in self.db.execute(wanted)}  # noqa: C416 - mypy cannot see that a row is a pair

    def kids(self, system: System, persons: Iterable[str]) -> dict[str, int]:
        t = ROWS["person"]
        wanted = select(t.c.source_key, t.c.kid).where(t.c.system == system, among(t.c.source_key, persons))
        return {k: v for keys, kids in _columns(self.db, wanted) for k, v in zip(keys, kids, strict=True)}

    def row_states(self, table: str, system: System, keys: Iterable[str]) -> dict[str, tuple[bytes, int, bool, int]]:
        """By key: digest, owner (line id), whether it is open (neither ended nor dropped), key id."""
        t = ROWS[table]
        columns = (t.c.source_key, t.c.digest, t.c.owner, t.c.ended_reason, t.c.dropped, t.c.kid)
        wanted = select(*columns).where(t.c.system == system, among(t.c.source_key, keys))
        return {
            k: (digest, owner, ended is None and not dropped, kid)
            for found in _columns(self.db, wanted)
            for k, digest, owner, ended, dropped, kid in zip(*found, strict=True)
        }

    def owned(self, table: str, owners: Iterable[int]) -> Sequence[tuple[str, int]]:
        """Keys of the rows that these lines still own, with their line."""
        t = ROWS[table]
        wanted = select(t.c.source_key, t.c.owner).where(among(t.c.owner, owners), t.c.dropped == 0)
        return [pair for keys, lines in _columns(self.db, wanted) for pair in zip(keys, lines, strict=True)]

    def counts(self) -> dict[str, int]:
        return {
            name: self.db.scalar(select(func.count()).select_from(t)) or 0
            for name, t in ROWS.items()
            if RECORDS[name].exported
        }


class OpenShelf(Shelf):
    """A shelf whose rows can be opened and, if the capability is to synchronise or to erase, written."""

    def __init__(self, db: Connection, keyring: Keyring, warrant: Warrant) -> None:
        super().__init__(db, warrant.capability.agency)
        self.keyring = keyring
        self.warrant = warrant
        self._veil: Veil | None = None

    @classmethod
    def open(cls, home: Home, keyring: Keyring, warrant: Warrant, create: bool = False) -> Self:
        """Raises Refused when nothing is held, when what allowed it no longer does, or when keys and capability are not
        of one agency."""
        capability = warrant.confirm()  # reading too: one that is kept for later is worth no more than the log is now
        capability.demand(capability.act, keyring.agency)
        if capability.act not in READERS:
            raise Refused(f"a capability to {capability.act} opens no record")
        store = engine.of(home)
        if not create and not store.holds(capability.agency):
            raise Refused("nothing is held for this agency")
        return cls(store.make_shelf(capability.agency), keyring, warrant)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it or, whatever happens, nothing of it.

        Raises Refused when what allowed it no longer does, and when the database knows of a later head of the log.
        """
        capability = self.warrant.confirm()
        if capability.act not in WRITERS:
            raise Refused(f"a capability to {capability.act} writes nothing")
        with self.noting() as db:
            guard.grant(db, capability)
            yield db
            guard.revoke(db)

    @property
    def veil(self) -> Veil | None:
        """What restrictions hide from whoever reads; None where they hide nothing, and for the acts that must open what
        is held to keep it right."""
        capability = self.warrant.capability
        if capability.act not in VEILED or capability.mandate is None or not capability.mandate.restrictions:
            return None
        if self._veil is None:
            self._veil = Veil(self.db, capability.mandate, self.keyring.reference)
        return self._veil

    def standing(self, system: System) -> Standing:
        """What stands on a building or a lot, as far as the shelf knows."""
        return Standing(self.db, system)

    # -- rows, opened --------------------------------------------------------------------------------------------------

    def recall(self, system: System, keys: Mapping[str, Sequence[str]], records: Iterable[str]) -> dict[str, pa.Table]:
        """Rows still owned by these source lines, opened: source, owner (line key), source_key and the record's
        fields."""
        held = self.lines(system, keys)
        if len(held) == 0:
            return {}
        line_of = dict(
            zip(
                held["id"].to_pylist(),
                zip(held["source"].to_pylist(), held["key"].to_pylist(), strict=True),
                strict=True,
            )
        )
        out = {}
        for name in records:
            t = ROWS[name]
            found = self.db.execute(select(t).where(among(t.c.owner, line_of), t.c.dropped == 0)).all()
            if found:
                lines = [line_of[r.owner] for r in found]
                columns = {
                    "source": pa.array([s for s, _ in lines], pa.string()),
                    "owner": pa.array([k for _, k in lines], pa.string()),
                }
                out[name] = pa.table(columns | self.opened(RECORDS[name], found))
        return out

    def rows(self, table: str, batch: int = 50_000) -> Iterator[pa.Table]:
        """A whole table, opened, some rows at a time: every column of the return pack, sorted by system and key."""
        t = ROWS[table]
        record = RECORDS[table]
        if self.veil is not None and self.veil.columns(table) is None:
            return
        found = self.db.execute(
            select(t).order_by(t.c.system, t.c.source_key), execution_options={"stream_results": True}
        )
        for whole in found.partitions(batch):
            part = whole if self.veil is None else list(compress(whole, ~self.veil.hidden(table, whole)))
            columns = {"source_system": pa.array([r.system for r in part], pa.string())} | self.opened(record, part)
            columns["ended_reason"] = pa.array([r.ended_reason for r in part], pa.string())
            columns["ended_on"] = pa.array([r.ended_on for r in part], pa.string()).cast(pa.date32())
            yield pa.table(columns)

    def opened(self, record: Record, found: Sequence[Row[Any]]) -> dict[str, pa.Array]:
        """source_key and the record's fields of some rows of its table, unsealed."""
        hidden = self.veil.columns(record.name) if self.veil is not None else frozenset()
        if hidden is None or (self.veil is not None and self.veil.hidden(record.name, found).any()):
            raise Refused("a restriction of the agency hides this row", "It shows again when the restriction ends.")
        texts = [self.open_row(record.name, r.system, r.source_key, r.kid, r.sealed) for r in found]
        columns: dict[str, pa.Array] = {"source_key": pa.array([r.source_key for r in found], pa.string())}
        sealed = split(texts, record.sealed_fields)
        for f in record.fields:
            columns[f.name] = (
                sealed[f.name] if f.sealed else pa.array([getattr(r, f.name) for r in found], ARROW[f.kind])
            )
        for name in hidden:
            columns[name] = pa.nulls(len(found), columns[name].type)
        return columns

    def open_row(self, table: str, system: str, key: str, kid: int, sealed: bytes) -> str:
        return unseal(self.keyring.cipher(kid), sealed, row_aad(self.binding(table, system), key, kid)).decode()

    def binding(self, table: str, system: str) -> bytes:
        return framed(self.agency or "_portal", table, system)


def _columns(db: Connection, wanted: Select[Any], size: int = 500) -> Iterator[list[list[Any]]]:
    """What a query finds, as columns, some rows at a time: few enough to be turned while they are in the processor's
    cache, and to be gone before Python looks through everything it holds for what is not needed (`gc`, after 700 new
    tuples). The driver's own tuples: a Row for each of a million lines would cost more than reading them."""
    result = db.execute(wanted)
    cursor: Any = result.cursor
    while found := cursor.fetchmany(size):
        yield [[row[i] for row in found] for i in range(len(found[0]))]
    result.close()


def _lines(
    ids: Sequence[int], sources: Sequence[str], keys: Sequence[str], signatures: Sequence[bytes], live: Sequence[int]
) -> pa.Table:
    parts = np.frombuffer(b"".join(signatures), "<u8").reshape(-1, 2)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "source": pa.array(sources, pa.string()),
        "key": pa.array(keys, pa.string()),
        "lo": pa.array(parts[:, 0]),
        "hi": pa.array(parts[:, 1]),
        "live": pa.array(live, pa.int64()).cast(pa.bool_()),
    })  # fmt: skip


def drop(home: Home, capability: Capability) -> bool:
    """Remove a shelf, under a capability to erase. True when there was one."""
    capability.demand(Act.ERASE, capability.agency)
    return capability.agency is not None and engine.of(home).drop(capability.agency)
