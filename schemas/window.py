"""The contract window: end of contract + 7 days, Europe/Paris, and what the agency itself restricts. Pure: no clock,
no I/O.

Source: register of agency contracts 1.0, FIN_CONTRAT; R1, R2, R21, R22. The contract ends with the last hour of day
D; the seven days are D+1 to D+7 (Regulation 1182/71, art. 3: the day of the event is not counted, the period ends
with the last hour of its last day); so nothing may remain from 00:00 Europe/Paris of D+8.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from schemas.errors import Malformed
from schemas.ids import AgencyCode, System

PARIS: Final = ZoneInfo("Europe/Paris")
KEPT_DAYS: Final = 7
# Beyond this day the end of the window could not be written as a date.
LAST_END: Final = date.max - timedelta(days=KEPT_DAYS + 1)


class RestrictionScope(StrEnum):
    """What a restriction closes: the portal only, or the deliveries too. It never erases anything."""

    ACCES = "ACCES"
    SYNCHRO = "SYNCHRO"


class EndReason(StrEnum):
    """Documents only: the rule is the same whatever the reason (R22, « pour quelque raison que ce soit »)."""

    RESILIATION = "RESILIATION"
    NON_RENOUVELLEMENT = "NON_RENOUVELLEMENT"
    CESSION = "CESSION"
    AUTRE = "AUTRE"


class State(StrEnum):
    """Where an instant lies: RETURN is D+1 … D+7, when the return pack must be offered; CLOSED is from D+8 on."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    RETURN = "return"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Contract:
    """One agency's contract as the newest register says it (R1). `end` None: running.

    `erased`: the agency was erased and has not started again; nothing of its old contract counts any more.
    """

    agency: AgencyCode
    start: date
    end: date | None = None
    restriction: date | None = None
    restriction_scope: RestrictionScope | None = None
    systems: frozenset[System] = field(default_factory=frozenset)
    erased: bool = False

    def __post_init__(self) -> None:
        if (self.restriction is None) != (self.restriction_scope is None):
            raise Malformed("a restriction has a date and a scope, or neither")


def midnight(day: date) -> datetime:
    """00:00 Europe/Paris of a day. No clock change has ever moved that hour since summer time exists in France."""
    return datetime.combine(day, time(), PARIS)


def paris_day(at: datetime) -> date:
    """The day it is in Paris at an instant. An instant without a zone is not an instant."""
    if at.tzinfo is None:
        raise Malformed("an instant needs a time zone", "Write it as 2026-01-14T00:00:00+01:00.")
    return at.astimezone(PARIS).date()


def closes_at(end: date) -> datetime:
    """The first instant at which nothing may remain, for a contract whose last day is `end`."""
    return midnight(end + timedelta(days=KEPT_DAYS + 1))


def closed(end: date | None, at: datetime) -> bool:
    """Whether the window of a contract that ends on `end` has closed. Compared in UTC: one instant has one place
    there."""
    return end is not None and at.astimezone(UTC) >= closes_at(end).astimezone(UTC)


def return_days(end: date) -> tuple[date, date]:
    """First and last day on which the return pack must be offered."""
    return end + timedelta(days=1), end + timedelta(days=KEPT_DAYS)


def state(contract: Contract, at: datetime) -> State:
    """Where `at` lies in the contract. A restriction changes nothing here: it never moves the end."""
    today = paris_day(at)
    if contract.erased or closed(contract.end, at):
        return State.CLOSED
    if contract.end is not None and today > contract.end:
        return State.RETURN
    return State.NOT_STARTED if today < contract.start else State.RUNNING


def gate(contract: Contract | None, system: System, day: date, at: datetime) -> str | None:
    """Why a delivery of `day` may not be opened at `at`, as a reason code; None: it may (contracts README, "Gate").

    A delivery of an old day that is read after the window has closed is refused too: what it would bring has to be
    gone.
    """
    if contract is None:
        return "agency.unknown"
    if contract.erased:
        return "agency.contract_ended"
    if system not in contract.systems:
        return "agency.system_disabled"
    if day < contract.start:
        return "agency.contract_not_started"
    if (contract.end is not None and day > contract.end) or closed(contract.end, at):
        return "agency.contract_ended"
    restricted = contract.restriction is not None and day >= contract.restriction
    if restricted and contract.restriction_scope is RestrictionScope.SYNCHRO:
        return "agency.restricted"
    return None


def is_new_start(erased_end: date, end: date | None) -> bool:
    """Whether a register row met after an erasure begins a new contract: it runs, or ends later than the erased one."""
    return end is None or end > erased_end
