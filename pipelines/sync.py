"""One night: read → admit → check → keep → receipt, for many agencies at a time.

Every delivery is settled as accepted, refused (with a reason) or replayed. Deliveries of one agency and system are
taken in the order of their names; a batch (`pipelines.batch`) holds at most one delivery an agency and is bounded in
memory, and a large delivery is read in slices, so that memory grows neither with the number of agencies nor with the
size of the night.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial

from connectors.base import Delivery, find
from pipelines import crew, warrants
from pipelines.batch import settle_batch
from pipelines.books import Books
from pipelines.inbox import size_of
from pipelines.memory import USUAL
from pipelines.night import Desk, Night, Room, code_version, premises_for
from pipelines.waiting import flow, portal_deliveries, registered, strangers, waiting
from pipelines.warrants import Warrants
from schemas.ids import AgencyCode, System
from schemas.report import Report
from store import engine
from store.house import House

__all__ = [
    "Desk", "Night", "code_version", "portal_deliveries", "registered", "settle", "settle_portal", "settle_share",
    "strangers", "waiting",
]  # fmt: skip

BATCH_AGENCIES = crew.SHARE


def settle(night: Night, system: System, agencies: Sequence[AgencyCode], desk: Desk, run: str) -> list[Report]:
    """Every waiting delivery of these agencies for one system; of many agencies, by several processes."""
    count = crew.hands(night, len(agencies))
    if count == 1:
        few = crew.shares(agencies, count)
        return [report for share in few for report in settle_share(night, system, share, desk, run)]
    began = warrants.first_look(premises_for(night, run), night.at, run, agencies)
    own = replace(night, processes=1, memory=night.memory // count, beside=count)
    tasks = [crew.Task(own, system, share, {a: began[a] for a in share}, run) for share in crew.shares(agencies, count)]
    return crew.settle(tasks, count, desk)


def settle_share(night: Night, system: System, agencies: Sequence[AgencyCode], desk: Desk, run: str) -> list[Report]:
    """The same, in this process."""
    with House.open(night.home) as house:
        room = _room(night, house, system, run, agencies)
        sourced = frozenset(house.with_source(system))
        flows = {a: flow(night, system, a, sourced) for a in agencies}
        return _settle_flows(room, {a: f for a, f in flows.items() if f}, desk)


def settle_portal(night: Night, desk: Desk, run: str) -> list[Report]:
    """The portal's own accounts: no agency, no instruction, no gate (portal.md)."""
    with House.open(night.home) as house:
        own = portal_deliveries(night)
        return _settle_flows(_room(night, house, System.PORTAL, run, ()), {None: own} if own else {}, desk)


def _room(night: Night, house: House, system: System, run: str, agencies: Sequence[AgencyCode]) -> Room:
    premises = premises_for(night, run)
    warrants = Warrants(night.home, premises, night.at, run, agencies)
    return Room(night, house, find(system), premises, run, warrants, Books(house, premises))


def _settle_flows(room: Room, flows: dict[AgencyCode | None, list[Delivery]], desk: Desk) -> list[Report]:
    reports: list[Report] = []
    queues = {a: list(f) for a, f in flows.items()}
    weigh, memory, most = partial(_weight, room), room.night.memory, _at_once(room.night)
    while any(queues.values()):
        turn = [q.pop(0) for q in queues.values() if q]  # one delivery an agency: each sees what the one before it left
        settling = [settle_batch(room, batch, desk) for batch in bounded(turn, weigh, memory, most)]
        try:
            while settling:  # a batch whose last sources let wait is gone on with after all others
                settling = [batch for batch in settling if not _settled(batch, desk, reports)]
        finally:
            for batch in settling:  # whoever gives up lets go of shelves and locks now, not when memory is cleared
                batch.close()
    return reports


def _at_once(night: Night) -> int:
    """Agencies of one batch at most: each shelf may be open until all of it is settled."""
    shelves = engine.of(night.home).shelves_at_once()
    return BATCH_AGENCIES if shelves is None else max(1, min(BATCH_AGENCIES, shelves // night.beside))


def _settled(batch: Generator[Report | None, None, None], desk: Desk, reports: list[Report]) -> bool:
    """Tell what a batch settles; False when only sources that let wait are left of it."""
    for report in batch:
        if report is None:
            return False
        desk.settled(report)
        reports.append(report)
    return True


def _weight(room: Room, delivery: Delivery) -> int:
    """By its size alone: without an instruction not a byte of it is looked at."""
    return room.connector.a_byte * size_of(delivery)


def bounded(
    deliveries: Sequence[Delivery], weigh: Callable[[Delivery], int], memory: int = USUAL, most: int = BATCH_AGENCIES
) -> Iterator[list[Delivery]]:
    """Batches that take no more than a third of the memory, as far as can be told before they are opened. A delivery
    that takes more is alone, and read in slices."""
    batch: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        weight = weigh(delivery)
        if batch and (size + weight > memory // 3 or len(batch) >= most):
            yield batch
            batch, size = [], 0
        batch.append(delivery)
        size += weight
    if batch:
        yield batch
