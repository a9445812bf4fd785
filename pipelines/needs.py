"""What waits for an agency, the most pressing first: codes, counts, numbers of log entries. Read by the web door's
first page and by the notices that are sent (`pipelines.notices`)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ledger.deeds import Fulfilled
from ledger.entry import History
from ledger.orders import Answer, Erase, InfringementNotice, LegalNotice, Rectify, Return
from pipelines import status
from schemas.mandate import Mandate

# A window that closes within so many days is told of.
SOON_DAYS = 30
# A system that was silent for longer is told of: nights are daily, and one may be missed.
STALE = timedelta(hours=60)
# A notice of a legal obligation is on the first page for so long: it is told, and asks for nothing (R49).
TOLD_FOR = timedelta(days=30)


def of(
    found: status.Standing,
    flows: Sequence[Mapping[str, Any]],
    history: History,
    hidden: Collection[int],
    mandate: Mandate,
) -> list[dict[str, Any]]:
    """`flows`: with `late`. `hidden`: entries that the agency may not be shown yet (R50). An erased agency needs
    nothing."""
    if found.erased_on is not None:
        return []
    out = unanswered(history) + legal(history, hidden, mandate.at)
    out += [{"code": "conflict", "about": c.code} for c in mandate.conflicts]
    for f in flows:
        if f["outcome"] == "refused":
            out.append({"code": "refused", "system": f["system"], "about": f["reason"]})
        if f["instructed"] is False:
            out.append({"code": "not_instructed", "system": f["system"]})
        if f["late"]:
            out.append({"code": "late", "system": f["system"]})
    if found.days_left is not None and found.days_left <= SOON_DAYS:
        out.append({"code": "closing", "days": max(0, found.days_left)})
    if found.aside:
        out.append({"code": "aside", "count": found.aside})
    return out


def unanswered(history: History) -> list[dict[str, Any]]:
    """Notices that an instruction infringes the law: until an answer, the instruction allows nothing (28(3))."""
    answered = {e.notice for e in history.entries if isinstance(e, Answer)}
    return [
        {"code": "notice", "number": v.number, "id": v.entry.id}
        for v in history.lines
        if isinstance(v.entry, InfringementNotice) and v.entry.id not in answered
    ]


def legal(history: History, hidden: Collection[int], at: datetime) -> list[dict[str, Any]]:
    """Notices of a legal obligation that were told, or released, of late."""
    return [
        {"code": "legal_notice", "number": v.number, "id": v.entry.id}
        for v in history.lines
        if isinstance(v.entry, LegalNotice)
        and v.number not in hidden
        and at - (v.entry.released_from or v.at) < TOLD_FOR
    ]


def under_way(history: History, mandate: Mandate) -> list[dict[str, Any]]:
    """What the agency ordered and the processor has not done yet."""
    numbers = {v.entry.id: v.number for v in history.lines if isinstance(v.entry, Rectify | Erase | Return)}
    done = {e.instruction for e in history.entries if isinstance(e, Fulfilled)}
    tasks = [t for t in mandate.tasks if t.instruction not in done]
    return [{"does": t.does, "id": t.instruction, "number": numbers.get(t.instruction)} for t in tasks]
