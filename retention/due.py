"""What is past its window at an instant, and what is too strange to erase without a person's word. Pure.

Sources: R22 (the window), R55 (an unauthorised erasure is a breach too), docs/specs/window.md for the brake.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from schemas.ids import AgencyCode
from schemas.window import closed, closes_at
from store.register import Agency

BRAKE_FLOOR = 3
BRAKE_SHARE = 5  # one agency in five


@dataclass(frozen=True, slots=True)
class Due:
    """An agency of which nothing may remain. `begun`: its erasure was begun and has to be finished whatever the
    register says."""

    agency: AgencyCode
    end: date
    begun: bool = False

    @property
    def closed_at(self) -> datetime:
        return closes_at(self.end)

    def late(self, at: datetime) -> timedelta:
        """How long the window has been closed."""
        return at - self.closed_at


@dataclass(frozen=True, slots=True)
class Braked:
    """What may go now, and what waits for a person's confirmation."""

    go: tuple[Due, ...]
    held: tuple[Due, ...]


def due(agencies: Iterable[Agency], at: datetime, begun: Mapping[AgencyCode, date] | None = None) -> tuple[Due, ...]:
    """Every agency to erase at `at`, by code. State, not events: downtime only makes it late.

    `begun` maps agencies whose erasure was begun and not concluded to the end of the contract being erased. Their
    keys may be gone: a `date_fin` moved later cancels nothing any more and is a new start afterwards.
    """
    begun = begun or {}
    closing = {a.code: a.contract.end for a in agencies if not a.contract.erased and closed(a.contract.end, at)}
    found = [Due(code, end) for code, end in closing.items() if end is not None and code not in begun]
    found += [Due(code, end, begun=True) for code, end in begun.items()]
    return tuple(sorted(found, key=lambda d: d.agency))


def brake(found: Iterable[Due], agencies: Iterable[Agency], confirmed: Collection[AgencyCode] | None = None) -> Braked:
    """Hold back ends that came as a surprise, when they are many at once.

    A surprise is a living agency whose end was moved to a day already past when the register said so: the mark of a
    wrong register. Ends known beforehand never wait, however many fall on one day (31 December): keeping them would
    be a breach. More than three surprises that are also more than one living agency in five are held until each is
    confirmed by name.
    """
    by_code = {a.code: a for a in agencies}
    living = sum(not a.contract.erased for a in by_code.values())
    found = tuple(found)
    confirmed = frozenset(confirmed or ())
    surprises = [d for d in found if not d.begun and d.agency not in confirmed and _surprising(by_code.get(d.agency))]
    if len(surprises) <= max(BRAKE_FLOOR, living // BRAKE_SHARE):
        return Braked(found, ())
    held = frozenset(d.agency for d in surprises)
    return Braked(tuple(d for d in found if d.agency not in held), tuple(surprises))


def _surprising(agency: Agency | None) -> bool:
    if agency is None or not agency.end_moved or agency.end_set_on is None or agency.contract.end is None:
        return False
    return agency.end_set_on > agency.contract.end
