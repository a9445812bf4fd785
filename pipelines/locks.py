"""One writer an agency, whichever door it came through, and on PostgreSQL whichever machine. A lock is freed by the
kernel when its holder dies, or by the database when it hears no more of it (`store.postgres.locks`)."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import TryAgain
from schemas.home import PORTAL, Home
from schemas.ids import AgencyCode
from store import engine

_PAUSE_SECONDS = 0.02


@contextmanager
def sole(home: Home, agency: AgencyCode | None, patience: float | None = None) -> Iterator[Path]:
    """Hold an agency's lock (None: the portal's). Yields the lock's file, which its holder may remove; on PostgreSQL
    there is none.

    `patience`: seconds to wait for another holder, None for ever. Raises TryAgain after that. Whoever takes several
    locks and could meet somebody who takes them in another order must have a patience.
    """
    path = home.locks / f"{agency or PORTAL}.lock"
    held = engine.of(home).sole(agency, patience)
    if held is not None:
        with held:
            yield path
        return
    home.locks.mkdir(parents=True, exist_ok=True)
    deadline = None if patience is None else time.monotonic() + patience
    handle = _locked(path, deadline)
    try:
        yield path
    finally:
        os.close(handle)


def _locked(path: Path, deadline: float | None) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if deadline is None:
                fcntl.flock(handle, fcntl.LOCK_EX)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(handle, path):
                return handle
        except BlockingIOError:
            if deadline is not None and time.monotonic() > deadline:
                os.close(handle)
                raise TryAgain(
                    "another run is at work on this agency", "Wait until it ends, then do the same again."
                ) from None
            time.sleep(_PAUSE_SECONDS)
        os.close(handle)


def _still_there(handle: int, path: Path) -> bool:
    """Whether the file that was locked is still the one of that name: its last holder may have removed it."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(handle)
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)
