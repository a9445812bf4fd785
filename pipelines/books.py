"""What a sync looks up and writes down: the register of contracts, the ledgers, the erased agencies."""

import json
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select, update

from ledger.entry import Receipt
from ledger.log import Log
from ledger.mandate import fold
from schemas.frames import Reading
from schemas.ids import AgencyCode, System
from schemas.mandate import Mandate
from schemas.report import Counts, Report
from schemas.window import Contract
from store import register
from store.agency import Shelf
from store.house import House
from store.tables import DELIVERY


class Books:
    """Read afresh at each batch: a withdrawal or a moved end counts from the next batch on."""

    def __init__(self, house: House) -> None:
        self._house = house

    def contracts(self) -> dict[AgencyCode, Contract]:
        self._house.db.rollback()  # a new look: the last one may be of before an erasure
        return {a.contract.agency: a.contract for a in register.everyone(self._house.db)}

    def siret(self, agency: AgencyCode) -> str | None:
        row = register.get(self._house.db, agency)
        return row.siret if row else None

    def mandate(self, agency: AgencyCode, at: datetime) -> Mandate:
        return fold(Log.at(self._house.home, agency).read(), at)

    def receipts(self, shelf: Shelf, at: datetime) -> None:
        """Receipts of accepted deliveries that the ledger does not have yet: also after a crash between shelf and
        ledger."""
        if shelf.agency is None:
            return
        due = shelf.db.execute(select(DELIVERY).where(DELIVERY.c.receipted == 0).order_by(DELIVERY.c.id)).all()
        if not due:
            return
        log = Log.at(self._house.home, shelf.agency)
        entries = []
        for row in due:
            report = _report(row.report, shelf.agency, row.system, row.name)
            receipt = Receipt.of(
                report, row.sha256, tuple(row.instructions.split()), row.layout, row.code_version, row.run
            )
            entries.append((receipt, f"receipt:{row.id}:{row.at}:{row.run}"))
        log.append_all(entries, at)
        with shelf.writing() as db:
            db.execute(update(DELIVERY).where(DELIVERY.c.id <= due[-1].id).values(receipted=1))

    def without_erased(self, reading: Reading) -> Reading:
        """Portal lines that name erased agencies only are ignored (portal.md): attachments, and accounts left without
        any other."""
        erased = sorted(register.erased_codes(self._house.db))
        attachments = reading.rows.get("portal_attachment")
        if not erased or attachments is None:
            return reading
        gone = pc.is_in(attachments["agency_code"], value_set=pa.array(erased, pa.string())).to_numpy(
            zero_copy_only=False
        )
        d = reading.lines["d"].to_numpy()[attachments["line"].to_numpy()]
        holders = list(zip(d.tolist(), attachments["account_id"].to_pylist(), strict=True))
        keeping = {h for h, g in zip(holders, gone, strict=True) if not g}
        losing = {h for h, g in zip(holders, gone, strict=True) if g} - keeping
        ignored = np.zeros(len(reading.lines), bool)
        ignored[attachments["line"].to_numpy()[gone]] = True
        accounts = reading.rows.get("portal_account")
        if accounts is not None:
            of = zip(
                reading.lines["d"].to_numpy()[accounts["line"].to_numpy()].tolist(),
                accounts["account_id"].to_pylist(),
                strict=True,
            )
            ignored[accounts["line"].to_numpy()[np.array([h in losing for h in of], bool)]] = True
        return _ignoring(reading, ignored)


def _ignoring(reading: Reading, ignored: np.ndarray) -> Reading:
    lines = reading.lines
    outcome = pc.if_else(pa.array(ignored), "ignored", lines["outcome"])
    # Their keys count as absent: what is still held of them goes with this snapshot.
    key = pc.if_else(pa.array(ignored), pa.scalar(None, pa.string()), lines["key"])
    lines = lines.set_column(lines.column_names.index("outcome"), "outcome", outcome).set_column(
        lines.column_names.index("key"), "key", key
    )
    rows = {name: t.filter(pa.array(~ignored[t["line"].to_numpy()])) for name, t in reading.rows.items()}
    return Reading(
        reading.system,
        reading.locus,
        reading.deliveries,
        lines,
        rows,
        reading.endings,
        reading.content,
        reading.snapshot,
    )


def _report(text: str, agency: AgencyCode, system: str, name: str) -> Report:
    body = json.loads(text)
    tables = {
        t: Counts(c["read"], c["stored"], c["unchanged"], c["quarantined"], c["ignored"], c.get("withheld", 0))
        for t, c in body["tables"].items()
    }
    return Report(agency, System(system), name, None, "accepted", tables=tables)
