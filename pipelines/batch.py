"""One batch of deliveries, at most one an agency: opened, read as one frame, admitted, checked, kept, receipted."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from connectors.base import Delivery, Recalled
from pipelines import beside, quality
from pipelines.gatekeeping import Awaited, Ready, before_opening, fetch, look
from pipelines.inbox import Afar
from pipelines.locks import sole
from pipelines.night import Desk, Room, code_version
from schemas.admission import Admitted, admit, numbered
from schemas.frames import Reading
from schemas.ids import System
from schemas.report import Report
from schemas.restriction import closed_keys, is_closed
from store.keep import Errand, keep


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
        here = [before_opening(room, d, looked, own[d.agency], readers) for d in deliveries]
        for group in _groups(here):
            if not group:
                yield None
            settled = [r for r in group if isinstance(r, Report)]
            room.note(settled)
            for report in settled:
                yield report
                own[report.agency].close()  # nobody waits for this agency while other sources are awaited
            ready = [r for r in group if isinstance(r, Ready)]
            for kept in _settle_ready(room, ready, desk):
                if isinstance(kept, Report):
                    yield kept
                elif last:
                    yield _refused(room, kept)
                else:
                    again.append(kept)
            for each in ready:
                own[each.delivery.agency].close()
    if again:
        yield from settle_batch(room, again, desk, last=True)


def _refused(room: Room, delivery: Delivery) -> Report:
    """What allowed it changed a second time while it was read."""
    report = Report(delivery.agency, delivery.system, delivery.name, None, "refused", "agency.no_instruction")
    room.note([report])
    return report


def _groups(here: Sequence[Report | Ready | Awaited]) -> Iterator[list[Report | Ready]]:
    """What is settled together: what is there already, then sources as they answer. Empty: the rest lets wait."""
    awaited = [a for a in here if isinstance(a, Awaited)]
    if len(awaited) < len(here):
        yield [r for r in here if not isinstance(r, Awaited)]
    for group in beside.as_they_come([a.opening for a in awaited]):
        yield [awaited[n].answered() for n in group]


def _settle_ready(room: Room, ready: list[Ready], desk: Desk) -> Iterator[Report | Delivery]:
    """Reports; deliveries instead of which nothing was kept because what allowed them changed meanwhile."""
    while ready:
        admitted = _read(room, ready)
        broken = _examine(room, ready, admitted, desk)
        if not broken:
            yield from _keep(room, ready, admitted)
            return
        reports = [_broken(ready[d]) for d in sorted(broken)]
        room.note(reports)
        yield from reports
        ready = [r for d, r in enumerate(ready) if d not in broken]


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
        refer = partial(each.shelf.keyring.reference, reading.system)
        closed = closed_keys(mine, targets, refer, each.shelf.standing(reading.system))
        for name, table in mine.items():
            frozen[table["line"].to_numpy()[is_closed(name, table, closed)]] = True
    return frozen


def _recall(room: Room, ready: list[Ready]) -> Recalled:
    """The held rows that the connector asks for, delivery by delivery."""
    found: dict[str, list[pa.Table]] = {}
    for asked in room.connector.asks([r.opened for r in ready]):
        records = sorted({t for source in asked.keys for t in room.connector.yields[source]})
        for name, table in ready[asked.d].shelf.recall(room.connector.system, asked.keys, records).items():
            d = pa.array([asked.d] * len(table), pa.int32())
            found.setdefault(name, []).append(table.append_column("d", d))
    return Recalled({name: pa.concat_tables(tables).combine_chunks() for name, tables in found.items()})


def _examine(room: Room, ready: list[Ready], admitted: Admitted, desk: Desk) -> set[int]:
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


# -- keeping -----------------------------------------------------------------------------------------------------------


def _keep(room: Room, ready: list[Ready], admitted: Admitted) -> Iterator[Report | Delivery]:
    """What was kept is told once the journal and the agency's log have it. When keeping stops at a fault, those before
    it are told all the same."""
    errand = Errand(room.run, room.night.at, code_version())
    ended: list[tuple[int, Report | None]] = []
    fault: Exception | None = None
    try:
        ended.extend(keep(admitted, [r.shelf for r in ready], errand))
    except Exception as no:  # noqa: BLE001 — raised below
        fault = no
    kept = {d: report for d, report in ended if report is not None}
    # The journal first: whoever finds a delivery without its receipt makes up for both.
    room.note(list(kept.values()))
    failed = room.receipt([(ready[d].shelf, report, admitted.excess[d]) for d, report in kept.items()])
    without = dict(zip(kept, failed, strict=True))
    for d, report in ended:
        if report is None:
            yield ready[d].delivery
        elif without[d] is None:
            yield report
    for each in (*failed, fault):
        if each is not None:
            raise each
