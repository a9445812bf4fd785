"""What somebody sees of themselves: the agencies that they may look at, and their sessions."""

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question


@PAGES.get("/", Question.WHO)
def agencies(visit: Here) -> Response:
    """Somebody of one agency goes straight there."""
    known = visit.ask(Question.WHO)
    if len(known["agencies"]) == 1:
        return visit.go(f"/a/{known['agencies'][0]['agency']}")
    return visit.show("choice.html", email=known["email"], agencies=known["agencies"])


@PAGES.get("/sessions", Question.SESSIONS, Question.WHO)
def sessions(visit: Here) -> Response:
    email = visit.ask(Question.WHO)["email"]
    return visit.show("sessions.html", email=email, sessions=visit.ask(Question.SESSIONS))


@PAGES.post("/sessions/{session}/end", Question.END_SESSION)
def end(visit: Here, session: str) -> Response:
    visit.ask(Question.END_SESSION, id=session)
    return visit.go("/sessions")


@PAGES.post("/sessions/end-all", Question.END_ALL)
def end_all(visit: Here) -> Response:
    visit.ask(Question.END_ALL)
    visit.end()
    return visit.go("/sign-in")
