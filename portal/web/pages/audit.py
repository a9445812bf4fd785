"""Origin and evidence: where an audit begins; and who looked at what."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question, Role

Size = Annotated[int, Query(ge=0, lt=2**53)]
ROLES = tuple(str(r) for r in Role)


@PAGES.get("/a/{agency}/audit", Question.AUDIT)
def state(visit: Here, agency: str) -> Response:
    return visit.show("audit.html", known=visit.ask(Question.AUDIT, agency=agency))


@PAGES.get("/a/{agency}/audit/access", Question.ACCESS)
def access(visit: Here, agency: str, before: Size = 0, role: str = "") -> Response:
    """A role that there is not filters nothing: an address may have been typed."""
    chosen = role if role in ROLES else ""
    found = visit.ask(Question.ACCESS, agency=agency, before=before, role=chosen)
    return visit.show("audit_access.html", before=before, role=chosen, roles=ROLES, **found)
