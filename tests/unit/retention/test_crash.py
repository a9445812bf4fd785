"""Killed at any instant and run again, an erasure is the erasure that was never killed.

A child process is killed (SIGKILL: no handler, no flush) just before the n-th thing that it does to the disk: opening
a file to write, renaming, removing, truncating, connecting to a database. Then the same command runs to its end.
"""

import datetime as dt
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import certificate
from ledger.entry import Erased
from ledger.fsck import check_home
from pipelines import erasure
from store import engine
from store.keys import signer
from tests import engines
from tests.unit.retention.conftest import A1, A2, A3, CLOSED, EVIDENCE, Installation

DEEDS = frozenset(
    {"open", "os.remove", "os.rename", "os.truncate", "os.rmdir", "os.mkdir", "sqlite3.connect", "fcntl.flock"}
)


def is_deed(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return event in DEEDS


def run_in_a_child(i: Installation, kill_at: int | None) -> tuple[int, int]:
    """The exit status of a run, and how many deeds it did. `kill_at`: the deed before which it is killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0
        own = os.getpid()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if is_deed(event, arguments) and os.getpid() == own:
                count += 1
                if count == kill_at:
                    os.kill(own, signal.SIGKILL)

        sys.addaudithook(hook)
        complete = erasure.run(i.broom, CLOSED).complete
        os.write(writer, str(count).encode())
        os._exit(0 if complete else 1)
    os.close(writer)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(reader) as told:
        return status, int(told.read() or 0)


class Restored:
    """The same furnished installation again and again, at the same place."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._copy = folder / "live", folder / "copy"
        self._folder.mkdir()
        self.installation = Installation(self._folder)
        self.installation.furnish()
        engines.copied(self._folder, self._copy)

    def again(self) -> Installation:
        shutil.rmtree(self._folder)
        engines.copied(self._copy, self._folder)
        return self.installation


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restored:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # killed children leave their positive control there
    return Restored(tmp_path)


def check_the_end(i: Installation) -> None:
    """What must be true whatever happened on the way."""
    assert i.named(A3) == EVIDENCE
    assert i.accounts() == {"CPT1", "CPT3", "CPT4"}
    assert {a for a in (A1, A2) if a in i.person(a)} == {A1, A2}
    history = i.log(A3).read()
    assert sum(isinstance(e, Erased) for e in history.entries) == 1
    path = i.home.certificates / "A0003-20260114.json"
    certificate.verify(path, signer(i.home, i.root).public_key(), history)
    told = {s.step: s for s in certificate.parse(path.read_bytes()).steps}
    assert told["destroy_keys"].outcome == "done"
    assert told["drop_shelf"].outcome == "done"
    check_home(i.home.root)
    assert i.register_row(A3)["erased_on"] == CLOSED.replace(tzinfo=None)
    assert erasure.run(i.broom, CLOSED + dt.timedelta(days=1)) == erasure.Swept((), ())


def moments(total: int, some: int) -> Iterator[int]:
    """`some` deeds spread over all of them, the first and the last included."""
    yield from sorted({round(1 + n * (total - 1) / (some - 1)) for n in range(some)})


def kill_at_each(restored: Restored, some: int | None) -> None:
    status, total = run_in_a_child(restored.again(), None)
    assert status == 0
    assert total > 60, "an erasure does many things to the disk, or nothing is shown"
    check_the_end(restored.installation)
    for moment in moments(total, some) if some else range(1, total + 1):
        i = restored.again()
        status, _ = run_in_a_child(i, moment)
        assert status == signal.SIGKILL, f"deed {moment} of {total}"
        assert erasure.run(i.broom, CLOSED).complete or not erasure.outlook(i.broom, CLOSED).plans
        check_the_end(i)


def test_an_erasure_killed_at_any_deed_ends_as_if_it_had_not_been(restored: Restored) -> None:
    kill_at_each(restored, some=14)


@pytest.mark.soak
def test_an_erasure_killed_at_every_deed_ends_as_if_it_had_not_been(restored: Restored) -> None:
    kill_at_each(restored, some=None)


def test_killed_twice_in_a_row_is_no_other_story(restored: Restored) -> None:
    _, total = run_in_a_child(restored.again(), None)
    for first, second in [(total // 4, total // 2), (total // 2, total // 4), (total * 3 // 4, 10)]:
        i = restored.again()
        run_in_a_child(i, first)
        run_in_a_child(i, second)
        erasure.run(i.broom, CLOSED)
        check_the_end(i)


def test_an_interrupted_step_says_that_it_was_interrupted(restored: Restored) -> None:
    """Killed after the keys were destroyed and before that was noted: the certificate must not say that there were
    none."""
    i = restored.again()
    child = os.fork()
    if child == 0:

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and not i.home.keyring(A3).exists() and "erasures" in str(arguments[0]):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        erasure.run(i.broom, CLOSED)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not i.home.keyring(A3).exists()
    assert engine.of(i.home).holds(A3)
    assert erasure.run(i.broom, CLOSED).complete
    stated = certificate.parse((i.home.certificates / "A0003-20260114.json").read_bytes())
    assert (stated.steps[0].outcome, stated.steps[0].counts) == ("done", {"interrupted": 1})
    check_the_end(i)
