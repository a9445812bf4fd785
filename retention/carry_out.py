"""Carry out a plan: in order, with a note before and after each step. Again and again is the same as once.

A step that fails does not stop the next ones: what can go goes, and the step that could not keeps the certificate
from being written. A crash leaves the round open in the diary; the next run carries out every step again.
"""

import errno
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol, assert_never

from sqlalchemy.exc import SQLAlchemyError

from retention.diary import Diary
from retention.plan import Plan
from retention.steps import (
    CouldNot,
    DestroyKeys,
    DetachPortal,
    Done,
    DropShelf,
    ForgetInHouse,
    ForgetOrchestrator,
    LeaveHeld,
    NothingThere,
    Outcome,
    RemoveFiles,
    Step,
)
from schemas.errors import Say
from schemas.ids import AgencyCode

Counts = Mapping[str, int]


class Hands(Protocol):
    """What acts. Each method destroys what there is, tells how many of what, and finds nothing the second time."""

    def destroy_keys(self, agency: AgencyCode) -> Counts: ...

    def drop_shelf(self, agency: AgencyCode) -> Counts: ...

    def forget_in_house(self, agency: AgencyCode, end: date) -> Counts: ...

    def detach_portal(self, agency: AgencyCode) -> Counts: ...

    def remove_files(self, agency: AgencyCode, inboxes: tuple[str, ...], portal_before: date | None) -> Counts: ...

    def forget_orchestrator(self, agency: AgencyCode) -> Counts: ...


def carry_out(
    plan: Plan, hands: Hands, diary: Diary, at: datetime, told: Callable[[Step, Outcome], None] | None = None
) -> tuple[tuple[Step, Outcome], ...]:
    """Do everything in the plan. `told` hears of each step as it ends. Returns each step with what came of it in this
    round."""
    diary.begin(plan, at)
    out = []
    for step in plan.steps:
        if isinstance(step, LeaveHeld):
            continue
        earlier = diary.attempts(step)
        diary.before(step, at)
        now = _act(step, hands)
        diary.after(step, now, at)
        outcome = over_all_attempts(now, earlier)
        out.append((step, outcome))
        if told is not None:
            told(step, outcome)
    return tuple(out)


def _act(step: Step, hands: Hands) -> Outcome:
    try:
        return _counted(_do(step, hands))
    except Say as no:
        return CouldNot(type(no).__name__)
    except OSError as no:
        # The number says what happened; the text of the error would name a path.
        return CouldNot(f"{type(no).__name__} {errno.errorcode.get(no.errno or 0, '')}".strip())
    except SQLAlchemyError as no:
        return CouldNot(type(no).__name__)


def _do(step: Step, hands: Hands) -> Counts:
    match step:
        case DestroyKeys():
            return hands.destroy_keys(step.agency)
        case DropShelf():
            return hands.drop_shelf(step.agency)
        case ForgetInHouse():
            return hands.forget_in_house(step.agency, step.end)
        case DetachPortal():
            return hands.detach_portal(step.agency)
        case RemoveFiles():
            return hands.remove_files(step.agency, step.inboxes, step.portal_before)
        case ForgetOrchestrator():
            return hands.forget_orchestrator(step.agency)
        case LeaveHeld():
            return {}
        case _:
            assert_never(step)


def _counted(counts: Counts) -> Outcome:
    something = {name: n for name, n in counts.items() if n}
    return Done(something) if something else NothingThere()


def over_all_attempts(now: Outcome, earlier: Sequence[Outcome | None]) -> Outcome:
    """What came of a step in a whole round. None stands for an attempt that was cut short.

    What an earlier attempt destroyed stays destroyed: counts add up. An attempt that was cut short may have destroyed
    things without counting them, and is counted as `interrupted`. What could not be done now is not done, whatever
    came before.
    """
    if isinstance(now, CouldNot):
        return now
    counts: Counter[str] = Counter()
    for outcome in (*earlier, now):
        if outcome is None:
            counts["interrupted"] += 1
        elif isinstance(outcome, Done):
            counts.update(outcome.counts)
    return Done(dict(counts)) if counts else NothingThere()
