"""What the databases do differently. Everything else in store/ is written once, in SQLAlchemy Core.

A home has one engine: SQLite, a file for each agency and one for the house; or PostgreSQL, shared tables in which an
agency's own login sees its own rows and no others. Statements of store/ never name the agency: the connection is the
agency's. Values reach the database bound; no engine puts one into a text.
"""

import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from schemas.capability import Capability
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AgencyCode, System


class Engine(Protocol):
    """The database of one home."""

    def close(self) -> None:
        """Close what is kept open. It opens again when it is needed."""
        ...

    # -- the house -----------------------------------------------------------------------------------------------------

    def has_house(self) -> bool: ...

    def house(self) -> Connection:
        """Register, journal, sources, inboxes."""
        ...

    def make_house(self) -> None:
        """Its tables, where they are missing."""
        ...

    def upgrade(self) -> tuple[str, str]:
        """Bring what was made by an earlier version up to date: the versions before and after. Each file does so by
        itself when it is next opened."""
        ...

    def faults(self) -> list[str]:
        """What is not as it should be with the database's server, by name."""
        ...

    # -- one agency's shelf (None: the portal's) -----------------------------------------------------------------------

    def holds(self, agency: AgencyCode | None) -> bool:
        """Whether there is a shelf. No key is needed to know."""
        ...

    def shelf(self, agency: AgencyCode | None) -> Connection:
        """A connection that sees this agency's shelf and nothing else. Raises Refused when there is none."""
        ...

    def make_shelf(self, agency: AgencyCode | None) -> Connection:
        """The same, with the tables and their guards (`store.guard`), made where they are missing."""
        ...

    def shelves_at_once(self) -> int | None:
        """How many shelves all that use this database may have open at once; None where each is a file."""
        ...

    def standing(
        self, system: System, deliveries: Mapping[AgencyCode | None, str]
    ) -> Mapping[AgencyCode | None, "Standing"]:
        """What the books tell of one system and of a name an agency, without any key; nothing of an agency that has no
        shelf, or whose shelf must be opened to know. The caller holds the agencies' locks."""
        ...

    def note_unchanged(self, notes: Sequence["Note"], told: "Told") -> Sequence[int | None]:
        """Accepted deliveries that change nothing but which ones came: their numbers; None where what a note stands on
        is no longer so, and nothing was noted. Each under its capability.

        Once some are on disk `told` hears of them, and answers of which the agencies' logs have the receipts. No shelf
        is opened: a note shows by its proof that whoever makes it has the agency's keys. The caller holds the locks.
        """
        ...

    def tally(self, agency: AgencyCode) -> Mapping[str, int]:
        """How many rows each holding table has, for a certificate; nothing when they cannot be counted."""
        ...

    def drop(self, agency: AgencyCode) -> bool:
        """Remove the shelf. True when there was one; again is the same as once."""
        ...

    def purge(self) -> None:
        """After shelves were dropped: write anew what shared their pages. Nothing to do where a shelf is a file. Raises
        TryAgain when somebody is in the way."""
        ...

    def eye(self) -> Connection | None:
        """A connection that sees the clear columns of everybody, to look for residue; None where files are searched."""
        ...

    # -- one writer an agency ------------------------------------------------------------------------------------------

    def sole(self, agency: AgencyCode | None, patience: float | None) -> AbstractContextManager[None] | None:
        """The agency's lock, on all machines; None where its shelf is a file, and a file is locked. `patience`: seconds
        to wait for another holder, None for ever. Raises TryAgain after that."""
        ...

    def fence(self, db: Connection, agency: AgencyCode | None) -> None:
        """Inside a transaction on the shelf: raises TryAgain when this process took the agency's lock and lost it."""
        ...

    # -- on an open connection -----------------------------------------------------------------------------------------

    def scrub(self, db: Connection) -> None:
        """Rewrite what is held without what was deleted: DELETE alone leaves residue. Ends the transaction."""
        ...

    def index(self, db: Connection, table: Table) -> None:
        """Make the indexes of a table that an earlier version made without them, where no upgrade does."""
        ...

    def put_lines(self, db: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        """New source lines: whole columns of `store.tables.LINE`."""
        ...

    def sign_lines(self, db: Connection, ids: Sequence[int], signatures: Sequence[bytes]) -> None:
        """Lines that came again with something else: their signatures, and that they live."""
        ...

    def put_rows(self, db: Connection, table: Table, columns: Mapping[str, Sequence[Any]], new: bool = False) -> None:
        """Whole rows of a record, sealed already; one of the same system and key is replaced. `new`: the caller knows
        that none of them is held and that no key comes twice."""
        ...

    def change_rows(
        self, db: Connection, table: Table, system: str, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Some columns of rows that are held."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What the books of an agency's shelf tell of one system: no row of anybody.

    `accepted`: SHA-256 by name, of those names that were asked for. `receipts_due`, `keys_doomed`: a crash left
    something to be made up for. `last`: the last delivery, where it is known what it would come to once more.
    """

    accepted: Mapping[str, str | None]
    cursor: str | None
    receipts_due: bool = False
    keys_doomed: bool = False
    last: "Last | None" = None

    @property
    def at_rest(self) -> bool:
        return not (self.receipts_due or self.keys_doomed)


@dataclass(frozen=True, slots=True)
class Last:
    """The last delivery of a flow, and what is known of the same one once more (`store.fixed`).

    `generation`: of the flow. `seal`: SHA-256 of the proof, which is all that is kept of it. `until`: the first day on
    which the same bytes may read otherwise. `excess`: as `store.fixed` writes it.
    """

    day: str
    report: str
    generation: int
    until: str | None
    excess: str | None
    seal: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A delivery that came to nothing new. `row`: its columns in `store.tables.DELIVERY`, but number, capability and
    receipt; `cursor`: the new one of the flow. `proof`: what its seal is the digest of; `generation`: of the flow, when
    the proof was made."""

    capability: Capability
    proof: bytes
    generation: int
    cursor: str
    row: Mapping[str, str | None]

    @property
    def system(self) -> str:
        return str(self.row["system"])

    @property
    def agency(self) -> AgencyCode | None:
        return self.capability.agency

    @property
    def seal(self) -> bytes:
        return seal_of(self.proof)


def seal_of(proof: bytes) -> bytes:
    """What a flow keeps of a proof: who reads it cannot make a note."""
    return sha256(proof).digest()


# Numbers of deliveries, by the position of their note; the positions of those that have their receipt.
Told = Callable[[Mapping[int, int]], Collection[int]]
POSTGRESQL = '[store]\nengine = "postgresql"\n'
# Engines keep connections open, and a connection is never shared with a child process.
_KNOWN: dict[tuple[int, Home], Engine] = {}


def of(home: Home) -> Engine:
    """The engine of a home: SQLite, unless its settings (`depositaire.toml`) say PostgreSQL."""
    known = _KNOWN.get((os.getpid(), home))
    if known is not None:
        return known
    if not _says_postgresql(home):
        from store.sqlite.engine import SqliteEngine

        return SqliteEngine(home)
    from store.postgres.engine import PostgresEngine

    return _KNOWN.setdefault((os.getpid(), home), PostgresEngine(home))


def close_all() -> None:
    """Close the connections that are kept open."""
    while _KNOWN:
        _KNOWN.popitem()[1].close()


def settings_of(home: Home) -> dict[str, Any]:
    """What `depositaire.toml` of a home says; nothing where there is none. Raises Malformed."""
    try:
        return tomllib.loads(home.settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise Malformed(f"{home.settings.name} cannot be read", "Write it as TOML, in UTF-8.") from None


def _says_postgresql(home: Home) -> bool:
    chosen = settings_of(home).get("store", {}).get("engine", "sqlite")
    if chosen not in ("sqlite", "postgresql"):
        raise Malformed(f"{home.settings.name}: store.engine is neither sqlite nor postgresql")
    return bool(chosen == "postgresql")


def on(db: Connection) -> Engine:
    """The engine that a connection came from."""
    found: Engine = db.info["engine"]
    return found


# SQLAlchemy forgets how many rows an INSERT wrote unless it is told not to.
_COUNTED = {"preserve_rowcount": True}


def put(
    db: Connection,
    table: Table,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    replacing: Sequence[str] = (),
) -> int:
    """Insert rows that may be there already. `replacing`: the columns that such a row takes over; without any, it stays
    as it is. Returns how many rows were written."""
    # The two dialects have the same words for it, and no common type.
    insert = postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)
    if not replacing:
        return db.execute(insert.on_conflict_do_nothing(), values, execution_options=_COUNTED).rowcount
    key = [*db.info.get("leading", ()), *(c.name for c in table.primary_key)]
    taken = {name: insert.excluded[name] for name in replacing}
    made = insert.on_conflict_do_update(index_elements=key, set_=taken)
    return db.execute(made, values, execution_options=_COUNTED).rowcount
