"""What happened to one delivery: counts and codes, never a value (contracts README, "Outcome")."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from schemas.ids import AgencyCode, System

LOCI = ("line", "offset", "key", "ref")


@dataclass(frozen=True, slots=True)
class Counts:
    """read = stored + unchanged + quarantined + ignored + withheld, for one source table of one delivery."""

    read: int = 0
    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    ignored: int = 0
    withheld: int = 0

    def as_json(self) -> dict[str, int]:
        """`withheld` is left out where it is zero."""
        out = {name: getattr(self, name) for name in ("ignored", "quarantined", "read", "stored", "unchanged")}
        return out | ({"withheld": self.withheld} if self.withheld else {})

    @property
    def again(self) -> "Counts":
        """Of the same lines once more: what was stored is there."""
        return replace(self, stored=0, unchanged=self.unchanged + self.stored)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One line put aside: source table, where (line, offset, key or ref) and why."""

    source: str
    locus: str
    loc: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        where: str | int = int(self.loc) if self.locus in ("line", "offset") else self.loc
        return {self.locus: where, "reason": self.reason, "source": self.source}

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> "Quarantined":
        (locus,) = said.keys() & set(LOCI)
        return cls(said["source"], locus, str(said[locus]), said["reason"])


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery: accepted, refused (with a reason) or replayed."""

    agency: AgencyCode | None
    system: System | str
    delivery: str
    day: date | None
    outcome: str
    reason: str | None = None
    where: str = ""
    tables: dict[str, Counts] = field(default_factory=dict)
    quarantined: tuple[Quarantined, ...] = ()
    flags: dict[str, int] = field(default_factory=dict)
    delivery_flags: tuple[str, ...] = ()
    ended: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "system": str(self.system), "delivery": self.delivery,
            "day": self.day.isoformat() if self.day else None, "outcome": self.outcome, "reason": self.reason,
            "tables": {name: c.as_json() for name, c in sorted(self.tables.items())},
            "quarantined": [q.as_json() for q in self.quarantined],
            "flags": dict(sorted(self.flags.items())), "delivery_flags": sorted(self.delivery_flags), "ended": dict(sorted(self.ended.items())),
        }  # fmt: skip

    @classmethod
    def again(cls, told: str, agency: AgencyCode | None, system: System, delivery: str, day: date) -> "Report":
        """Of a delivery that comes to what the last one came to. `told`: the report of that one, as JSON."""
        said = json.loads(told)
        return cls(
            agency, system, delivery, day, "accepted",
            tables={name: Counts(**counts).again for name, counts in said["tables"].items()},
            quarantined=tuple(Quarantined.parse(q) for q in said["quarantined"]), flags=said["flags"],
            delivery_flags=tuple(said["delivery_flags"]), ended=said["ended"],
        )  # fmt: skip
