"""One batch of deliveries, at most one an agency: opened, read as one frame, admitted, checked, kept, receipted."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import chain, repeat

import numpy as np
import pyarrow as pa

from connectors.base import Delivery, Recalled
from pipelines import beside, quality, unchanged
from pipelines.gatekeeping import Awaited, Ready, before_opening, fetch, look
from pipelines.inbox import Afar, at_hand
from pipelines.locks import sole
from pipelines.night import Desk, Room
from pipelines.unchanged import Same
from schemas.admission import Admitted, Excess, admit, numbered
from schemas.frames import Reading
from schemas.ids import System
from schemas.report import Report
from schemas.restriction import closed_keys, is_closed
from store import fixed
from store.agency import OpenShelf
from store.keep import keep
from store.spool import Spool, of_settling


def settle_batch(
    room: Room, deliveries: Sequence[Delivery], desk: Desk, last: bool = False
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
        looked = look(room, deliveries)
        for delivery in deliveries:
            if isinstance(delivery, Afar):
                own[delivery.agency].callback(delivery.let_go)
        fetch(room, deliveries, looked)
        here = [before_opening(room, d, looked, own[d.agency], readers, last) for d in deliveries]
        for group in _groups(here):
            if not group:
                yield None
            settled = [r for r in group if isinstance(r, Report)]
            room.note(settled)
            for report in settled:
                yield report
                own[report.agency].close()  # nobody waits for this agency while other sources are awaited
            ready = [r for r in group if isinstance(r, Ready)]
            same = [r for r in group if isinstance(r, Same)]
            portions = chain.from_iterable(_settle_ready(room, some, desk) for some in _portions(room, ready))
            for kept in chain(_settle_same(room, same), portions):
                if isinstance(kept, Report):
                    yield kept
                elif last:
                    yield _refused(room, kept)
                else:
                    again.append(kept)
            for agency in [r.delivery.agency for r in ready] + [r.delivery.agency for r in same]:
                own[agency].close()
    if again:
        yield from settle_batch(room, again, desk, last=True)


def _refused(room: Room, delivery: Delivery) -> Report:
    """What allowed it changed a second time while it was read."""
    report = Report(delivery.agency, delivery.system, delivery.name, None, "refused", "agency.no_instruction")
    room.note([report])
    return report


def _groups(here: Sequence[Report | Ready | Awaited | Same]) -> Iterator[list[Report | Ready | Same]]:
    """What is settled together: what is there already, then sources as they answer. Empty: the rest lets wait."""
    awaited = [a for a in here if isinstance(a, Awaited)]
    if len(awaited) < len(here):
        yield [r for r in here if not isinstance(r, Awaited)]
    for group in beside.as_they_come([a.opening for a in awaited]):
        yield [awaited[n].answered() for n in group]


def _settle_same(room: Room, known: list[Same]) -> Iterator[Report | Delivery]:
    """Of what is as it was the last time. The same answers as `_settle_ready`."""
    yield from unchanged.settle(room, [s for s in known if s.shelf is None])
    opened = [(s, s.shelf) for s in known if s.shelf is not None]
    which = [(s.delivery, shelf, fixed.heard(s.by.last.excess)) for s, shelf in opened]
    yield from _tell(room, which, unchanged.put_aside_again(room, [s for s, _ in opened]))


def _portions(room: Room, ready: Sequence[Ready]) -> Iterator[list[Ready]]:
    """What is settled together: as much as takes a third of the memory, now that it was opened and can be told. What
    takes more is alone."""
    some: list[Ready] = []
    taken = 0
    for each in ready:
        weight = _weight(room, each)
        if some and taken + weight > room.night.memory // 3:
            yield some
            some, taken = [], 0
        some.append(each)
        taken += weight
    if some:
        yield some


def _weight(room: Room, ready: Ready) -> int:
    return room.connector.weight(at_hand(ready.delivery))


def _settle_ready(room: Room, ready: list[Ready], desk: Desk) -> Iterator[Report | Delivery]:
    """Reports; deliveries instead of which nothing was kept because what allowed them changed meanwhile."""
    if len(ready) == 1 and _weight(room, ready[0]) > room.night.memory // 3:
        yield from _settle_large(room, ready[0], desk)
        return
    while ready:
        admitted = _read(room, ready)
        examination = quality.Examination(room.connector.system)
        _examine(examination, admitted)
        broken = _told(examination.findings(), examination, ready, desk)
        if not broken:
            yield from _keep(room, ready, admitted, admitted.excess)
            return
        reports = [_broken(ready[d]) for d in sorted(broken)]
        room.note(reports)
        yield from reports
        ready = [r for d, r in enumerate(ready) if d not in broken]


def _settle_large(room: Room, ready: Ready, desk: Desk) -> Iterator[Report | Delivery]:
    """One delivery, a slice at a time."""
    with Spool(room.night.home.root) as spool:
        examination = quality.Examination(room.connector.system, one=True)
        for admitted in _slices(room, ready):
            _examine(examination, admitted)
            spool.take(admitted)
            del admitted
            pa.default_memory_pool().release_unused()
        ready.opened = replace(ready.opened, raw=None)
        if _told(examination.findings(), examination, [ready], desk):
            report = _broken(ready)
            room.note([report])
            yield report
        else:
            yield from _keep(room, [ready], spool, (spool.excess,))


def _slices(room: Room, ready: Ready) -> Iterator[Admitted]:
    """The slices of a delivery, each through the gate. Which rows a restriction names is told from all of them."""
    lines, mandate = room.night.slice_lines, ready.mandate
    recalled = _recall(room, [ready])
    closed: Iterator[np.ndarray | None] = repeat(None)
    if mandate is not None and mandate.rows_closed:
        closed = iter(_closed_in_slices(room, ready, recalled))
    for reading, frozen in zip(room.connector.slices(ready.opened, recalled, lines), closed, strict=False):
        kept = room.books.without_erased(reading) if room.connector.system is System.PORTAL else reading
        yield admit(kept, [mandate], room.connector.yields, frozen)


def _closed_in_slices(room: Room, ready: Ready, recalled: Recalled) -> list[np.ndarray]:
    """By slice and line: whether it yields a row that a restriction names. The delivery is read once more for it."""
    rows: dict[str, list[pa.Table]] = {}
    bounds = [0]
    told = replace(ready.opened, raw=copy(ready.opened.raw))
    for reading in room.connector.slices(told, recalled, room.night.slice_lines):
        for name, table in reading.rows.items():
            number = pa.array(table["line"].to_numpy() + bounds[-1], pa.int64())
            rows.setdefault(name, []).append(of_settling(name, table).set_column(0, "line", number))
        bounds.append(bounds[-1] + len(reading.lines))
    assert ready.mandate is not None
    frozen = np.zeros(bounds[-1], bool)
    _close({name: pa.concat_tables(each) for name, each in rows.items()}, ready, room.connector.system, frozen)
    return np.split(frozen, bounds[1:-1])


def _broken(ready: Ready) -> Report:
    d = ready.delivery
    return Report(d.agency, d.system, d.name, ready.opened.arrived.day, "refused", "quality.invariant")


def _read(room: Room, ready: list[Ready]) -> Admitted:
    opened = [r.opened for r in ready]
    recalled = _recall(room, ready)
    reading = numbered(room.connector.read(opened, recalled))
    if room.connector.system is System.PORTAL:
        reading = room.books.without_erased(reading)
    mandates = [r.mandate for r in ready]
    if any(m is not None and m.rows_closed for m in mandates):
        return admit(reading, mandates, room.connector.yields, _closed(reading, ready))
    return admit(reading, mandates, room.connector.yields)


def _closed(reading: Reading, ready: list[Ready]) -> np.ndarray:
    """Per line of a numbered reading: whether it yields a row that a restriction of its agency names (R2)."""
    line_d = reading.lines["d"].to_numpy()
    frozen = np.zeros(len(reading.lines), bool)
    for d, each in enumerate(ready):
        targets = each.mandate.rows_closed if each.mandate is not None else {}
        if not targets:
            continue
        mine = {n: t.filter(pa.array(line_d[t["line"].to_numpy()] == d)) for n, t in reading.rows.items()}
        _close(mine, each, reading.system, frozen)
    return frozen


def _close(rows: Mapping[str, pa.Table], ready: Ready, system: System, frozen: np.ndarray) -> None:
    """Marks the lines of one delivery that yield a closed row."""
    targets = ready.mandate.rows_closed if ready.mandate is not None else {}
    refer = partial(ready.shelf.keyring.reference, system)
    closed = closed_keys(rows, targets, refer, ready.shelf.standing(system))
    for name, table in rows.items():
        frozen[table["line"].to_numpy()[is_closed(name, table, closed)]] = True


def _recall(room: Room, ready: list[Ready]) -> Recalled:
    """The held rows that the connector asks for, delivery by delivery."""
    found: dict[str, list[pa.Table]] = {}
    for asked in room.connector.asks([r.opened for r in ready]):
        records = sorted({t for source in asked.keys for t in room.connector.yields[source]})
        for name, table in ready[asked.d].shelf.recall(room.connector.system, asked.keys, records).items():
            d = pa.array([asked.d] * len(table), pa.int32())
            found.setdefault(name, []).append(table.append_column("d", d))
    return Recalled({name: pa.concat_tables(tables).combine_chunks() for name, tables in found.items()})


def _examine(examination: quality.Examination, admitted: Admitted) -> None:
    """Invariants that the connectors already guarantee, looked at by other means."""
    line_d = admitted.reading.lines["d"].to_numpy()
    for name, table in admitted.reading.rows.items():
        if len(table):
            examination.look(name, table.append_column("d", pa.array(line_d[table["line"].to_numpy()])))


def _told(findings: quality.Findings, examination: quality.Examination, ready: Sequence[Ready], desk: Desk) -> set[int]:
    """Tells the desk; returns the deliveries that break an invariant."""
    agencies = [a for r in ready if (a := r.opened.arrived.agency) is not None]
    broken: dict[str, dict[str, int]] = {}
    for (table_name, rule), by_d in findings.broken.items():
        broken.setdefault(table_name, {})[rule] = sum(by_d.values())
    for name, rows in examination.rows.items():
        desk.checked(name, rows, broken.get(name, {}), agencies)
    return {d for by_d in findings.broken.values() for d in by_d}


# -- keeping -----------------------------------------------------------------------------------------------------------


def _keep(
    room: Room, ready: list[Ready], admitted: Admitted | Spool, excess: Sequence[Excess]
) -> Iterator[Report | Delivery]:
    keeping = keep(admitted, [r.shelf for r in ready], unchanged.errand(room))
    return _tell(room, [(r.delivery, r.shelf, more) for r, more in zip(ready, excess, strict=True)], keeping)


def _tell(
    room: Room, which: Sequence[tuple[Delivery, OpenShelf, Excess]], keeping: Iterator[tuple[int, Report | None]]
) -> Iterator[Report | Delivery]:
    """What was kept is told once the journal and the agency's log have it. When keeping stops at a fault, those before
    it are told all the same."""
    ended: list[tuple[int, Report | None]] = []
    fault: Exception | None = None
    try:
        ended.extend(keeping)
    except Exception as no:  # noqa: BLE001 — raised below
        fault = no
    kept = {d: report for d, report in ended if report is not None}
    # The journal first: whoever finds a delivery without its receipt makes up for both.
    room.note(list(kept.values()))
    failed = room.receipt([(which[d][1], report, which[d][2]) for d, report in kept.items()])
    without = dict(zip(kept, failed, strict=True))
    for d, report in ended:
        if report is None:
            yield which[d][0]
        elif without[d] is None:
            yield report
    for each in (*failed, fault):
        if each is not None:
            raise each
