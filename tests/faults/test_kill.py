"""kill -9 at any instant of a night: every delivery is in or out, none twice, none lost; the same command completes
it."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger.entry import Receipt
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from store.agency import Shelf
from store.house import House
from tests import engines
from tests.functional.conftest import RUN, SAMPLES, Installation, noon
from tests.functional.test_samples import differences

DAY = "2026-01-06"
# A server of half-started processes: each of them is quick to start, and killing one leaves the others alone.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.functional.conftest", "connectors.sdgi", "connectors.gpi", "connectors.login"])


def one_night(root: Path, started: Connection) -> None:
    installation = Installation.on(root)
    started.send("started")
    installation.sync(noon(DAY))


def kill_after(root: Path, seconds: float) -> bool:
    """Start the night and kill it so much later. True when it was killed before its end."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=one_night, args=(root, there))
    process.start()
    assert here.recv() == "started"
    time.sleep(seconds)
    alive = process.is_alive()
    if alive and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state after the first day, with the second day's deliveries waiting."""
    root = tmp_path_factory.mktemp("before")
    installation = Installation(root)
    for day in ("2026-01-05", DAY):
        installation.load_register(SAMPLES / "agencies" / f"AGENCES_{day.replace('-', '')}.csv")
        for agency in ("A0001", "A0002", "A0003"):
            installation.instruct(agency)
        installation.place_day(day)
        if day != DAY:
            installation.sync(noon(day))
    return root


@pytest.fixture(scope="module")
def duration(before: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    root = Path(engines.copied(before, tmp_path_factory.mktemp("timed") / "copy"))
    started = time.monotonic()
    assert kill_after(root, 0.0) or True
    Installation.on(root).sync(noon(DAY))
    return time.monotonic() - started


def check_killed(before: Path, root: Path, seconds: float) -> bool:
    engines.copied(before, root)
    killed = kill_after(root, seconds)
    check_completed(Installation.on(root))
    return killed


def check_completed(installation: Installation) -> None:
    """The night once more: every delivery is in, none twice, and every agency holds what is expected."""
    reports = installation.sync(noon(DAY))
    assert [(r["delivery"], r["reason"]) for r in reports if r["outcome"] == "refused"] == []
    for agency in ("A0001", "A0002", "A0003"):
        assert differences(installation.tables(agency), SAMPLES / "truth" / agency / DAY) == []
        assert_receipts(installation, agency)
        assert_journal(installation, agency)
    assert differences(installation.tables(None), SAMPLES / "truth" / "_portal" / DAY) == []


def assert_receipts(installation: Installation, agency: str) -> None:
    """One receipt for each accepted file, whatever happened between the shelf and the ledger."""
    entries = installation.log(agency).read().entries
    files = [e.delivery for e in entries if isinstance(e, Receipt) and e.system != "spilasuite"]
    expected = [
        path.name
        for system in AGENCY_SYSTEMS
        if system != "spilasuite"
        for path in (installation.inbox / agency / system).glob("*")
    ]
    assert sorted(files) == sorted(expected)


def assert_journal(installation: Installation, agency: str) -> None:
    """One entry for each accepted file too: whoever makes up for a receipt makes up for the journal."""
    with House.open(installation.home) as house:
        entered = [(e.system, e.delivery) for e in house.journal(AgencyCode(agency)) if e.outcome == "accepted"]
    files = [(path.parent.name, path.name) for path in (installation.inbox / agency).glob("*/*")]
    assert sorted(e for e in entered if e[0] != "spilasuite") == sorted(files)


def run_trials(count: int, seed: int, before: Path, duration: float, folder: Path) -> None:
    rng = random.Random(seed)
    killed = 0
    for n in range(count):
        root = folder / f"trial{n}"
        killed += check_killed(before, root, rng.uniform(0, duration))
        shutil.rmtree(root)
    assert killed >= count // 2, "most of the kills came too late to show anything"


def test_a_night_killed_at_random_instants_is_completed_by_the_same_command(
    before: Path, duration: float, tmp_path: Path
) -> None:
    run_trials(8, 1, before, duration * 0.6, tmp_path)


@pytest.mark.soak
def test_a_night_killed_at_many_random_instants(before: Path, duration: float, tmp_path: Path) -> None:
    run_trials(100, 2, before, duration * 0.6, tmp_path)


def test_a_shelf_that_was_committed_without_its_receipt_gets_it_once(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.books import Books

    root = Path(engines.copied(before, tmp_path / "copy"))
    installation = Installation.on(root)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Books, "receipts", dies)
        with pytest.raises(KeyboardInterrupt):
            installation.sync(noon(DAY))
    installation.sync(noon(DAY))
    for agency in ("A0001", "A0002", "A0003"):
        assert_receipts(installation, agency)
        receipts = [e for e in installation.log(agency).read().entries if isinstance(e, Receipt)]
        assert all(e.instructions and e.layout and e.code_version and e.run == RUN for e in receipts)
    # Stopped between the log and the shelf: what the log has is not told it again, though nothing new came.
    with Shelf.known(installation.home, AgencyCode("A0002")) as shelf:
        with shelf.noting() as db:
            db.execute(text("UPDATE delivery SET receipted = 0"))
        installation.sync(noon(DAY))
        shelf.db.rollback()
        assert shelf.db.scalar(text("SELECT count(*) FROM delivery WHERE receipted = 0")) == 0
    assert_receipts(installation, "A0002")
