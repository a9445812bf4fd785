"""An OpenID provider on this machine's loopback: real HTTP, real keys, and a switch for each way of being wrong."""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

CLIENT, SECRET, SUBJECT = "portail de l'agence", "CANARI-secret+du%client-5521", "CANARI-sujet-8413"
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RSA": RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"}),
    "EC": ECKey.generate_key("P-256", {"kid": "ec-1", "use": "sig"}),
    "OKP": OKPKey.generate_key("Ed25519", {"kid": "okp-1", "use": "sig"}),
}
KIND = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
Claims = dict[str, Any]


def signed(claims: Claims, algorithm: str = "RS256", **header: Any) -> str:
    key = KEYS[KIND[algorithm]]
    return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, claims, key, algorithms=[algorithm])


@dataclass
class Provider:
    """`mint`: makes an ID token of the claims that it should have. `answers`: what a path is answered with instead."""

    port: int = 0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    subject: str = SUBJECT
    amr: Any = field(default_factory=lambda: ["pwd", "otp"])
    more: Claims = field(default_factory=dict)
    mint: Callable[[Claims], Any] = signed
    metadata: Claims = field(default_factory=dict)
    says_issuer: str | None = None
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    begun: list[dict[str, str]] = field(default_factory=list)
    marked: set[str] = field(default_factory=lambda: {SECRET, SUBJECT})
    troubles: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def document(self) -> Claims:
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(KIND), **self.metadata,
        }  # fmt: skip

    def claims(self, flow: dict[str, str]) -> Claims:
        now = int(self.clock().timestamp())
        return {"iss": self.issuer, "sub": self.subject, "aud": CLIENT, "exp": now + 300, "iat": now,
                "nonce": flow["nonce"], "amr": self.amr, "email": "autre@agence.example", **self.more}  # fmt: skip

    def browse(self, location: str) -> str:
        """Somebody who signs in there at once: where they are sent."""
        return str(httpx2.get(location, follow_redirects=False).headers["location"])

    def authorized(self, asked: dict[str, str]) -> str:
        """The address with which somebody is sent back, with a fresh code."""
        self.begun.append(asked)
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        self.marked |= {code, asked.get("state", ""), asked.get("nonce", "")} - {""}
        said = {"code": code, "state": asked["state"]} | ({"iss": self.says_issuer} if self.says_issuer else {})
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        """RFC 6749 §4.1.3 and RFC 7636 §4.6, as strictly as they are written."""
        if authorization:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            client = [unquote_plus(part) for part in pair]
        else:
            client = [form.get("client_id", ""), form.get("client_secret", "")]
        flow = self.codes.pop(form.get("code", ""), None)
        self.marked.add(form.get("code_verifier", SECRET))
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        wrong = (
            "client" if client != [CLIENT, SECRET]
            else "code" if flow is None
            else "challenge" if flow["code_challenge"] != challenge or flow["code_challenge_method"] != "S256"
            else "redirect" if flow["redirect_uri"] != form.get("redirect_uri") else ""
        )  # fmt: skip
        if wrong or flow is None:
            self.troubles.append(wrong)
            return 400, {"error": "invalid_grant"}
        access, token = secrets.token_urlsafe(24), self.mint(self.claims(flow))
        self.marked |= {access, str(token)}
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": token}


def jwks(keys: dict[str, Any] = KEYS) -> Claims:
    return {"keys": [key.as_dict(private=False) for key in keys.values()]}


def said(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, so that no timeout of a socket ever runs out."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        return


@contextmanager
def provider(**how: Any) -> Iterator[Provider]:
    """One that is open. A person there presses a button; `Provider.browse` does without (`prompt=none`)."""
    made = Provider(**how)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {n: v[-1] for n, v in parse_qs(parts.query).items()}
            made.asked[parts.path] += 1
            if parts.path in made.answers:
                made.answers[parts.path](self)
            elif parts.path == "/.well-known/openid-configuration":
                said(self, 200, json.dumps(made.document()).encode())
            elif parts.path == "/jwks":
                said(self, 200, json.dumps(jwks()).encode())
            elif parts.path == "/authorize" and "text/html" in self.headers.get("Accept", ""):
                link = html.escape(f"/agree?{parts.query}")
                said(self, 200, f'<h1>Agence</h1><a href="{link}">Continuer</a>'.encode(), Content_Type="text/html")
            elif parts.path in ("/authorize", "/agree"):
                said(self, 303, b"", Location=made.authorized(asked))
            else:
                said(self, 404, b"")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            form = {n: v[-1] for n, v in parse_qs(raw).items()}
            made.asked[self.path] += 1
            if self.path in made.answers:
                made.answers[self.path](self)
                return
            status, answer = made.token(form, self.headers.get("Authorization", ""))
            said(self, status, json.dumps(answer).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
