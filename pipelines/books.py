"""What a sync looks up and writes down: the register of contracts, the ledgers, the erased agencies."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Row, select, update

from ledger.deeds import Exceeded
from ledger.entry import Entry, History, Receipt
from pipelines.premises import Premises, premises_of
from schemas.admission import Excess
from schemas.frames import Reading
from schemas.ids import AgencyCode, System
from schemas.report import Counts, Report
from schemas.window import Contract
from store import register
from store.agency import Shelf
from store.engine import Note
from store.house import House
from store.keys import Root
from store.tables import DELIVERY

_ACCOUNTS, _ATTACHMENTS = "PORTAIL_COMPTES", "PORTAIL_RATTACHEMENTS"
# The key of an attachment: id_compte:code_agence:systeme:cle_personne, parts as they came (portal.md).
_ATTACHMENT_KEY = r"^(?P<account>.*?):(?P<agency>[A-Z0-9]{5}):"


def contracts(house: House) -> dict[AgencyCode, Contract]:
    """Every agency of the register, erased ones too."""
    return {code: agency.contract for code, agency in _registered(house).items()}


def _registered(house: House) -> dict[AgencyCode, register.Agency]:
    house.db.rollback()  # a new look: the last one may be of before an erasure
    return {a.contract.agency: a for a in register.everyone(house.db)}


class Books:
    """Read afresh at each batch: a withdrawal or a moved end counts from the next batch on."""

    def __init__(self, house: House, root: Root | Premises) -> None:
        self._house = house
        self._premises = premises_of(house.home, root)

    def registered(self) -> dict[AgencyCode, register.Agency]:
        """Every agency of the register, erased ones too."""
        return _registered(self._house)

    def history(self, agency: AgencyCode) -> History:
        return self._premises.log(agency).read()

    def due(self, shelf: Shelf) -> Sequence[Row[Any]]:
        """Accepted deliveries that the ledger does not have yet. The portal has no ledger."""
        if shelf.agency is None:
            return ()
        return shelf.db.execute(select(DELIVERY).where(DELIVERY.c.receipted == 0).order_by(DELIVERY.c.id)).all()

    def receipts(self, shelf: Shelf, at: datetime, policy: str | None) -> None:
        """Receipts of what is due: also after a crash between shelf and ledger. `policy`: the one in force
        (`pipelines.policies`)."""
        due = self.due(shelf)
        if not due or shelf.agency is None:
            return
        log = self._premises.log(shelf.agency)
        entries = []
        for row in due:
            report = _report(row.report, shelf.agency, row.system, row.name)
            receipt = Receipt.of(
                report, row.sha256, tuple(row.instructions.split()), row.layout, row.code_version, row.run, policy
            )
            entries.append((receipt, f"receipt:{row.id}:{row.at}:{row.run}"))
        log.append_all(entries, at)
        with shelf.noting() as db:
            db.execute(update(DELIVERY).where(DELIVERY.c.id <= due[-1].id).values(receipted=1))

    def excess(self, report: Report, excess: Excess, at: datetime) -> None:
        """Told in the agency's log: its source sends more than it instructed (28(3)(a))."""
        if report.agency is None or not excess:
            return
        self._premises.log(report.agency).append_all([_exceeded(report, excess, at)], at)

    def noted(self, report: Report, note: Note, number: int, excess: Excess, at: datetime, policy: str | None) -> None:
        """The same for a delivery that was noted as unchanged, with one write to disk; its shelf is not open."""
        if note.agency is None:
            return
        row = note.row
        given = tuple(str(row["instructions"]).split())
        receipt = Receipt.of(
            report, row["sha256"], given, row["layout"], str(row["code_version"]), str(row["run"]), policy
        )
        entries: list[tuple[Entry, str]] = [(receipt, f"receipt:{number}:{row['at']}:{row['run']}")]
        if excess:
            entries.append(_exceeded(report, excess, at))
        self._premises.log(note.agency).append_all(entries, at)

    def without_erased(self, reading: Reading) -> Reading:
        """Portal lines that name erased agencies only are ignored (portal.md): attachments, and accounts left without
        any other. Lines put aside and repeated lines name an agency as well as any other."""
        erased = sorted(register.erased_codes(self._house.db))
        if not erased:
            return reading
        lines, said = reading.lines, _attached(reading.lines)
        gone = pc.is_in(said["agency"], value_set=pa.array(erased, pa.string())).to_numpy(zero_copy_only=False)
        holders = list(zip(said["d"].to_pylist(), said["account"].to_pylist(), strict=True))
        keeping = {h for h, g in zip(holders, gone, strict=True) if not g}
        losing = {h for h, g in zip(holders, gone, strict=True) if g} - keeping
        ignored = np.zeros(len(lines), bool)
        ignored[said["position"].to_numpy()[gone]] = True
        accounts = np.flatnonzero(_keyed(lines, _ACCOUNTS))
        few = lines.take(pa.array(accounts))
        held_by = zip(few["d"].to_pylist(), few["key"].to_pylist(), strict=True)
        ignored[accounts[np.array([h in losing for h in held_by], bool)]] = True
        return _ignoring(reading, ignored)


def _exceeded(report: Report, excess: Excess, at: datetime) -> tuple[Entry, str]:
    """What the log is told, and the key under which it is told once."""
    delivery = Receipt.of(report, None, (), None, "", "").delivery  # never a name that breaks the contract
    told = Exceeded(system=System(report.system), delivery=delivery, lines=excess.lines, values=excess.values)
    return told, f"excess:{report.system}:{delivery}:{at.isoformat()}"


def _keyed(lines: pa.Table, source: str) -> np.ndarray:
    """The lines of a source table that have a key."""
    mine = pc.and_(pc.equal(lines["source"], source), pc.is_valid(lines["key"]))
    return np.asarray(mine.to_numpy(zero_copy_only=False), bool)


def _attached(lines: pa.Table) -> pa.Table:
    """Which account every attachment line names, and which agency: its key tells both (portal.md)."""
    at = np.flatnonzero(_keyed(lines, _ATTACHMENTS))
    few = lines.take(pa.array(at)).combine_chunks()
    parts = pc.extract_regex(few["key"].combine_chunks(), _ATTACHMENT_KEY)
    columns = {name: pc.struct_field(parts, name) for name in ("account", "agency")}
    return pa.table({"position": pa.array(at), "d": few["d"], **columns})


def _ignoring(reading: Reading, ignored: np.ndarray) -> Reading:
    lines = reading.lines
    outcome = pc.if_else(pa.array(ignored), "ignored", lines["outcome"])
    reason = pc.if_else(pa.array(ignored), pa.scalar(None, pa.string()), lines["reason"])
    # Their keys count as absent: what is still held of them goes with this snapshot.
    key = pc.if_else(pa.array(ignored), pa.scalar(None, pa.string()), lines["key"])
    for name, column in (("outcome", outcome), ("reason", reason), ("key", key)):
        lines = lines.set_column(lines.column_names.index(name), name, column)
    rows = {name: t.filter(pa.array(~ignored[t["line"].to_numpy()])) for name, t in reading.rows.items()}
    return Reading(
        reading.system,
        reading.locus,
        reading.deliveries,
        lines,
        rows,
        reading.endings,
        reading.content.filter(pa.array(~ignored[reading.content["line"].to_numpy()])),
        reading.snapshot,
    )


def _report(text: str, agency: AgencyCode, system: str, name: str) -> Report:
    body = json.loads(text)
    tables = {
        t: Counts(c["read"], c["stored"], c["unchanged"], c["quarantined"], c["ignored"], c.get("withheld", 0))
        for t, c in body["tables"].items()
    }
    return Report(agency, System(system), name, None, "accepted", tables=tables)
