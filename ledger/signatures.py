"""Who may sign for an agency, and what was signed: kinds 23 to 26.

A passkey is enrolled by its public key; the person is a function and a reference (`store.signatories`), never a name. A
`Signed` stands directly behind the leaf that it signs: its challenge is that leaf's hash. Which of these count is
decided by their place in the log (`ledger.passkeys`), since an instant is what the writer says it is. Sources: GDPR
28(3)(a), 5(2); R46; W3C Web Authentication level 2, §6.1 and §7.2; RFC 9053 (numbers of algorithms).
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from ledger.bodies import Bodied
from ledger.canonical import sha256
from schemas.errors import Malformed
from schemas.ids import AgencyCode

# The most that each may have, in bytes: an RSA key of 4096 bits and its signature fit.
MAX_PUBLIC_KEY = 600
MAX_AUTHENTICATOR_DATA = 512
MAX_CLIENT_DATA = 2048
MAX_SIGNATURE = 512
MAX_COUNT = 2**32

_CREDENTIAL = re.compile(r"CRD-[0-9a-f]{10}")
_REFERENCE = re.compile(r"REF-[0-9a-f]{32}")
_HOST = re.compile(r"(?=.{1,120}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_FUNCTION = re.compile(r"[^\W\d_][\w ’'/-]{0,59}")


class Algorithm(IntEnum):
    """How a passkey signs, by its COSE number."""

    ES256 = -7
    EDDSA = -8
    RS256 = -257


class Loss(StrEnum):
    """Why a passkey counts no longer."""

    LOST = "lost"
    LEFT = "left"
    REPLACED = "replaced"
    DOUBTED = "doubted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Bodied):
    """A signatory's passkey for the agency. `public_key`: SubjectPublicKeyInfo (DER) in base64url without padding;
    `relying_party` and `origin`: where it signs; `function`: the signatory's, `invited_by`: of who invited;
    `sign_count`: its counter at enrolment, 0 where it has none."""

    agency: AgencyCode
    algorithm: int
    public_key: str
    relying_party: str
    origin: str
    function: str
    signatory: str | None
    invited_by: str
    sign_count: int
    recorded_at: datetime

    def __post_init__(self) -> None:
        if self.algorithm not in tuple(Algorithm):
            raise Malformed("the algorithm of a passkey is not one of ES256, EdDSA and RS256")
        bounded(self.public_key, MAX_PUBLIC_KEY)
        if not 0 <= self.sign_count < MAX_COUNT:
            raise Malformed("the counter of a passkey is a number of 32 bits")
        if not _HOST.fullmatch(self.relying_party) or not _of(self.origin, self.relying_party):
            raise Malformed("the origin of a passkey is not one of its relying party", "Write https://portail.example.")
        if not _FUNCTION.fullmatch(self.function) or not _FUNCTION.fullmatch(self.invited_by):
            raise Malformed("who enrols a passkey is a function, never a person's name")
        if self.signatory is not None and not _REFERENCE.fullmatch(self.signatory):
            raise Malformed("the log names a signatory by reference, never by name")

    @property
    def id(self) -> str:
        """Short and readable: the first ten figures of its public key's digest."""
        return f"CRD-{sha256(decoded(self.public_key))[:10]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked(Bodied):
    """A passkey counts no longer, for what comes later in the log. What it signed before stays signed."""

    agency: AgencyCode
    credential: str
    reason: Loss
    recorded_by: str
    recorded_at: datetime

    def __post_init__(self) -> None:
        _named(self.credential)
        if not _FUNCTION.fullmatch(self.recorded_by):
            raise Malformed("who revokes a passkey is a function, never a person's name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Bodied):
    """The leaf before this one, signed by a passkey: a WebAuthn assertion whose challenge is that leaf's hash. Its
    three parts are in base64url without padding."""

    credential: str
    authenticator_data: str
    client_data: str
    signature: str

    def __post_init__(self) -> None:
        _named(self.credential)
        bounded(self.authenticator_data, MAX_AUTHENTICATOR_DATA)
        bounded(self.client_data, MAX_CLIENT_DATA)
        bounded(self.signature, MAX_SIGNATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRule(Bodied):
    """Whether only signed instructions count from here on in the log. To demand it takes no signature; to lift it
    does."""

    agency: AgencyCode
    required: bool
    given_by: str
    recorded_at: datetime

    def __post_init__(self) -> None:
        if not _FUNCTION.fullmatch(self.given_by):
            raise Malformed("who gives a rule of signing is a function, never a person's name")


Signature = Enrolled | Revoked | Signed | SigningRule

KINDS: dict[type[Signature], int] = {Enrolled: 23, Revoked: 24, Signed: 25, SigningRule: 26}


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """The bytes of a text in base64url without padding; no other spelling. Raises Malformed."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    if not text or encoded(raw) != text:
        raise Malformed("not base64url without padding")
    return raw


def bounded(text: str, most: int) -> bytes:
    """The same, of at most so many bytes."""
    if len(text) > (most * 4 + 2) // 3:
        raise Malformed("a key or a part of a signature has more bytes than any passkey needs")
    return decoded(text)


def _named(credential: str) -> None:
    if not _CREDENTIAL.fullmatch(credential):
        raise Malformed("a passkey is named CRD- and ten figures")


def _of(origin: str, party: str) -> bool:
    """Whether a page of this origin may ask for the relying party's passkeys: https, but for this machine itself."""
    found = re.fullmatch(r"(https?)://([a-z0-9.-]{1,120})(:[1-9][0-9]{0,4})?", origin)
    if found is None:
        return False
    host = found[2]
    return (host == party or host.endswith(f".{party}")) and (found[1] == "https" or host == "localhost")
