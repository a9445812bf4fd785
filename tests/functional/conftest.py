"""An installation in a temporary folder, run through the same functions as the command line."""

import datetime as dt
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger.entry import Instruction
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines import sync
from pipelines.memory import USUAL
from schemas.capability import Act
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose
from schemas.records import CONTROLLER_TABLES, PROCESSOR_TABLES
from schemas.report import Report
from store import register
from store.agency import OpenShelf
from store.export import write_tables
from store.house import House
from store.keys import Keyring, create_root, open_root
from tests import engines
from tests.leave import capability, warrant

SAMPLES = Path(__file__).parents[2] / "samples"
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")
RUN = "test-run"


class Quiet:
    """Somebody who wants to know nothing."""

    def settled(self, report: Report) -> None: ...

    def checked(
        self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]
    ) -> None: ...


def noon(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T12:00:00+01:00")


class Installation:
    def __init__(self, root: Path) -> None:
        self.home = Home.at(root / "home")
        self.inbox = root / "inbox"
        create_root(self.home)
        engines.furnish(self.home)

    @classmethod
    def on(cls, root: Path) -> "Installation":
        """An installation that is already there."""
        there = cls.__new__(cls)
        there.home, there.inbox = Home.at(root / "home"), root / "inbox"
        return there

    def load_register(self, path: Path) -> dict[str, Any]:
        with House.open(self.home) as house, house.writing() as db:
            return register.load(db, path).as_json()

    def instruct(self, agency: str, tables: Sequence[str] = ("*",), systems: Sequence[System] = AGENCY_SYSTEMS) -> str:
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        entry = Instruction(
            AgencyCode(agency),
            tuple(systems),
            tuple(tables),
            (Purpose.EXTRANET,),
            at,
            None,
            "ANNEXE-2026",
            "gerance",
            at,
        )
        self.log(agency).append(entry, at)
        return entry.id

    def log(self, agency: str) -> Log:
        return Log.at(self.home, AgencyCode(agency), LogKeys(self.home, open_root(self.home)))

    def set_source(self, agency: str, database: Path) -> None:
        code = AgencyCode(agency)
        with (
            House.open(self.home) as house,
            Keyring.open(self.home, open_root(self.home), capability(code, Act.CONFIGURE), create=True) as keyring,
        ):
            house.set_source(code, System.SPILASUITE, f"Driver=SQLite3;Database={database}", keyring)

    def place(self, files: Path, agency: str, system: str) -> None:
        """Put a delivery into the inbox (or, for SpiLaSuite, point the agency's source at it)."""
        if system == "spilasuite":
            copy = self.inbox.parent / "sources" / agency
            copy.mkdir(parents=True, exist_ok=True)
            self.set_source(agency, Path(shutil.copy(files, copy / files.name)))
            return
        folder = self.inbox / agency / system
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(files, folder / files.name)

    def place_day(self, day: str) -> None:
        for path in sorted((SAMPLES / "deliveries" / day).glob("*/*/*")):
            if path.suffix != ".sql":
                self.place(path, path.parts[-3], path.parts[-2])
        portal = self.inbox / "_portal"
        portal.mkdir(parents=True, exist_ok=True)
        for path in (SAMPLES / "deliveries" / day / "_portal").iterdir():
            shutil.copy(path, portal / path.name)

    def sync(
        self,
        at: dt.datetime,
        systems: Sequence[System] = AGENCY_SYSTEMS,
        portal: bool = True,
        memory: int = USUAL,
    ) -> list[dict[str, Any]]:
        night = sync.Night(self.home, at, self.inbox, tuple(systems), memory=memory)
        agencies = sync.registered(self.home)
        reports = [r for s in systems for r in sync.settle(night, s, agencies, Quiet(), RUN)]
        if portal:
            reports += sync.settle_portal(night, Quiet(), RUN)
        return [r.as_json() for r in [*reports, *sync.strangers(night)]]

    def tables(self, agency: str | None) -> dict[str, list[dict[str, Any]]]:
        folder = self.inbox.parent / "export"
        names = PROCESSOR_TABLES if agency else CONTROLLER_TABLES
        leave = warrant(agency, Act.RETURN)
        with (
            Keyring.open(self.home, open_root(self.home), leave.capability) as keyring,
            OpenShelf.open(self.home, keyring, leave) as shelf,
        ):
            write_tables(shelf, names, folder)
        return {n: read_jsonl(folder / f"{n}.jsonl") for n in names}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)
