"""Checks the signatures of passkeys in a log from its bytes alone, beside docs/specs/signed-instructions.md. Part of
`ledger.fsck`, and like it without a line of the code that wrote them.

To believe them we must know that
1. each stands directly behind something that the agency says, and names a passkey that stood before that;
2. what the passkey's authenticator and the browser said is of that leaf, that site, and a person who was made sure of;
3. the signature holds, and the counter did not go back.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from schemas.errors import NotVerified

ERASED, ENROLLED, REVOKED, SIGNED = 5, 23, 24, 25
# What an agency says.
SAID = {1, 2, *range(6, 14), 18, ENROLLED, REVOKED, 26}
LIMITS = {"public_key": 600, "authenticator_data": 512, "client_data": 2048, "signature": 512}


class Passkeys:
    """The passkeys that stand so far, and the counter of each that ever stood."""

    def __init__(self) -> None:
        self.there: dict[str, Mapping[str, Any]] = {}
        self.counts: dict[str, int] = {}
        self.used = False

    def signed(self, signed: Mapping[str, Any], leaf_hash: bytes, where: str) -> None:
        """1, 2, 3."""
        name = signed["credential"]
        if name not in self.there:
            raise NotVerified(f"{where}: no passkey that stood could sign what is before it")
        count = asserted(signed, self.there[name], leaf_hash, where)
        if (count or self.counts[name]) and count <= self.counts[name]:
            raise NotVerified(f"{where}: the counter of the passkey went back")
        self.counts[name], self.used = count, True

    def take(self, kind: int, body: Mapping[str, Any], signed: bool) -> None:
        if kind == ENROLLED:
            name = f"CRD-{hashlib.sha256(unpadded(body, 'public_key', 'an enrolment')).hexdigest()[:10]}"
            if name not in self.counts and (signed or not (self.used or self.there)):
                self.there[name], self.counts[name] = body, body["sign_count"]
        elif kind == REVOKED:
            self.there.pop(body["credential"], None)
        elif kind == ERASED and not body["late_files"]:
            self.there, self.counts, self.used = {}, {}, False


def check(entries: Sequence[tuple[int, Mapping[str, Any] | None, bytes]], agency: str) -> int:
    """The kind, the body (None: destroyed) and the hash of every leaf, in order. How many are signed; NotVerified."""
    passkeys, count = Passkeys(), 0
    for index, (kind, body, leaf_hash) in enumerate(entries):
        where = f"{agency}: leaf {index}"
        if kind == SIGNED:
            if index == 0 or entries[index - 1][0] not in SAID:
                raise NotVerified(f"{where}: a signature stands behind nothing that an agency says")
            continue
        behind = entries[index + 1] if index + 1 < len(entries) else (0, None, b"")
        signed = behind[0] == SIGNED and behind[1] is not None
        if signed and behind[1] is not None:
            passkeys.signed(behind[1], leaf_hash, f"{agency}: leaf {index + 1}")
            count += 1
        if body is not None:
            passkeys.take(kind, body, signed)
    return count


def asserted(signed: Mapping[str, Any], passkey: Mapping[str, Any], leaf_hash: bytes, where: str) -> int:
    """2 and the signature of 3: Web Authentication level 2, §7.2. Returns the counter."""
    data, client, signature = (unpadded(signed, f, where) for f in ("authenticator_data", "client_data", "signature"))
    try:
        said = json.loads(client.decode())
        told = {f: said.get(f) for f in ("type", "challenge", "origin")}
        framed = said.get("crossOrigin", False)
    except (ValueError, AttributeError, RecursionError):
        raise NotVerified(f"{where}: what the browser said cannot be read") from None
    challenge = base64.urlsafe_b64encode(leaf_hash).decode().rstrip("=")
    if told != {"type": "webauthn.get", "challenge": challenge, "origin": passkey["origin"]} or framed is not False:
        raise NotVerified(f"{where}: what was signed is not the leaf before it, or was signed on another page")
    if len(data) < 37 or data[:32] != hashlib.sha256(passkey["relying_party"].encode()).digest():
        raise NotVerified(f"{where}: the passkey signed for another site")
    present, verified, attested, extended = (bool(data[32] & bit) for bit in (1, 4, 64, 128))
    if not present or not verified or attested or extended != (len(data) > 37):
        raise NotVerified(f"{where}: the passkey did not make sure who was there")
    key = unpadded(passkey, "public_key", where)
    if not _holds(passkey["algorithm"], key, data + hashlib.sha256(client).digest(), signature):
        raise NotVerified(f"{where}: the signature of the passkey does not hold")
    return int.from_bytes(data[33:37], "big")


def _holds(algorithm: int, der: bytes, message: bytes, signature: bytes) -> bool:
    try:
        key = serialization.load_der_public_key(der)
        spelled = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if spelled != der:
            return False
        if algorithm == -7 and isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif algorithm == -8 and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif algorithm == -257 and isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096:
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def unpadded(body: Mapping[str, Any], name: str, where: str) -> bytes:
    """Base64url without padding, in its one spelling and of no more bytes than any passkey needs."""
    text = str(body[name])
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    if not raw or base64.urlsafe_b64encode(raw).decode().rstrip("=") != text or len(raw) > LIMITS[name]:
        raise NotVerified(f"{where}: {name} is not written as one")
    return raw
