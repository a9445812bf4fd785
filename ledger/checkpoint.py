"""The head of a log, signed: whose log it is, how many leaves it has, and their root.

C2SP tlog-checkpoint v1.0.0 in a signed note (`ledger.note`), Ed25519 of RFC 8032. Other organisations' lines below it
are cosignatures of C2SP tlog-cosignature v1.0.1: each says that its signer, at an instant, saw the log grow and never
change. docs/specs/instruction-log.md shows one of each.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.note import (
    COSIGNATURE,
    ED25519,
    MAX_SIGNATURES,
    Key,
    Note,
    Signature,
    decode_base64,
    is_key_name,
    is_point,
    keys_of,
    parse_note,
)
from ledger.tree import HASH_BYTES
from schemas.errors import Malformed, NotVerified

_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
_TIMESTAMP_BYTES = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's head. `extension`: further lines, opaque; none of ours has any."""

    origin: str
    size: int
    root: bytes
    extension: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extension)
        if any(not line or "\n" in line for line in lines):
            raise Malformed("the lines of a checkpoint are not empty")
        if not 0 <= self.size < 2**64 or len(self.root) != HASH_BYTES:
            raise Malformed("a checkpoint states a size of 64 bits and a root of 32 bytes")

    @property
    def text(self) -> bytes:
        """What is signed."""
        return "".join(
            f"{line}\n" for line in (self.origin, self.size, b64encode(self.root).decode(), *self.extension)
        ).encode()

    @classmethod
    def parse(cls, text: bytes) -> "Checkpoint":
        """The checkpoint of a note's text. Raises Malformed for any spelling but its own."""
        try:
            *lines, end = text.decode().split("\n")
        except UnicodeError:
            raise Malformed("a checkpoint is not valid UTF-8") from None
        if len(lines) < 3 or end:
            raise Malformed("a checkpoint has three lines: origin, size and root")
        origin, size, encoded, *extension = lines
        root = decode_base64(encoded)
        if not _SIZE.fullmatch(size) or root is None:
            raise Malformed("the size or the root of a checkpoint is not written as one")
        return cls(origin, int(size), root, tuple(extension))


def verify_note(text: str | bytes, keys: str | Iterable[str]) -> None:
    """A note is signed by one of these keys, and no signature by any of them fails. Returns nothing, or raises
    NotVerified and nothing else, whatever it is given.

    `text`: the whole note, as text or as its bytes in UTF-8; `keys`: verifier keys (`name+ID+base64`), one or an
    iterable of them. To believe a note we must know that
    1. it is spelled as one: UTF-8 without control characters, a text, an empty line, at most 100 signature lines;
    2. every key is spelled as one, and its ID is its own;
    3. one name and ID stand for one key;
    4. each signature of a known key holds, a second one by the same key too;
    5. there is at least one.
    Signatures of other keys are ignored. So are those of a key of a type not verified here (all but Ed25519 and its
    timestamped cosignatures): such a key alone verifies nothing. What OpenSSL leaves open about Ed25519 is in
    docs/specs/instruction-log.md.
    """
    try:
        note = parse_note(text)  # 1
        known = keys_of(keys)  # 2
    except Malformed as no:
        raise NotVerified(no.what, no.hint or "Ask for the note again, as it was signed.") from None
    held = 0
    for signature in note.signatures:
        named = known.get((signature.name, signature.id), [])
        if len(named) > 1:  # 3
            raise NotVerified("two of the keys have one name and ID", "Give each key once.")
        if not named or named[0].kind not in (ED25519, COSIGNATURE):
            continue
        if not _holds(named[0], note.text, signature.raw):  # 4
            raise NotVerified("a signature of a known key does not hold", "Ask for the note again, as it was signed.")
        held += 1
    if not held:  # 5
        raise NotVerified("none of the keys has signed the note", "Check that the keys are those of its signers.")


def read_checkpoint(raw: str | bytes, origin: str, keys: str | Iterable[str]) -> Checkpoint:
    """What a signed checkpoint states, once it is verified: it is of the log of this origin, and one of these keys
    speaks for it. Raises NotVerified."""
    verify_note(raw, keys)
    try:
        stated = Checkpoint.parse(parse_note(raw).text)
    except Malformed as no:
        raise NotVerified(no.what, no.hint) from None
    if stated.origin != origin:
        raise NotVerified("the checkpoint is of another log", "Check which log it was asked for.")
    return stated


def sign_note(text: bytes, name: str, key: Ed25519PrivateKey) -> bytes:
    """The note of a text, signed with one key. Raises Malformed for a text or a name that no note can have."""
    named = verifier_key(name, key)
    return _spelled(Note(text, (Signature(name, named.id, key.sign(text)),)))


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The signed note of a head, under the name of its log.

    A signature cannot be taken back: whoever calls this has made sure that the tree extends every one signed before.
    """
    return sign_note(checkpoint.text, checkpoint.origin, key)


def cosign(raw: bytes, name: str, key: Ed25519PrivateKey, at: int) -> bytes:
    """The note with one more line: a cosignature of its checkpoint at `at`, in whole seconds since 1970 (UTC).

    The caller has verified the checkpoint, and has put on disk that it is the last one seen (C2SP tlog-witness).
    """
    note = parse_note(raw)
    Checkpoint.parse(note.text)
    if not 0 <= at < 2**63:
        raise Malformed("the instant of a cosignature is not one")
    named = verifier_key(name, key, COSIGNATURE)
    line = Signature(name, named.id, at.to_bytes(_TIMESTAMP_BYTES, "big") + key.sign(_cosigned(note.text, at)))
    return _spelled(Note(note.text, (*note.signatures, line)))


def verifier_key(name: str, key: Ed25519PrivateKey, kind: int = ED25519) -> Key:
    """What others need to verify signatures by this key under this name; `str` of it is its text."""
    if not is_key_name(name):
        raise Malformed("the name of a key holds no space and no plus")
    return Key.of(name, kind, key.public_key().public_bytes_raw())


def ed25519_holds(public: bytes, message: bytes, raw: bytes) -> bool:
    """Whether `raw` is a signature of the message by this key (RFC 8032 §5.1.7).

    The key is spelled in its one way, as §5.1.3 asks and OpenSSL does not; the rest is OpenSSL's: S below the order,
    R in its one spelling, no cofactor; points of small order are not refused.
    """
    if not is_point(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, message)
    except InvalidSignature:
        return False
    return True


def _holds(key: Key, text: bytes, raw: bytes) -> bool:
    if key.kind == COSIGNATURE:
        at, rest = int.from_bytes(raw[:_TIMESTAMP_BYTES], "big"), raw[_TIMESTAMP_BYTES:]
        return at < 2**63 and _is_checkpoint(text) and ed25519_holds(key.public, _cosigned(text, at), rest)
    return ed25519_holds(key.public, text, raw)


def _cosigned(text: bytes, at: int) -> bytes:
    """What a cosigner signs: the lines before the checkpoint keep it from passing for the log's own signature."""
    return f"cosignature/v1\ntime {at}\n".encode() + text


def _is_checkpoint(text: bytes) -> bool:
    try:
        Checkpoint.parse(text)
    except Malformed:
        return False
    return True


def _spelled(note: Note) -> bytes:
    """The bytes of a note that reads back as itself: never sign what a reader would take for something else."""
    if len(note.signatures) > MAX_SIGNATURES or parse_note(note.raw) != note:
        raise Malformed("a text that is signed ends in a newline and holds no control characters")
    return note.raw
