"""The words between a worker and the host: JSON in which bytes are `{"$": base64}`, one message a call.

An answer is `{"ok": …}`, or `{"no": [kind, what, hint]}` with one of the house's ways to say no. Fractions and unknown
fields are refused: what is not expected is not read.
"""

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from ledger.canonical import instant, read_instant
from ledger.entry import KINDS, Entry, Head, Line, entry_of
from schemas.errors import Malformed
from schemas.ids import AgencyCode, System, agency_code
from store.pages import Sheet

SERVICE = "depositaire.host.v1"
# The name in the host's certificate, whatever its address is: no such domain can exist (RFC 6761).
SERVER_NAME = "host.depositaire.invalid"
LARGEST_MESSAGE = 8 * 2**20
_BYTES = "$"

T = TypeVar("T")


def encode(value: Any) -> bytes:
    return json.dumps(_plain(value), separators=(",", ":")).encode("ascii")


def decode(raw: bytes) -> Any:
    """Raises Malformed for what `encode` does not write."""
    try:
        return json.loads(raw, object_hook=_bytes, parse_float=_never, parse_constant=_never)
    except (ValueError, RecursionError):
        raise Malformed("a message cannot be read") from None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with exactly these fields. Each getter raises Malformed for a value of another kind."""

    fields: Mapping[str, Any]

    @classmethod
    def read(cls, raw: bytes, names: Collection[str]) -> "Asked":
        said = decode(raw)
        if not isinstance(said, dict) or set(said) != set(names):
            raise Malformed("a question has other fields than its own")
        return cls(said)

    def text(self, name: str) -> str:
        return _of(str, self.fields[name])

    def number(self, name: str) -> int:
        return _of(int, self.fields[name])

    def flag(self, name: str) -> bool:
        return _of(bool, self.fields[name])

    def row(self, name: str) -> list[Any]:
        return _of(list, self.fields[name])

    def agency(self, name: str = "agency") -> AgencyCode | None:
        return None if self.fields[name] is None else agency_code(self.text(name))

    def named(self, name: str = "agency") -> AgencyCode:
        return agency_code(self.text(name))

    def codes(self, most: int, name: str = "agencies") -> list[AgencyCode]:
        return [agency_code(_of(str, code)) for code in self.few(most, name)]

    def few(self, most: int, name: str) -> list[Any]:
        found = self.row(name)
        if len(found) > most:
            raise Malformed("a question asks for too much at once")
        return found

    def system(self, name: str = "system") -> System:
        try:
            return System(self.text(name))
        except ValueError:
            raise Malformed("an unknown system was named") from None

    def instant(self, name: str = "at") -> datetime:
        return read_instant(self.text(name))


# -- what has a form of its own ----------------------------------------------------------------------------------------


def head_said(head: Head | None) -> Any:
    return None if head is None else [head.size, head.root]


def head_read(said: Any) -> Head:
    size, root = _row(said, int, bytes)
    return Head(size, root)


def line_said(line: Line) -> Any:
    from ledger.entry import body_of

    return [line.number, instant(line.at), KINDS[type(line.entry)], body_of(line.entry), line.hash, line.key]


def line_read(said: Any) -> Line:
    number, at, kind, body, digest, key = _row(said, int, str, int, dict, str, None)
    return Line(number, read_instant(at), entry_of(kind, body), digest, _maybe(str, key))


def item_read(said: Any) -> tuple[Entry, str]:
    """An entry to be recorded, and the key under which twice is once."""
    kind, body, key = _row(said, int, dict, str)
    return entry_of(kind, body), key


def sheet_said(sheet: Sheet) -> Any:
    return [sheet.no, sheet.used, sheet.sealed, sheet.before]


def sheet_read(said: Any) -> Sheet:
    no, used, sealed, before = _row(said, int, None, bytes, None)
    return Sheet(no, _maybe(int, used), sealed, _maybe(bytes, before))


def chunks(whole: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


def _row(said: Any, *kinds: Any) -> list[Any]:
    """The values of a list of so many, each of its kind (None: looked at later)."""
    if not isinstance(said, list) or len(said) != len(kinds):
        raise Malformed("a message has another form than its own")
    return [value if kind is None else _of(kind, value) for kind, value in zip(kinds, said, strict=True)]


def _maybe(kind: Any, value: Any) -> Any:
    return None if value is None else _of(kind, value)


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise Malformed("a message holds a value of another kind than its own")
    return value


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {_BYTES: base64.b64encode(value).decode()}
        case None | bool() | int():
            return value
        case str():
            return str(value)
        case Mapping():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case _:
            raise TypeError(type(value).__name__)


def _bytes(said: dict[str, Any]) -> Any:
    if said.keys() != {_BYTES}:
        return said
    if not isinstance(said[_BYTES], str):
        raise Malformed("a message cannot be read")
    try:
        return base64.b64decode(said[_BYTES], validate=True)
    except binascii.Error:
        raise Malformed("a message cannot be read") from None


def _never(_: str) -> Any:
    raise ValueError
