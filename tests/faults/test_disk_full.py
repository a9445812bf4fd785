"""A disk that has no room left in the middle of a night: that is told, what was kept stays, and the same command
completes the night once there is room."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from schemas.errors import Say, StoreAway
from store import engine
from store.hindrance import in_the_way
from tests import engines
from tests.faults.test_database_kill import Trial
from tests.faults.test_kill import DAY, PROCESSES, before, check_completed
from tests.functional.conftest import Installation, noon
from tests.postgres import Cluster

__all__ = ["before"]

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from portal.cli import main; sys.exit(main())"


def at_most(size: int) -> Callable[[], None]:
    """No file of the process may grow beyond so many bytes: the kernel refuses the write, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def one_night(root: Path, size: int, here: Connection) -> None:
    at_most(size)()
    try:
        reports = Installation.on(root).sync(noon(DAY))
        here.send({r["reason"] for r in reports if r["outcome"] == "refused"})
    except Exception as no:
        here.send({type(no).__name__ if isinstance(no, Say) else type(in_the_way(no)).__name__})


def test_whatever_file_finds_no_room_the_same_night_completes_once_there_is_some(before: Path, tmp_path: Path) -> None:
    """Each limit is a little more than what some file of the home has already."""
    there = sorted({path.stat().st_size for path in (before / "home").rglob("*") if path.is_file()})
    stopped = 0
    for size in (there[-1] // 100, *(each + 4096 for each in there[-3:])):
        root = Path(engines.copied(before, tmp_path / str(size)))
        here, other = PROCESSES.Pipe()
        process = PROCESSES.Process(target=one_night, args=(root, size, other))
        process.start()
        told = here.recv()
        process.join()
        assert told <= {"StoreAway", "database.unreachable"}
        stopped += bool(told)
        check_completed(Installation.on(root))
    assert stopped >= 3, "most of the nights found room enough to show nothing"


def test_the_command_says_so(before: Path, tmp_path: Path) -> None:
    root = Path(engines.copied(before, tmp_path / "copy"))
    engines.write_instance(Installation.on(root).home)
    command = [sys.executable, "-c", COMMAND, "sync", "--home", str(root / "home"), "--inbox", str(root / "inbox")]
    ended = subprocess.run(
        [*command, "--at", noon(DAY).isoformat(), "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}, preexec_fn=at_most(250_000),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "no room left" in ended.stderr
    check_completed(Installation.on(root))


@pytest.mark.soak
def test_a_server_whose_disk_is_full_loses_nothing(tmp_path: Path) -> None:
    """On a file system of its own, which root makes."""
    folder = Path(tempfile.mkdtemp(prefix="dep-pg-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "none", folder], check=True)
        stack.callback(lambda: subprocess.run(["umount", folder], check=True))
        cluster = Cluster(folder)
        stack.callback(cluster.stop)
        trial, stopped = Trial(tmp_path, cluster), 0
        first = trial.arrive()
        assert trial.night(first, trial.home) == trial.night(first, trial.calm) == []
        for left in (0, 64 << 10, 256 << 10, 1 << 20):
            night = trial.arrive()
            engine.close_all()
            fill(folder / "filler", left)
            try:
                stopped += bool(trial.night(night, trial.home))
            except StoreAway:
                stopped += 1
            (folder / "filler").unlink()
            engine.close_all()
            if not (folder / "postmaster.pid").exists():  # without room for its own log it had to end
                cluster.revive()
            assert trial.night(night, trial.home) == trial.night(night, trial.calm) == []
            assert trial.accepted() == trial.receipted() == Counter(p.name for p in trial.inbox.glob("*/*/*"))
        engine.close_all()
        for agency in trial.those:
            assert trial.exported(trial.home, agency) == trial.exported(trial.calm, agency)
        assert stopped >= 2, "there was room enough to show nothing"
        engine.close_all()


def fill(path: Path, left: int) -> None:
    """Take all room of a file system but so many bytes."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - left, 4096))
