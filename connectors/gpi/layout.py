"""The layout of GPI as data: positions, kinds of fields, code lists (`connectors/layouts/gpi-01.02.toml`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LAYOUTS = Path(__file__).parents[1] / "layouts"


@dataclass(frozen=True, slots=True)
class Span:
    """Where a field lies in its record: bytes `start` to `stop`, counted from 0, `stop` excluded."""

    start: int
    stop: int
    kind: str

    @property
    def width(self) -> int:
        return self.stop - self.start

    def of(self, record: bytes) -> bytes:
        return record[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Layout:
    """One version of the contract. `records` maps a record type to its fields, the common prefix included."""

    name: str
    version: str
    accepts: str
    charset: str
    codec: str
    record_length: int
    largest: int
    header: str
    trailer: str
    departure: str
    at_width: frozenset[str]
    zero_is_none: frozenset[str]
    codes: Mapping[str, Mapping[str, str]]
    prefix: Mapping[str, Span]
    records: Mapping[str, Mapping[str, Span]]

    @property
    def body(self) -> tuple[str, ...]:
        """The types of the source lines: every record but the header and the trailer."""
        return tuple(t for t in self.records if t not in (self.header, self.trailer))


@cache
def layout() -> Layout:
    """The layout 01.02, which reads every 01.xx."""
    said = tomllib.loads((LAYOUTS / "gpi-01.02.toml").read_text(encoding="utf-8"))
    prefix = _spans(said.pop("prefix"))
    said["records"] = {kind: {**prefix, **_spans(fields)} for kind, fields in said.pop("record").items()}
    said["at_width"], said["zero_is_none"] = frozenset(said["at_width"]), frozenset(said["zero_is_none"])
    return Layout(**said, prefix=prefix)


def _spans(fields: Mapping[str, Any]) -> dict[str, Span]:
    """From 1-based positions, both ends included, to the slices of Python."""
    return {name: Span(first - 1, last, kind) for name, (first, last, kind) in fields.items()}
