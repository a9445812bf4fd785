"""`depositaire metrics --listen`: `GET /metrics` and `GET /healthz`, to whoever can reach the address.

Figures are made at intervals by one thread, and a request is answered with the last ones: a monitor that asks often
costs next to nothing, and one that asks while a part hangs is answered all the same (their age is a figure too).
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipelines.metrics import Measuring
from schemas.errors import Malformed

TEXT = "text/plain; version=0.0.4; charset=utf-8"
# Figures older than so many intervals are a sign that something hangs.
_STALE = 4
_CLIENT_SECONDS = 10.0


class Page:
    """Serves from `start` on until `stop`. `every`: seconds between two measurements."""

    def __init__(
        self, measuring: Measuring, where: tuple[str, int], clock: Callable[[], datetime], every: float = 30.0
    ) -> None:
        self._measuring, self._clock, self._every = measuring, clock, every
        self._text, self._well, self._made = b"", False, float("-inf")
        self._stop, self._first = threading.Event(), threading.Event()
        try:
            self._server = ThreadingHTTPServer(where, _handler(self))
        except OSError:
            raise Malformed("--listen names no address of this machine that is free") from None
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._measure, self._server.serve_forever)
        ]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.server_address[:2]
        return str(host), port

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until it is told to stop."""
        self._stop.wait()
        self._server.shutdown()
        self._server.server_close()

    def stop(self) -> None:
        self._stop.set()

    def metrics(self) -> bytes:
        """The last figures; the first are waited for."""
        self._first.wait(_CLIENT_SECONDS)
        return self._text

    @property
    def well(self) -> bool:
        """Whether everything answered when it was last asked, not long ago."""
        return self._well and time.monotonic() - self._made < _STALE * self._every

    def _measure(self) -> None:
        while not self._stop.is_set():
            self._text = self._measuring.text(self._clock())
            self._well, self._made = self._measuring.well, time.monotonic()
            self._first.set()
            self._stop.wait(self._every)


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_SECONDS
        server_version, sys_version = "depositaire", ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                told = page.metrics()
                self._answer(200 if told else 503, told, TEXT)
            elif self.path == "/healthz":
                self._answer(*((200, b"well\n") if page.well else (503, b"not well\n")), "text/plain")
            else:
                self.send_error(404)

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: who asked is nobody's business."""

    return Handler
