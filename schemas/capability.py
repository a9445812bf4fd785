"""What one run may do, for whom, under which instructions and until when. Demanded wherever something is read, opened,
kept, handed out or erased: without it that code cannot be called (R46; GDPR 28(3)(a), 29).

`ledger.minting` is the only place that makes one. It is worth no more than the head of the log that it was minted from:
when the log has grown, it is confirmed anew before anything is written (`Warrant`).
"""

import json
from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

from schemas.errors import Refused
from schemas.ids import AgencyCode, System
from schemas.mandate import Mandate, Purpose

# Held by this module and by `ledger.minting`.
MINT = object()


class Act(StrEnum):
    """What can be done with records. Each demands a capability of its own."""

    SYNCHRONISE = "synchronise"  # read a source, keep what is admitted, open what is held to understand it
    RETURN = "return"  # open everything and give it back to the agency
    LOOK = "look"  # open single rows for whoever keeps the system running
    ERASE = "erase"  # destroy keys and rows
    CONFIGURE = "configure"  # seal how a source is reached; opens and keeps no record
    INSPECT = "inspect"  # tell the layout of a file that nothing is kept of


@dataclass(frozen=True, slots=True)
class Capability:
    """What may be done. `agency` None: the portal's own accounts, of which the vendor is the controller (R40).

    `mandate`: what the agency allowed at `minted_at`, fields and tables included (None where no record is read under
    an instruction). `ground`: ids of instructions, or the article on which it stands without one. `size`, `root`
    (hexadecimal): head of the log that it was minted from; 0 and "" where there is no log.
    """

    agency: AgencyCode | None
    act: Act
    systems: frozenset[System]
    purposes: frozenset[Purpose]
    ground: tuple[str, ...]
    mandate: Mandate | None
    minted_at: datetime
    until: datetime | None
    size: int
    root: str
    proof: InitVar[object]  # not kept: a copy with other words cannot be made either

    def __post_init__(self, proof: object) -> None:
        if proof is not MINT:
            raise TypeError("a capability is minted from an agency's log, by ledger.minting alone")

    @property
    def digest(self) -> str:
        """SHA-256 of everything that it says, the head of the log included."""
        return _digest(self._said() | {"size": self.size, "root": self.root})

    @property
    def authority(self) -> str:
        """SHA-256 of what it allows. Two minted from different heads may allow the same."""
        said = self._said()
        del said["minted_at"]
        if said["mandate"] is not None:
            del said["mandate"]["at"]
        return _digest(said)

    def demand(self, act: Act, agency: AgencyCode | None, system: System | None = None) -> None:
        """Raises Refused unless it is for this act, this agency and this system."""
        if (act, agency) != (self.act, self.agency) or (system is not None and system not in self.systems):
            raise Refused(
                f"what was allowed is not this: {act} was asked for under a capability to {self.act}",
                "Record the agency's instruction with `depositaire instruct`.",
            )

    def demand_at(self, at: datetime) -> None:
        """Raises Refused when it is not valid at this instant: over, or minted later than now says it is."""
        if at < self.minted_at:
            raise Refused("the clock has gone back behind what was allowed", "Set the clock right, and start again.")
        if self.until is not None and at >= self.until:
            raise Refused("what was allowed is over", "Record the agency's instruction with `depositaire instruct`.")

    def _said(self) -> dict[str, Any]:
        return {
            "agency": self.agency,
            "act": str(self.act),
            "systems": sorted(self.systems),
            "purposes": sorted(self.purposes),
            "ground": list(self.ground),
            "mandate": asdict(self.mandate) if self.mandate is not None else None,
            "minted_at": self.minted_at,
            "until": self.until,
        }


class Warrant(Protocol):
    """A capability, and the log that it can be confirmed against."""

    @property
    def capability(self) -> Capability: ...

    def confirm(self) -> Capability:
        """The capability as of now, minted anew if the log has grown. Raises `schemas.errors.Refused` when it no longer
        allows the same."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A warrant that nothing can change meanwhile: the caller holds the agency alone, or there is no log."""

    capability: Capability

    def confirm(self) -> Capability:
        return self.capability


def _digest(said: Mapping[str, Any]) -> str:
    return sha256(json.dumps(said, sort_keys=True, default=_plain, separators=(",", ":")).encode()).hexdigest()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case frozenset():
            return sorted(str(v) for v in value)
        case _:
            raise TypeError(type(value).__name__)
