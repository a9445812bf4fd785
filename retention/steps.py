"""The closed list of what an erasure can do, and the three ways in which a step can end.

A new step is a new class here; `assert_never` then names every place that must answer for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, assert_never

from schemas.ids import AgencyCode


class Left(StrEnum):
    """What an erasure leaves on purpose. None of it is data of the agency's persons, but the last, which goes by
    itself; who comes in at the web door is the operator's own affair (R40)."""

    EVIDENCE = "evidence"
    REGISTER = "register"
    SOURCE = "source"
    WEB_DOOR = "web_door"
    PORTAL_SNAPSHOT = "portal_snapshot"


@dataclass(frozen=True, slots=True)
class DestroyKeys:
    """The agency's key ring: whatever it sealed, in whatever copy, can be read no more. Always the first step."""

    agency: AgencyCode


@dataclass(frozen=True, slots=True)
class DropShelf:
    """The agency's shelf: rows, blind indexes, quarantine, list of erased keys, cursors, lineage."""

    agency: AgencyCode


@dataclass(frozen=True, slots=True)
class ForgetInHouse:
    """The journal and the sources of the agency; in the register, everything but its code and the end of its
    contract."""

    agency: AgencyCode
    end: date


@dataclass(frozen=True, slots=True)
class DetachPortal:
    """Its attachments in the portal's accounts, and each account that keeps none."""

    agency: AgencyCode


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Deliveries of the agency in these inboxes, portal snapshots there that name it and were superseded, leftovers
    in the home. `portal_before`: the day of the portal's newest accepted snapshot; older ones are superseded."""

    agency: AgencyCode
    inboxes: tuple[str, ...]
    portal_before: date | None


@dataclass(frozen=True, slots=True)
class ForgetOrchestrator:
    """Partition, runs, events, checks and ticks of the orchestrator that name the agency."""

    agency: AgencyCode


@dataclass(frozen=True, slots=True)
class LeaveHeld:
    """Nothing is done: says what stays, so that nobody has to guess."""

    left: Left


Step = DestroyKeys | DropShelf | ForgetInHouse | DetachPortal | RemoveFiles | ForgetOrchestrator | LeaveHeld


@dataclass(frozen=True, slots=True)
class Done:
    """Something was there and is gone. `counts`: how many of each kind of thing."""

    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NothingThere:
    """Looked, and there was nothing to destroy."""


@dataclass(frozen=True, slots=True)
class CouldNot:
    """Something may still be there. `reason` names the kind of failure, never a value or a path."""

    reason: str


Outcome = Done | NothingThere | CouldNot


def name_of(step: Step) -> str:
    """The step's name in diaries and certificates. Never renamed."""
    match step:
        case DestroyKeys():
            return "destroy_keys"
        case DropShelf():
            return "drop_shelf"
        case ForgetInHouse():
            return "forget_in_house"
        case DetachPortal():
            return "detach_portal"
        case RemoveFiles():
            return "remove_files"
        case ForgetOrchestrator():
            return "forget_orchestrator"
        case LeaveHeld():
            return f"leave_{step.left}"
        case _:
            assert_never(step)


def data_of(step: Step) -> dict[str, Any]:
    """A step as data, for the digest of a plan and for the diary."""
    named: dict[str, Any] = {"step": name_of(step)}
    match step:
        case DestroyKeys() | DropShelf() | DetachPortal() | ForgetOrchestrator():
            return named | {"agency": step.agency}
        case ForgetInHouse():
            return named | {"agency": step.agency, "end": step.end.isoformat()}
        case RemoveFiles():
            before = step.portal_before.isoformat() if step.portal_before else None
            return named | {"agency": step.agency, "inboxes": list(step.inboxes), "portal_before": before}
        case LeaveHeld():
            return named
        case _:
            assert_never(step)


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Done():
            return {"outcome": "done", "counts": dict(sorted(outcome.counts.items()))}
        case NothingThere():
            return {"outcome": "nothing there"}
        case CouldNot():
            return {"outcome": "could not", "reason": outcome.reason}
        case _:
            assert_never(outcome)


def outcome_of(data: Mapping[str, Any]) -> Outcome:
    """The outcome that `outcome_data` wrote down."""
    match data["outcome"]:
        case "done":
            return Done(dict(data["counts"]))
        case "nothing there":
            return NothingThere()
        case _:
            return CouldNot(data["reason"])
