"""What was done with what is held, beside reading and the end of a contract: kinds 19 to 22.

No personal data: counts, digests, names of organisations. Sources: GDPR 5(2), 28(3)(a), 28(3)(g), 28(3)(h); R14, R18,
R47; RFC 3161.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ledger.bodies import Bodied
from schemas.errors import Malformed
from schemas.ids import System
from schemas.records import PROCESSOR_TABLES, RECORDS

_DIGEST = re.compile(r"[0-9a-f]{64}")
# How the contracts name their files, records, elements and views.
_SOURCE = re.compile(r"[A-Za-z0-9_.]{2,64}")


class Handing(StrEnum):
    """Why something left the shelf."""

    RETURN = "return"
    DISCLOSE = "disclose"
    TRANSFER = "transfer"


class Task(StrEnum):
    """What an agency can order to be done once."""

    RECTIFY = "rectify"
    ERASE = "erase"
    RETURN = "return"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored(Bodied):
    """An authority of time has seen the head of this log (RFC 3161): that of `size` leaves, whose checkpoint has the
    digest `checkpoint_sha256`. `response_sha256` is the digest of the authority's whole response, `authority` the name
    that operations gave it, `stamped_at` the instant that it states."""

    size: int
    checkpoint_sha256: str
    response_sha256: str
    authority: str
    stamped_at: datetime

    def __post_init__(self) -> None:
        _digests(self.checkpoint_sha256, self.response_sha256)
        if self.size < 0:
            raise Malformed("a log has no negative number of leaves")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed(Bodied):
    """Rows left the shelf (R14): to whom, on which instructions (none: the contract's own duty to give back,
    28(3)(g)), under which capability. `tables`: rows of each."""

    does: Handing
    recipient: str
    country: str | None
    tables: Mapping[str, int]
    instructions: tuple[str, ...]
    capability: str
    carried_out_at: datetime

    def __post_init__(self) -> None:
        _digests(self.capability)
        _counted(self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfilled(Bodied):
    """What an instruction ordered was done, under a capability. `tables`: rows of each that it met."""

    instruction: str
    does: Task
    tables: Mapping[str, int]
    capability: str
    carried_out_at: datetime

    def __post_init__(self) -> None:
        _digests(self.capability)
        _counted(self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded(Bodied):
    """A source sent more than was instructed: what fell at the gate of one delivery, for the agency to know (28(3)(a),
    5(1)(c)). `lines`: lines of each source table of which nothing was let in; `values`: values of each canonical
    column, written table.column, that fell from lines that were."""

    system: System
    delivery: str
    lines: Mapping[str, int]
    values: Mapping[str, int]

    def __post_init__(self) -> None:
        columns = {f"{name}.{f.name}" for name in PROCESSOR_TABLES for f in RECORDS[name].fields}
        named = all(_SOURCE.fullmatch(s) for s in self.lines) and set(self.values) <= columns
        if not named or any(n <= 0 for n in (*self.lines.values(), *self.values.values())):
            raise Malformed("what exceeds an instruction is counted by source table and by canonical column")


def beyond(entries: Iterable[Exceeded]) -> list[dict[str, Any]]:
    """By system: how many deliveries held more than was instructed, and what of them was left out."""
    told = list(entries)
    return [
        {
            "system": system,
            "deliveries": sum(e.system == system for e in told),
            "lines": sum(n for e in told if e.system == system for n in e.lines.values()),
            "values": sum(n for e in told if e.system == system for n in e.values.values()),
        }
        for system in sorted({str(e.system) for e in told})
    ]


Deed = Anchored | Handed | Fulfilled | Exceeded

KINDS: dict[type[Deed], int] = {Anchored: 19, Handed: 20, Fulfilled: 21, Exceeded: 22}


def _digests(*texts: str) -> None:
    if not all(_DIGEST.fullmatch(t) for t in texts):
        raise Malformed("a digest is 64 hexadecimal figures")


def _counted(tables: Mapping[str, int]) -> None:
    if not set(tables) <= set(PROCESSOR_TABLES) or any(rows < 0 for rows in tables.values()):
        raise Malformed("rows are counted by canonical table")
