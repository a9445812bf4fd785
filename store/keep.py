"""Keep what was admitted: one transaction a delivery, in or out, never half.

References are settled and lines compared for the whole batch, by column; then each delivery is written on its own
shelf. Afterwards the keys of persons erased on request are destroyed and the shelf is rewritten without their
residue.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, delete, func, insert, select, update

from schemas.admission import Admitted
from schemas.capability import Act
from schemas.errors import Refused
from schemas.frames import BIT, FLAGS, Arrived
from schemas.ids import System
from schemas.report import Counts, Quarantined, Report
from store import engine
from store.absence import absentees, apply_absences
from store.agency import OpenShelf
from store.batch import OUTCOMES, Batch
from store.compare import Compared, compare
from store.derive import buildings_of, fill_buildings, fill_rights, set_rights
from store.endings import apply_endings
from store.references import settle_references
from store.sealing import framed, seal
from store.tables import DELIVERY, DOOMED_KEY, FLOW, QUARANTINE
from store.writing import Place, write_lines


@dataclass(frozen=True, slots=True)
class Errand:
    """On whose behalf and by what: recorded with every delivery (R43, R46)."""

    run: str
    at: datetime
    code_version: str
    locus: str = "line"


def keep(admitted: Admitted, shelves: Sequence[OpenShelf], errand: Errand) -> Iterator[tuple[int, Report | None]]:
    """Yields (position, report) as each delivery is committed; None instead where what allowed it has changed since it
    was admitted, and nothing was kept. `shelves[d]` is the shelf of delivery d; no agency twice. Raises Refused when
    one is open for another agency, or for another system or act."""
    for shelf, arrived in zip(shelves, admitted.reading.deliveries, strict=True):
        shelf.warrant.capability.demand(Act.SYNCHRONISE, arrived.agency, admitted.reading.system)
    batch = Batch.of(admitted, shelves)
    settle_references(batch)
    compared = compare(batch)
    for d, (shelf, arrived) in enumerate(zip(shelves, batch.deliveries, strict=True)):
        instructions = admitted.mandates[d].instructions(batch.system) if admitted.mandates[d] else ()  # type: ignore[union-attr]
        try:
            report = _keep_one(batch, compared, d, shelf, arrived, errand, instructions)
        except Refused:
            yield d, None
            continue
        finish_erasures(shelf)
        yield d, report


def _keep_one(
    batch: Batch,
    compared: Compared,
    d: int,
    shelf: OpenShelf,
    arrived: Arrived,
    errand: Errand,
    instructions: Sequence[str],
) -> Report:
    absent = absentees(batch, d) if batch.snapshot else []
    set_rights(batch, d, shelf)
    with shelf.writing() as db:
        place = Place(shelf, batch.system, _open_delivery(db, arrived, errand, instructions, shelf), arrived.day)
        touched = _before(db, batch, compared, d)
        write_lines(db, batch, compared, d, place)
        ended = apply_endings(db, batch, d, place)
        more, flags = apply_absences(db, batch, d, place, absent)
        _derive(db, batch, compared, d, place, touched)
        _put_aside(db, batch, d, place)
        report = _report(batch, d, arrived, ended + more, flags)
        db.execute(update(DELIVERY).where(DELIVERY.c.id == place.delivery).values(report=json.dumps(report.as_json())))
        engine.put(db, FLOW, {"system": str(batch.system), "cursor": arrived.cursor}, replacing=["cursor"])
    return report


def _open_delivery(
    db: Connection, arrived: Arrived, errand: Errand, instructions: Sequence[str], shelf: OpenShelf
) -> int:
    number = (db.scalar(select(func.max(DELIVERY.c.id))) or 0) + 1
    values = {
        "id": number, "system": str(arrived.system), "name": arrived.name, "day": arrived.day.isoformat(),
        "sha256": arrived.sha256,
        "layout": arrived.layout, "code_version": errand.code_version, "instructions": " ".join(instructions),
        "run": errand.run, "at": errand.at.isoformat(), "report": "{}", "receipted": 0,
        "capability": shelf.warrant.capability.digest,
    }  # fmt: skip
    db.execute(insert(DELIVERY).values(values))
    return number


def _before(db: Connection, batch: Batch, compared: Compared, d: int) -> set[str]:
    """Buildings that a changing or ending co-ownership names before the change."""
    if batch.system is not System.SPILASUITE:
        return set()
    return buildings_of(db, batch.system, _coproprietes(batch, compared, d))


def _coproprietes(batch: Batch, compared: Compared, d: int) -> list[str]:
    ends = batch.endings.filter(pc.equal(batch.endings["source"], "v_copropriete"))
    ending = [k for k, n in zip(ends["key"].to_pylist(), ends["line"].to_pylist(), strict=True) if batch.d[n] == d]
    return _changed_keys(batch, compared, d, "copropriete", "source_key") + ending


def _changed_keys(
    batch: Batch, compared: Compared, d: int, name: str, column: str, held_only: bool = False
) -> list[str]:
    table = batch.rows.get(name)
    if table is None:
        return []
    lines = table["line"].to_numpy()
    mine = (batch.d[lines] == d) & compared.changed[lines]
    if held_only:
        mine &= compared.held_id[lines] >= 0
    return list(table[column].filter(pa.array(mine)).to_pylist())


def _derive(db: Connection, batch: Batch, compared: Compared, d: int, place: Place, touched: set[str]) -> None:
    match batch.system:
        case System.SPILASUITE:
            buildings = touched | buildings_of(db, batch.system, _coproprietes(batch, compared, d))
            fill_buildings(db, place, buildings | set(_changed_keys(batch, compared, d, "building", "source_key")))
        case System.GPI:
            fill_rights(db, place, set(_changed_keys(batch, compared, d, "holding", "source_key", held_only=True)))


def _put_aside(db: Connection, batch: Batch, d: int, place: Place) -> None:
    """Quarantined lines: where and why in clear, what they said sealed with the agency's key. An erased person's line
    says nothing."""
    cipher = place.shelf.keyring.contents
    rows = []
    aside = np.flatnonzero((batch.d == d) & batch.came_to("quarantined")).tolist()
    first = (db.scalar(select(func.max(QUARANTINE.c.id))) or 0) + 1
    for number, n in enumerate(aside, first):
        source, loc, reason = batch.source[n].as_py(), batch.loc[n].as_py(), batch.reasons[batch.reason[n]]
        erased = reason == "row.erased_key"
        content = None if erased else batch.content.get(n)
        aad = framed(place.shelf.agency or "_portal", "quarantine", str(place.system), str(place.delivery), source, loc)
        sealed = seal(cipher, content.encode(), aad) if content is not None else None
        rows.append(
            {
                "id": number,
                "delivery": place.delivery,
                "system": str(place.system),
                "source": source,
                "loc": loc,
                "reason": reason,
                "key": None if erased else batch.key[n].as_py(),
                "sealed": sealed,
            }
        )
    if rows:
        db.execute(insert(QUARANTINE), rows)


def _report(batch: Batch, d: int, arrived: Arrived, ended: Counter[str], flags: list[str]) -> Report:
    mine = batch.d == d
    return Report(
        arrived.agency, arrived.system, arrived.name, arrived.day, "accepted",
        tables=_counts(batch, mine), quarantined=_quarantined(batch, mine), flags=_flags(batch, mine),
        delivery_flags=tuple(sorted({*arrived.flags, *flags})), ended={k: v for k, v in ended.items() if v},
    )  # fmt: skip


def _counts(batch: Batch, mine: np.ndarray) -> dict[str, Counts]:
    width = len(OUTCOMES)
    pairs = batch.source_code[mine].astype(np.int64) * width + batch.outcome[mine]
    tally = np.bincount(pairs, minlength=len(batch.sources) * width).reshape(-1, width)
    out = {}
    for source, numbers in zip(batch.sources, tally.tolist(), strict=True):
        came_to = dict(zip(OUTCOMES, numbers, strict=True))
        if came_to.pop("ok"):
            raise RuntimeError(f"{source}: a line has no outcome")  # nothing is lost: the accounting of the contracts
        if any(numbers):
            out[source] = Counts(read=sum(numbers), **came_to)
    return out


def _quarantined(batch: Batch, mine: np.ndarray) -> tuple[Quarantined, ...]:
    at = np.flatnonzero(mine & batch.came_to("quarantined")).tolist()
    locus = {
        System.SDGI: "line",
        System.PORTAL: "line",
        System.GPI: "offset",
        System.SPILASUITE: "key",
        System.LOGIN: "ref",
    }[batch.system]
    return tuple(
        Quarantined(batch.source[n].as_py(), locus, batch.loc[n].as_py(), batch.reasons[batch.reason[n]]) for n in at
    )


def _flags(batch: Batch, mine: np.ndarray) -> dict[str, int]:
    accepted = batch.flags[mine & (batch.came_to("stored") | batch.came_to("unchanged"))]
    out = {name: int(np.count_nonzero(accepted & BIT[name])) for name in FLAGS if name != "row_repeated"}
    ignored = batch.flags[mine & batch.came_to("ignored")]
    out["row_repeated"] = int(np.count_nonzero(ignored & BIT["row_repeated"]))
    return {name: n for name, n in out.items() if n}


def finish_erasures(shelf: OpenShelf) -> int:
    """Destroy the keys of persons erased on request and rewrite the shelf. Safe to repeat; called again after a
    crash."""
    kids = list(shelf.db.scalars(select(DOOMED_KEY.c.kid)))
    shelf.db.rollback()
    if not kids:
        return 0
    shelf.keyring.destroy_persons(kids)
    engine.on(shelf.db).scrub(shelf.db)
    with shelf.noting() as db:
        db.execute(delete(DOOMED_KEY))
    return len(kids)
