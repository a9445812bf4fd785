"""`depositaire worker`: takes runs from the broker until it is told to stop; and says whether it is well."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from pipelines.defs import address
from pipelines.defs.address import Address
from pipelines.defs.launcher import HOST_QUEUE, QUEUE
from pipelines.defs.serve import Asked, told
from pipelines.host.settings import is_worker
from schemas.errors import Malformed, Refused, Say
from schemas.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

# A worker that is told to stop finishes what it has; this long, then it is killed, and another one begins it again.
PATIENCE_SECONDS = 600.0


def work(
    home: Home, hands: int, health: tuple[str, int] | None = None, environment: Mapping[str, str] = os.environ
) -> int:
    """Work with as many processes as `hands` until SIGINT or SIGTERM. Returns an exit code.

    `health`: where `GET /healthz` answers 200 while Dagster's database and the broker answer too, and 503 otherwise.
    """
    stored = address.known(home)
    if stored is None or stored.broker is None:
        raise Refused("this home has no broker", "Make one with `depositaire init --dagster … --broker …`.")
    queues = QUEUE if is_worker(home) else f"{QUEUE},{HOST_QUEUE}"
    command = [
        sys.executable, "-m", "celery", "--quiet", "-A", "pipelines.defs.tasks", "worker", "--pool", "prefork",
        "--concurrency", str(hands), "--queues", queues, "--loglevel", "WARNING",
        "--hostname", f"depositaire-{os.getpid()}@%h", "--without-mingle", "--without-gossip",
    ]  # fmt: skip
    with Asked() as asked:
        child = subprocess.Popen(
            command,
            env={**environment, **told(home), "DEPOSITAIRE_LOG_LEVEL": "WARNING"},
            cwd=home.dagster,
            start_new_session=True,  # a signal from the keyboard reaches it once, from here
        )
        with _told_how_it_is(stored, lambda: child.poll() is None, health):
            return asked.to_stop(child, signal.SIGTERM, PATIENCE_SECONDS)


# -- health ------------------------------------------------------------------------------------------------------------


def where(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises Malformed."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Malformed("--listen-health is no HOST:PORT", "Write 127.0.0.1:8081.")
    return host.strip("[]"), int(port)


@contextmanager
def _told_how_it_is(stored: Address, lives: "Callable[[], bool]", health: tuple[str, int] | None) -> Iterator[None]:
    if health is None:
        yield
        return

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/healthz":
                self.send_error(404)
                return
            wrong = ailing(stored) if lives() else ["worker"]
            self.send_response(503 if wrong else 200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write((", ".join(wrong) + " away\n" if wrong else "well\n").encode())

        def log_message(self, *_: object) -> None:
            """Nothing: who asked is nobody's business."""

    try:
        server = ThreadingHTTPServer(health, Page)
    except OSError:
        raise Malformed("--listen-health names no address of this machine that is free") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def ailing(stored: Address) -> list[str]:
    """What does not answer."""
    from pipelines.defs.database import connect

    wrong = []
    try:
        connect(stored).close()
    except Say:
        wrong.append("database")
    if stored.broker is not None and not answers(stored.broker):
        wrong.append("broker")
    return wrong


def answers(broker: str) -> bool:
    """Whether there is a Redis server at an address."""
    import redis

    with suppress(redis.RedisError, OSError, ValueError):
        told = redis.Redis.from_url(broker.replace("redis+socket", "unix"), socket_timeout=5, socket_connect_timeout=5)
        with told as server:
            return bool(server.ping())
    return False
