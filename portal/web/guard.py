"""Around every answer: headers, limits, and a last line that shows nobody what went wrong inside.

ASVS 5.0 3.4 (headers), 3.2.1 and 3.3 (what a browser may make of an answer), 16.5.1 (errors), 4.1 (hosts and sizes).
"""

import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.web.reception import Fault
from portal.web.site import Site

LARGEST_REQUEST = 1024 * 1024
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
_TWO_YEARS = "max-age=63072000; includeSubDomains"


class Guard:
    """`log` hears of faults: kind and place."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = self._headers(scope, message)
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await _plain(sent, refusal)
            return
        try:
            await self._app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - the last line: a traceback would show what was being read
            print(f"depositaire door: {_place(error)}", file=sys.stderr, flush=True)
            if not begun:
                await _plain(sent, 500)

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


async def _plain(send: Send, status: int) -> None:
    body = {400: b"Bad request.", 413: b"Too large."}.get(status, b"Something went wrong here. Nothing was changed.")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _place(error: Exception) -> str:
    """Kind and place of a fault; never its text, which may hold a value."""
    if isinstance(error, Fault):
        return f"the reception: {error}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__}, {where}"
