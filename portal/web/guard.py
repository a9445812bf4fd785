"""Around every answer: headers, limits, and a last line that shows nobody what went wrong inside.

ASVS 5.0 3.4 (headers), 3.2.1 and 3.3 (what a browser may make of an answer), 16.5.1 (errors), 4.1 (hosts and sizes).

A request says how large it is, or does not (RFC 9112, 7.1): what comes is counted, and has a time to come in. A body
that was not read to its end ends the connection: nobody goes on sending what nobody reads.
"""

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.web.site import Site
from schemas.errors import place_of

LARGEST_REQUEST = 1024 * 1024
LONGEST_REQUEST_SECONDS = 30.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
}
_SAID = {400: b"Bad request.", 408: b"Too slow.", 413: b"Too large."}
_TWO_YEARS = "max-age=63072000; includeSubDomains"


class Guard:
    """`log` hears of faults: kind and place."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, body = False, Body(scope, receive)

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = self._headers(scope, message)
                if not body.whole:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        async def answered(message: Message) -> None:
            """What the pages answer, unless the request was refused while they were reading it."""
            if begun or body.refused is None:
                await sent(message)

        refusal = self._refusal(scope)
        if refusal:
            await _plain(sent, refusal)
            return
        try:
            await self._app(scope, body, answered)
        except Exception as error:  # noqa: BLE001 - the last line: a traceback would show what was being read
            if body.refused is None:
                print(f"depositaire door: {place_of(error)}", file=sys.stderr, flush=True)
            if not begun:
                await _plain(sent, body.refused or 500)
                return
        if body.refused is not None and not begun:
            await _plain(sent, body.refused)

    def _refusal(self, scope: Scope) -> int | None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        host = headers.get("host", "").rsplit(":", 1)[0] if ":" in headers.get("host", "") else headers.get("host", "")
        if host not in self._site.hosts:
            return 400
        length = headers.get("content-length", "0")
        return 413 if not length.isdigit() or int(length) > LARGEST_REQUEST else None

    def _headers(self, scope: Scope, message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
        told = dict(HEADERS)
        if self._site.secure:
            told["strict-transport-security"] = _TWO_YEARS
        if not scope["path"].startswith("/static/") or message["status"] != 200:
            told["cache-control"] = "no-store"
        own = [(k, v) for k, v in message["headers"] if k.decode().lower() not in told]
        return [*own, *((k.encode(), v.encode()) for k, v in told.items())]


class Refusal(Exception):
    """The request is too large, or too slow."""


class Body:
    """What comes of a request, counted. `whole`: nothing more comes; `refused`: why it was not read on, as a status."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        named = {k.lower(): v for k, v in scope["headers"]}
        self.whole = b"transfer-encoding" not in named and named.get(b"content-length", b"0") == b"0"
        self.refused: int | None = None
        self._receive, self._read = receive, 0
        self._until: float | None = None

    async def __call__(self) -> Message:
        if self.whole:
            return await self._receive()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + LONGEST_REQUEST_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.refused = 408
            raise Refusal from None
        self._read += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self._read > LARGEST_REQUEST:
            self.refused = 413
            raise Refusal
        return message


async def _plain(send: Send, status: int) -> None:
    body = _SAID.get(status, b"Something went wrong here. Nothing was changed.")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
