"""What a leaf says without showing it: a digest that nobody can guess the content from, as long as a salt is secret.

    SHA-256("depositaire-commitment/1\\n" ‖ salt, 32 bytes ‖ leaf's index, 8 bytes ‖ canonical JSON of the content)

A bare digest of a name is found by trying names. With 32 random bytes in front there is nothing to try: whoever holds
the content but not the salt can confirm nothing, and once the salt is destroyed (`ledger.salts`) nobody can, while
every proof about the leaf stays valid. The index binds the content to its place. EDPB Guidelines 02/2025 (draft) ask
for as much where an entry cannot be removed; GDPR 5(1)(e), 17.
"""

import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from ledger.canonical import canonical
from schemas.errors import Malformed, NotVerified

TAG = b"depositaire-commitment/1\n"
SALT_BYTES = 32
_INDEX_BYTES = 8


def fresh_salt(random: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """A salt for one leaf. Never use one twice: two leaves would show whether they say the same."""
    return random(SALT_BYTES)


def commit(salt: bytes, leaf_index: int, content: Mapping[str, Any]) -> bytes:
    """The 32 bytes that stand in the leaf for its content. Raises Malformed."""
    return commit_bytes(salt, leaf_index, canonical(content))


def commit_bytes(salt: bytes, leaf_index: int, content: bytes) -> bytes:
    """The same for content that is in its canonical bytes already."""
    if len(salt) != SALT_BYTES or not any(salt):
        raise Malformed("a salt is 32 random bytes")
    if not 0 <= leaf_index < 2**64:
        raise Malformed("the index of a leaf is a number of 64 bits")
    return sha256(TAG + salt + leaf_index.to_bytes(_INDEX_BYTES, "big") + content).digest()


def verify_commitment(commitment: bytes, salt: bytes, leaf_index: int, content: Mapping[str, Any]) -> None:
    """This content was committed to in leaf `leaf_index`. Returns nothing, or raises NotVerified."""
    try:
        made = commit(salt, leaf_index, content)
    except Malformed as no:
        raise NotVerified(no.what, no.hint) from None
    if made != commitment:
        raise NotVerified("the leaf does not commit to this content", "Ask for the content and the salt of this leaf.")
