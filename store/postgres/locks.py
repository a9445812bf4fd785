"""One writer an agency, on however many machines: the database's advisory locks, held by a session of their own.

The server frees them when that session ends, however its process or its machine does; a machine that was cut off is
noticed by TCP keepalive (`sessions`). It may not have noticed itself. So whoever writes asks once more, inside the
transaction:

    holder      takes `held`, then `writing`, which it gives back at once
    a writer    takes `writing` until its transaction ends, then asks whether the session that took `held` still lives

Who lost `held` before it asked is refused. Who loses it afterwards still has `writing`, and the next holder waits until
that transaction has ended, one way or the other.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

import psycopg
from sqlalchemy import Connection

from schemas.errors import TryAgain
from schemas.home import PORTAL
from schemas.ids import AgencyCode
from store.postgres.sessions import away

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.25
# True: both were free, and `held` is ours. CASE is evaluated in its order.
_TRY = """SELECT CASE WHEN pg_try_advisory_lock(%(held)s) THEN
    CASE WHEN pg_try_advisory_lock(%(writing)s) THEN pg_advisory_unlock(%(writing)s)
    ELSE NOT pg_advisory_unlock(%(held)s) END
ELSE false END"""


class _Session:
    """A connection out of the pool, for as long as it holds something. The driver's own: SQLAlchemy would connect anew
    without a word where one was lost."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._own: Any = db.connection.driver_connection

    def says(self, statement: str, **given: int) -> bool:
        """Raises psycopg.Error."""
        row = self._own.execute(statement, given).fetchone()
        return bool(row and row[0])

    def lives(self) -> bool:
        try:
            return self.says("SELECT true")
        except psycopg.Error:
            return False

    def close(self) -> None:
        if not self.lives():
            self._db.invalidate()
        self._db.close()


class Locks:
    """Those of one process. `connect` gives a session that nothing else uses, each statement alone."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._session: _Session | None = None
        self._turn = threading.Lock()
        self._held: dict[str, _Session] = {}

    @contextmanager
    def sole(self, agency: AgencyCode | None, patience: float | None) -> Iterator[None]:
        """Raises TryAgain when somebody else has it for longer than `patience` seconds (None: wait for ever)."""
        name = agency or PORTAL
        deadline = None if patience is None else time.monotonic() + patience
        pause = _PAUSE_SECONDS
        while not self._tried(name):
            if deadline is not None and time.monotonic() > deadline:
                raise TryAgain("another run is at work on this agency", "Wait until it ends, then do the same again.")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        try:
            yield
        finally:
            self._free(name)

    def fence(self, db: Connection, agency: AgencyCode | None) -> None:
        """Inside a transaction: raises TryAgain when this process had the agency's lock and lost it."""
        self.fence_all(db, [agency])

    def fence_all(self, db: Connection, agencies: Iterable[AgencyCode | None]) -> None:
        """The same for several at once."""
        with self._turn:
            held = {n: self._held[n] for a in agencies if (n := a or PORTAL) in self._held}
        if not held:
            return  # what is not done under a lock does not depend on one
        # In one order, so that two writers of the same agencies never wait for each other.
        writing = sorted(_key("writing", name) for name in held)
        db.exec_driver_sql("SELECT pg_advisory_xact_lock(k) FROM unnest(%s::bigint[]) AS k", (writing,))
        with self._turn:
            if not all(holder.lives() for holder in {id(h): h for h in held.values()}.values()):
                raise TryAgain("this machine has lost its hold of the agency", "Nothing was written: begin again.")

    def close(self) -> None:
        with self._turn:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _tried(self, name: str) -> bool:
        with self._turn:
            if name in self._held:  # by another thread: a session's own locks do not stop it
                return False
            if self._session is None or not self._session.lives():
                self._session = _Session(self._connect())
            try:
                taken = self._session.says(_TRY, held=_key("held", name), writing=_key("writing", name))
            except psycopg.Error:
                raise away() from None
            if taken:
                self._held[name] = self._session
            else:
                self._give_back(self._session)
            return taken

    def _free(self, name: str) -> None:
        with self._turn:
            session = self._held.pop(name)
            with suppress(psycopg.Error):  # a session that is gone holds nothing
                session.says("SELECT pg_advisory_unlock(%(held)s)", held=_key("held", name))
            self._give_back(session)

    def _give_back(self, session: _Session) -> None:
        """To the pool, once it holds nothing."""
        if session in self._held.values():
            return
        session.close()
        if session is self._session:
            self._session = None


def _key(purpose: str, name: str) -> int:
    """Locks are named by 64 bits, in one database."""
    return int.from_bytes(sha256(f"depositaire/1 {purpose} {name}".encode()).digest()[:8], "big", signed=True)
