"""Sending the events of a home to whoever takes them, over HTTP: each flow in its order, each event at least once.

An event counts as sent when the receiver has said so and that is noted (`<CODE>.sent`); stopped in between, the same
event goes again, and is known by its run and type. A receiver that is away keeps nobody waiting: events stay in their
files, and the next turn begins where this one stopped. One that refuses an event keeps that flow waiting, not the
others.
"""

import fcntl
import json
import os
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from ledger.canonical import instant
from ledger.lines import write_whole
from pipelines.openlineage.outbox import Flow, Outbox, path
from pipelines.openlineage.settings import Receiver
from schemas.errors import TryAgain
from schemas.home import Home

SILENCE_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
# What says that the receiver, and not this event, is the matter.
_LATER = frozenset({401, 403, 404, 407, 408, 425, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the last turn met: a kind (`unreachable`, `silent`, `status 503`, `refused 400`), never a text of the
    receiver's; how many turns in a row; since when."""

    kind: str
    turns: int
    since: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn came to. `left`: events that still wait."""

    sent: int
    left: int
    trouble: Trouble | None

    def as_json(self) -> dict[str, Any]:
        return {"sent": self.sent, "left": self.left, "error": self.trouble.kind if self.trouble else None}


class _Away(Exception):
    """Nothing can be sent now."""


class _Enough(Exception):
    """The time of this turn is over."""


class _RefusedEvent(Exception):
    """The receiver does not take this event."""


def turn(
    home: Home, to: Receiver, flows: Collection[Flow], now: Callable[[], datetime] | None = None,
    seconds: float | None = None,
) -> Turn:  # fmt: skip
    """Send what waits of these flows; with `seconds`, begin with no further event after so many. Raises TryAgain while
    another process sends."""
    clock, begun = now or (lambda: datetime.now(UTC)), time.monotonic()
    with _alone(home):
        sent, kind = 0, None
        with closing(_Wire(to)) as wire:
            for flow in flows:
                try:
                    for _ in _sent(home, flow, wire):
                        sent += 1
                        if seconds is not None and time.monotonic() - begun >= seconds:
                            raise _Enough
                except _Enough:
                    break
                except _RefusedEvent as no:
                    kind = str(no)
                except _Away as no:
                    kind = str(no)
                    break
        before = trouble(home)
        after = None
        if kind is not None:
            after = Trouble(kind, before.turns + 1 if before else 1, before.since if before else instant(clock()))
        _remember(home, after)
    return Turn(sent, sum(waiting(home, f) for f in flows), after)


def follow(
    home: Home, outbox: Outbox, to: Receiver, every: float, wanted: Collection[str] | None,
    told: Callable[[Turn], None], pause: Callable[[float], None] = time.sleep,
) -> None:  # fmt: skip
    """Turn after turn, until stopped: every so many seconds, and later and later while the receiver is away."""
    while True:
        flows = outbox.flows(wanted)
        outbox.collect(flows, datetime.now(UTC))
        done = turn(home, to, flows)
        told(done)
        pause(every if done.trouble is None else max(pause_after(done.trouble.turns), min(every, FIRST_PAUSE_SECONDS)))


def pause_after(turns: int) -> float:
    """Seconds to wait after so many turns in vain: 1, 2, 4 … at most five minutes."""
    return float(min(FIRST_PAUSE_SECONDS * 2 ** min(turns - 1, 16), LONGEST_PAUSE_SECONDS))


def waiting(home: Home, flow: Flow) -> int:
    """How many events of a flow were not sent yet."""
    begin = _position(home, flow)
    with suppress(FileNotFoundError), path(home, flow).open("rb") as f:
        f.seek(begin)
        return sum(part.count(b"\n") for part in iter(lambda: f.read(2**20), b""))
    return 0


def trouble(home: Home) -> Trouble | None:
    """What the last turn met; None when it met nothing, or there was none."""
    try:
        said = json.loads((home.lineage / "receiver.json").read_bytes())
        return Trouble(str(said["kind"]), int(said["turns"]), str(said["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sent(home: Home, flow: Flow, wire: "_Wire") -> Iterator[None]:
    begin = _position(home, flow)
    with suppress(FileNotFoundError), path(home, flow).open("rb") as f:
        f.seek(begin)
        for line in f:
            if not line.endswith(b"\n"):
                return  # it is being written
            wire.post(line[:-1])
            begin += len(line)
            write_whole(_sent_file(home, flow), b"%d\n" % begin)
            yield


def _position(home: Home, flow: Flow) -> int:
    """Up to where a flow was sent, in bytes. A file that is shorter was made anew: it goes again from its first
    event."""
    try:
        found = int(_sent_file(home, flow).read_bytes())
        return found if 0 <= found <= path(home, flow).stat().st_size else 0
    except (OSError, ValueError):
        return 0


def _sent_file(home: Home, flow: Flow) -> Path:
    return path(home, flow).with_suffix(".sent")


def _remember(home: Home, found: Trouble | None) -> None:
    file = home.lineage / "receiver.json"
    if found is None:
        file.unlink(missing_ok=True)
    else:
        said = {"kind": found.kind, "turns": found.turns, "since": found.since}
        write_whole(file, json.dumps(said).encode())


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    home.lineage.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home.lineage / "sender.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TryAgain("another process is sending events", "It sends these too.") from None
        yield
    finally:
        os.close(handle)


class _Wire:
    """One connection, kept open from event to event."""

    def __init__(self, to: Receiver) -> None:
        self._to = to
        self._http: HTTPConnection | None = None

    def post(self, event: bytes) -> None:
        """Raises _RefusedEvent or _Away saying of what kind, and nothing of what the receiver said."""
        try:
            status = self._status(event)
        except TimeoutError:
            self.close()
            raise _Away("silent") from None
        except (OSError, HTTPException, ValueError):
            self.close()
            raise _Away("unreachable") from None
        if 200 <= status < 300:
            return
        self.close()
        if status in _LATER or status < 400:
            raise _Away(f"status {status}")
        raise _RefusedEvent(f"refused {status}")

    def _status(self, event: bytes) -> int:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._to.key:
            headers["Authorization"] = f"Bearer {self._to.key}"
        again = self._http is not None
        while True:
            http = self._open()
            try:
                http.request("POST", self._to.path, event, headers)
                with closing(http.getresponse()) as answer:
                    answer.read(2**16)
                    status = answer.status
                    if answer.will_close or answer.length:
                        self.close()
                    return status
            except TimeoutError:
                raise
            except (OSError, HTTPException):
                self.close()
                if not again:
                    raise
                again = False  # a connection that was kept may have been closed meanwhile

    def _open(self) -> HTTPConnection:
        if self._http is None:
            to = self._to
            if to.secure:
                context = ssl.create_default_context()
                self._http = HTTPSConnection(to.host, to.port, timeout=SILENCE_SECONDS, context=context)
            else:
                self._http = HTTPConnection(to.host, to.port, timeout=SILENCE_SECONDS)
        return self._http

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None


def standing(home: Home, flows: Iterable[Flow]) -> dict[str, Any]:
    """What waits, flow by flow where something does, and what the last turn met."""
    counts = {str(f or "portal"): n for f in flows if (n := waiting(home, f))}
    met = trouble(home)
    return {
        "queue": sum(counts.values()), "flows": counts, "error": met.kind if met else None,
        "turns": met.turns if met else 0, "since": met.since if met else None,
    }  # fmt: skip
