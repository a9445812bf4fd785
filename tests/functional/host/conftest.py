"""A home on PostgreSQL whose machine serves its keys, and workers with a folder of their own and nothing else."""

import datetime as dt
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import generate, portfolio
from ledger import fsck
from ledger.entry import Receipt
from ledger.keys import LogKeys
from pipelines import opening
from pipelines.host import admission
from pipelines.host.client import Served
from schemas.errors import NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import engine
from store.house import House
from store.keys import PAGE, Keyring, create_root, open_root
from tests.functional.conftest import SAMPLES, Installation
from tests.leave import capability
from tests.postgres import Cluster, at_hand

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("worker.py")
DEPOSITAIRE = Path(sys.executable).parent / "depositaire"
AGENCIES = tuple(AgencyCode(f"A000{n}") for n in (1, 2, 3))
# Nothing of the tests' own surroundings: a machine that is elsewhere knows none of it.
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1",
        "GX_ANALYTICS_ENABLED": "false", "DAGSTER_DISABLE_TELEMETRY": "yes"}  # fmt: skip
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with at_hand() as made:
        yield made


class Site(Installation):
    """An installation whose records are in PostgreSQL, whichever the others of this run have."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        self.home = Home.at(root / "home")
        self.inbox = root / "inbox"
        create_root(self.home)
        opening.choose_store(self.home, cluster.database())
        House.open(self.home, create=True).db.close()

    def day(self, day: str) -> None:
        """The register and the deliveries of a day, under instructions."""
        if (register := SAMPLES / "agencies" / f"AGENCES_{day.replace('-', '')}.csv").exists():
            self.load_register(register)
        for agency in AGENCIES:
            if not self.log(agency).exists:
                self.instruct(agency)
        self.place_day(day)

    def receipts(self, agency: str) -> list[Receipt]:
        return [e for e in self.log(agency).read().entries if isinstance(e, Receipt)]

    def exported(self, agency: str | None) -> dict[str, bytes]:
        """The return pack, byte for byte."""
        names = self.tables(agency)
        return {n: (self.inbox.parent / "export" / f"{n}.jsonl").read_bytes() for n in names}


class Hosting:
    """A site, the process that serves it, and its workers."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.host: subprocess.Popen[str] | None = None
        self.address = ""
        self.said = folder / "host.log"
        self._workers: list[subprocess.Popen[str]] = []

    def serve(self, listen: str = "127.0.0.1:0") -> None:
        command = [str(DEPOSITAIRE), "--home", str(self.site.home.root), "--json", "host", "serve", "--listen", listen]
        with self.said.open("ab") as log:
            self.host = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=BARE, cwd=self.folder
            )
        assert self.host.stdout is not None
        self.address = json.loads(self.host.stdout.readline())["listening"]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.host is not None
        self.host.send_signal(how)
        code = self.host.wait(30)
        assert self.host.stdout is not None
        self.host.stdout.close()
        self.host = None
        return code

    def admit(self, name: str) -> Home:
        out = self.folder / "machines" / name / "home"
        admission.admit(self.site.home, open_root(self.site.home), name, out, None, NOW)
        return Home.at(out)

    def premises(self, name: str) -> Served:
        """A worker's premises, in this process."""
        return Served.at(self.admit(name))

    def begin(
        self, home: Home, day: str, *systems: str, forbidden: Path | None = None, patience: float = 25
    ) -> "subprocess.Popen[str]":
        told = [str(forbidden or self.site.home.root), str(home.root), str(self.site.inbox), day, *systems]
        process = subprocess.Popen(
            [sys.executable, WORKER, *told],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=BARE | {"PATIENCE": str(patience)},
            cwd=home.root,
        )  # fmt: skip
        self._workers.append(process)
        return process

    def night(self, home: Home, day: str, *systems: str) -> list[dict[str, Any]]:
        return reports(self.begin(home, day, *systems))

    def night_fails(self, home: Home, day: str) -> str:
        """What a night says that cannot be."""
        process = self.begin(home, day)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 7, err[-2000:]
        return err

    def systems(self, names: Sequence[str]) -> list[System]:
        return [System(n) for n in names]

    def deliver(self, agencies: Sequence[AgencyCode], day: str, systems: Sequence[str]) -> None:
        """The deliveries of the crowd for a day, where the inbox does not have them."""
        number = (dt.date.fromisoformat(day) - portfolio.FIRST_DAY).days + 1
        night = portfolio.Night(number, version=number - 1, share=0.2)
        those = generate.agencies(20 * len(agencies), len(agencies))
        for system in systems:
            generate.deliver(System(system), those, night, self.site.inbox)

    def zeros(self, agency: AgencyCode) -> int:
        """How many keys of persons were destroyed in the agency's key ring."""
        path = self.site.home.keyring(agency)
        if not path.exists():
            return 0
        keyring = Keyring.open(self.site.home, open_root(self.site.home), capability(agency))
        with keyring, closing(sqlite3.connect(path)) as db:
            gone = 0
            for no, used in db.execute("SELECT no, used FROM page").fetchall():
                for kid in range(no * PAGE + 1, no * PAGE + used + 1):
                    try:
                        keyring.cipher(kid)
                    except NotVerified:
                        gone += 1
        return gone

    def end(self) -> None:
        for process in self._workers:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if self.host is not None:
            self.stop()
        engine.close_all()


def reports(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    found: list[dict[str, Any]] = json.loads(out.rstrip("\n").split("\n")[-1])
    return found


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Site:
    return Site(tmp_path / "site", cluster)


@pytest.fixture
def hosting(site: Site, tmp_path: Path) -> Iterator[Hosting]:
    made = Hosting(site, tmp_path)
    made.serve()
    try:
        yield made
    finally:
        made.end()


def check_once(site: Site, agencies: Sequence[AgencyCode] = AGENCIES) -> None:
    """Every delivery in the inbox has one receipt and one entry of the journal; every log holds, by other code."""
    for agency in agencies:
        files = sorted((p.parent.name, p.name) for p in (site.inbox / agency).glob("*/*"))
        assert files
        receipted = [(e.system, e.delivery) for e in site.receipts(agency)]
        assert sorted(r for r in receipted if r[0] != "spilasuite") == files
        with House.open(site.home) as house:
            entered = [(e.system, e.delivery) for e in house.journal(agency) if e.outcome == "accepted"]
        assert sorted(e for e in entered if e[0] != "spilasuite") == files
    check_logs(site)


def check_logs(site: Site) -> None:
    keys = LogKeys(site.home, open_root(site.home))
    public = keys.signer.public_key().public_bytes_raw()
    checked = fsck.check_home(site.home.root, fsck.Keys(public, lambda code: keys.of_salts(AgencyCode(code))))
    assert len(checked) == len(list(site.home.ledgers.glob("*/checkpoint"))) > 0


@pytest.fixture
def crowd(hosting: Hosting) -> Sequence[AgencyCode]:
    """Twelve agencies with a delivery of two systems each, in the hosting's site."""
    those, site = generate.agencies(240, 12), hosting.site
    site.load_register(generate.write_register(those, site.home.root.parent))
    for agency in those:
        site.instruct(agency.code)
    for system in (System.SDGI, System.GPI):
        generate.deliver(system, those, portfolio.FIRST, site.inbox)
    return [AgencyCode(a.code) for a in those]
