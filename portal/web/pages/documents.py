"""Documents by audience, against what the décret wants online; a title on demand."""

import re
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from portal.web.daily import AUDIENCES, RULES
from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import NotThere, Question
from schemas.errors import NotVerified, Refused, TryAgain

_NUMBER = re.compile(r"[1-9][0-9]{0,14}")
Size = Annotated[int, Query(ge=0, lt=2**53)]


@PAGES.get("/a/{agency}/documents", Question.DOCUMENTS)
def listed(visit: Here, agency: str, rule: str = "", skip: Size = 0, built: Size = 0) -> Response:
    asked = {"rule": rule if rule in RULES else "", "skip": skip, "built": built}
    found = visit.ask(Question.DOCUMENTS, agency=agency, **asked)
    why = visit.why(Refused(*found.pop("why"))) if found["why"] else None
    return visit.show("documents.html", asked=asked, audience_words=AUDIENCES, why=why, d=found)


@PAGES.post("/a/{agency}/documents/title", Question.DOCUMENT_TITLE)
def title(visit: Here, agency: str) -> Response:
    """Shown once, in the answer to a form."""
    number = visit.filled("line") or "0"
    if number != "0" and not _NUMBER.fullmatch(number):
        raise NotThere("there is no such page")
    try:
        system = visit.filled("system")[:20]
        found = visit.ask(Question.DOCUMENT_TITLE, agency=agency, system=system, line=int(number))
    except NotThere:
        raise
    except (Refused, NotVerified, TryAgain) as no:
        status = 503 if isinstance(no, TryAgain) else 403
        return visit.show("document.html", status, document=None, why=visit.why(no))
    if found is None:
        return visit.go(f"/a/{agency}/documents")
    return visit.show("document.html", document=found, why=None)
