"""What seals the accounts of the web door: one key of its own, wrapped by the root key (R52).

E-mail addresses and second factors are sealed. What must be found again without being readable (an address, an agency,
a machine that tries passwords) is a keyed digest: nobody without the key can tell whose it is, or try addresses.
"""

import os
import secrets
from contextlib import suppress
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.lines import write_whole
from schemas.home import Home
from store.keys import SIZE, Root
from store.sealing import derive, framed, keyed, seal, unseal

_PURPOSE = "reception"
TOKEN_BYTES = 32


class Vault:
    """Opened from a home; made when it is first asked for."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derive(key, "reception values"))
        self._mark = keyed(derive(key, "reception marks"))

    @classmethod
    def of(cls, home: Home, root: Root) -> "Vault":
        path = home.reception_key
        if not path.exists():
            half = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            write_whole(half, root.wrap(os.urandom(SIZE), _PURPOSE))
            with suppress(FileExistsError):  # of two that make it at once, the first stays
                path.hardlink_to(half)
            half.unlink()
        return cls(root.unwrap(path.read_bytes(), _PURPOSE))

    def seal(self, text: str, *bound: str) -> bytes:
        """`bound`: what the value is and whose: it opens nowhere else."""
        return seal(self._cipher, text.encode(), framed(*bound))

    def open(self, sealed: bytes, *bound: str) -> str:
        return unseal(self._cipher, sealed, framed(*bound)).decode()

    def mark(self, kind: str, text: str) -> str:
        """32 hexadecimal figures under which a text is found again."""
        return self._mark(framed(kind, text)).hex()


def fresh_token() -> str:
    """256 random bits, as text for an address or a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> str:
    """All that is kept of a token: it is random, so that a bare digest gives nothing away."""
    return sha256(token.encode("utf-8", "replace")).hexdigest()
