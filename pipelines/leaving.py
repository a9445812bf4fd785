"""Giving back and letting go: the return pack, what is due, and whether a certificate holds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger import certificate
from ledger.certificate import Certificate
from ledger.deeds import Fulfilled, Handed, Handing, Task
from ledger.entry import Entry
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.witness import verify_since, whose
from pipelines.erasure import Broom, Outlook, outlook as _outlook
from pipelines.sync import code_version
from pipelines.warrants import Warrants
from schemas.capability import Act, Capability
from schemas.errors import Malformed, NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.mandate import Task as Ordered
from schemas.records import CONTROLLER_TABLES, PROCESSOR_TABLES
from store import register
from store.agency import OpenShelf, is_held
from store.export import write_tables
from store.house import House
from store.keys import Keyring, open_root, signer


@dataclass(frozen=True, slots=True)
class Returned:
    """A return pack: rows by table. `instructions`: the orders that it fulfils; `part`: whether they name some tables
    only. `registered`: whether the register knows the agency."""

    registered: bool
    tables: Mapping[str, int]
    instructions: tuple[str, ...] = ()
    part: bool = False


def export(home: Home, agency: AgencyCode | None, to: Path, at: datetime, passphrase: str | None = None) -> Returned:
    """Write the return pack of an agency (None: the portal's own accounts): one file a table (art. 28(3)(g), R24).

    Orders to return that wait say which tables: those that they name, and no other. Without one it is everything, which
    is the processor's duty at the end of the contract. Of an agency that holds nothing, or was erased, every table is
    empty: that is its whole data.
    """
    with House.open(home) as house:
        registered = agency is None or register.get(house.db, agency) is not None
    tables = PROCESSOR_TABLES if agency is not None else CONTROLLER_TABLES
    if not is_held(home, agency):
        return Returned(registered, write_tables(None, tables, to))
    root = open_root(home, passphrase)
    warrants = Warrants(home, root, at)
    warrant = warrants.grant(agency, Act.RETURN)
    orders = _ordered(warrants, agency, warrant.capability)
    named = {t for order in orders for t in order.tables}
    if orders and "*" not in named:
        tables = tuple(t for t in tables if t in named)
    with (
        Keyring.open(home, root, warrant.capability) as keyring,
        OpenShelf.open(home, keyring, warrant) as shelf,
    ):
        written = write_tables(shelf, tables, to)
    if agency is not None:
        _handed(Log.at(home, agency, LogKeys(home, root)), warrant.capability, orders, written, at)
    return Returned(registered, written, tuple(o.instruction for o in orders), bool(orders) and "*" not in named)


def _ordered(warrants: Warrants, agency: AgencyCode | None, leave: Capability) -> list[Ordered]:
    """The orders to return that were not carried out yet, of those under which this is done."""
    if agency is None or leave.mandate is None or not warrants.log(agency).exists:
        return []
    done = {e.instruction for e in warrants.log(agency).read().entries if isinstance(e, Fulfilled)}
    waiting = [t for t in leave.mandate.tasks if t.does == Task.RETURN and t.instruction not in done]
    return sorted(waiting, key=lambda t: t.instruction)


def _handed(log: Log, leave: Capability, orders: Sequence[Ordered], written: Mapping[str, int], at: datetime) -> None:
    """What was given back, and to whom (R14); an order to give back is fulfilled by it. Of a table that an order names,
    none is a count too."""
    named = {t for order in orders for t in order.tables}
    tables = {name: rows for name, rows in written.items() if rows or name in named}
    given = Handed(
        does=Handing.RETURN, recipient=str(leave.agency), country=None, tables=tables,
        instructions=tuple(o.instruction for o in orders), capability=leave.digest, carried_out_at=at,
    )  # fmt: skip
    entries: list[tuple[Entry, str | None]] = [(given, None)]
    for order in orders:
        mine = {name: rows for name, rows in tables.items() if name in order.tables or "*" in order.tables}
        done = Fulfilled(
            instruction=order.instruction, does=Task.RETURN, tables=mine, capability=leave.digest, carried_out_at=at,
        )  # fmt: skip
        entries.append((done, f"fulfilled:{order.instruction}"))
    log.append_all(entries, at)


def outlook(
    home: Home, at: datetime, agencies: Collection[AgencyCode] | None = None, passphrase: str | None = None
) -> Outlook:
    """What a run would erase at this instant, and what waits for a person's word. Touches nothing."""
    with House.open(home):
        broom = Broom(home, open_root(home, passphrase), code_version(), lambda _: {})
    return _outlook(broom, at, agencies)


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that holds, and what it could be compared with: this home's key, the agency's ledger."""

    certificate: Certificate
    key: bool
    ledger: bool

    def as_json(self) -> dict[str, Any]:
        c = self.certificate
        return {
            "agency": c.agency, "kind": c.kind, "contract_end": c.contract_end.isoformat(),
            "carried_out_at": c.carried_out_at.isoformat(), "key_compared": self.key, "ledger_compared": self.ledger,
        }  # fmt: skip


def verify(file: Path, home: Home | None, passphrase: str | None = None) -> Checked:
    """Raises NotVerified saying what does not hold. With a home: its key must have signed, its ledger name the file."""
    try:
        raw = file.read_bytes()
    except OSError:
        raise Malformed("the certificate cannot be read", "Give the path of its file.") from None
    root = open_root(home, passphrase) if home is not None else None
    key = signer(home, root).public_key() if home is not None and root is not None else None
    certificate.verify(raw, key)
    said = certificate.parse(raw)
    log = Log.at(home, said.agency, LogKeys(home, root)) if home is not None and root is not None else None
    if log is None or not log.exists:
        return Checked(said, key is not None, False)
    certificate.verify(raw, key, log.read())
    return Checked(said, True, True)


@dataclass(frozen=True, slots=True)
class Extended:
    """A checkpoint that somebody kept, and the log of today that extends it."""

    agency: AgencyCode
    kept: int
    now: int

    def as_json(self) -> dict[str, Any]:
        return {"agency": self.agency, "kept_size": self.kept, "size": self.now}


def since(file: Path, home: Home, passphrase: str | None = None) -> Extended:
    """Today's log extends a checkpoint that was kept. Raises NotVerified saying what does not hold."""
    try:
        raw = file.read_bytes()
    except OSError:
        raise Malformed("the checkpoint cannot be read", "Give the path of its file.") from None
    try:
        agency = whose(raw)
    except Malformed as no:
        raise NotVerified(no.what, "Give the checkpoint as it was kept.") from None
    House.open(home).db.close()
    keys = LogKeys(home, open_root(home, passphrase))
    log = Log.at(home, agency, keys)
    if not log.exists:
        raise NotVerified(f"there is no log of agency {agency} here", "Check --home; keep the checkpoint as evidence.")
    history = log.read()
    stated = verify_since(raw, history, str(keys.verifier(agency)))
    return Extended(agency, stated.size, history.head.size)
