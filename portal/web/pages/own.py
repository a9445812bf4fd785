"""What somebody sees of themselves: the agencies that they may look at, their sessions, and their password."""

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question
from schemas.errors import Malformed, NotVerified, TryAgain


@PAGES.get("/", Question.WHO)
def agencies(visit: Here) -> Response:
    """Somebody of one agency goes straight there."""
    known = visit.ask(Question.WHO)
    if len(known["agencies"]) == 1:
        return visit.go(f"/a/{known['agencies'][0]['agency']}")
    return visit.show("choice.html", email=known["email"], agencies=known["agencies"])


@PAGES.get("/sessions", Question.SESSIONS, Question.WHO)
def sessions(visit: Here) -> Response:
    known = visit.ask(Question.WHO)
    own = visit.ask(Question.SESSIONS)
    return visit.show("sessions.html", email=known["email"], password=known["password"], sessions=own)


@PAGES.post("/sessions/{session}/end", Question.END_SESSION)
def end(visit: Here, session: str) -> Response:
    visit.ask(Question.END_SESSION, id=session)
    return visit.go("/sessions")


@PAGES.post("/sessions/end-all", Question.END_ALL)
def end_all(visit: Here) -> Response:
    visit.ask(Question.END_ALL)
    visit.end()
    return visit.go("/sign-in")


@PAGES.get("/password", Question.WHO)
def password(visit: Here) -> Response:
    return _password(visit)


@PAGES.post("/password", Question.PASSWORD, Question.WHO)
def change_password(visit: Here) -> Response:
    given = {name: visit.filled(name)[:1000] for name in ("current", "code", "password")}
    if given["password"] != visit.filled("again")[:1000]:
        return _password(visit, 400, visit.say("The two passwords differ."))
    try:
        answer = visit.ask(Question.PASSWORD, **given)
    except (Malformed, NotVerified, TryAgain) as no:
        return _password(visit, 429 if isinstance(no, TryAgain) else 400, visit.why(no))
    return _password(visit, ended=answer["ended"])


def _password(visit: Here, status: int = 200, why: str | None = None, ended: int | None = None) -> Response:
    """`ended`: how many sessions ended with a change that was made."""
    known = visit.ask(Question.WHO)
    there = known["password"]
    return visit.show("password.html", status, email=known["email"], password=there, why=why, ended=ended)
