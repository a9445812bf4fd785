"""`depositaire host serve`: the host's counter over gRPC, to whoever shows the certificate of an admitted worker.

TLS 1.2 or 1.3, both ends by certificates of the home's own authority. A worker is looked up at each call: one that was
dismissed is refused on the connection that it has. Messages are bounded, and so is how many are worked on at once.
"""

import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import grpc

from pipelines.host.admission import Admissions, listening, own_pair, parsed
from pipelines.host.counter import METHODS, Counter, Method
from pipelines.host.wire import LARGEST_MESSAGE, SERVICE, Asked, encode
from schemas.errors import Malformed, NotVerified, Refused, Say, TryAgain
from schemas.home import Home
from store.keys import open_root

THREADS, AT_ONCE = 16, 64
_LOOK_SECONDS, _GRACE_SECONDS = 1.0, 10.0
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.so_reuseport", 0),  # a second host on the same port is refused, not given half of the calls
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_KINDS: tuple[type[Say], ...] = (Malformed, NotVerified, TryAgain, Refused)
# grpc.health.v1.HealthCheckResponse: status SERVING, in its two bytes.
_HEALTH, _SERVING = "grpc.health.v1.Health", b"\x08\x01"

Raw = bytes


class Told(Protocol):
    """Hears of workers by their names: "admitted", "dismissed", "turned away" (then without one)."""

    def __call__(self, what: str, name: str = "") -> None: ...


class Host:
    """Serves from `start` on until `stop`."""

    def __init__(
        self,
        home: Home,
        passphrase: str | None,
        listen: str,
        clock: Callable[[], datetime],
        told: Told = lambda *_: None,
    ) -> None:
        where, port = parsed(listen)
        root = open_root(home, passphrase)
        authority, pair = own_pair(home, root, clock())
        self._home, self._told, self._stop = home, told, threading.Event()
        self._admissions = Admissions(home)
        self._counter = Counter(home, root, clock)
        self._server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS, maximum_concurrent_rpcs=AT_ONCE)
        own = {m.name: self._handler(m) for m in METHODS.values()}
        health = {"Check": grpc.unary_unary_rpc_method_handler(lambda *_: _SERVING)}
        self._server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(SERVICE, own),
            grpc.method_handlers_generic_handler(_HEALTH, health),
        ))  # fmt: skip
        trust = grpc.ssl_server_credentials([(pair.key, pair.certificate)], authority, require_client_auth=True)
        try:
            bound = self._server.add_secure_port(f"{where}:{port}", trust)
        except RuntimeError:
            raise TryAgain(
                "the host cannot listen there", "Another programme may have the port, or this machine no such address."
            ) from None
        self.address = f"{where}:{bound}"

    def start(self) -> None:
        self._server.start()
        listening(self._home, self.address)

    def wait(self) -> None:
        """Until it is told to stop; tells of admissions and dismissals as they are made."""
        known = set(self._admissions.names().values())
        while not self._stop.wait(_LOOK_SECONDS):
            known = self._tell(known)
        self._tell(known)
        self._server.stop(_GRACE_SECONDS).wait()

    def stop(self) -> None:
        self._stop.set()

    def _tell(self, before: set[str]) -> set[str]:
        now = set(self._admissions.names().values())
        for what, names in (("admitted", now - before), ("dismissed", before - now)):
            for name in sorted(names):
                self._told(what, name)
        return now

    # -- one call ------------------------------------------------------------------------------------------------------

    def _handler(self, method: Method) -> Any:
        if method.streamed:
            return grpc.unary_stream_rpc_method_handler(lambda raw, call: self._streamed(method, raw, call))
        return grpc.unary_unary_rpc_method_handler(lambda raw, call: self._answered(method, raw, call))

    def _answered(self, method: Method, raw: Raw, call: Any) -> Raw:
        try:
            self._admitted(call)
            return encode({"ok": method.answer(self._counter, Asked.read(raw, method.fields))})
        except Exception as error:  # noqa: BLE001 - gRPC would log the text of what is raised
            return _no(error)

    def _streamed(self, method: Method, raw: Raw, call: Any) -> Iterator[Raw]:
        try:
            self._admitted(call)
            for part in method.answer(self._counter, Asked.read(raw, method.fields)):
                yield encode({"ok": part})
        except Exception as error:  # noqa: BLE001 - as above
            yield _no(error)

    def _admitted(self, call: Any) -> None:
        shown = call.auth_context().get("x509_pem_cert", [b""])[0]
        if self._admissions.who(shown) is None:
            self._told("turned away")
            raise _NotAdmitted(
                "the machine with the keys does not admit this one", "Admit it there: `depositaire host admit`."
            )


class _NotAdmitted(Refused):
    """Its own kind, so that the worker stops instead of refusing a delivery."""


def _no(error: Exception) -> Raw:
    """Why there is no answer. What an error says that is not ours may hold anything: only its kind and place leave."""
    match error:
        case _NotAdmitted():
            return encode({"no": ["NotAdmitted", error.what, error.hint]})
        case Say():
            kind = next(k.__name__ for k in (*_KINDS, Say) if isinstance(error, k))
            return encode({"no": [kind, error.what, error.hint]})
        case _:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            return encode({"no": ["Fault", place, ""]})
