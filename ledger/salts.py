"""The salts of a log's leaves, each wrapped under a key, each in a slot of its own that can be destroyed.

A file of slots of 40 bytes: slot 0 says which format this is, slot n + 1 holds the salt of leaf n wrapped by AES-256
(RFC 3394). A destroyed slot is 40 zero bytes, which no wrapped salt can be. Overwriting is what this file can do;
a disk or a backup may keep the old bytes, and those end with the key that wraps them. Never back up the key with the
file (R52).

The log's writer is the only one that changes this file, and holds the log's lock while it does.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from ledger.lines import sync_folder, write_all
from schemas.errors import Malformed, NotVerified

FORMAT = b"depositaire-salts/1\n"
SLOT_BYTES = 40
KEY_BYTES = 32
_HEADER = FORMAT.ljust(SLOT_BYTES, b"\x00")
_GONE = bytes(SLOT_BYTES)


@dataclass(frozen=True, slots=True)
class Kept:
    """The salt is there."""

    salt: bytes


@dataclass(frozen=True, slots=True)
class Destroyed:
    """The salt was there, and is no more: nobody can confirm what the leaf says."""


@dataclass(frozen=True, slots=True)
class NeverKept:
    """No salt was ever kept for this leaf."""


class Salts:
    """The salts of one log. `key`: 32 bytes that wrap them."""

    def __init__(self, path: Path, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Malformed("the key that wraps salts is 32 bytes")
        self.path = path
        self._key = key

    def keep(self, first: int, salts: Sequence[bytes]) -> None:
        """Keep the salts of leaves `first`, `first` + 1 …; returns when they are on disk, before the leaves may be.

        Salts from `first` on that are there already belong to leaves that were never acknowledged, and are replaced.
        """
        slots = b"".join(aes_key_wrap(self._key, salt) for salt in salts)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < SLOT_BYTES:
                os.ftruncate(handle, 0)
                write_all(handle, _HEADER)
                sync_folder(self.path.parent)
            _check_header(os.pread(handle, SLOT_BYTES, 0))
            if os.fstat(handle).st_size < _place(first):
                raise Malformed(f"the salt of a leaf before leaf {first} is missing", "Restore the file from a copy.")
            os.ftruncate(handle, _place(first))
            os.lseek(handle, _place(first), os.SEEK_SET)
            write_all(handle, slots)
            os.fsync(handle)
        finally:
            os.close(handle)

    def find(self, leaf_index: int) -> Kept | Destroyed | NeverKept:
        """Raises NotVerified when the slot was changed or another key wrapped it."""
        return _unwrapped(self._slot(leaf_index), self._key, leaf_index)

    def destroy(self, leaf_index: int) -> Destroyed | NeverKept:
        """Overwrite the salt of one leaf; returns when that is on disk. Twice is once."""
        if self._slot(leaf_index) is None:
            return NeverKept()
        handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.lseek(handle, _place(leaf_index), os.SEEK_SET)
            write_all(handle, _GONE)
            os.fsync(handle)
        finally:
            os.close(handle)
        return Destroyed()

    def _slot(self, leaf_index: int) -> bytes | None:
        """The slot of a leaf; none when the file does not reach that far. Half a slot was never acknowledged."""
        if leaf_index < 0:
            raise Malformed("leaves are numbered from 0")
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            _check_header(os.pread(handle, SLOT_BYTES, 0))
            slot = os.pread(handle, SLOT_BYTES, _place(leaf_index))
        finally:
            os.close(handle)
        return slot if len(slot) == SLOT_BYTES else None


def in_bytes(raw: bytes, key: bytes, leaf_index: int) -> Kept | Destroyed | NeverKept:
    """The salt of a leaf in the bytes of a whole file, as `Salts.find` finds it on disk."""
    _check_header(raw[:SLOT_BYTES])
    slot = raw[_place(leaf_index) : _place(leaf_index + 1)]
    return _unwrapped(slot if len(slot) == SLOT_BYTES else None, key, leaf_index)


def is_destroyed(raw: bytes, leaf_index: int) -> bool:
    """Whether the salt of a leaf was overwritten, in the bytes of a whole file. Needs no key."""
    return raw[_place(leaf_index) : _place(leaf_index + 1)] == _GONE


def _unwrapped(slot: bytes | None, key: bytes, leaf_index: int) -> Kept | Destroyed | NeverKept:
    if slot is None:
        return NeverKept()
    if slot == _GONE:
        return Destroyed()
    try:
        return Kept(aes_key_unwrap(key, slot))
    except InvalidUnwrap:
        raise NotVerified(f"the salt of leaf {leaf_index} was changed, or another key wraps it") from None


def _place(leaf_index: int) -> int:
    return (leaf_index + 1) * SLOT_BYTES


def _check_header(slot: bytes) -> None:
    if slot != _HEADER:
        raise NotVerified("this is not a file of salts of a known version", "Restore the file from a copy.")
