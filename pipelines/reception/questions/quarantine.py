"""Lines put aside: where and by which rule, for everybody of the agency; what one of them said, for whom its mandate
allows, each time with a line in the log of what was asked."""

from typing import Any

from pipelines import aside as places
from pipelines.host.wire import Asked
from pipelines.premises import is_held
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.trace import LOCUS
from schemas.access import NotThere, Question
from schemas.errors import Malformed
from schemas.ids import System
from store import aside
from store.agency import Shelf

PAGE = 50
_LONGEST_FILTER = 100
_LONGEST_SHOWN = 20_000  # characters of a line


def listed(visit: Visit, asked: Asked) -> Any:
    """`before`: lines with smaller numbers only (0: from the newest on); `delivery`: its number, 0 for all; `source`,
    `reason`: a table, a code, or "". `rules` and `sources` count what the other filters leave."""
    before, delivery = asked.number("before"), asked.number("delivery")
    source, reason = asked.text("source"), asked.text("reason")
    if before < 0 or delivery < 0 or max(len(source), len(reason)) > _LONGEST_FILTER:
        raise Malformed("there is no such filter")
    nothing: dict[str, Any] = {"total": 0, "count": 0, "rules": [], "sources": [], "deliveries": [], "lines": []}
    if not is_held(visit.desk.home, visit.named):
        return nothing | {"next": None}
    wanted = aside.Wanted(delivery, source, reason)
    with Shelf.known(visit.desk.home, visit.named) as shelf:
        every = aside.tallied(shelf, aside.Wanted())
        found = aside.page(shelf, wanted, before, PAGE + 1)
        mine = aside.tallied(shelf, wanted)
        of_rules = aside.tallied(shelf, aside.Wanted(delivery, source))
        from_deliveries = aside.deliveries(shelf)
    shown = found[:PAGE]
    return {
        "total": sum(r.n for r in every), "count": sum(r.n for r in mine),
        "rules": _summed((r.reason, r.n) for r in of_rules),
        "sources": sorted({r.source for r in every}),
        "deliveries": [{"id": d.id, "name": d.name, "system": d.system} for d in from_deliveries],
        "lines": [_line(r) for r in shown],
        "next": shown[-1].id if len(found) > PAGE else None,
    }  # fmt: skip


def _summed(pairs: Any) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for reason, n in pairs:
        counts[reason] = counts.get(reason, 0) + n
    return [{"reason": r, "count": n} for r, n in sorted(counts.items(), key=lambda i: (-i[1], i[0]))]


def _line(r: Any) -> dict[str, Any]:
    system = System(r.system)
    return {
        "id": r.id, "delivery": r.name, "day": r.day, "system": r.system, "source": r.source,
        "locus": LOCUS[system], "loc": r.loc, "reason": r.reason, "kept": bool(r.kept),
        "columns": list(places.columns(system, r.source, r.reason)),
    }  # fmt: skip


def value(visit: Visit, asked: Asked) -> Any:
    """What one line said. Whether it is allowed or not, the log of what was asked names delivery and line by their
    numbers. 0: nothing is asked for."""
    number = asked.number("line")
    if number == 0:
        return None
    if not is_held(visit.desk.home, visit.named):
        raise NotThere("there is no such page")
    with Shelf.known(visit.desk.home, visit.named) as shelf:
        place = aside.one(shelf, number)
    if place is None:
        raise NotThere("there is no such page")
    visit.about = f"delivery {place.delivery} line {place.id}"
    _, text = places.opened(visit.desk.home, visit.desk.root, visit.named, number, visit.at)
    return _line(place) | {"text": text[:_LONGEST_SHOWN], "cut": len(text) > _LONGEST_SHOWN}


ANSWERS: Answers = {
    Question.QUARANTINE: Answer(listed, ("agency", "before", "delivery", "source", "reason")),
    Question.QUARANTINE_VALUE: Answer(value, ("agency", "line")),
}
