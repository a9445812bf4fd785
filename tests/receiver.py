"""A receiver of events on loopback: a real HTTP server that keeps what it was sent, and answers as it is told."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Receiver:
    """`answers`: the status for an event; `slowly`: seconds before each answer. `taken`: what was answered with 2xx."""

    port: int = 0
    slowly: float = 0.0
    answers: Callable[[dict[str, Any]], int] = lambda _: 201
    taken: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def names(self) -> list[tuple[str, str, str]]:
        return [(e["job"]["namespace"], e["run"]["runId"], e["eventType"]) for e in self.taken]


@contextmanager
def receiving(kept: Receiver | None = None) -> Iterator[Receiver]:
    """`kept`: one that was there before, at the same port."""
    here = kept or Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            here.keys.add(self.headers["Authorization"])
            here.paths.add(self.path)
            time.sleep(here.slowly)
            status = here.answers(event)
            if 200 <= status < 300:
                here.taken.append(event)
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """Nothing on standard error."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A sender that was killed leaves its connection: no word of it."""

    server = Server(("127.0.0.1", here.port), Handler)
    here.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
