"""A worker's side: the premises of a home whose keys and logs are on another machine.

Every call has a deadline, and is made again for a while when the host does not answer: each is harmless twice. Then
`HostAway` stops the night, which resumes with the next.
"""

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc

from ledger.canonical import instant
from ledger.entry import KINDS, Entry, Head, History, Line, body_of
from pipelines.host.admission import own_papers
from pipelines.host.settings import Hosted, hosted
from pipelines.host.wire import (
    LARGEST_MESSAGE,
    SERVER_NAME,
    SERVICE,
    chunks,
    decode,
    encode,
    head_read,
    head_said,
    line_read,
    sheet_said,
)
from pipelines.premises import HostAway, NotAdmitted, Premises
from schemas.capability import Capability
from schemas.errors import Malformed, NotVerified, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import engine
from store.keys import Keyring, prover_of
from store.pages import Sheet
from store.postgres.engine import PostgresEngine
from store.sealing import Keyed

# Seconds: for one call; for a call and its repetitions; between two of them, at first.
DEADLINE, PATIENCE, PAUSE = 20.0, 25.0, 0.2
# For rewriting all shelves: as long as the tables are large.
_LONG = 3600.0
# After the host was found away: so long, a call is made once and not waited for.
_KNOWN_AWAY, _GLANCE = 10.0, 2.0
_PAGES = 64
_AGAIN = frozenset({
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
})  # fmt: skip
_OPTIONS = (
    ("grpc.ssl_target_name_override", SERVER_NAME),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.max_pings_without_data", 0),
)
_KINDS = {
    "Malformed": Malformed, "Refused": Refused, "NotVerified": NotVerified, "TryAgain": TryAgain,
    "NotAdmitted": NotAdmitted,
}  # fmt: skip


class Wire:
    """The connection to the host."""

    def __init__(self, home: Home, told: Hosted) -> None:
        authority, pair = own_papers(home)
        trust = grpc.ssl_channel_credentials(authority, pair.key, pair.certificate)
        self._channel = grpc.secure_channel(told.address, trust, options=_OPTIONS)
        self._away_since: float | None = None

    def ask(self, method: str, deadline: float | None = None, **fields: Any) -> Any:
        """The host's answer. Raises what it says no with; HostAway when it does not answer."""
        call = self._channel.unary_unary(f"/{SERVICE}/{method}")
        message = encode(fields)
        return _told(self._patiently(lambda left: call(message, timeout=left), deadline or DEADLINE))

    def read(self, method: str, **fields: Any) -> list[Any]:
        """All the parts of an answer that comes in several."""
        call = self._channel.unary_stream(f"/{SERVICE}/{method}")
        message = encode(fields)
        return [_told(raw) for raw in self._patiently(lambda left: list(call(message, timeout=left)), DEADLINE)]

    def close(self) -> None:
        self._channel.close()

    def _patiently(self, call: Any, deadline: float) -> Any:
        began, pause = time.monotonic(), PAUSE
        patience = max(PATIENCE, deadline)
        if self._away_since is not None and began - self._away_since < _KNOWN_AWAY:
            patience = deadline = _GLANCE
        while True:
            left = patience - (time.monotonic() - began)
            try:
                raw = call(min(deadline, left))
            except grpc.RpcError as no:
                if no.code() not in _AGAIN or left <= pause:
                    self._away_since = time.monotonic()
                    raise HostAway(
                        "the machine with the keys does not answer",
                        "Start `depositaire host serve` there; what was not settled is taken up by the next night.",
                    ) from None
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                self._away_since = None
                return raw


def _told(raw: bytes) -> Any:
    said = decode(raw)
    if not isinstance(said, dict) or said.keys() not in ({"ok"}, {"no"}):
        raise Malformed("the host's answer cannot be read", "Use the same version on both machines.")
    if "ok" in said:
        return said["ok"]
    kind, what, hint = said["no"]
    if kind not in _KINDS:
        raise HostAway(f"the machine with the keys met a fault ({what})", "Look at its own output.")
    raise _KINDS[kind](what, hint)


# -- what is asked -----------------------------------------------------------------------------------------------------


class Served(Premises):
    """The premises of a worker."""

    def __init__(self, home: Home, wire: Wire) -> None:
        super().__init__(home)
        self._wire = wire

    @classmethod
    def at(cls, home: Home) -> "Served":
        """One connection a process, whose database asks the same host."""
        told = hosted(home)
        store = engine.of(home)
        if told is None or not isinstance(store, PostgresEngine):
            raise Malformed(
                f"{home.settings.name}: a worker needs [host], and records in PostgreSQL",
                "Use the folder that `depositaire host admit` wrote, as it is.",
            )
        with _OPENING:
            found = _OPEN.get((os.getpid(), home.root, told))
            if found is None:
                found = _OPEN[os.getpid(), home.root, told] = cls(home, Wire(home, told))
        store.lean_on(_Desk(found._wire))
        return found

    def keyring(self, capability: Capability, system: System, create: bool = False) -> Keyring:
        key = self._key(capability, system, create)
        return Keyring(_ServedPages(self._wire, capability.agency, system), capability.agency, key)

    def prover(self, capability: Capability, system: System) -> Keyed:
        return prover_of(self._key(capability, system, create=False))

    def _key(self, capability: Capability, system: System, create: bool) -> bytes:
        agency = capability.agency
        head = None if agency is None else head_said(Head(capability.size, bytes.fromhex(capability.root)))
        found: bytes = self._wire.ask(
            "key", agency=agency, system=system, act=str(capability.act), head=head, create=create
        )
        return found

    def keyed(self, agencies: Iterable[AgencyCode | None]) -> frozenset[AgencyCode | None]:
        named = list(agencies)
        answer = self._wire.ask("keyed", agencies=[a for a in named if a is not None], portal=None in named)
        return frozenset({*(AgencyCode(code) for code in answer["agencies"]), *([None] if answer["portal"] else [])})

    def log(self, agency: AgencyCode) -> "_ServedLog":
        return _ServedLog(self._wire, agency)

    def stated_sizes(self, agencies: Sequence[AgencyCode]) -> Mapping[AgencyCode, int]:
        found: dict[AgencyCode, int] = {}
        for some in chunks(agencies, 1000):
            found |= self._wire.ask("stated_sizes", agencies=some)
        return found

    def policy(self, at: datetime) -> str | None:
        found: str | None = self._wire.ask("policy", at=instant(at))
        return found


_OPEN: dict[tuple[int, Path, Hosted], Served] = {}
_OPENING = threading.Lock()


class _ServedLog:
    """An agency's log, which the host reads and writes."""

    def __init__(self, wire: Wire, agency: AgencyCode) -> None:
        self._wire, self.agency = wire, agency

    @property
    def exists(self) -> bool:
        return self.head().size > 0

    def append(self, entry: Entry, at: datetime, key: str | None = None) -> Line:
        return self.append_all([(entry, key)], at)[0]

    def append_all(
        self, items: Sequence[tuple[Entry, str | None]], at: datetime, expected: Head | None = None
    ) -> tuple[Line, ...]:
        said = [[KINDS[type(entry)], body_of(entry), key] for entry, key in items]
        lines = self._wire.ask(
            "record", agency=self.agency, items=said, at=instant(at), expected=head_said(expected)
        )  # fmt: skip
        return tuple(line_read(line) for line in lines)

    def read(self, receipts: bool = True) -> History:
        whole: dict[str, Any] = {}
        hashes: list[bytes] = []
        lines: list[Line] = []
        for part in self._wire.read("history", agency=self.agency, receipts=receipts):
            raw = part.get("hashes", b"")
            hashes += [raw[at : at + 32] for at in range(0, len(raw), 32)]
            lines += [line_read(line) for line in part.get("lines", ())]
            whole |= part
        return History(self.agency, head_read(whole["head"]), tuple(lines), tuple(hashes))

    def head(self) -> Head:
        return head_read(self._wire.ask("head", agency=self.agency))


class _ServedPages:
    """The pages of a key ring on the host (`store.pages.Pages`). What is read is asked for with what follows it."""

    def __init__(self, wire: Wire, agency: AgencyCode | None, system: System) -> None:
        self._wire = wire
        self._its: dict[str, Any] = {"agency": agency, "system": system}
        self._near: dict[int, bytes] = {}

    def last(self) -> tuple[int, int]:
        no, used = self._wire.ask("last_page", **self._its)
        return no, used

    def load(self, no: int) -> bytes | None:
        if no not in self._near:
            self._near = dict(self._wire.ask("load_pages", **self._its, first=no, count=_PAGES))
        return self._near.get(no)

    def store(self, sheets: Sequence[Sheet]) -> None:
        """A part at a time: a page that no row came to need harms nobody."""
        self._near.clear()
        for some in chunks(sheets, _PAGES):
            self._wire.ask("store_pages", **self._its, sheets=[sheet_said(s) for s in some])

    def vacuum(self) -> None:
        self._wire.ask("rewrite_pages", _LONG, **self._its)

    def close(self) -> None:
        self._near.clear()


class _Desk:
    """What the worker's database asks (`store.postgres.engine.Desk`)."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def login(self, agency: AgencyCode | None) -> str:
        found: str = self._wire.ask("login", agency=agency)
        return found

    def vacuum(self, schema: str) -> None:
        if schema != "shelf":
            raise Refused("a worker rewrites shelves alone", "Do this on the host.")
        self._wire.ask("rewrite_shelves", _LONG)
