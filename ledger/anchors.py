"""A log's anchors: heads that an authority of time has stamped, kept beside the log and named by it.

    anchors/12.checkpoint   the signed note that was stamped, of the head with twelve leaves, byte for byte
    anchors/12.tsr          the authority's whole answer (DER)
    anchors/12.nonce        a question that was carried away by hand waits for its answer

Both files are on disk before the log names them (`Anchored`, under the key `anchor:12`). What a run that was stopped
left between the two is recorded by the next one. Nothing here removes a stamped head: should the log not extend one,
it is the evidence of that.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.x509 import Certificate

from ledger.canonical import instant
from ledger.deeds import Anchored
from ledger.entry import Entry, History
from ledger.lines import lock, sync_folder, write_whole
from ledger.log import Log
from ledger.timestamp import Question, Stamp, ask, verify
from ledger.witness import verify_since
from schemas.errors import Malformed, NotVerified

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_RESTORE = "Restore the folder anchors from a copy; keep what is there as evidence."


@dataclass(frozen=True, slots=True)
class Authority:
    """Whom we believe about time: the name that operations gave it, the certificates that its chain may end at, the
    policy that its timestamps must be made under (None: any)."""

    name: str
    trust: tuple[Certificate, ...]
    policy: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Malformed("the authority has no name", "Give it one with --name.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A head that waits for its timestamp. `size`: its leaves; `checkpoint`: its signed note."""

    size: int
    checkpoint: bytes
    question: Question


def is_due(entries: Sequence[Entry]) -> bool:
    """Whether anything but anchors was recorded since the last head that was anchored."""
    since = max((e.size for e in entries if isinstance(e, Anchored)), default=0)
    return any(not isinstance(e, Anchored) for e in entries[since:])


def as_json(agency: str, anchored: Anchored) -> dict[str, Any]:
    return {
        "agency": agency, "size": anchored.size, "stamped_at": instant(anchored.stamped_at),
        "authority": anchored.authority, "response_sha256": anchored.response_sha256,
    }  # fmt: skip


class Anchors:
    """The anchors of one log that is there. `verifier`: the key of its checkpoints, in text."""

    def __init__(self, log: Log, verifier: str) -> None:
        self._log = log
        self._verifier = verifier
        self.folder = log.path / "anchors"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: of two that anchor at once the second finds what the first did."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(handle, fcntl.LOCK_EX)
            sync_folder(self._log.path)
            yield
        finally:
            os.close(handle)

    def next(self) -> Asked | None:
        """The head to be stamped, and a fresh question about it; None when there is nothing to do."""
        checkpoint = self._log.checkpoint()
        history = self._log.read()
        size = verify_since(checkpoint, history, self._verifier).size
        return Asked(size, checkpoint, ask(checkpoint)) if is_due(history.entries[:size]) else None

    def record(self, asked: Asked, response: bytes, authority: Authority, at: datetime) -> Anchored:
        """Verify an answer, keep it, and name it in the log. Nothing is written when it is not verified."""
        stamp = verify(response, asked.checkpoint, authority.trust, asked.question.nonce, authority.policy)
        write_whole(self.folder / f"{asked.size}.checkpoint", asked.checkpoint)
        write_whole(self.folder / f"{asked.size}.tsr", response)
        return self._name(asked.size, asked.checkpoint, stamp, authority, at)

    def mend(self, authority: Authority, at: datetime) -> list[Anchored]:
        """Record answers that are kept and that the log does not name: a run was stopped between the two."""
        history = self._log.read()
        named = {e.size for e in history.entries if isinstance(e, Anchored)}
        left = [size for size in self._sizes("tsr") if size not in named]
        return [self._adopt(size, history, authority, at) for size in left]

    def _adopt(self, size: int, history: History, authority: Authority, at: datetime) -> Anchored:
        checkpoint, response = self.checkpoint(size), self._read(f"{size}.tsr")
        if verify_since(checkpoint, history, self._verifier).size != size:
            raise NotVerified(f"anchors/{size}.checkpoint is of another size", _RESTORE)
        try:
            stamp = verify(response, checkpoint, authority.trust, self._nonce(size), authority.policy)
        except NotVerified as no:
            raise NotVerified(
                f"anchors/{size}.tsr, which the log does not name yet: {no.what}",
                "Give --trust of the authority that was asked, or move the file away.",
            ) from None
        return self._name(size, checkpoint, stamp, authority, at)

    def _name(self, size: int, checkpoint: bytes, stamp: Stamp, authority: Authority, at: datetime) -> Anchored:
        entry = Anchored(
            size=size,
            checkpoint_sha256=sha256(checkpoint).hexdigest(),
            response_sha256=stamp.response_sha256,
            authority=authority.name,
            stamped_at=stamp.stamped_at,
        )
        self._log.append(entry, at, f"anchor:{size}")
        (self.folder / f"{size}.nonce").unlink(missing_ok=True)
        return entry

    # -- by hand -------------------------------------------------------------------------------------------------------

    def await_answer(self, asked: Asked) -> None:
        """Keep what the answer to a question will be held to. A later question about the same head takes its place."""
        write_whole(self.folder / f"{asked.size}.checkpoint", asked.checkpoint)
        write_whole(self.folder / f"{asked.size}.nonce", f"{asked.question.nonce}\n".encode())

    def take(self, size: int, response: bytes, authority: Authority, at: datetime) -> Anchored:
        """Record the answer to a question that waits. An answer that the log names already is named once."""
        history = self._log.read()
        for entry in history.entries:
            if isinstance(entry, Anchored) and entry.response_sha256 == sha256(response).hexdigest():
                return entry
        checkpoint, nonce = self.checkpoint(size), self._nonce(size)
        if verify_since(checkpoint, history, self._verifier).size != size or nonce is None:
            raise NotVerified("no question waits for this answer", "Write one with --query, and have it answered.")
        return self.record(Asked(size, checkpoint, Question(b"", nonce)), response, authority, at)

    # -- files ---------------------------------------------------------------------------------------------------------

    def size_of(self, digest: bytes) -> int | None:
        """The size of the head whose checkpoint has this digest; None when none is kept."""
        found = (n for n in self._sizes("checkpoint") if sha256(self.checkpoint(n)).digest() == digest)
        return next(found, None)

    def checkpoint(self, size: int) -> bytes:
        return self._read(f"{size}.checkpoint")

    def _nonce(self, size: int) -> int | None:
        path = self.folder / f"{size}.nonce"
        return int(path.read_bytes()) if path.exists() else None

    def _sizes(self, ending: str) -> list[int]:
        return sorted(int(p.stem) for p in self.folder.glob(f"*.{ending}") if _SIZE.fullmatch(p.stem))

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise NotVerified(f"anchors/{name} is missing", _RESTORE) from None


def verify_anchored(history: History, size: int, checkpoint: bytes, response: bytes) -> Anchored:
    """The log names this answer, and this head, as its anchor of that size. Returns the entry, or raises
    NotVerified."""
    stands = [e for e in history.entries if isinstance(e, Anchored) and e.size == size]
    told = [e for e in stands if e.response_sha256 == sha256(response).hexdigest()]
    if not told or told[0].checkpoint_sha256 != sha256(checkpoint).hexdigest():
        raise NotVerified("the log does not name this timestamp", "Keep it as evidence; check --home.")
    return told[0]
