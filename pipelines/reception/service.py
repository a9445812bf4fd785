"""The counter behind a Unix socket in the home, which only its owner reaches. Messages and calls are bounded."""

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import grpc

from pipelines.host.wire import encode
from pipelines.reception.counter import Counter
from pipelines.reception.packs import Meaning
from pipelines.reception.passkeys import Site
from schemas.access import LARGEST_MESSAGE, METHOD, SERVICE, NotThere, SignedOut, TooOften
from schemas.addresses import of_socket
from schemas.errors import Malformed, NotVerified, Refused, Say, TryAgain
from schemas.home import Home
from store.keys import Root

THREADS, AT_ONCE = 8, 64
_GRACE_SECONDS = 5.0
_HOURLY_SECONDS = 3600.0
_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
)
# The first that fits names the kind.
_KINDS: tuple[type[Say], ...] = (
    SignedOut, NotThere, TooOften, Malformed, NotVerified, TryAgain, Refused,
)  # fmt: skip


def socket_of(home: Home) -> Path:
    return home.reception / "door.sock"


def site_of(origin: str) -> Site:
    """Raises Malformed for an origin that is neither https, nor http on this machine for trying out."""
    try:
        parts = urlsplit(origin)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host, parts = None, "", urlsplit("")
    plain = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    allowed = parts.scheme == "https" or (parts.scheme == "http" and host in ("localhost", "127.0.0.1"))
    if not host or plain != origin or not allowed:
        raise Malformed(
            "the origin is no address of a site", "Write https://name; http only for localhost, to try it out."
        )
    return Site(origin, host)


class Service:
    """Open from `start` on until `stop`; a context manager does both."""

    def __init__(
        self, home: Home, root: Root, origin: str, clock: Callable[[], datetime], meaning: Meaning = str
    ) -> None:
        self.path = socket_of(home)
        self.counter = Counter(home, root, site_of(origin), clock, meaning)
        self._server = grpc.server(ThreadPoolExecutor(THREADS), options=_OPTIONS, maximum_concurrent_rpcs=AT_ONCE)
        handlers = {METHOD: grpc.unary_unary_rpc_method_handler(lambda raw, _: self._answered(raw))}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

        self._ended = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        try:
            self._server.add_insecure_port(of_socket(self.path))
        except RuntimeError:
            raise TryAgain("the reception cannot listen in the home", "Check its folder and its owner.") from None
        self._server.start()
        self._sweeper.start()

    def _sweep(self) -> None:
        """While the reception is open, forget each day what is not to be kept."""
        while not self._ended.wait(_HOURLY_SECONDS):
            try:
                self.counter.sweep()
            except Exception as error:  # noqa: BLE001 - the next hour tries again; where it failed is said
                print(f"depositaire door: {_no(error)[1]}", file=sys.stderr, flush=True)

    def stop(self) -> None:
        self._ended.set()
        self._server.stop(_GRACE_SECONDS).wait()
        if self._sweeper.is_alive():
            self._sweeper.join()
        self.counter.desk.packs.stop()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answered(self, raw: bytes) -> bytes:
        try:
            return encode(self.counter.answer(raw))
        except Exception as error:  # noqa: BLE001 - gRPC would log the text of what is raised
            return encode({"no": _no(error)})


def _no(error: Exception) -> list[Any]:
    """Kind, what and hint. What an error says that is not ours may hold anything: only its kind and place leave."""
    for kind in _KINDS:
        if isinstance(error, kind):
            return [kind.__name__, getattr(error, "what", ""), getattr(error, "hint", "")]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return ["Fault", f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}", ""]
