"""Where an agency stands, and what waits for somebody: counts and codes."""

from datetime import datetime
from typing import Any

from ledger.canonical import read_instant
from ledger.entry import History
from ledger.mandate import fold
from pipelines import needs, status
from pipelines.host.wire import Asked
from pipelines.needs import STALE
from pipelines.reception import requests
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.timetable import next_run
from schemas.access import Question, permitted
from schemas.ids import AgencyCode
from schemas.window import paris_day


def state(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """`needs`: what waits, the most pressing first, each a code and what it is about. `under_way`: what the agency
    ordered and is not done yet. `acts`: whether the visitor can give instructions. `theirs`: whether the visitor
    is of the agency."""
    agency, desk = visit.named, visit.desk
    reading = desk.logs.read(agency)
    history = reading.counting if reading else _none(agency)
    mandate = fold(history, visit.at)
    found = status.of_agency(desk.home, agency, history, mandate)
    flows = [_flow(f, visit.at) for f in found.flows]
    hidden = reading.hidden(visit.at) if reading else frozenset()
    said = found.contract_json() | {
        "at": _text(visit.at),
        "held": dict(found.held or {}),
        "aside": [{"reason": r, "count": n} for r, n in sorted(found.reasons.items(), key=lambda i: (-i[1], i[0]))],
        "flows": flows,
        "log": {"size": reading.size if reading else 0, "last_at": _last(reading, hidden) if reading else None},
    }
    return said | {
        "needs": needs.of(found, flows, history, hidden, mandate) + _due(visit, found),
        "under_way": [] if found.erased_on else needs.under_way(history, mandate),
        "of_agency": bool(permitted(Question.REQUESTS, agency, visit.grants, visit.at)),
        "theirs": bool(permitted(Question.DOCUMENTS, agency, visit.grants, visit.at)),
        "acts": visit.acts,
    }


def _flow(f: status.Flow, at: datetime) -> dict[str, Any]:
    came = _instant(f.at)
    late = bool(f.instructed) and came is not None and at - came > STALE
    hours = None if came is None else max(0, int((at - came).total_seconds() // 3600))
    following = _text(next_run(f.system, at)) if f.instructed else None
    return f.as_json() | {"hours_ago": hours, "late": late, "next_at": following}


def _due(visit: Visit, found: status.Standing) -> list[dict[str, Any]]:
    """Requests of persons that are due within a week, or were: for those who may see them."""
    mine = permitted(Question.REQUESTS, visit.named, visit.grants, visit.at)
    if found.erased_on is not None or not mine:
        return []
    days = requests.of(visit.desk.home, visit.desk.vault, visit.named).due(paris_day(visit.at))
    return [{"code": "request_due", "count": len(days), "day": days[0]}] if days else []


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
