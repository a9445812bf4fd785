"""Signed notes: a text, an empty line, and a line for each signature. The form of C2SP signed-note v1.0.0.

    depositaire/A0003/instructions
    3
    sLOBt4Y0Taau2wYQpx9tYWSlV7Xy+cx77MygCCCxVdY=

    — depositaire/A0003/instructions y5JEK1uWpYo03r5DVco6dPg3TX7NVJgyI4kNTSkASaix0FFyQwRZRRsZJei4eve0obROwsTEiND…

A key is known by its name and its ID, four bytes of a digest over name, type and key: enough to find the key that a
signature was made with, never a reason to trust it. docs/specs/instruction-log.md shows the bytes.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

from schemas.errors import Malformed

ED25519 = 0x01
COSIGNATURE = 0x04  # a timestamped Ed25519 signature over a checkpoint: C2SP tlog-cosignature v1.0.1

ID_BYTES = 4
ED25519_BYTES = 32

# The specification asks for at least 16 signatures, and for a limit.
MAX_SIGNATURES = 100
MAX_NOTE_BYTES = 16 * 1024 * 1024
MAX_KEYS = 1_000

_DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NOT_IN_NAMES = re.compile(r"[\s+\ud800-\udfff]")
_FIELD_PRIME = 2**255 - 19


@dataclass(frozen=True, slots=True)
class Key:
    """A verifier key. `kind`: the type of signature that it verifies; `public`: the key itself, in that type's form."""

    name: str
    id: bytes
    kind: int
    public: bytes

    @classmethod
    def of(cls, name: str, kind: int, public: bytes) -> "Key":
        """The key of this name, with the ID that follows from it. Raises Malformed."""
        return cls.parse(_spelled(name, key_id(name, kind, public), kind, public))

    @classmethod
    def parse(cls, text: str) -> "Key":
        """The key written `name+ID+base64(type, key)`: ID of eight lower-case hexadecimal figures. Raises Malformed.

        Of types that are not verified here the form alone is checked: their ID may be computed otherwise.
        """
        name, _, rest = text.partition("+")
        figures, _, encoded = rest.partition("+")
        raw = decode_base64(encoded)
        if not is_key_name(name) or not re.fullmatch("[0-9a-f]{8}", figures) or not raw:
            raise Malformed("this is not a verifier key", "One is written name+ID+base64.")
        key = cls(name, bytes.fromhex(figures), raw[0], raw[1:])
        if key.kind in (ED25519, COSIGNATURE):
            if not is_point(key.public):
                raise Malformed("a verifier key does not hold an Ed25519 key", "Ask its owner for it again.")
            if key.id != key_id(name, key.kind, key.public):
                raise Malformed(
                    "the ID of a verifier key is not that of its name and key", "Ask its owner for it again."
                )
        return key

    def __str__(self) -> str:
        return _spelled(self.name, self.id, self.kind, self.public)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who says to have signed, by name and key ID, and the bytes that show it."""

    name: str
    id: bytes
    raw: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.id + self.raw).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A note that is spelled as one. None of its signatures is verified."""

    text: bytes
    signatures: tuple[Signature, ...]

    @property
    def raw(self) -> bytes:
        return self.text + b"\n" + "".join(f"{s}\n" for s in self.signatures).encode()


def parse_note(raw: str | bytes) -> Note:
    """The text and the signatures of a note, unverified. Raises Malformed.

    The text may hold empty lines: the last empty line is the one that ends it. It is at least one newline.
    """
    content = _decoded(raw)
    if _CONTROL.search(content):
        raise Malformed("a note holds control characters")
    text, separator, lines = content.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Malformed("a note is a text, an empty line and signature lines, each with its newline")
    signed = lines.split("\n", MAX_SIGNATURES + 1)[:-1]
    if len(signed) > MAX_SIGNATURES:
        raise Malformed(f"a note has more than {MAX_SIGNATURES} signatures")
    return Note(f"{text}\n".encode(), tuple(_signature(line) for line in signed))


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """What tells keys apart: the first four bytes of the digest over name, newline, type and key."""
    return sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:ID_BYTES]


def keys_of(keys: str | Iterable[str]) -> dict[tuple[str, bytes], list[Key]]:
    """Verifier keys by name and ID, from one key in text or from any number. Raises Malformed."""
    known: dict[tuple[str, bytes], list[Key]] = {}
    for text in _listed(keys):
        key = Key.parse(_decoded(text))
        known.setdefault((key.name, key.id), []).append(key)
    return known


def is_key_name(name: str) -> bool:
    """Not empty, without a space of any script and without plus."""
    return bool(name) and not _NOT_IN_NAMES.search(name)


def decode_base64(text: str) -> bytes | None:
    """The bytes of a text in the base64 of RFC 4648 §4; None for any spelling but the one that these bytes have."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw) == text.encode() else None


def is_point(public: bytes) -> bool:
    """Whether 32 bytes spell a point as RFC 8032 §5.1.3 does: y below the prime, and no sign for an x of zero.

    Whether such a point exists, and is one that a key pair can have, is left to the library that verifies.
    """
    y = int.from_bytes(public, "little") % 2**255
    negative = public[-1:] >= b"\x80"
    return len(public) == ED25519_BYTES and y < _FIELD_PRIME and not (negative and y in (1, _FIELD_PRIME - 1))


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = decode_base64(encoded)
    if not line.startswith(_DASH) or not is_key_name(name) or raw is None or len(raw) <= ID_BYTES:
        raise Malformed("a signature line is not written as one")
    return Signature(name, raw[:ID_BYTES], raw[ID_BYTES:])


def _decoded(raw: object) -> str:
    # Types are compared, not their descendants admitted: those may do anything when they are read.
    if type(raw) is not str and type(raw) is not bytes:
        raise Malformed("a note or a key is given as text or as bytes")
    if len(raw) > MAX_NOTE_BYTES:
        raise Malformed("a note is longer than 16 MiB")
    try:
        return raw.encode().decode() if isinstance(raw, str) else raw.decode()
    except UnicodeError:
        raise Malformed("a note or a key is not valid UTF-8") from None


def _listed(keys: Any) -> list[object]:
    if type(keys) is str or type(keys) is bytes:
        return [keys]
    try:
        found = list(islice(keys, MAX_KEYS + 1))
    except Exception:  # noqa: BLE001 — whatever kept the list from being read, there is none
        raise Malformed("keys are given as one text or as a list of texts") from None
    if len(found) > MAX_KEYS:
        raise Malformed(f"more than {MAX_KEYS} keys were given")
    return found


def _spelled(name: str, identity: bytes, kind: int, public: bytes) -> str:
    return f"{name}+{identity.hex()}+{b64encode(bytes((kind,)) + public).decode()}"
