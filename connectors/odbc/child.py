"""The process that holds a driver: it opens one source at a time, reads it, and says what it found.

`python -m connectors.odbc.child` is started by `connectors.odbc.children`, never by hand. A driver is foreign code that
may hang, crash or take all memory: here it can do so alone. What it prints goes nowhere, and a crash leaves no image of
memory behind.
"""

import json
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from connectors.odbc import apart, refusals, sessions, strings
from connectors.odbc.sessions import Session
from connectors.odbc.wire import Gone, Said, Silent, Wire
from schemas.errors import Malformed

IDLE_SECONDS = 60


@dataclass(slots=True)
class Server:
    """Answers one request after another. The only state is the open session."""

    wire: Wire
    session: Session | None = None

    def serve(self) -> None:
        while True:
            try:
                said, _ = self.wire.hear(None if self.session else IDLE_SECONDS)
            except (Silent, Gone):
                return
            self._answer(said)

    def _answer(self, said: Said) -> None:
        try:
            for told, beside in self._done(said):
                self.wire.say(told, beside)
        except (Gone, Silent):
            raise
        except MemoryError:
            self.wire.say(refusals.as_plain(refusals.no_memory("reading")))
        except Exception as error:  # noqa: BLE001 — its words stay here: only what `as_plain` lets through leaves
            self.wire.say(refusals.as_plain(error))
            error.__traceback__ = None  # its frames hold the statement, and so the connection

    def _done(self, said: Said) -> Iterator[tuple[Said, Any]]:
        match said["do"]:
            case "open":
                yield {"engine": self._open(said)}, b""
            case "columns":
                yield {"names": self._open_session().columns(said["table"])}, b""
            case "read":
                yield from self._read(said)
            case "close":
                self._close()
                yield {"closed": True}, b""

    def _open(self, said: Said) -> str:
        self._close()
        signal.setitimer(signal.ITIMER_REAL, said["seconds"])
        string = strings.parse(said["source"])
        self.session = sessions.opened(string, exact=said["exact"], login=said["login"])
        return self.session.engine.name

    def _open_session(self) -> Session:
        if self.session is None:
            raise Malformed("no source is open")
        return self.session

    def _read(self, said: Said) -> Iterator[tuple[Said, Any]]:
        for batch in self._open_session().read(said["doing"], said["statement"], said["expected"]):
            yield {"rows": batch.num_rows, "columns": batch.num_columns}, _serialised(batch)
        yield {"end": True}, b""

    def _close(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _serialised(batch: pa.RecordBatch) -> pa.Buffer:
    """The columns by position: names are the reader's."""
    named = pa.RecordBatch.from_arrays(batch.columns, [str(n) for n in range(batch.num_columns)])
    return named.serialize()


def _confined(memory: int) -> None:
    """No more memory than `memory` bytes, no image of it after a crash, nothing printed anywhere."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    apart.leave_no_image()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def main(argv: list[str]) -> None:
    given = json.loads(argv[1])
    way = socket.socket(fileno=given["socket"])
    _confined(given["memory"])
    apart.end_with(way.fileno())
    try:
        Server(Wire(way)).serve()
    except Gone:
        return


if __name__ == "__main__":
    main(sys.argv)
