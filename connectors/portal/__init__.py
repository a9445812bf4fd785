"""The portal's own accounts 1.0: two CSV files a day, a full snapshot (portal.md). Controller scope: no agency."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import pyarrow as pa

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled
from connectors.cut import ReadWhole
from connectors.portal import proof
from connectors.portal.layout import load
from connectors.portal.sheet import Sheet, sheet
from schemas.errors import Malformed
from schemas.frames import CONTENT, ENDINGS, LINES, Arrived, Reading
from schemas.ids import System

_NAME = re.compile(r"PORTAIL_COMPTES_([0-9]{8})\.csv")


class Portal(ReadWhole):
    """The connector. A delivery is named after its first file; the second lies beside it."""

    a_byte = 20

    system = System.PORTAL

    def __init__(self) -> None:
        self.layout = load()

    @property
    def yields(self) -> Mapping[str, frozenset[str]]:
        return {file.name: frozenset({file.record}) for file in self.layout.files}

    def day_of(self, delivery: Delivery) -> date | None:
        """The date in the name."""
        found = _NAME.fullmatch(delivery.name)
        try:
            return None if found is None else datetime.strptime(found[1], "%Y%m%d").date()  # noqa: DTZ007 — a day alone
        except ValueError:
            return None

    def named(self, delivery: Delivery) -> bool:
        return self.day_of(delivery) is not None

    def fingerprint(self, delivery: Delivery) -> str | None:
        """Of both files together."""
        day = self.day_of(delivery)
        if delivery.path is None or day is None:
            return None
        return proof.digest(proof.pair(delivery.path, self.layout, f"{day:%Y%m%d}", delivery.beside))

    def open(self, delivery: Permitted, known: Known) -> Opened:  # noqa: ARG002 — a snapshot needs nothing of the last one
        """Both files, proved together. There is no chain: the newest snapshot is the truth."""
        day = self.day_of(delivery)
        if delivery.path is None or day is None:
            raise Malformed("portal accounts are files named PORTAIL_COMPTES_<AAAAMMJJ>.csv", "Check the delivery")
        found = proof.pair(delivery.path, self.layout, f"{day:%Y%m%d}", delivery.beside)
        records = proof.prove(found, self.layout)
        arrived = Arrived(
            agency=None,
            system=self.system,
            name=delivery.name,
            day=day,
            sha256=proof.digest(found),
            layout=f"{self.layout.name} {self.layout.version}",
            cursor=f"{day:%Y%m%d}",
        )
        return Opened(arrived, records)

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:  # noqa: ARG002 — a snapshot says everything itself
        return ()

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:  # noqa: ARG002 — nothing was asked
        """All lines of both files of all deliveries. A key absent from a snapshot is gone: the portal decides."""
        sheets: list[Sheet] = []
        for file in self.layout.files if opened else ():
            start = sum(len(s.number) for s in sheets)
            sheets.append(sheet(file, self.layout, [o.raw[file.name] for o in opened], start))
        return Reading(
            system=self.system,
            locus="line",
            deliveries=tuple(o.arrived for o in opened),
            lines=pa.concat_tables([LINES.empty_table(), *(s.lines() for s in sheets)]),
            rows={s.file.record: s.rows() for s in sheets},
            endings=ENDINGS.empty_table(),
            content=pa.concat_tables([CONTENT.empty_table(), *(s.content() for s in sheets)]),
            snapshot=frozenset(self.yields),
        )
