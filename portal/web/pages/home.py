"""An agency's first page: is everything in order, and what waits for somebody."""

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question


@PAGES.get("/a/{agency}", Question.HOME)
def state(visit: Here, agency: str) -> Response:
    return visit.show("home.html", known=visit.ask(Question.HOME, agency=agency))
