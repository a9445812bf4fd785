"""What is in the way of a home's files: a disk without room, one that fails, somebody else at work on them."""

import errno
import sqlite3

from schemas.errors import StoreAway

_OF_FILES = {
    sqlite3.SQLITE_FULL: ("the disk has no room left", "Make room, then do the same again."),
    sqlite3.SQLITE_IOERR: ("the disk fails or has no room left", "Look at both, then do the same again."),
    sqlite3.SQLITE_CANTOPEN: (
        "a file of the records cannot be opened",
        "Look at its disk and its rights, then do the same again.",
    ),
    sqlite3.SQLITE_BUSY: ("another process holds the records", "Wait until it ends, then do the same again."),
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def in_the_way(error: BaseException) -> StoreAway | None:
    """What an error of SQLite or of a file is told as where the disk, or who works on it, is to blame; else None."""
    own = getattr(error, "orig", None) or error  # SQLAlchemy wraps its driver's
    told = None
    if isinstance(own, sqlite3.Error):
        told = _OF_FILES.get((getattr(own, "sqlite_errorcode", None) or 0) & 0xFF)
    elif isinstance(own, OSError) and own.errno in _FULL:
        told = _OF_FILES[sqlite3.SQLITE_FULL]
    return StoreAway(*told) if told else None
