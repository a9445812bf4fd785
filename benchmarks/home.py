"""A home on which nights are measured: registered agencies with an instruction for everything."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.generate import write_register
from benchmarks.portfolio import Agency, Night
from ledger.entry import Instruction
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines import opening, sync
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose
from schemas.report import Report
from store.keys import open_root

_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


class Nobody:
    """Listens to nothing."""

    def settled(self, report: Report) -> None: ...

    def checked(
        self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]
    ) -> None: ...


def make(root: Path, agencies: Sequence[Agency], store: str | None = None) -> Home:
    """A new home: keys in a file, its records in files, or in the PostgreSQL database of this URL."""
    home = Home.at(root)
    opening.make(home, None, store=store)
    opening.load_register(home, write_register(agencies, root), _BEFORE)
    keys = LogKeys(home, open_root(home, None))
    for agency in agencies:
        code = AgencyCode(agency.code)
        said = Instruction(
            code, AGENCY_SYSTEMS, ("*",), (Purpose.EXTRANET,), _BEFORE, None, "ANNEXE-2026", "gerance", _BEFORE
        )
        Log.at(home, code, keys).append(said, _BEFORE)
    return home


def point(home: Home, deliveries: Sequence[Path]) -> None:
    """SpiLaSuite is read from a source, not from the inbox."""
    listed = home.root / "sources.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(opening.SOURCES_HEADER)
        for path in deliveries:
            rows.writerow([path.parts[-3], System.SPILASUITE, f"Driver=SQLite3;Database={path}"])
    opening.load_sources(home, listed, _BEFORE)
    listed.unlink()


def noon(of: Night) -> datetime:
    return datetime.combine(of.day, time(12), ZoneInfo("Europe/Paris"))


def night(home: Home, inbox: Path, system: System, of: Night, short_cut: bool = False) -> list[Report]:
    """One whole night of one system: open, read, admit, check, seal, keep, receipt. `short_cut`: what is as it was is
    not read again."""
    asked = sync.Night(home, noon(of), inbox, (system,), short_cut=short_cut)
    return sync.settle(asked, system, sync.registered(home), Nobody(), f"benchmark-{of.number}")
