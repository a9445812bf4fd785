"""Child processes that hold drivers: kept warm between readings, watched, killed at their limits, replaced.

Each is a new interpreter (never a fork: this process has threads, and its keys have no business there). A child serves
one reading at a time and many one after another; it ends by itself when nobody has asked it for a minute, and at once
when this process ends.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any

import pyarrow as pa

from connectors.odbc.refusals import Hung, Lost, from_plain
from connectors.odbc.wire import Gone, Said, Silent, Wire
from schemas.errors import Say

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a source may take, in seconds, and what its driver may use.

    `login` is what the driver is told; `connect` is when it is killed, whatever it was told; `silence`: without a block
    of rows or an answer; `reading`: for all of it. `memory`: bytes of address space of a child.
    """

    login: int = 15
    connect: float = 20.0
    silence: float = 180.0
    reading: float = 3_600.0
    memory: int = 2_048 * MIB


LIMITS = Limits()
# Readings at once, and readings of one server at once; both hold for this process.
AT_ONCE = 8
AT_ONCE_OF_A_SERVER = 2
# Readings after which a child is replaced: drivers leak.
SERVES = 500
# Seconds that a driver may take to let go of a connection.
CLOSING = 5.0
# Children that are kept while nobody reads.
KEPT = 2


class Child:
    """One process and the way to it. Every wait ends: an answer, the end of the process, or a limit."""

    def __init__(self, limits: Limits) -> None:
        ours, theirs = socket.socketpair()
        given = json.dumps({"socket": theirs.fileno(), "memory": limits.memory})
        self.memory = limits.memory
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "connectors.odbc.child", given],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a driver's words may quote a row
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for us: we end it
            )
        self._wire = Wire(ours)
        self.served = 0
        self.settled = True  # nothing was asked that is still to be answered

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, said: Said, doing: str, seconds: float) -> tuple[Said, memoryview]:
        """One request and its (first) answer."""
        self.settled = False
        try:
            self._wire.say(said)
        except (Gone, Silent):
            raise _broke(doing) from None
        return self.hear(doing, seconds)

    def hear(self, doing: str, seconds: float) -> tuple[Said, memoryview]:
        """The next message. A refusal is raised; so is an end (Lost) and silence (Hung)."""
        try:
            told, beside = self._wire.hear(seconds)
        except Silent:
            self.kill()
            said = f"{doing}: the source or its driver did not answer within {seconds:.0f} s"
            raise Hung(said, "The next reading tries again") from None
        except Gone:
            self.kill()
            raise _broke(doing) from None
        self.settled = "rows" not in told
        if "refused" in told:
            raise from_plain(told)
        return told, beside

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._wire.close()

    def forget(self) -> None:
        """In a fork of this process: the child is another's."""
        self._wire.close()


def _broke(doing: str) -> Lost:
    return Lost(f"{doing}: the driver's process ended", "The next reading tries again")


def _environment() -> dict[str, str]:
    """Text is UTF-8 whatever the locale of this process; what is ours (places, passphrase) is not the driver's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEPOSITAIRE_", "LC_", "PYTHON"))}
    return {**kept, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}


@dataclass(slots=True)
class Pool:
    """The children of this process."""

    limits: Limits = LIMITS
    at_once: int = AT_ONCE
    of_a_server: int = AT_ONCE_OF_A_SERVER
    _idle: list[Child] = field(default_factory=list)
    _lock: Any = field(default_factory=Lock)
    _places: Any = field(init=False)
    _servers: dict[str, BoundedSemaphore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places = BoundedSemaphore(self.at_once)

    @contextmanager
    def child(self, server: str) -> Iterator[Child]:
        """A child for one reading of a server; waits for its turn there first, so that a slow server takes no place of
        the others. A child that still owes an answer is killed."""
        with self._turn(server), self._places:
            child = self._warm() or Child(self.limits)
            try:
                yield child
            finally:
                self._back(child)

    def _turn(self, server: str) -> BoundedSemaphore:
        with self._lock:
            return self._servers.setdefault(server, BoundedSemaphore(self.of_a_server))

    def _warm(self) -> Child | None:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.alive and child.memory == self.limits.memory:
                    return child
                child.kill()
        return None

    def _back(self, child: Child) -> None:
        child.served += 1
        with self._lock:
            if child.settled and child.alive and child.served < SERVES and len(self._idle) < KEPT:
                self._idle.append(child)
                return
        child.kill()

    def share(self, processes: int) -> None:
        """Before the first reading: so many processes share what this one would do alone."""
        self.at_once = max(1, self.at_once // processes)
        self.of_a_server = max(1, self.of_a_server // processes)
        self._places = BoundedSemaphore(self.at_once)

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().kill()

    def forget(self) -> None:
        """In a fork of this process: nothing of this is ours, and nobody else holds a lock or a place here."""
        for child in self._idle:
            child.forget()
        self._idle.clear()
        self._lock, self._places = Lock(), BoundedSemaphore(self.at_once)
        self._servers.clear()


POOL = Pool()
atexit.register(POOL.close)
os.register_at_fork(after_in_child=POOL.forget)


@dataclass(slots=True)
class Talk:
    """One reading's talk with its child, within the limits."""

    child: Child
    limits: Limits
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = monotonic() + self.limits.reading

    def _seconds(self, most: float) -> float:
        return max(0.0, min(most, self._end - monotonic()))

    def open(self, source: str, *, exact: bool) -> str:
        """The name of the engine behind a connection string."""
        asked = {"do": "open", "source": source, "exact": exact, "login": self.limits.login,
                 "seconds": self.limits.reading + 30}  # fmt: skip
        told, _ = self.child.ask(asked, "connecting", self._seconds(self.limits.connect))
        return str(told["engine"])

    def columns(self, table: str) -> list[str]:
        asked = {"do": "columns", "table": table}
        told, _ = self.child.ask(asked, f"looking at {table}", self._seconds(self.limits.silence))
        return [str(name) for name in told["names"]]

    def read(self, doing: str, statement: str, expected: int) -> Iterator[pa.RecordBatch]:
        asked: Said = {"do": "read", "doing": doing, "statement": statement, "expected": expected}
        told, beside = self.child.ask(asked, doing, self._seconds(self.limits.silence))
        while "end" not in told:
            names = [pa.field(str(n), pa.string()) for n in range(told["columns"])]
            yield pa.ipc.read_record_batch(pa.py_buffer(beside), pa.schema(names))
            told, beside = self.child.hear(doing, self._seconds(self.limits.silence))

    def close(self) -> None:
        """Let the child go of the source. What cannot be closed is ended with its child."""
        if self.child.settled and self.child.alive:
            try:
                self.child.ask({"do": "close"}, "closing", CLOSING)
            except Say:
                self.child.kill()
