"""One value, one sequence of bytes: what is hashed, signed and compared.

Sorted keys, no spaces, UTF-8, no floats, integers that every reader keeps exact (RFC 8785 gives the same bytes for such
values). Instants are UTC, to the second or to the microsecond.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.errors import Malformed

EXACT = 2**53


def canonical(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of an object. Raises Malformed for what has none: floats, great integers, lone surrogates."""
    _check(value)
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise Malformed("a text is not Unicode") from None


def parse(raw: bytes) -> dict[str, Any]:
    """The object whose canonical bytes these are. Any other spelling of the same object is Malformed."""
    try:
        value = json.loads(raw.decode(), parse_float=_refuse, parse_constant=_refuse)
        same = isinstance(value, dict) and canonical(value) == raw
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise Malformed("not the canonical bytes of an object")
    return value  # type: ignore[no-any-return]


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def instant(at: datetime) -> str:
    """An instant as text: `2026-01-13T23:00:00Z`, with six more digits when it is not a whole second."""
    if at.tzinfo is None:
        raise Malformed("an instant needs a time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def read_instant(text: str) -> datetime:
    """The instant of a text that `instant` wrote; no other spelling."""
    try:
        at = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except (TypeError, ValueError, AttributeError):
        raise Malformed("not an instant") from None
    if instant(at) != text:
        raise Malformed("not an instant")
    return at


def _check(value: object) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if abs(value) > EXACT:
                raise Malformed("an integer is too great to be kept exact by every reader")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise Malformed("a key is not a text")
                _check(item)
        case Sequence() if not isinstance(value, bytes):
            for item in value:
                _check(item)
        case _:
            raise Malformed(f"a value of type {type(value).__name__} has no canonical bytes")


def _refuse(_: str) -> None:
    raise ValueError
