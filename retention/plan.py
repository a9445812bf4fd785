"""Decide an erasure without doing it. A plan is data: people read the very object that the machine will carry out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from ledger.canonical import canonical, sha256
from retention.due import Due
from retention.steps import (
    DestroyKeys,
    DetachPortal,
    DropShelf,
    ForgetInHouse,
    ForgetOrchestrator,
    LeaveHeld,
    Left,
    RemoveFiles,
    Step,
    data_of,
)
from schemas.ids import AgencyCode
from schemas.inbox import Place


class Kind(StrEnum):
    """A whole erasure, or the removal of what arrived for an agency after its erasure."""

    ERASURE = "erasure"
    LATE_FILES = "late files"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done to one agency, in this order."""

    kind: Kind
    agency: AgencyCode
    end: date
    steps: tuple[Step, ...]

    @property
    def data(self) -> dict[str, Any]:
        steps = [data_of(s) for s in self.steps]
        return {"kind": str(self.kind), "agency": self.agency, "end": self.end.isoformat(), "steps": steps}

    @property
    def digest(self) -> str:
        """The same for the same plan, whenever it is made: no instant is in it."""
        return sha256(canonical(self.data))


def plan(found: Due, inboxes: Iterable[Place], portal_newest: date | None, kind: Kind = Kind.ERASURE) -> Plan:
    """The erasure of an agency whose window has closed. Keys first: that step reaches copies that nobody knows of.

    What arrived late is removed by the same steps: whatever came in, by whichever way, no step is spared.
    """
    a = found.agency
    steps: tuple[Step, ...] = (
        DestroyKeys(a),
        DropShelf(a),
        ForgetInHouse(a, found.end),
        DetachPortal(a),
        RemoveFiles(a, _named(inboxes), portal_newest),
        ForgetOrchestrator(a),
        *(LeaveHeld(left) for left in Left if left is not Left.PORTAL_SNAPSHOT or portal_newest is not None),
    )
    return Plan(kind, a, found.end, steps)


def _named(inboxes: Iterable[Place]) -> tuple[str, ...]:
    return tuple(sorted(str(p) for p in inboxes))
