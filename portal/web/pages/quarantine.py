"""Lines put aside, with what to correct at the source; and, on demand, what one of them said."""

import re
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import NotThere, Question
from schemas.errors import NotVerified, Refused, TryAgain

_LARGE = 2**53
_NUMBER = re.compile(r"[1-9][0-9]{0,14}")
Size = Annotated[int, Query(ge=0, lt=_LARGE)]
Word = Annotated[str, Query(max_length=100)]


@PAGES.get("/a/{agency}/quarantine", Question.QUARANTINE, Question.WHO)
def listed(
    visit: Here, agency: str, before: Size = 0, delivery: Size = 0, source: Word = "", reason: Word = ""
) -> Response:
    asked = {"delivery": delivery, "source": source, "reason": reason}
    found: dict[str, Any] = visit.ask(Question.QUARANTINE, agency=agency, before=before, **asked)
    roles = {r for a in visit.ask(Question.WHO)["agencies"] if a["agency"] == agency for r in a["roles"]}
    may_open = bool(roles & {"reader", "signatory"})
    return visit.show("quarantine.html", asked=asked, before=before, may_open=may_open, **found)


@PAGES.post("/a/{agency}/quarantine/line", Question.QUARANTINE_VALUE)
def line(visit: Here, agency: str) -> Response:
    """Shown once, in the answer to a form: no address leads to it, and nothing keeps it."""
    number = visit.filled("line") or "0"
    if number != "0" and not _NUMBER.fullmatch(number):
        raise NotThere("there is no such page")
    try:
        found = visit.ask(Question.QUARANTINE_VALUE, agency=agency, line=int(number))
    except NotThere:
        raise
    except (Refused, NotVerified, TryAgain) as no:
        return visit.show(
            "quarantine_line.html", 503 if isinstance(no, TryAgain) else 403, line=None, why=visit.why(no)
        )
    if found is None:
        return visit.go(f"/a/{agency}/quarantine")
    return visit.show("quarantine_line.html", line=found, why=None)
