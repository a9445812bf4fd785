"""Whether a WebAuthn assertion is a signature of one leaf by one enrolled passkey: bytes in, yes or no out.

Web Authentication level 2, §7.2, for what matters to a log; the ceremony in the browser (which passkey is offered, and
to whom) is the business of whoever asks for the signature. `ledger.fsck`, `ledger.standalone.signatures` and the
browser's own `portal/web/static/verify.js` decide the same and share no code with this.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ledger.signatures import Algorithm, Enrolled, Signed, decoded, encoded
from schemas.errors import Malformed, NotVerified

USER_PRESENT, USER_VERIFIED, ATTESTED, EXTENDED = 0x01, 0x04, 0x40, 0x80
RSA_BITS = range(2048, 4097)

_HEADER = 37  # digest of the relying party, flags, counter
_AGAIN = "Ask for the signature again; if it fails again, revoke the passkey."

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Told:
    """What an assertion states, once it is verified. `count`: the passkey's counter; 0: it has none."""

    count: int


def verify(signed: Signed, passkey: Enrolled, leaf_hash: bytes, count: int) -> Told:
    """This passkey signed the leaf with this hash. `count`: the last counter seen. Raises NotVerified.

    To believe it we must know that
    1. it is the passkey that the signature names;
    2. the client data is of a signature (`webauthn.get`), not of an enrolment, over the leaf's hash, on a page of the
       origin enrolled that was in no other page's frame;
    3. the authenticator's data is of the relying party enrolled, and in its one form;
    4. it says that the person was there, and that the authenticator made sure who it was;
    5. the signature holds over both;
    6. the counter did not go back, where there is one: a copy of the passkey would show.
    """
    if signed.credential != passkey.id:  # 1
        raise NotVerified("the signature is of another passkey", _AGAIN)
    authenticator, client = decoded(signed.authenticator_data), decoded(signed.client_data)
    _on_the_page(client, passkey.origin, encoded(leaf_hash))  # 2
    told = _of_the_authenticator(authenticator, passkey.relying_party)  # 3, 4
    message = authenticator + sha256(client).digest()
    if not holds(passkey.algorithm, decoded(passkey.public_key), message, decoded(signed.signature)):  # 5
        raise NotVerified("the signature of the passkey does not hold", _AGAIN)
    if (told.count or count) and told.count <= count:  # 6
        raise NotVerified("the counter of the passkey went back: there may be a copy of it", "Revoke the passkey.")
    return told


def public_key(algorithm: int, der: bytes) -> PublicKey:
    """The key of these bytes (SubjectPublicKeyInfo), in its one spelling and of the algorithm's kind. Raises
    Malformed."""
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("this is no public key that is known here", "Use ES256, EdDSA or RS256.") from None
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise Malformed("a public key is written in another way than its own")
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1) and algorithm == Algorithm.ES256:
            return key
        case ed25519.Ed25519PublicKey() if algorithm == Algorithm.EDDSA:
            return key
        case rsa.RSAPublicKey() if key.key_size in RSA_BITS and algorithm == Algorithm.RS256:
            return key
        case _:
            raise Malformed("the public key is not of the algorithm that is stated", "Use ES256, EdDSA or RS256.")


@lru_cache(maxsize=4096)
def holds(algorithm: int, der: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is this key's. The same log is folded many times: the answer is kept."""
    try:
        key = public_key(algorithm, der)
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, message, ec.ECDSA(SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, message)
            case rsa.RSAPublicKey():
                key.verify(signature, message, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, Malformed):
        return False
    return True


def _on_the_page(client: bytes, origin: str, challenge: str) -> None:
    try:
        said = json.loads(client.decode())
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("type") != "webauthn.get":
        raise NotVerified("the passkey was not asked for a signature", _AGAIN)
    if said.get("challenge") != challenge:
        raise NotVerified("the passkey signed something else than this leaf", _AGAIN)
    if said.get("origin") != origin or said.get("crossOrigin", False) is not False:
        raise NotVerified("the passkey signed on another page than the one enrolled", "Sign on the portal itself.")


def _of_the_authenticator(raw: bytes, party: str) -> Told:
    flags = raw[32] if len(raw) >= _HEADER else 0
    whole = len(raw) > _HEADER if flags & EXTENDED else len(raw) == _HEADER
    if not whole or flags & ATTESTED or raw[:32] != sha256(party.encode()).digest():
        raise NotVerified("the passkey signed for another site than the one enrolled", "Sign on the portal itself.")
    if not flags & USER_PRESENT or not flags & USER_VERIFIED:
        raise NotVerified(
            "the passkey did not make sure who was there", "Use a passkey with a PIN, a finger or a face."
        )
    return Told(int.from_bytes(raw[33:_HEADER], "big"))
