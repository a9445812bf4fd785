"""A signatory with a passkey in software: what a browser and its authenticator would send."""

import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from typing import Any

import cbor2
import httpx2

from ledger.signatures import decoded, encoded
from ledger.tree import leaf_hash
from tests.functional.web.conftest import BROWSER, ORIGIN, Browser, token_of
from tests.unit.ledger.passkeys_made import SoftPasskey

PARTY = "localhost"


def block(page: str, name: str) -> Any:
    """The JSON that a page gives its script."""
    found = re.search(rf'<script type="application/json" data-{name}>(.*?)</script>', page, re.DOTALL)
    assert found is not None, name
    return json.loads(found[1])


@dataclass
class Signatory:
    """`raw_id`: what the authenticator calls the key."""

    browser: Browser
    agency: str
    passkey: SoftPasskey
    raw_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.raw_id = sha256(self.passkey.public).digest()[:16]

    def path(self, rest: str) -> str:
        return f"/a/{self.agency}{rest}"

    def post(self, path: str, said: dict[str, Any]) -> httpx2.Response:
        """As a script posts."""
        headers = {"accept-language": self.browser.language, "x-form": self.browser.token, **BROWSER}
        return self.browser.client.post(self.path(path), json=said, headers=headers)

    def send(self, path: str, **form: str) -> httpx2.Response:
        """As a form is sent."""
        data = {"form": self.browser.token, **form}
        headers = {"accept-language": self.browser.language, **BROWSER}
        return self.browser.client.post(self.path(path), data=data, headers=headers)

    def registration(self, challenge: str, origin: str = ORIGIN) -> dict[str, Any]:
        """What a browser says of a key that was made (W3C Web Authentication level 2, §6.5 and §7.1)."""
        numbers = self.passkey.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.raw_id).to_bytes(2, "big") + self.raw_id + cbor2.dumps(cose)
        data = sha256(PARTY.encode()).digest() + bytes([0x45]) + bytes(4) + attested
        client = {"type": "webauthn.create", "challenge": challenge, "origin": origin, "crossOrigin": False}
        name = encoded(self.raw_id)
        return {
            "id": name, "rawId": name, "type": "public-key",
            "response": {
                "attestationObject": encoded(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
                "clientDataJSON": encoded(json.dumps(client).encode()),
            },
        }  # fmt: skip

    def make_key(self, function: str = "gérance") -> httpx2.Response:
        """Make a signing passkey. What the script is answered."""
        page = self.send("/keys/new", function=function)
        assert page.status_code == 200, unescape(page.text)
        challenge = block(page.text, "options")["challenge"]
        return self.post("/keys/enrol", {"reference": function, **self.registration(challenge)})

    def signature(self, page: str) -> dict[str, Any]:
        """What the script of a page that asks for a signature would post: the leaf is hashed here."""
        prepared, passkeys = block(page, "prepared"), block(page, "passkeys")
        made = leaf_hash(prepared["leaf"].encode())
        assert made.hex() == prepared["leaf_hash"]
        reference = re.search(r'data-reference="([^"]+)"', page)
        assert reference is not None
        mine = [p["credential"] for p in passkeys if decoded(p["id"]) == self.raw_id]
        return {
            "reference": reference[1], "credential": mine[0] if mine else self.passkey.id,
            **self.passkey.assertion(made, party=PARTY, origin=ORIGIN),
        }  # fmt: skip

    def sign(self, page: httpx2.Response) -> httpx2.Response:
        """Sign what a page shows."""
        assert page.status_code == 200, unescape(page.text)
        assert token_of(page.text) == self.browser.token
        return self.post("/sign", self.signature(page.text))
