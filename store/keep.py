"""Keep what was admitted: one transaction a delivery, in or out, never half.

References are settled and lines compared for the whole batch, by column; then each delivery is written on its own
shelf. Afterwards the keys of persons erased on request are destroyed and the shelf is rewritten without their
residue.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

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
from store import engine, fixed
from store.absence import absentees, apply_absences
from store.agency import OpenShelf
from store.batch import OUTCOMES, Batch
from store.compare import Compared, compare, locate
from store.derive import buildings_of, fill_buildings, fill_rights, set_rights
from store.endings import apply_endings
from store.references import settle_references
from store.sealing import framed, seal, unseal
from store.slices import sliced
from store.spool import Spool
from store.tables import DELIVERY, DOOMED_KEY, FLOW, QUARANTINE
from store.writing import Place, Writing

Part = tuple[Batch, Compared]


@dataclass(frozen=True, slots=True)
class Errand:
    """On whose behalf and by what: recorded with every delivery (R43, R46). `code`: a digest of all that reads and
    keeps; without it nothing is known of the next delivery (`store.fixed`)."""

    run: str
    at: datetime
    code_version: str
    locus: str = "line"
    code: str = ""


def keep(
    admitted: Admitted | Spool, shelves: Sequence[OpenShelf], errand: Errand
) -> Iterator[tuple[int, Report | None]]:
    """Yields (position, report) as each delivery is committed; None instead where what allowed it has changed since it
    was admitted, and nothing was kept. `shelves[d]` is the shelf of delivery d; no agency twice. Raises Refused when
    one is open for another agency, or for another system or act."""
    whole = isinstance(admitted, Admitted)
    batch = Batch.of(admitted, shelves) if isinstance(admitted, Admitted) else sliced(admitted, shelves)
    for shelf, arrived in zip(shelves, batch.deliveries, strict=True):
        shelf.warrant.capability.demand(Act.SYNCHRONISE, arrived.agency, batch.system)
    mandates = admitted.mandates if isinstance(admitted, Admitted) else (admitted.whose[1],)
    settle_references(batch)
    located = locate(batch)
    parts: Iterable[Part] = ((part, compare(part, located)) for part in batch.parts())
    parts = list(parts) if whole else parts
    for d, (shelf, arrived) in enumerate(zip(shelves, batch.deliveries, strict=True)):
        mandate = mandates[d]
        instructions = mandate.instructions(batch.system) if mandate else ()
        try:
            report = _keep_one(batch, parts, d, shelf, arrived, errand, instructions, partial(_turns, admitted, d))
        except Refused:
            yield d, None
            continue
        finish_erasures(shelf)
        yield d, report


def _keep_one(
    batch: Batch,
    parts: Iterable[Part],
    d: int,
    shelf: OpenShelf,
    arrived: Arrived,
    errand: Errand,
    instructions: Sequence[str],
    turns: Callable[[], tuple[str | None, str | None]],
) -> Report:
    """`turns`: the first day on which its bytes may read otherwise, and its excess, as a flow keeps them."""
    absent = absentees(batch, d) if batch.snapshot else []
    with shelf.writing() as db:
        generation = db.scalar(select(FLOW.c.generation).where(FLOW.c.system == str(batch.system)))
        place = Place(shelf, batch.system, _open_delivery(db, arrived, errand, instructions, shelf), arrived.day)
        touched = _Touched.by_ends(db, batch, d)
        writing = Writing(db, batch, d, place, first=generation is None)
        for part, compared in parts:
            set_rights(part, d, shelf, batch.rows.get("holding"))
            touched.by(db, part, compared, d)
            writing.write_lines(part, compared)
        writing.drop_what_is_gone(batch.parts())
        ended = apply_endings(db, batch, d, place)
        more, flags = apply_absences(db, batch, d, place, absent)
        _derive(db, batch, place, touched)
        for part in batch.parts() if (batch.came_to("quarantined") & (batch.d == d)).any() else ():
            _put_aside(db, part, d, place)
        report = _report(batch, d, arrived, ended + more, flags)
        db.execute(update(DELIVERY).where(DELIVERY.c.id == place.delivery).values(report=json.dumps(report.as_json())))
        known = bool(errand.code) and arrived.likeness is not None
        if errand.code and arrived.silence is not None:  # what the next one comes to, should it say nothing
            fix(db, shelf, replace(arrived, likeness=arrived.silence), errand, generation or 0, None, None)
        elif known and fixed.is_fixed(batch, d, report, ended + more, first=generation is None):
            fix(db, shelf, arrived, errand, generation or 0, *turns())
        else:
            engine.put(db, FLOW, {"system": str(batch.system), "cursor": arrived.cursor}, replacing=["cursor"])
        if batch.once is not None:  # writing it took a while
            shelf.warrant.confirm()
    return report


def _turns(admitted: Admitted | Spool, d: int) -> tuple[str | None, str | None]:
    if isinstance(admitted, Spool):
        day, excess = admitted.until, admitted.excess
    else:
        day, excess = fixed.until(admitted.reading, d), admitted.excess[d]
    return day.isoformat() if day else None, fixed.said(excess)


def repeat(
    shelf: OpenShelf, arrived: Arrived, last: engine.Last, report: Report, errand: Errand, instructions: Sequence[str]
) -> None:
    """Keep a delivery that comes to what the last one came to, when that had lines put aside: they are put aside again,
    sealed as of this one. No row is opened."""
    with shelf.writing() as db:
        before = db.scalar(select(func.max(DELIVERY.c.id)).where(DELIVERY.c.system == str(arrived.system)))
        number = _open_delivery(db, arrived, errand, instructions, shelf, report)
        _put_aside_again(db, shelf, arrived.system, before, number)
        generation = db.scalar(select(FLOW.c.generation).where(FLOW.c.system == str(arrived.system)))
        fix(db, shelf, arrived, errand, generation or 0, last.until, last.excess)


def _put_aside_again(db: Connection, shelf: OpenShelf, system: System, before: int | None, number: int) -> None:
    cipher, q = shelf.keyring.contents, QUARANTINE
    first = (db.scalar(select(func.max(q.c.id))) or 0) + 1
    rows = []
    for n, row in enumerate(db.execute(select(q).where(q.c.delivery == before).order_by(q.c.id)), first):
        sealed = row.sealed
        if sealed is not None:
            was, now = (_aside(shelf, system, d, row.source, row.loc) for d in (row.delivery, number))
            sealed = seal(cipher, unseal(cipher, sealed, was), now)
        rows.append({**row._mapping, "id": n, "delivery": number, "sealed": sealed})
    if rows:
        db.execute(insert(q), rows)


def _aside(shelf: OpenShelf, system: System, delivery: int, source: str, loc: str) -> bytes:
    """What binds a line that was put aside to its place."""
    return framed(shelf.agency or "_portal", "quarantine", str(system), str(delivery), source, loc)


def fix(
    db: Connection,
    shelf: OpenShelf,
    arrived: Arrived,
    errand: Errand,
    generation: int,
    until: str | None,
    excess: str | None,
) -> None:
    """Note of a flow what the same delivery would come to, with the cursor of this one."""
    proof = fixed.prove(shelf.keyring.proof, arrived, shelf.warrant.capability, errand.code, generation)
    told = {"cursor": arrived.cursor, "proof": engine.seal_of(proof), "until": until, "excess": excess}
    engine.put(db, FLOW, {"system": str(arrived.system), **told}, replacing=list(told))


def _open_delivery(
    db: Connection,
    arrived: Arrived,
    errand: Errand,
    instructions: Sequence[str],
    shelf: OpenShelf,
    report: Report | None = None,
) -> int:
    number = (db.scalar(select(func.max(DELIVERY.c.id))) or 0) + 1
    values = {
        "id": number, "receipted": 0, "capability": shelf.warrant.capability.digest,
        **columns_of(arrived, errand, instructions, report),
    }  # fmt: skip
    db.execute(insert(DELIVERY).values(values))
    return number


def columns_of(
    arrived: Arrived, errand: Errand, instructions: Sequence[str], report: Report | None
) -> dict[str, str | None]:
    """What a delivery's row says of it, whoever writes it. `report`: none yet, where it is written once all is done."""
    return {
        "system": str(arrived.system), "name": arrived.name, "day": arrived.day.isoformat(), "sha256": arrived.sha256,
        "layout": arrived.layout, "code_version": errand.code_version, "instructions": " ".join(instructions),
        "run": errand.run, "at": errand.at.isoformat(),
        "report": json.dumps(report.as_json()) if report is not None else "{}",
    }  # fmt: skip


@dataclass(slots=True)
class _Touched:
    """Keys of what changes, by which derived columns follow."""

    ending: list[str]
    buildings: set[str]
    coproprietes: set[str] = field(default_factory=set)
    holdings: set[str] = field(default_factory=set)

    @classmethod
    def by_ends(cls, db: Connection, batch: Batch, d: int) -> "_Touched":
        """With the buildings that ending co-ownerships name before they end."""
        if batch.system is not System.SPILASUITE:
            return cls([], set())
        ends = batch.endings.filter(pc.equal(batch.endings["source"], "v_copropriete"))
        ending = [k for k, n in zip(ends["key"].to_pylist(), ends["line"].to_pylist(), strict=True) if batch.d[n] == d]
        return cls(ending, buildings_of(db, batch.system, ending))

    def by(self, db: Connection, part: Batch, compared: Compared, d: int) -> None:
        """And those that changing ones name before the change."""
        match part.system:
            case System.SPILASUITE:
                changing = _changed_keys(part, compared, d, "copropriete")
                self.buildings |= buildings_of(db, part.system, changing)
                self.buildings.update(_changed_keys(part, compared, d, "building"))
                self.coproprietes.update(changing)
            case System.GPI:
                self.holdings.update(_changed_keys(part, compared, d, "holding", held_only=True))


def _changed_keys(batch: Batch, compared: Compared, d: int, name: str, held_only: bool = False) -> list[str]:
    table = batch.rows.get(name)
    if table is None:
        return []
    lines = table["line"].to_numpy()
    mine = (batch.d[lines] == d) & compared.changed[lines]
    if held_only:
        mine &= compared.held_id[lines] >= 0
    return list(table["source_key"].filter(pa.array(mine)).to_pylist())


def _derive(db: Connection, batch: Batch, place: Place, touched: _Touched) -> None:
    match batch.system:
        case System.SPILASUITE:
            after = buildings_of(db, batch.system, [*touched.coproprietes, *touched.ending])
            fill_buildings(db, place, touched.buildings | after)
        case System.GPI:
            fill_rights(db, place, touched.holdings)


def _put_aside(db: Connection, batch: Batch, d: int, place: Place) -> None:
    """Quarantined lines: where and why in clear, what they said sealed with the agency's key. An erased person's line
    says nothing."""
    cipher = place.shelf.keyring.contents
    rows = []
    aside = np.flatnonzero((batch.d == d) & batch.came_to("quarantined")).tolist()
    first = (db.scalar(select(func.max(QUARANTINE.c.id))) or 0) + 1
    for number, n in enumerate(aside, first):
        source, loc, reason = batch.source(n), batch.loc[n].as_py(), batch.reasons[batch.reason[n]]
        erased = reason == "row.erased_key"
        content = None if erased else batch.content.get(n)
        aad = _aside(place.shelf, place.system, place.delivery, source, loc)
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
    return tuple(Quarantined(batch.source(n), locus, batch.loc[n].as_py(), batch.reasons[batch.reason[n]]) for n in at)


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
