"""Runs whose process was killed: nobody told Dagster, which would show them as running, and count them, for ever.

A run holds a lock for as long as its process lives, and stands in a list. The lock is freed by the kernel, or by
Dagster's own database when its connection ends, however the process ends; whoever stands in the list without a lock is
a run that is over. With files the list is a folder and a lock a file in it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import psycopg

from pipelines.defs import address
from pipelines.defs.address import Address
from pipelines.defs.database import connect
from schemas.home import Home

_OVER = "The process of this run was killed. What it had kept stays; what it had not is taken up by the next run."
# Runs that this process holds the lock of: a worker takes it before the run begins, and the run asks for it again.
_HELD: set[str] = set()


@contextmanager
def alive(home: Home, run_id: str) -> Iterator[bool]:
    """Say that a run is at work, until its process ends. Yields False, and holds nothing, when it is at work elsewhere:
    a broker may hand out twice what it heard nothing of."""
    if run_id in _HELD:
        yield True
        return
    stored = address.known(home)
    with _listed_in_files(home, run_id) if stored is None else _listed_in_database(stored, run_id) as mine:
        if not mine:
            yield False
            return
        _HELD.add(run_id)
        try:
            yield True
        finally:
            _HELD.discard(run_id)


def mend(instance: dg.DagsterInstance, home: Home) -> int:
    """Mark the runs of killed processes as failed. Returns how many there were."""
    stored = address.known(home)
    return _mend_files(instance, home) if stored is None else _mend_database(instance, stored)


def is_at_work(home: Home, run_id: str) -> bool:
    """Whether somebody holds this run's lock."""
    stored = address.known(home)
    if stored is None:
        return _is_held(_file(home, run_id), absent=False)
    with connect(stored) as db:
        row = db.execute(_IS_LOCKED, {"run": run_id}).fetchone()
    return row is not None and bool(row[0])


def _report(instance: dg.DagsterInstance, run_id: str) -> int:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return 0
    instance.report_run_failed(run, _OVER)
    return 1


# -- files -------------------------------------------------------------------------------------------------------------


def _file(home: Home, run_id: str) -> Path:
    return home.locks / f"run-{run_id}.lock"


@contextmanager
def _listed_in_files(home: Home, run_id: str) -> Iterator[bool]:
    home.locks.mkdir(parents=True, exist_ok=True)
    path = _file(home, run_id)
    if _is_held(path, absent=False):
        yield False
        return
    made = path.with_suffix(".new")
    handle = os.open(made, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made.rename(path)  # never seen without its holder
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _mend_files(instance: dg.DagsterInstance, home: Home) -> int:
    mended = 0
    for path in home.locks.glob("run-*.lock"):
        if not _is_held(path, absent=True):  # a file that is gone: its run ended this moment
            mended += _report(instance, path.stem.removeprefix("run-"))
            path.unlink(missing_ok=True)
    return mended


def _is_held(path: Path, absent: bool) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return absent
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


# -- Dagster's database ------------------------------------------------------------------------------------------------

_KEY = "hashtextextended('depositaire run ' || %(run)s, 0)"
_LOCK = f"SELECT pg_try_advisory_lock({_KEY})"
_UNLOCK = f"SELECT pg_advisory_unlock({_KEY})"
_IS_LOCKED = f"""SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (classid::bigint << 32 | objid::bigint) = {_KEY})"""  # noqa: S608
_ENTER = "INSERT INTO depositaire_dagster VALUES (%(run)s) ON CONFLICT DO NOTHING"
_LEAVE = "DELETE FROM depositaire_dagster WHERE run_id = %(run)s"


@contextmanager
def _listed_in_database(stored: Address, run_id: str) -> Iterator[bool]:
    said = {"run": run_id}
    with connect(stored) as db:
        if not _locks(db, run_id):
            yield False
            return
        db.execute(_ENTER, said)  # never listed without its lock
        try:
            yield True
        finally:
            with suppress(psycopg.OperationalError):  # the server went away meanwhile, and the lock with it
                db.execute(_LEAVE, said)


def _mend_database(instance: dg.DagsterInstance, stored: Address) -> int:
    mended = 0
    with connect(stored) as db:
        for (run_id,) in db.execute("SELECT run_id FROM depositaire_dagster ORDER BY run_id").fetchall():
            if _locks(db, str(run_id)):
                mended += _report(instance, str(run_id))
                db.execute(_LEAVE, {"run": run_id})
                db.execute(_UNLOCK, {"run": run_id})
    return mended


def _locks(db: "psycopg.Connection[tuple[object, ...]]", run_id: str) -> bool:
    row = db.execute(_LOCK, {"run": run_id}).fetchone()
    return row is not None and bool(row[0])
