"""Bodies of entries whose fields are their class's: to canonical JSON and back, no other field, no other type."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from ledger.canonical import instant, read_instant
from schemas.ids import AgencyCode, agency_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodied:
    """An entry whose body has exactly the fields of its class."""

    def body(self) -> dict[str, Any]:
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def read(cls, body: dict[str, Any]) -> Self:
        """The entry of a body with exactly these fields. Raises KeyError, TypeError or ValueError otherwise."""
        hints = get_type_hints(cls)
        if set(body) != {f.name for f in fields(cls)}:
            raise KeyError
        return cls(**{f.name: typed(hints[f.name], body[f.name]) for f in fields(cls)})


def plain(value: Any) -> Any:
    match value:
        case datetime():
            return instant(value)
        case tuple():
            return [plain(v) for v in value]
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case StrEnum():
            return str(value)
        case _:
            return value


def typed(hint: Any, value: Any) -> Any:
    """A value of a body as its field wants it: no other type passes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return None if value is None else typed(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError
        return tuple(typed(arguments[0], v) for v in value)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise TypeError
        return {typed(arguments[0], k): typed(arguments[1], v) for k, v in value.items()}
    if hint is datetime:
        return read_instant(value)
    if hint is AgencyCode:
        return agency_code(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if type(value) is not hint:
        raise TypeError
    return value
