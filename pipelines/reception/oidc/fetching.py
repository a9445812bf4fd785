"""What is asked of an agency's sign-in over HTTP: bounded in time and size, no redirect followed, TLS but on loopback.

A sign-in that is slow keeps two questions waiting at most, all of them together four: others are told to come again,
and whoever comes in another way, or through another agency's, notices nothing.
"""

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from schemas.errors import Malformed, TryAgain

SECONDS = 4.0  # from the connection to the last byte; three of them are less than the pages wait
LARGEST = 256 * 1024  # bytes
_AT_ONCE, _OF_ONE = 4, 2  # questions, and of them to one address
_BUSY: Counter[str] = Counter()
_LOCK = threading.Lock()
_LONGEST = 2000
_LOOPBACK = ("localhost", "127.0.0.1")
_AGAIN_SECONDS = 0.2


class Unfit(Exception):
    """What an agency's sign-in said, or how, is not what was asked for. The text is a word of ours."""


def address(url: object, what: str, loopback: bool = False) -> str:
    """An absolute address over https; over http where `loopback` allows it, on this machine alone. Raises Malformed."""
    if isinstance(url, str) and url.isascii() and url.isprintable() and len(url) <= _LONGEST:
        with suppress(ValueError):  # no port, no host
            parts = urlsplit(url)
            plain = parts.hostname and parts.port != 0 and not parts.fragment and parts.username is None
            if plain and (parts.scheme == "https" or (loopback and is_loopback(parts))):
                return url
    raise Malformed(f"{what} is no address over https", "Only on this machine may it be http.")


def is_loopback(parts: SplitResult) -> bool:
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def asked(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at an address (GET), or that a form is answered with (POST). Raises TryAgain where nothing comes
    in time, Unfit for what is too large, is no object, or has another status than 200."""
    parts = urlsplit(url)
    with _turn(parts.netloc):
        status, raw = _exchanged(parts, body, {"Accept": "application/json", **(headers or {})})
    if status >= 500:
        raise away()
    if status != 200:
        raise Unfit("status")
    if len(raw) > LARGEST:
        raise Unfit("size")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unfit("json") from None
    if not isinstance(said, dict):
        raise Unfit("json")
    return said


def _exchanged(parts: SplitResult, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
    secure, host = parts.scheme == "https", parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines: list[socket.socket] = []
    over, late = threading.Event(), threading.Event()
    threading.Thread(target=_cut, args=(lines, over, late), daemon=True).start()
    try:
        lines.append(socket.create_connection((host, parts.port or (443 if secure else 80)), SECONDS))
        if secure:
            context = ssl.create_default_context()
            lines.append(context.wrap_socket(lines[0], server_hostname=host, do_handshake_on_connect=False))
            lines[-1].do_handshake()  # type: ignore[attr-defined]
        with closing((HTTPSConnection if secure else HTTPConnection)(host, parts.port)) as wire:
            wire.sock = lines[-1]
            wire.request("GET" if body is None else "POST", path, body, dict(headers))
            with wire.getresponse() as answer:
                status, raw = answer.status, answer.read(LARGEST + 1)
    except (OSError, HTTPException, ValueError):
        raise away() from None
    finally:
        over.set()
        for line in lines:
            line.close()
    if late.is_set():  # what was cut off looks like what has ended
        raise away()
    return status, raw


def _cut(lines: list[socket.socket], over: threading.Event, late: threading.Event) -> None:
    """A timeout of a socket begins anew with each byte: this one does not."""
    over.wait(SECONDS)
    while not over.wait(_AGAIN_SECONDS):
        late.set()
        for line in lines[-1:]:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)


@contextmanager
def _turn(host: str) -> Iterator[None]:
    """One of the questions that are asked at once. Raises TryAgain when there are too many."""
    with _LOCK:
        if _BUSY[host] >= _OF_ONE or _BUSY.total() >= _AT_ONCE:
            raise away()
        _BUSY[host] += 1
    try:
        yield
    finally:
        with _LOCK:
            _BUSY[host] -= 1


def away() -> TryAgain:
    return TryAgain("the agency's sign-in does not answer", "Try again in a moment.")
