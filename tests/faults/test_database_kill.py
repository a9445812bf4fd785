"""kill -9 of the whole PostgreSQL server in the middle of nights: what was told as received is there after its restart,
what was not is received by the next night, and nothing twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from benchmarks import home as benchmark_home
from benchmarks.generate import agencies, deliver
from benchmarks.portfolio import Agency, Night
from ledger.entry import Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines import sync
from schemas.capability import Act
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.records import PROCESSOR_TABLES
from store import engine
from store.agency import OpenShelf
from store.export import write_tables
from store.house import JOURNAL, House
from store.keys import Keyring, open_root
from tests import postgres
from tests.functional.conftest import Quiet, noon
from tests.leave import warrant
from tests.postgres import Cluster

ROOT = Path(__file__).parents[2]
SYSTEM = System.SDGI
MANY, PERSONS, SHARE = 6, 40, 0.3


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server that writes its log to the disk before it acknowledges anything, as a real one does."""
    with postgres.running() as made:
        with made.admin() as db:
            db.execute("ALTER SYSTEM SET fsync = on")
            db.execute("ALTER SYSTEM SET synchronous_commit = on")
            db.execute("SELECT pg_reload_conf()")
        yield made


class Trial:
    """A home on that server, and the same deliveries in files, where nothing ever happens."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        self.root, self.cluster = root, cluster
        self.those: list[Agency] = agencies(MANY * PERSONS, MANY, 7)
        self.inbox = root / "inbox"
        self.home = benchmark_home.make(root / "home", self.those, cluster.database())
        self.calm = benchmark_home.make(root / "calm", self.those)
        self.told = root / "told"
        self.number = 0

    def arrive(self) -> Night:
        """The next night's deliveries. They stay: nothing removes what was received."""
        self.number += 1
        night = Night(self.number, version=self.number - 1, share=SHARE)
        deliver(SYSTEM, self.those, night, self.inbox)
        return night

    def night(self, night: Night, home: Home) -> list[str]:
        """One night to its end; the deliveries that were not settled."""
        told = sync.Night(home, noon(night.day.isoformat()), self.inbox, (SYSTEM,))
        codes = [AgencyCode(a.code) for a in self.those]
        return [r.delivery for r in sync.settle(told, SYSTEM, codes, Quiet(), "trial") if r.outcome == "refused"]

    def begin(self, night: Night) -> "subprocess.Popen[bytes]":
        """The same in a process of its own, which writes down what it is told (`tests/faults/night.py`)."""
        command = [sys.executable, str(Path(__file__).with_name("night.py")), str(self.home.root), str(self.inbox)]
        return subprocess.Popen([*command, night.day.isoformat(), str(self.told)], cwd=ROOT,
                                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)  # fmt: skip

    def kill_server(self) -> None:
        """Every process of it, at once, as when the machine's memory ran out."""
        postmaster = psutil.Process(self.cluster.postmaster)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs([postmaster], 30)

    def acknowledged(self) -> set[str]:
        return set(self.told.read_text().split()) if self.told.exists() else set()

    def accepted(self) -> Counter[str]:
        with House.open(self.home) as house:
            rows = house.db.execute(select(JOURNAL.c.delivery).where(JOURNAL.c.outcome == "accepted")).scalars()
            return Counter(str(name) for name in rows)

    def receipted(self) -> Counter[str]:
        keys = LogKeys(self.home, open_root(self.home))
        found: Counter[str] = Counter()
        for a in self.those:
            found.update(e.delivery for e in Log.at(self.home, AgencyCode(a.code), keys).read().entries
                         if isinstance(e, Receipt))  # fmt: skip
        return found

    def exported(self, home: Home, agency: Agency) -> dict[str, bytes]:
        folder = self.root / "export"
        leave = warrant(agency.code, Act.RETURN)
        with (
            Keyring.open(home, open_root(home), leave.capability) as keyring,
            OpenShelf.open(home, keyring, leave) as shelf,
        ):
            write_tables(shelf, PROCESSOR_TABLES, folder)
        return {n: (folder / f"{n}.jsonl").read_bytes() for n in PROCESSOR_TABLES}


def run_trials(count: int, seed: int, root: Path, cluster: Cluster) -> None:
    trial, rng, in_time = Trial(root, cluster), random.Random(seed), 0
    first = trial.arrive()
    began = time.monotonic()
    assert trial.night(first, trial.home) == trial.night(first, trial.calm) == []
    duration = (time.monotonic() - began) / 2
    for _ in range(count):
        night = trial.arrive()
        engine.close_all()
        child = trial.begin(night)
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        time.sleep(rng.uniform(0, duration))
        in_time += child.poll() is None
        trial.kill_server()
        child.communicate(timeout=120)
        cluster.revive()
        before = trial.accepted()
        assert trial.acknowledged() <= before.keys(), "what was told as received is there"
        assert trial.night(night, trial.home) == trial.night(night, trial.calm) == []
        expected = Counter({path.name: 1 for path in trial.inbox.glob("*/*/*")})
        assert trial.accepted() == trial.receipted() == expected
        engine.close_all()
    for agency in trial.those:
        assert trial.exported(trial.home, agency) == trial.exported(trial.calm, agency)
    assert in_time >= count // 2, "most of the kills came too late to show anything"


def test_a_server_that_is_killed_in_the_middle_of_nights_loses_nothing_that_was_acknowledged(
    tmp_path: Path, cluster: Cluster
) -> None:
    run_trials(4, 3, tmp_path, cluster)


@pytest.mark.soak
def test_a_server_that_is_killed_forty_times_loses_nothing_that_was_acknowledged(
    tmp_path: Path, cluster: Cluster
) -> None:
    run_trials(40, 4, tmp_path, cluster)


@pytest.mark.soak
def test_a_server_that_is_killed_five_hundred_times_loses_nothing_that_was_acknowledged(
    tmp_path: Path, cluster: Cluster
) -> None:
    run_trials(500, 5, tmp_path, cluster)
