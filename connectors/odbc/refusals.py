"""What a driver answers, without its words: they may quote a row. Only the SQLSTATE is told.

A refusal is made in the child that holds the connection and raised again in the process that asked, so it has a plain
form: its kind, what happened, a hint.
"""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from schemas.errors import Malformed, Say, TryAgain

T = TypeVar("T")


class NoSuchViewError(LookupError):
    """The source has no table or view of that name (SQLSTATE 42S02)."""


class Lost(TryAgain):
    """The connection ended while its snapshot was read: nothing of it holds, another reading may."""


class Hung(TryAgain):
    """Nothing was answered within the limits; whoever was asked has been ended."""


class TooWide(Say):
    """A value is longer than its column declares: the fast way cannot hold it, the exact one can."""


KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (Malformed, TryAgain, Lost, TooWide, NoSuchViewError)
}

# SQLite's driver says HY000 for everything; these are its own words, before any name it quotes.
_SQLITE_SAYS = (
    ("no such table", "42S02"),
    ("connect failed", "08001"),
    ("unable to open", "08001"),
    ("locked", "HYT00"),
    ("busy", "HYT00"),
)
# MariaDB's own numbers for a server that went away, whatever SQLSTATE its driver gives (errmsg.h of Connector/C): where
# each library writes them.
_GONE = re.compile(
    r"\[ma-.*\((?:2006|2013|2055|501[345])\) \(SQL\w+\)|Native error: (?:2006|2013|2055|501[345]), .*\[ma-"
)
_STATE = re.compile(r"State: ([0-9A-Z]{5})")
_NO_VIEW = ("42S02", "42P01", "3F000")
# Connection lost, an operator ended it, the server stopped.
_LOST = ("08", "57P")
# Resources, operator intervention, timeouts, deadlocks: the same call may succeed later.
_WORLD = ("53", "57", "HYT", "40", "55P03", "58")
_CONFIGURATION = ("IM", "01000", "28", "3D", "42", "HYC00")
_MEMORY = ("HY001", "HY013")
_AGAIN = "The next reading tries again"


def state_of(said: str, state: str = "HY000") -> str:
    """The SQLSTATE of what a driver said; `state`, where the library tells it apart from the words."""
    if (found := _STATE.search(said)) is not None:
        state = found[1]
    if _GONE.search(said):
        return "08S01"
    if state == "HY000" and "[SQLite]" in said:
        words = said.partition("[SQLite]")[2]
        return next((code for phrase, code in _SQLITE_SAYS if phrase in words[:40]), state)
    return state if re.fullmatch(r"[0-9A-Z]{5}", state) else "HY000"


def refusal(state: str, doing: str) -> Exception:
    """What a SQLSTATE means for a reading that goes on."""
    if state.startswith(_NO_VIEW):
        return NoSuchViewError(doing)
    if state.startswith(_LOST):
        return Lost(f"{doing}: the connection was lost (SQLSTATE {state})", _AGAIN)
    if state.startswith(_WORLD):
        return TryAgain(f"{doing}: the database did not answer (SQLSTATE {state})", _AGAIN)
    if state.startswith(_MEMORY):
        return no_memory(doing)
    return Malformed(f"{doing}: the database refused (SQLSTATE {state})", "Check account, rights and driver")


def no_connection(state: str) -> Say:
    """What a SQLSTATE means for a connection that was not made."""
    if state.startswith(_CONFIGURATION):
        return Malformed(f"connecting: refused (SQLSTATE {state})", "Check driver, DSN, database and account")
    return TryAgain(f"connecting: no database there (SQLSTATE {state})", "Check server, port, path and password")


def not_unicode(doing: str) -> Malformed:
    """spilasuite.md, "Transport": a driver that cannot deliver Unicode is a configuration error."""
    return Malformed(f"{doing}: the driver does not deliver Unicode", "Use the Unicode driver")


def no_memory(doing: str) -> Malformed:
    return Malformed(f"{doing}: it takes more memory than a reading may have", "Check what the views hold")


def too_wide(doing: str) -> TooWide:
    return TooWide(f"{doing}: a value is longer than its column declares")


def without_words(read: Callable[[Exception], Exception | None], call: Callable[[], T]) -> T:
    """The answer of a driver. An error that `read` understands is replaced by what it makes of it, outside of its
    handler: no traceback leads back to the driver's words."""
    try:
        return call()
    except Exception as error:
        found = read(error)
        if found is None:
            raise
    try:
        raise found
    finally:
        del found  # its traceback holds this frame: a circle would keep the connection open


def as_plain(error: Exception) -> dict[str, str]:
    """A refusal for the way between two processes. Of any other error only its kind and place are told."""
    kind = type(error).__name__
    if KINDS.get(kind) is not type(error):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{kind} at {Path(frame.filename).name}:{frame.lineno}"
        return {"refused": "Malformed", "what": f"the reading broke ({where})", "hint": ""}
    if isinstance(error, Say):
        return {"refused": kind, "what": error.what, "hint": error.hint}
    return {"refused": kind, "what": str(error), "hint": ""}


def from_plain(told: dict[str, str]) -> Exception:
    kind = KINDS[told["refused"]]
    return kind(told["what"], told["hint"]) if issubclass(kind, Say) else kind(told["what"])
