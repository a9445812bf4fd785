"""Runs whose process was killed: nobody told Dagster, which would show them as running, and count them, for ever.

A run holds a lock for as long as its process lives; the kernel frees it, however the process ends. A lock file that
nobody holds belongs to a run that is over.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from schemas.home import Home

_OVER = "The process of this run was killed. What it had kept stays; what it had not is taken up by the next run."


@contextmanager
def alive(home: Home, run_id: str) -> Iterator[None]:
    """Say that a run is at work, until its process ends."""
    home.locks.mkdir(parents=True, exist_ok=True)
    path = home.locks / f"run-{run_id}.lock"
    made = path.with_suffix(".new")
    handle = os.open(made, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made.rename(path)  # never seen without its holder
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def mend(instance: dg.DagsterInstance, home: Home) -> int:
    """Mark the runs of killed processes as failed. Returns how many there were."""
    mended = 0
    for path in home.locks.glob("run-*.lock"):
        if _is_held(path):
            continue
        run = instance.get_run_by_id(path.stem.removeprefix("run-"))
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, _OVER)
            mended += 1
        path.unlink(missing_ok=True)
    return mended


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # its run ended this moment
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
