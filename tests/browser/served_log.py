"""A small server with an agency's log, as the portal will show it; it answers what a test makes it answer.

Every page has the strictest policy for its content: scripts of the server itself and nothing else.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ledger.entry import body_of
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.log_view import LogView
from schemas.errors import Malformed, NotVerified, TryAgain

STATIC = Path(__file__).parents[2] / "portal" / "web" / "static"
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'"
CODES = (
    "first", "holds", "key", "head", "shorter", "forked", "missing", "entry", "content", "shown", "signature", "closed",
    "signed", "unsigned", "unreachable", "unreadable", "empty",
)  # fmt: skip
SIGN_CODES = ("done", "challenge", "shown", "stranger", "again", "refused", "unreachable", "cancelled")

Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class ServedLog:
    """`lies`: by question, what becomes of the honest answer. `shown`: (index, fields, signed by) of what the page
    shows; `sign`: what it has signed."""

    log: Log
    keys: LogKeys
    now: datetime
    lies: dict[str, Answer] = field(default_factory=dict)
    shown: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    whole: bool = True
    count: int = 0
    sign: dict[str, Any] = field(default_factory=dict)
    record: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda said: said)
    posted: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def show_all(self) -> None:
        """Every leaf, as an honest page shows it."""
        view = LogView.of(self.log, self.keys, self.now)
        self.shown = []
        for line in filter(None, map(view.log.line, range(1, view.log.size + 1))):
            body = body_of(line.entry)
            signer = view.passkeys.signers.get(line.number, "")
            self.shown.append((line.number - 1, {k: written(v) for k, v in body.items()}, signer))

    def answer(self, path: str, asked: dict[str, int]) -> dict[str, Any]:
        view = LogView.of(self.log, self.keys, self.now)
        name = path.removeprefix("/ask/")
        match name:
            case "checkpoint":
                told = view.checkpoint()
            case "entries":
                told = view.entries(asked["first"], asked["count"], asked.get("size"))
            case _:
                told = view.consistency(asked["first"], asked.get("second"))
        return self.lies[name](told) if name in self.lies else told

    def page(self) -> str:
        says = " ".join(f'data-say-{c}="[{c}] {{size}} {{index}} {{credential}}"' for c in CODES)
        whole = f'data-first="0" data-count="{self.count or len(self.shown)}"' if self.whole else ""
        rows = []
        for index, fields, signer in self.shown:
            cells = "".join(f'<dd data-field="{k}">{escape(v)}</dd>' for k, v in fields.items())
            rows.append(
                f'<li data-entry="{index}" data-signed-by="{signer}"><dl>{cells}</dl><pre data-content></pre>'
                "<p data-verdict-of-entry></p></li>"
            )
        return (
            '<!doctype html><meta charset="utf-8"><title>log</title>'
            f'<section data-verify data-origin="depositaire/{self.log.agency}/instructions" {whole} {says} '
            'data-checkpoint="/ask/checkpoint" data-entries="/ask/entries" data-consistency="/ask/consistency">'
            f'<p data-verdict-of-all></p><ol>{"".join(rows)}</ol></section>'
            '<script type="module" src="/static/verify.js"></script>'
        )  # fmt: skip

    def signing_page(self) -> str:
        says = " ".join(f'data-say-{c}="[{c}]"' for c in SIGN_CODES)
        cells = "".join(f'<dd data-field="{k}">{escape(v)}</dd>' for k, v in self.sign["fields"].items())
        blocks = "".join(
            f'<script type="application/json" data-{name}>{json.dumps(self.sign[name])}</script>'
            for name in ("prepared", "passkeys", "options")
            if name in self.sign
        )
        what = "data-register" if "options" in self.sign else "data-sign"
        return (
            '<!doctype html><meta charset="utf-8"><title>sign</title>'
            f'<section {what} data-agency="{self.log.agency}" data-relying-party="localhost" data-post="/record" '
            f'data-reference="prepared-1" {says}><dl>{cells}</dl><pre data-content></pre>{blocks}'
            '<button data-go>go</button><p data-told></p></section>'
            '<script type="module" src="/static/sign.js"></script>'
        )  # fmt: skip

    @contextmanager
    def running(self) -> Iterator["ServedLog"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def written(value: Any) -> str:
    """How a page writes a value of a body."""
    match value:
        case None | [] | "":
            return "–"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(written(v) for v in value)
        case _:
            return str(value)


def _handler(served: ServedLog) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/static/"):
                self.send(200, "text/javascript", (STATIC / Path(url.path).name).read_bytes())
            elif url.path.startswith("/ask/"):
                asked = {k: int(v[0]) for k, v in parse_qs(url.query).items()}
                try:
                    self.send(200, "application/json", json.dumps(served.answer(url.path, asked)).encode())
                except Malformed:
                    self.send(404, "application/json", b"{}")
            elif url.path in ("/", "/sign"):
                page = served.page() if url.path == "/" else served.signing_page()
                self.send(200, "text/html; charset=utf-8", page.encode())
            else:
                self.send(404, "text/plain", b"")

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.posted.append(said)
            try:
                self.send(200, "application/json", json.dumps(served.record(said)).encode())
            except TryAgain:
                self.send(409, "application/json", b"{}")
            except (Malformed, NotVerified):
                self.send(422, "application/json", b"{}")

        def send(self, status: int, kind: str, raw: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: Any) -> None:
            """Nothing is written down."""

    return Handler
