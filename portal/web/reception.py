"""The other end of the socket: asks the reception, and says no in its words.

Each call has a deadline, and its messages have a limit. An answer has no fractions and no bytes, only what JSON has.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import grpc

from schemas.access import LARGEST_MESSAGE, METHOD, SERVICE, NotThere, Question, SignedOut, TooOften
from schemas.addresses import of_socket
from schemas.errors import Elsewhere, Malformed, NotVerified, Refused, Say, TryAgain

DEADLINE = 15.0  # seconds
_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_KINDS: dict[str, type[Say]] = {
    k.__name__: k for k in (SignedOut, NotThere, TooOften, Malformed, Refused, NotVerified, TryAgain)
}  # fmt: skip


class Reception(Protocol):
    """Whoever answers the pages."""

    def ask(self, question: Question, session: str, address: str, **fields: Any) -> Any: ...

    def told(self, question: Question, session: str, address: str, **fields: Any) -> Mapping[str, Any]: ...


class Fault(Elsewhere):
    """The reception failed at an answer, told by where; never by what was asked."""

    def __init__(self, place: str) -> None:
        super().__init__(f"the reception: {place}")


class Socket:
    """The reception of the home that has this socket."""

    def __init__(self, path: Path, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._channel = grpc.insecure_channel(of_socket(path), options=_OPTIONS)
        self._call = self._channel.unary_unary(f"/{SERVICE}/{METHOD}")

    def ask(self, question: Question, session: str, address: str, **fields: Any) -> Any:
        """The answer alone; raises as `told`."""
        return self.told(question, session, address, **fields)["ok"]

    def told(self, question: Question, session: str, address: str, **fields: Any) -> Mapping[str, Any]:
        """The answer, `ok`, and of an agency how far the visitor sees, `limits`. Raises what it says no with; TryAgain
        when there is none; Fault when the answer is no answer."""
        asked = {"question": str(question), "session": session, "address": address, "fields": fields}
        try:
            raw = self._call(json.dumps(asked).encode("ascii"), timeout=self._deadline)
        except grpc.RpcError as no:
            if no.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise Fault("a message is too large") from None
            raise TryAgain("the reception does not answer", "Try again in a moment.") from None
        said: dict[str, Any] = json.loads(raw)
        if "ok" in said:
            return said
        kind, what, hint = said["no"]
        if kind not in _KINDS:
            raise Fault(what)
        raise _KINDS[kind](what, hint)

    def close(self) -> None:
        self._channel.close()
