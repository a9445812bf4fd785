"""The keys of the agencies' logs: one that signs their heads, and for each log one that wraps its salts.

They are made when they are first needed, and lie wrapped by the root key: `KEYS/log.key` (Ed25519, RFC 8032) and
`KEYS/logs/<CODE>.key`. None of them is an agency's data key: the log outlives those (R22, R45). The signing key is not
that of certificates either: a head and a certificate can never pass for one another, and each can be replaced alone.
"""

import os
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import verifier_key
from ledger.leaf import origin
from ledger.lines import sync_folder, write_all
from ledger.note import Key
from ledger.salts import KEY_BYTES
from schemas.errors import NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode

_RESTORE = "Restore it from the copy of the keys."


class Root(Protocol):
    """What wraps a key: the provider of the root key, which never leaves it. `purpose` binds a wrapped key to its
    use."""

    def wrap(self, secret: bytes, purpose: str) -> bytes: ...

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes: ...


class LogKeys:
    """The keys of every log of a home, each read once."""

    def __init__(self, home: Home, root: Root) -> None:
        self._home = home
        self._root = root
        self._signer: Ed25519PrivateKey | None = None
        self._salts: dict[AgencyCode, bytes] = {}

    def begin(self, agency: AgencyCode) -> None:
        """Make what is missing for a log that begins. Once there is a log, its keys are never made again: other ones
        would only hide that the first are lost."""
        if not self._home.log_signing_key.exists() and not any(self._home.ledgers.glob("*/checkpoint")):
            secret = Ed25519PrivateKey.generate().private_bytes_raw()
            _write_once(self._home.log_signing_key, self._root.wrap(secret, "log signing"))
        if not self._home.log_key(agency).exists():
            secret = secrets.token_bytes(KEY_BYTES)
            _write_once(self._home.log_key(agency), self._root.wrap(secret, _purpose(agency)))

    @property
    def signer(self) -> Ed25519PrivateKey:
        """What signs the heads of all logs, each under its log's name."""
        if self._signer is None:
            wrapped = _read(self._home.log_signing_key, "the key that signs the logs is missing")
            self._signer = Ed25519PrivateKey.from_private_bytes(self._root.unwrap(wrapped, "log signing"))
        return self._signer

    def verifier(self, agency: AgencyCode) -> Key:
        """What anyone needs to verify the checkpoints of one log."""
        return verifier_key(origin(agency), self.signer)

    def of_salts(self, agency: AgencyCode) -> bytes:
        """What wraps the salts of one log."""
        if agency not in self._salts:
            wrapped = _read(self._home.log_key(agency), "the key of this log's salts is missing")
            self._salts[agency] = self._root.unwrap(wrapped, _purpose(agency))
        return self._salts[agency]


def _purpose(agency: AgencyCode) -> str:
    return f"log salts {agency}"


def _read(path: Path, missing: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotVerified(missing, _RESTORE) from None


def _write_once(path: Path, raw: bytes) -> None:
    """Whole and on disk, or not at all; of two that write at once the first stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(handle, raw)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        path.hardlink_to(half)
    except FileExistsError:
        pass  # somebody else was first
    finally:
        half.unlink()
    sync_folder(path.parent)
