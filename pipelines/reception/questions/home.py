"""Where an agency stands, and what waits for somebody: counts and codes."""

from datetime import datetime, timedelta
from typing import Any

from ledger.canonical import read_instant
from ledger.entry import History
from ledger.mandate import fold
from ledger.orders import Answer as Answered, InfringementNotice
from pipelines import status
from pipelines.host.wire import Asked
from pipelines.reception.desk import Answer, Answers, Visit
from schemas.access import Question
from schemas.ids import AgencyCode

# A system that was silent for longer is told of: nights are daily, and one may be missed.
STALE = timedelta(hours=60)
# A window that closes within so many days is told of.
SOON_DAYS = 30


def state(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """`needs`: what waits, the most pressing first, each a code and what it is about."""
    agency, desk = visit.named, visit.desk
    reading = desk.logs.read(agency)
    history = reading.counting if reading else _none(agency)
    found = status.of_agency(desk.home, agency, history, visit.at)
    flows = [_flow(f, visit.at) for f in found.flows]
    hidden = reading.hidden(visit.at) if reading else frozenset()
    said = found.contract_json() | {
        "at": _text(visit.at),
        "held": dict(found.held or {}),
        "aside": [{"reason": r, "count": n} for r, n in sorted(found.reasons.items(), key=lambda i: (-i[1], i[0]))],
        "flows": flows,
        "log": {"size": reading.size if reading else 0, "last_at": _last(reading, hidden) if reading else None},
    }
    return said | {"needs": _needs(found, flows, history, found.aside or 0, visit.at)}


def _flow(f: status.Flow, at: datetime) -> dict[str, Any]:
    came = _instant(f.at)
    late = bool(f.instructed) and came is not None and at - came > STALE
    hours = None if came is None else max(0, int((at - came).total_seconds() // 3600))
    return f.as_json() | {"hours_ago": hours, "late": late}


def _needs(
    found: status.Standing, flows: list[dict[str, Any]], history: History, aside: int, at: datetime
) -> list[dict[str, Any]]:
    if found.erased_on is not None:
        return []
    answered = {e.notice for e in history.entries if isinstance(e, Answered)}
    waiting = (v for v in history.lines if isinstance(v.entry, InfringementNotice) and v.entry.id not in answered)
    out: list[dict[str, Any]] = [{"code": "notice", "number": line.number} for line in waiting]
    out += [{"code": "conflict", "about": c.code} for c in fold(history, at).conflicts]
    for f in flows:
        if f["outcome"] == "refused":
            out.append({"code": "refused", "system": f["system"], "about": f["reason"]})
        if f["instructed"] is False:
            out.append({"code": "not_instructed", "system": f["system"]})
        if f["late"]:
            out.append({"code": "late", "system": f["system"]})
    if found.days_left is not None and found.days_left <= SOON_DAYS:
        out.append({"code": "closing", "days": max(0, found.days_left)})
    if aside:
        out.append({"code": "aside", "count": aside})
    return out


def _last(reading: Any, hidden: frozenset[int]) -> str | None:
    shown = (n for n in range(reading.size, 0, -1) if n not in hidden)
    lines = (reading.lines.get(n) for n in shown)
    return next((_text(line.at) for line in lines if line is not None), None)


def _none(agency: AgencyCode) -> History:
    from ledger.entry import Head
    from ledger.tree import EMPTY_ROOT

    return History(agency, Head(0, EMPTY_ROOT))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    return read_instant(text) if text.endswith("Z") else datetime.fromisoformat(text)


def _text(at: datetime) -> str:
    from pipelines.reception.tables import stamp

    return stamp(at)


ANSWERS: Answers = {Question.HOME: Answer(state, ("agency",))}
