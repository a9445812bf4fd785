"""One night: read → admit → check → keep → receipt, for many agencies at a time.

Every delivery is settled as accepted, refused (with a reason) or replayed. Deliveries of one agency and system are
taken in the order of their names; a batch holds at most one delivery an agency and is bounded in bytes, so that
memory grows neither with the number of agencies nor with the size of the night.
"""

import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from connectors.base import Connector, Delivery, Known, Opened, Permitted, Recalled, find
from ledger.entry import UNNAMED
from pipelines import beside, quality
from pipelines.books import Books, contracts
from pipelines.locks import sole
from pipelines.warrants import Warrants
from schemas.admission import Admitted, admit
from schemas.capability import Act, Warrant
from schemas.errors import DeliveryRefused, Malformed, Refused, TryAgain
from schemas.frames import Reading
from schemas.home import PORTAL, Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.mandate import Mandate
from schemas.report import Report
from schemas.restriction import closed_keys, is_closed
from schemas.window import Contract, gate, paris_day
from store.agency import OpenShelf
from store.house import House
from store.keep import Errand, finish_erasures, keep
from store.keys import Keyring, Root, open_root

BATCH_BYTES = 64 * 1024 * 1024
BATCH_AGENCIES = 250


@dataclass(frozen=True, slots=True)
class Night:
    """What to settle: from which inbox, which systems and agencies (None: all), as if it were `at`."""

    home: Home
    at: datetime
    inbox: Path | None
    systems: tuple[System, ...]
    agencies: tuple[AgencyCode, ...] | None = None
    passphrase: str | None = field(default=None, repr=False)


class Desk(Protocol):
    """Who wants to know how the night goes. Counts, codes and names of deliveries only."""

    def settled(self, report: Report) -> None: ...

    def checked(
        self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]
    ) -> None: ...


def code_version() -> str:
    try:
        return version("depositaire")
    except PackageNotFoundError:
        return "0"


def registered(home: Home) -> list[AgencyCode]:
    """Agencies of the register that were not erased, in the order of the register."""
    with House.open(home) as house:
        return [c.agency for c in contracts(house).values() if not c.erased]


# -- what lies in the inbox --------------------------------------------------------------------------------------------


def waiting(night: Night, system: System, agency: AgencyCode) -> list[Delivery]:
    """Files of one flow in the order of their names. A name that ends in .tmp is still being uploaded."""
    if night.inbox is None:
        return []
    folder = night.inbox / agency / system
    files = (
        sorted(p for p in folder.iterdir() if p.is_file() and not p.name.endswith(".tmp")) if folder.is_dir() else []
    )
    return [Delivery(agency, system, p.name, night.at, p) for p in files]


def strangers(night: Night) -> list[Report]:
    """Deliveries in folders whose name is no agency of the register: refused, never opened."""
    if night.inbox is None or not night.inbox.is_dir():
        return []
    with House.open(night.home) as house:
        known = set(contracts(house))
    out = []
    for folder in sorted(p for p in night.inbox.iterdir() if p.is_dir() and p.name not in known and p.name != PORTAL):
        if night.agencies is not None and folder.name not in night.agencies:
            continue
        for system in (
            s for s in night.systems if s in AGENCY_SYSTEMS and s is not System.SPILASUITE and (folder / s).is_dir()
        ):
            names = sorted(p.name for p in (folder / system).iterdir() if p.is_file() and not p.name.endswith(".tmp"))
            out += [
                Report(_code_or_none(folder.name), system, name, None, "refused", "agency.unknown") for name in names
            ]
    return out


def _code_or_none(text: str) -> AgencyCode | None:
    try:
        return agency_code(text)
    except Malformed:
        return None


def portal_deliveries(night: Night) -> list[Delivery]:
    """The accounts file of each pair, in the order of names."""
    folder = night.inbox / PORTAL if night.inbox else None
    files = (
        sorted(p for p in folder.iterdir() if p.is_file() and p.name.startswith("PORTAIL_COMPTES"))
        if folder and folder.is_dir()
        else []
    )
    return [Delivery(None, System.PORTAL, p.name, night.at, p) for p in files]


# -- settling ----------------------------------------------------------------------------------------------------------


def settle(night: Night, system: System, agencies: Sequence[AgencyCode], desk: Desk, run: str) -> list[Report]:
    """Every waiting delivery of these agencies for one system."""
    with House.open(night.home) as house:
        room = _room(night, house, system, run, agencies)
        flows = {a: _flow(night, house, system, a) for a in agencies}
        return _settle_flows(room, {a: f for a, f in flows.items() if f}, desk)


def settle_portal(night: Night, desk: Desk, run: str) -> list[Report]:
    """The portal's own accounts: no agency, no instruction, no gate (portal.md)."""
    with House.open(night.home) as house:
        flow = portal_deliveries(night)
        return _settle_flows(_room(night, house, System.PORTAL, run, ()), {None: flow} if flow else {}, desk)


def _room(night: Night, house: House, system: System, run: str, agencies: Sequence[AgencyCode]) -> "_Room":
    root = open_root(night.home, night.passphrase)
    return _Room(night, house, find(system), root, run, Warrants(night.home, root, night.at, run, agencies))


def _flow(night: Night, house: House, system: System, agency: AgencyCode) -> list[Delivery]:
    if system is not System.SPILASUITE:
        return waiting(night, system, agency)
    if agency not in house.with_source(system):
        return []
    # A reading has no file: it is named after its day, like the copies that a source can be asked for.
    return [Delivery(agency, system, f"SPILASUITE_{agency}_{paris_day(night.at):%Y%m%d}", night.at)]


def _settle_flows(room: "_Room", flows: dict[AgencyCode | None, list[Delivery]], desk: Desk) -> list[Report]:
    reports: list[Report] = []
    queues = {a: list(f) for a, f in flows.items()}
    while any(queues.values()):
        turn = [q.pop(0) for q in queues.values() if q]  # one delivery an agency: each sees what the one before it left
        settling = [_settle_batch(room, batch, desk) for batch in _bounded(turn)]
        try:
            while settling:  # a batch whose last sources let wait is gone on with after all others
                settling = [batch for batch in settling if not _settled(batch, desk, reports)]
        finally:
            for batch in settling:  # whoever gives up lets go of shelves and locks now, not when memory is cleared
                batch.close()
    return reports


def _settled(batch: Generator[Report | None, None, None], desk: Desk, reports: list[Report]) -> bool:
    """Tell what a batch settles; False when only sources that let wait are left of it."""
    for report in batch:
        if report is None:
            return False
        desk.settled(report)
        reports.append(report)
    return True


def _bounded(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    batch: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        weight = delivery.path.stat().st_size if delivery.path else 0
        if batch and (size + weight > BATCH_BYTES or len(batch) >= BATCH_AGENCIES):
            yield batch
            batch, size = [], 0
        batch.append(delivery)
        size += weight
    if batch:
        yield batch


@dataclass(slots=True)
class _Room:
    """What settling needs and does not change during a night."""

    night: Night
    house: House
    connector: Connector
    root: Root
    run: str
    warrants: Warrants

    @property
    def books(self) -> Books:
        return Books(self.house, self.root)

    def note(self, report: Report) -> None:
        """Into the journal; a name that breaks the contract may be a person's and is not kept."""
        told = Delivery(report.agency, self.connector.system, report.delivery, self.night.at)
        kept = report if self.connector.named(told) else replace(report, delivery=UNNAMED)
        self.house.journal_add([kept], self.night.at, self.run)


@dataclass(slots=True)
class _Ready:
    """A delivery that passed the gate and was proved whole, and the shelf that may take it."""

    delivery: Delivery
    opened: Opened
    shelf: OpenShelf

    @property
    def mandate(self) -> Mandate | None:
        return self.shelf.warrant.capability.mandate


@dataclass(slots=True)
class _Awaited:
    """A source that is being read beside the others."""

    delivery: Delivery
    day: date | None
    shelf: OpenShelf
    opening: Future[Opened]


def _settle_batch(
    room: _Room, deliveries: Sequence[Delivery], desk: Desk, last: bool = False
) -> Generator[Report | None, None, None]:
    """Reports; None wherever the sources that are left let wait.

    `last`: what was allowed changed once already while these were read; a second time they are refused.
    """
    again: list[Delivery] = []
    with ExitStack() as stack:
        readers = ThreadPoolExecutor(beside.AT_ONCE)
        stack.callback(readers.shutdown, wait=False, cancel_futures=True)  # whoever gives up waits for no source
        own = {d.agency: stack.enter_context(ExitStack()) for d in deliveries}
        for delivery in deliveries:
            own[delivery.agency].enter_context(sole(room.night.home, delivery.agency))
        # Under the locks: an erasure that ran meanwhile has changed what the register says.
        contracts = room.books.contracts()
        here = [_before_opening(room, d, contracts, own[d.agency], readers) for d in deliveries]
        for group in _groups(here):
            if not group:
                yield None
            for settled in group:
                if isinstance(settled, Report):
                    room.note(settled)
                    yield settled
                    own[settled.agency].close()  # nobody waits for this agency while other sources are awaited
            ready = [r for r in group if isinstance(r, _Ready)]
            for kept in _settle_ready(room, ready, desk):
                if isinstance(kept, Report):
                    yield kept
                elif last:
                    yield _refused(room, kept, "agency.no_instruction")
                else:
                    again.append(kept)
            for each in ready:
                own[each.delivery.agency].close()
    if again:
        yield from _settle_batch(room, again, desk, last=True)


def _groups(here: Sequence[Report | _Ready | _Awaited]) -> Iterator[list[Report | _Ready]]:
    """What is settled together: what is there already, then sources as they answer. Empty: the rest lets wait."""
    awaited = [a for a in here if isinstance(a, _Awaited)]
    if len(awaited) < len(here):
        yield [r for r in here if not isinstance(r, _Awaited)]
    for group in beside.as_they_come([a.opening for a in awaited]):
        yield [_answered(awaited[n]) for n in group]


def _answered(source: _Awaited) -> Report | _Ready:
    try:
        return _Ready(source.delivery, source.opening.result(), source.shelf)
    except Exception as error:  # noqa: BLE001 — as in `_before_opening`
        return _no(source.delivery, source.day, error)


def _settle_ready(room: _Room, ready: list[_Ready], desk: Desk) -> Iterator[Report | Delivery]:
    """Reports; deliveries instead of which nothing was kept because what allowed them changed meanwhile."""
    while ready:
        admitted = _read(room, ready)
        broken = _examine(room, ready, admitted, desk)
        if not broken:
            yield from _keep(room, ready, admitted)
            return
        for d in sorted(broken):
            yield _refused(room, ready[d].delivery, "quality.invariant", ready[d].opened.arrived.day)
        ready = [r for d, r in enumerate(ready) if d not in broken]


def _read(room: _Room, ready: list[_Ready]) -> Admitted:
    opened = [r.opened for r in ready]
    recalled = _recall(room, ready)
    reading = room.connector.read(opened, recalled)
    if room.connector.system is System.PORTAL:
        reading = room.books.without_erased(reading)
    mandates = [r.mandate for r in ready]
    if any(m is not None and m.rows_closed for m in mandates):
        return admit(reading, mandates, room.connector.yields, _closed(reading, ready))
    return admit(reading, mandates, room.connector.yields)


def _closed(reading: Reading, ready: list[_Ready]) -> np.ndarray:
    """Per line number: whether it yields a row that a restriction of its agency names (R2)."""
    line_d = reading.lines["d"].to_numpy()[np.argsort(reading.lines["line"].to_numpy())]
    frozen = np.zeros(len(reading.lines), bool)
    for d, each in enumerate(ready):
        targets = each.mandate.rows_closed if each.mandate is not None else {}
        if not targets:
            continue
        mine = {n: t.filter(pa.array(line_d[t["line"].to_numpy()] == d)) for n, t in reading.rows.items()}
        refer = partial(each.shelf.keyring.reference, reading.system)
        closed = closed_keys(mine, targets, refer, each.shelf.standing(reading.system))
        for name, table in mine.items():
            frozen[table["line"].to_numpy()[is_closed(name, table, closed)]] = True
    return frozen


def _recall(room: _Room, ready: list[_Ready]) -> Recalled:
    """The held rows that the connector asks for, delivery by delivery."""
    found: dict[str, list[pa.Table]] = {}
    for asked in room.connector.asks([r.opened for r in ready]):
        records = sorted({t for source in asked.keys for t in room.connector.yields[source]})
        for name, table in ready[asked.d].shelf.recall(room.connector.system, asked.keys, records).items():
            d = pa.array([asked.d] * len(table), pa.int32())
            found.setdefault(name, []).append(table.append_column("d", d))
    return Recalled({name: pa.concat_tables(tables).combine_chunks() for name, tables in found.items()})


def _examine(room: _Room, ready: list[_Ready], admitted: Admitted, desk: Desk) -> set[int]:
    """Invariants that the connectors already guarantee, checked by other means; returns the deliveries that break
    one."""
    reading = admitted.reading
    line_d = reading.lines["d"].to_numpy()
    frames = {}
    for name, table in reading.rows.items():
        if len(table):
            with_d = table.append_column("d", pa.array(line_d[table["line"].to_numpy()]))
            frames[name] = with_d.to_pandas(types_mapper=pd.ArrowDtype)
    if not frames:
        return set()
    findings = quality.examine(frames, room.connector.system)
    agencies = [a for r in ready if (a := r.opened.arrived.agency) is not None]
    broken: dict[str, dict[str, int]] = {}
    for (table_name, rule), by_d in findings.broken.items():
        broken.setdefault(table_name, {})[rule] = sum(by_d.values())
    for name, frame in frames.items():
        desk.checked(name, len(frame), broken.get(name, {}), agencies)
    return {d for by_d in findings.broken.values() for d in by_d}


def _refused(room: _Room, delivery: Delivery, reason: str, day: date | None = None) -> Report:
    report = Report(delivery.agency, delivery.system, delivery.name, day, "refused", reason)
    room.note(report)
    return report


def _keep(room: _Room, ready: list[_Ready], admitted: Admitted) -> Iterator[Report | Delivery]:
    errand = Errand(room.run, room.night.at, code_version())
    for d, report in keep(admitted, [r.shelf for r in ready], errand):
        shelf = ready[d].shelf
        if report is None:
            yield ready[d].delivery
            continue
        room.books.receipts(shelf, room.night.at)
        room.books.excess(report, admitted.excess[d], room.night.at)
        room.note(report)
        yield report


# -- the gate ----------------------------------------------------------------------------------------------------------


def _before_opening(
    room: _Room, delivery: Delivery, contracts: Mapping[AgencyCode, Contract], stack: ExitStack, readers: Executor
) -> Report | _Ready | _Awaited:
    """The gate of the contracts, in its order; then the instruction; only then is a byte of the delivery trusted."""
    day: date | None = None
    try:
        contract = _contract(delivery, contracts)
        # GPI's day lies inside the file: not even that is read without an instruction.
        early = _warrant(room, delivery) if delivery.system is System.GPI else None
        day = _in_window(room, delivery, contract)
        warrant = early or _warrant(room, delivery)
        if not room.connector.named(delivery):
            raise DeliveryRefused("delivery.name")
        home = room.night.home
        keyring = stack.enter_context(Keyring.open(home, room.root, warrant.capability, create=True))
        shelf = stack.enter_context(OpenShelf.open(home, keyring, warrant, create=True))
        finish_erasures(shelf)  # what a crash may have left undone
        room.books.receipts(shelf, room.night.at)
        if (replayed := _replayed(room, delivery, shelf)) is not None:
            return (
                Report(delivery.agency, delivery.system, delivery.name, day, "replayed")
                if replayed
                else _conflict(delivery, day)
            )
        told, known = _told(room, delivery, shelf, keyring)
        if delivery.path is None:
            return _Awaited(delivery, day, shelf, readers.submit(room.connector.open, told, known))
        return _Ready(delivery, room.connector.open(told, known), shelf)
    except Exception as error:  # noqa: BLE001 — one agency's flow must not stop the others'
        return _no(delivery, day, error)


def _no(delivery: Delivery, day: date | None, error: Exception) -> Report:
    """Why nothing was read. What an error says that is not ours may hold a value: only its kind and place are told."""
    where = ""
    match error:
        case DeliveryRefused():
            reason, where = error.reason, error.where
        case Refused():  # what allowed it has changed since it was looked up
            reason = "agency.no_instruction"
        case TryAgain():
            reason = "source.unreachable"
        case Malformed():
            reason = "source.misconfigured"
        case _:
            reason, where = "internal.error", _place(error)
    return Report(delivery.agency, delivery.system, delivery.name, day, "refused", reason, where)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _conflict(delivery: Delivery, day: date | None) -> Report:
    return Report(delivery.agency, delivery.system, delivery.name, day, "refused", "delivery.conflict")


def _contract(delivery: Delivery, contracts: Mapping[AgencyCode, Contract]) -> Contract | None:
    """None for the portal's own accounts."""
    if delivery.agency is None:
        return None
    contract = contracts.get(delivery.agency)
    if contract is None:
        raise DeliveryRefused("agency.unknown")
    if delivery.system not in contract.systems and not contract.erased:
        raise DeliveryRefused("agency.system_disabled")
    return contract


def _in_window(room: _Room, delivery: Delivery, contract: Contract | None) -> date | None:
    """The day of the delivery, if its contract lets one of that day in."""
    day = room.connector.day_of(delivery)
    if contract is not None:
        reason = gate(contract, delivery.system, day or paris_day(room.night.at), room.night.at)
        if reason is not None:
            raise DeliveryRefused(reason)
    return day


def _warrant(room: _Room, delivery: Delivery) -> Warrant:
    try:
        return room.warrants.grant(delivery.agency, Act.SYNCHRONISE, delivery.system)
    except Refused:
        raise DeliveryRefused(
            "agency.no_instruction", hint="Record the agency's instruction with `depositaire instruct`."
        ) from None


def _replayed(room: _Room, delivery: Delivery, shelf: OpenShelf) -> bool | None:
    """True: the same bytes were accepted before; False: other bytes under that name; None: new."""
    if delivery.path is None:
        return None
    accepted = shelf.accepted_as(delivery.system, delivery.name)
    return None if accepted is None else accepted == room.connector.fingerprint(delivery)


def _told(room: _Room, delivery: Delivery, shelf: OpenShelf, keyring: Keyring) -> tuple[Permitted, Known]:
    """What the connector is told."""
    siret = room.books.siret(delivery.agency) if delivery.agency else None
    source = (
        room.house.source(delivery.agency, delivery.system, keyring)
        if delivery.agency and delivery.path is None
        else None
    )
    leave = shelf.warrant.capability
    # What the log was told after the night began is looked up at a later instant than the night's.
    told = Permitted.of(delivery, leave, source, max(delivery.at, leave.minted_at))
    return told, Known(siret, shelf.cursor(delivery.system))
