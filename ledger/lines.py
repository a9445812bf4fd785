"""A file of lines that only grows: one writer, on disk before it is acknowledged, whole after any crash.

A line is written with one call and its newline last. What follows the last newline when the file is opened again was
never acknowledged: it is cut, unless it is a whole line that lacks its newline only, which is then completed.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Malformed, NotVerified, TryAgain

PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.02


class Appender:
    """The file, open and locked. `whole` is everything on disk, as complete lines."""

    def __init__(self, handle: int, whole: bytes) -> None:
        self._handle = handle
        self.whole = whole

    def append(self, lines: bytes) -> None:
        """Write complete lines at the end; returns when they are on disk."""
        if not lines.endswith(b"\n"):
            raise Malformed("a line ends with its newline")
        write_all(self._handle, lines)
        os.fsync(self._handle)
        self.whole += lines


@contextmanager
def appending(path: Path, is_whole: Callable[[bytes], bool]) -> Iterator[Appender]:
    """Open (or make) the file for one writer. `is_whole` says whether a last line without newline is complete.

    Raises TryAgain when another process keeps the file longer than `PATIENCE_SECONDS`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock(handle, fcntl.LOCK_EX)
        if fresh:
            sync_folder(path.parent)
        yield Appender(handle, _mend(handle, is_whole))
    finally:
        os.close(handle)


def read_lines(path: Path, is_whole: Callable[[bytes], bool]) -> list[bytes]:
    """Every complete line, without newlines; empty when there is no file. A torn end is left out, as a writer would
    cut it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        lock(handle, fcntl.LOCK_SH)
        whole, tail = _split(_read_all(handle))
    finally:
        os.close(handle)
    lines = whole.split(b"\n")[:-1]
    return [*lines, tail] if _counts(tail, is_whole) else lines


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on disk: a new file is not there after a power cut until this has been done."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, raw: bytes) -> None:
    """The file has these bytes, whole and on disk when this returns; or, whatever happens, what it had before.

    Readable by its owner alone. What a crash leaves beside it (`.<name>.half`) is written over by the next attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_name(f".{path.name}.half")
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(handle, raw)
        os.fsync(handle)
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    sync_folder(path.parent)


def write_all(handle: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(handle, view) :]


def _mend(handle: int, is_whole: Callable[[bytes], bool]) -> bytes:
    whole, tail = _split(_read_all(handle))
    if not tail:
        return whole
    if _counts(tail, is_whole):
        write_all(handle, b"\n")
        whole += tail + b"\n"
    else:
        os.ftruncate(handle, len(whole))
    os.fsync(handle)
    return whole


def _counts(tail: bytes, is_whole: Callable[[bytes], bool]) -> bool:
    """Whether what follows the last newline is a line. A crash leaves part of a line, never a line and something
    more."""
    if tail and is_whole(tail[:-1]):
        raise NotVerified("the last line does not end with its newline", "Restore the file from a copy.")
    return bool(tail) and is_whole(tail)


def _split(raw: bytes) -> tuple[bytes, bytes]:
    end = raw.rfind(b"\n") + 1
    return raw[:end], raw[end:]


def _read_all(handle: int) -> bytes:
    size = os.fstat(handle).st_size
    parts = []
    at = 0
    while at < size and (part := os.pread(handle, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def lock(handle: int, how: int) -> None:
    """Hold an open file (`fcntl.LOCK_EX`, `fcntl.LOCK_SH`) until it is closed. Raises TryAgain after
    `PATIENCE_SECONDS`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TryAgain(
                    "another process is writing this file", "Wait until it ends, then do the same again."
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
