"""Passkeys in software, which sign as an authenticator and a browser would; what they are asked is up to the test."""

import datetime as dt
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.signatures import Algorithm, Enrolled, encoded
from tests.unit.ledger.orders_made import AT, CODE

PARTY, ORIGIN = "portail.example", "https://portail.example"
PRESENT_AND_VERIFIED = 0x05

# Made once: an RSA key takes its time. Ed25519 and P-256 keys are fixed, so that vectors are.
_RSA = rsa.generate_private_key(65537, 2048)


@dataclass
class SoftPasskey:
    """A key and its counter; 0 counts for ever zero, as synced passkeys do."""

    algorithm: Algorithm = Algorithm.ES256
    number: int = 1
    count: int = 0
    key: Any = field(init=False)

    def __post_init__(self) -> None:
        match self.algorithm:
            case Algorithm.ES256:
                self.key = ec.derive_private_key(self.number, ec.SECP256R1())
            case Algorithm.EDDSA:
                self.key = ed25519.Ed25519PrivateKey.from_private_bytes(self.number.to_bytes(32, "big"))
            case Algorithm.RS256:
                self.key = _RSA

    @property
    def public(self) -> bytes:
        found: bytes = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return found

    def enrolled(self, **changes: Any) -> Enrolled:
        said: dict[str, Any] = {
            "agency": CODE, "algorithm": int(self.algorithm), "public_key": encoded(self.public),
            "relying_party": PARTY, "origin": ORIGIN, "function": "gérance", "signatory": None,
            "invited_by": "exploitant", "sign_count": self.count, "recorded_at": AT,
        }  # fmt: skip
        return Enrolled(**said | changes)

    @property
    def id(self) -> str:
        return self.enrolled().id

    def assertion(
        self, leaf_hash: bytes, flags: int = PRESENT_AND_VERIFIED, party: str = PARTY, more: bytes = b"", **client: Any
    ) -> dict[str, str]:
        """What a browser hands over. `client`: what its client data says otherwise."""
        if self.count:
            self.count += 1
        said = {"type": "webauthn.get", "challenge": encoded(leaf_hash), "origin": ORIGIN, "crossOrigin": False}
        page = json.dumps(said | client, separators=(",", ":")).encode()
        data = sha256(party.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big") + more
        return {
            "authenticator_data": encoded(data), "client_data": encoded(page),
            "signature": encoded(self.sign(data + sha256(page).digest())),
        }  # fmt: skip

    def sign(self, message: bytes) -> bytes:
        raw: bytes
        match self.algorithm:
            case Algorithm.ES256:
                raw = self.key.sign(message, ec.ECDSA(SHA256()))
            case Algorithm.EDDSA:
                raw = self.key.sign(message)
            case Algorithm.RS256:
                raw = self.key.sign(message, padding.PKCS1v15(), SHA256())
        return raw


def later(minutes: float) -> dt.datetime:
    return AT + dt.timedelta(minutes=minutes)
