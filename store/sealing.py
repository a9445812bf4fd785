"""One authenticated ciphertext a row: AES-256-GCM, bound to agency, table, system, row, key and format (R52).

Envelope: format byte ‖ 96-bit random nonce ‖ ciphertext and tag. The additional data is length-prefixed, so that no
two different bindings can produce the same bytes. One key seals at most one person's rows, far below 2^32 messages
(SP 800-38D).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import NotVerified

FORMAT = b"\x01"
NONCE = 12


def framed(*parts: str | bytes) -> bytes:
    """Parts with their lengths in front: ("a", "bc") and ("ab", "c") differ."""
    raw = [p.encode() if isinstance(p, str) else p for p in parts]
    return b"".join(len(p).to_bytes(4, "big") + p for p in raw)


def derive(key: bytes, label: str) -> bytes:
    """A 32-byte key for one use (HKDF-SHA-256, RFC 5869); it dies with the key it comes from."""
    return HKDF(SHA256(), 32, salt=None, info=b"depositaire/1 " + label.encode()).derive(key)


def seal(cipher: AESGCM, plain: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return FORMAT + nonce + cipher.encrypt(nonce, plain, aad)


def unseal(cipher: AESGCM, sealed: bytes, aad: bytes) -> bytes:
    """Raises NotVerified when the row was moved, changed, or sealed with another key."""
    if sealed[:1] != FORMAT:
        raise NotVerified("a sealed row has an unknown format")
    try:
        return cipher.decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], aad)
    except InvalidTag:
        raise NotVerified("a sealed row does not open: it was moved, changed, or its key is gone") from None


def seal_rows(
    binding: bytes, keys: Sequence[str], kids: Sequence[int], plain: Sequence[bytes], cipher: Callable[[int], AESGCM]
) -> list[bytes]:
    """One ciphertext a row, in order. `binding` frames agency, table and system; row key and key id are added for each
    row."""
    aads = [row_aad(binding, key, kid) for key, kid in zip(keys, kids, strict=True)]
    return seal_bound(aads, kids, plain, cipher)


def seal_bound(
    aads: Sequence[bytes], kids: Sequence[int], plain: Sequence[bytes], cipher: Callable[[int], AESGCM]
) -> list[bytes]:
    """One ciphertext a row, in order, each with its additional data (`row_aad`). A loop over rows: an AEAD has no
    column form. Making a cipher costs three times what sealing a row does: rows of one key should follow each other."""
    nonces = os.urandom(NONCE * len(kids))
    out = []
    last, encrypt, at = -1, None, 0
    for aad, kid, text in zip(aads, kids, plain, strict=True):
        if kid != last or encrypt is None:
            last, encrypt = kid, cipher(kid).encrypt
        nonce = nonces[at : at + NONCE]
        at += NONCE
        out.append(FORMAT + nonce + encrypt(nonce, text, aad))
    return out


def row_aad(binding: bytes, key: str, kid: int) -> bytes:
    raw = key.encode()
    return binding + len(raw).to_bytes(4, "big") + raw + kid.to_bytes(8, "big")


class Keyed:
    """A keyed BLAKE2b (RFC 7693) with the key already absorbed; each digest copies that state."""

    def __init__(self, key: bytes, size: int = 16) -> None:
        self._start = blake2b(key=key, digest_size=size)

    def __call__(self, message: bytes) -> bytes:
        h = self._start.copy()
        h.update(message)
        return h.digest()

    def each(self, messages: Iterable[bytes]) -> list[bytes]:
        """The digests of many. A loop over rows: a hash has no column form."""
        copy = self._start.copy
        out = []
        for message in messages:
            h = copy()
            h.update(message)
            out.append(h.digest())
        return out


def keyed(key: bytes, size: int = 16) -> Keyed:
    return Keyed(key, size)
