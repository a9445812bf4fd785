"""A home with three agencies, made with the real keys, shelves and databases, and an orchestrator's database of the
same make."""

import datetime as dt
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from ledger.acts import instruct
from ledger.instruction_file import Draft
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines import erasure
from schemas.capability import Act
from schemas.fields import Kind
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.mandate import Purpose
from schemas.records import RECORDS
from schemas.report import Report
from store import engine, register
from store.agency import OpenShelf
from store.house import House
from store.keys import Keyring, create_root, open_root
from store.register import HEADER
from store.sealing import row_aad, seal
from store.tables import LINE, ROWS
from tests import engines
from tests.leave import capability, warrant

A1, A2, A3 = AgencyCode("A0001"), AgencyCode("A0002"), AgencyCode("A0003")
ENDS = dt.date(2026, 1, 6)
CLOSED = dt.datetime(2026, 1, 13, 23, tzinfo=dt.UTC)  # 00:00 in Paris on 14 January
BEFORE = CLOSED - dt.timedelta(seconds=1)
SIRETS = {A1: "90403487300011", A2: "94457746900017", A3: "97304523000016"}
# What names A3 once it was erased: its log (whose tiles and salts name nobody), the log's key, the diary; and the
# certificate.
EVIDENCE = {
    *(f"ledger/{A3}{file}" for file in ("", "/entries", "/contents", "/checkpoint")),
    f"logs/{A3}.key", f"erasures/{A3}.jsonl", f"certificates/{A3}-20260114.json",
}  # fmt: skip


class Installation:
    """A home and an inbox. The agency A3 ended on 6 January 2026; A1 and A2 run."""

    def __init__(self, root: Path) -> None:
        self.home = Home.at(root / "home", root / "keys")
        self.inbox = root / "inbox"
        create_root(self.home)
        engines.furnish(self.home)
        self.root = open_root(self.home)

    def load(self, ends: Mapping[AgencyCode, str], day: str = "20260105") -> Report:
        """A register that ends each agency as said ("" for a running one)."""
        path = self.inbox.parent / f"AGENCES_{day}.csv"
        rows = [
            f"{code};AGENCE {code};{SIRETS.get(code, SIRETS[A1])};2023-07-20;{end};;;;sdgi,login;dpo@agence.example"
            for code, end in ends.items()
        ]
        path.write_text("\n".join([";".join(HEADER), *rows, ""]))
        with House.open(self.home) as house, house.writing() as db:
            return register.load(db, path, self.root)

    def furnish(self) -> None:
        """Everything that a night leaves: rows, journal, sources, ledgers, deliveries, portal accounts, orchestrator
        records."""
        self.load({A1: "", A2: "", A3: ENDS.isoformat()})
        for code in (A1, A2, A3):
            self.keep(code)
            self.deliver(code)
        self.attach({"CPT1": (A1, A3), "CPT2": (A3,), "CPT3": (A2,), "CPT4": ()})
        self.orchestrate()

    def keep(self, code: AgencyCode) -> None:
        with Keyring.open(self.home, self.root, capability(code), create=True) as keyring:
            with OpenShelf.open(self.home, keyring, warrant(code), create=True) as shelf:
                row = {"last_name": f"EXEMPLE {code}", "kind": "person"}
                put(shelf, "person", "sdgi", "C:1", row, keyring.allocate(1)[0])
            with House.open(self.home) as house:
                house.remember_inbox(self.inbox)
                house.set_source(code, System.SPILASUITE, "Driver=SQLite3;Database=/nowhere.sqlite", keyring)
                seen = Report(code, System.SDGI, f"SDGI_{code}_20260105_0210.zip", None, "accepted")
                house.journal_add([seen], BEFORE, "run-1")
        instruct(self.log(code), DRAFT, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def log(self, code: AgencyCode) -> Log:
        return Log.at(self.home, code, LogKeys(self.home, self.root))

    def deliver(self, code: AgencyCode, name: str = "SDGI_{}_20260105_0210.zip") -> Path:
        folder = self.inbox / code / "sdgi"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name.format(code)
        path.write_text(f"NOM;{code}\n")
        return path

    def attach(self, accounts: Mapping[str, tuple[AgencyCode, ...]]) -> None:
        with (
            Keyring.open(self.home, self.root, capability(None), create=True) as keyring,
            OpenShelf.open(self.home, keyring, warrant(None), create=True) as shelf,
        ):
            for account, codes in accounts.items():
                values = {"account_id": account, "login": account, "email": f"{account}@courriel.test"}
                put(shelf, "portal_account", "portal", account, values, keyring.allocate(1)[0])
                for code in codes:
                    key = f"{account}:{code}:sdgi:C:1"
                    values = {"account_id": account, "agency_code": code, "person_system": "sdgi", "person_key": "C:1"}
                    put(shelf, "portal_attachment", "portal", key, values, keyring.allocate(1)[0])

    def orchestrate(self) -> None:
        self.home.dagster.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.home.dagster / "runs.db")) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT, pipeline_name TEXT)")
            db.execute("CREATE TABLE IF NOT EXISTS event_logs (run_id TEXT, partition TEXT, event TEXT)")
            db.execute("INSERT INTO runs VALUES ('run-1', 'sync'), ('run-9', 'erase')")
            for code in (A1, A2, A3):
                db.execute("INSERT INTO event_logs VALUES ('run-1', ?, '{}'), ('run-9', ?, '{}')", (code, code))

    def forget_orchestrator(self, code: AgencyCode) -> dict[str, int]:
        """What the eraser of the real orchestrator does, on this one."""
        with closing(sqlite3.connect(self.home.dagster / "runs.db")) as db:
            with db:
                gone = db.execute("DELETE FROM event_logs WHERE run_id = 'run-1' AND partition = ?", (code,)).rowcount
            db.execute("VACUUM")
        return {"events": gone}

    @property
    def broom(self) -> erasure.Broom:
        return erasure.Broom(
            self.home, self.root, "0.1.0", self.forget_orchestrator, frozenset({"erase"}), patience=0.2
        )

    def accounts(self) -> set[str]:
        return self._keys("portal_account")

    def attachments(self) -> set[str]:
        return self._keys("portal_attachment")

    def _keys(self, table: str) -> set[str]:
        with engine.of(self.home).shelf(None) as db:
            return set(db.scalars(select(ROWS[table].c.source_key)))

    def person(self, code: AgencyCode) -> str:
        """The agency's only person, read with its keys."""
        leave = warrant(code, Act.RETURN)
        with (
            Keyring.open(self.home, self.root, leave.capability) as keyring,
            OpenShelf.open(self.home, keyring, leave) as shelf,
        ):
            row = shelf.db.execute(ROWS["person"].select()).one()
            return shelf.open_row("person", row.system, row.source_key, row.kid, row.sealed)

    def register_row(self, code: AgencyCode) -> dict[str, Any]:
        with House.open(self.home) as house:
            return dict(house.db.execute(select(register.AGENCY).where(register.AGENCY.c.code == code)).one()._mapping)

    def named(self, code: AgencyCode) -> set[str]:
        """Every file under the installation whose name or bytes hold the code, but for databases that others share."""
        shared = {"house.sqlite", "house.sqlite-wal", "house.sqlite-shm", "runs.db"}
        found = set()
        for root in (self.home.root, self.home.keys, self.inbox):
            for path in root.rglob("*"):
                holds = path.is_file() and path.name not in shared and code.encode() in path.read_bytes()
                if code in path.name or holds:
                    found.add(str(path.relative_to(root)))
        return found


DRAFT = Draft("ANNEXE-2026", "synchronise", (System.SDGI,), ("*",), (Purpose.EXTRANET,), "gerance")


def put(shelf: OpenShelf, table: str, system: str, key: str, values: Mapping[str, str], kid: int) -> None:
    """One sealed row, as the store writes it."""
    record = RECORDS[table]
    text = "\x1f".join(values.get(f.name, "0" if f.kind is Kind.DATETIME else "") for f in record.sealed_fields)
    sealed = seal(shelf.keyring.cipher(kid), text.encode(), row_aad(shelf.binding(table, system), key, kid))
    with shelf.writing() as db:
        owner = (db.scalar(select(func.max(LINE.c.id))) or 0) + 1
        db.execute(LINE.insert().values(id=owner, system=system, source=table, key=key, signature=b"", live=1))
        db.execute(
            ROWS[table]
            .insert()
            .values(
                system=system,
                source_key=key,
                owner=owner,
                dropped=0,
                kid=kid,
                digest=b"",
                sealed=sealed,
                delivery=1,
                loc="2",
            )
        )


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    made.furnish()
    return made
