"""Documents by audience: counts and keys; a title on demand, each time with a line in the log of what was asked."""

from typing import Any

from pipelines import documents
from pipelines.host.wire import Asked
from pipelines.premises import is_held
from pipelines.reception.desk import Answer, Answers, Visit
from schemas.access import NotThere, Question
from schemas.errors import Malformed, Refused
from schemas.ids import AGENCY_SYSTEMS

PAGE = 50


def listed(visit: Visit, asked: Asked) -> Any:
    """`rule`: documents of one rule only, or "". `skip`: how many to pass over; `built`: how many co-ownerships."""
    rule, skip, built = asked.text("rule"), asked.number("skip"), asked.number("built")
    if (rule and rule not in documents.RULES) or min(skip, built) < 0:
        raise Malformed("there is no such filter")
    if not is_held(visit.desk.home, visit.named):
        return {"held": False, "why": None}
    try:
        found = documents.overview(visit.desk.home, visit.desk.root, visit.named, visit.at)
    except Refused as no:
        return {"held": True, "why": [no.what, no.hint]}
    wrong = [f for f in found["findings"] if rule in ("", f["rule"])]
    houses = sorted(found["co_ownerships"], key=lambda c: (-len(c["missing"]), not c["stale"], c["building"]))
    return {
        "held": True, "why": None, "audiences": found["audiences"], "unknown": found["unknown"],
        "rules": documents.counted(found["findings"]),
        "findings": wrong[skip : skip + PAGE], "more": len(wrong) > skip + PAGE,
        "co_ownerships": houses[built : built + PAGE], "more_built": len(houses) > built + PAGE,
        "stale": sum(c["stale"] for c in houses), "built": len(houses),
        "items": {i.name: {"article": i.article, "audience": i.audience, **i.said} for i in documents.items()},
        "wanted": sum(i.wanted for i in documents.items()),
    }  # fmt: skip


def title(visit: Visit, asked: Asked) -> Any:
    """`line`: the number of the document's line; 0: nothing is asked for."""
    system, number = asked.text("system"), asked.number("line")
    if number == 0:
        return None
    if system not in {str(s) for s in AGENCY_SYSTEMS} or not is_held(visit.desk.home, visit.named):
        raise NotThere("there is no such page")
    visit.about = f"document line {number}"
    found = documents.title(visit.desk.home, visit.desk.root, visit.named, system, number, visit.at)
    if found is None:
        raise NotThere("there is no such page")
    return found


ANSWERS: Answers = {
    Question.DOCUMENTS: Answer(listed, ("agency", "rule", "skip", "built")),
    Question.DOCUMENT_TITLE: Answer(title, ("agency", "system", "line")),
}
