"""An invitation: its person chooses a passkey, or a password and an authenticator, and is signed in."""

from typing import Any

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question
from schemas.errors import Malformed, NotVerified, TryAgain

_PATH = "/invitation/{token}"


@PAGES.get(_PATH, Question.INVITATION)
def invitation(visit: Here, token: str) -> Response:
    return _form(visit, token)


@PAGES.post(_PATH, Question.INVITATION, Question.INVITATION_PASSWORD)
def with_password(visit: Here, token: str) -> Response:
    password = visit.filled("password")[:1000]
    if password != visit.filled("again")[:1000]:
        return _form(visit, token, 400, visit.say("The two passwords differ."))
    try:
        answer = visit.ask(
            Question.INVITATION_PASSWORD, invitation=token, password=password, code=visit.filled("code")[:20]
        )
    except (Malformed, NotVerified, TryAgain) as no:
        return _form(visit, token, 429 if isinstance(no, TryAgain) else 400, visit.why(no))
    visit.begin(answer["session"])
    return visit.go("/")


@PAGES.post(f"{_PATH}/challenge", Question.INVITATION_CHALLENGE, script=True)
def challenge(visit: Here, token: str) -> Response:
    return visit.answer(visit.ask(Question.INVITATION_CHALLENGE, invitation=token))


@PAGES.post(f"{_PATH}/passkey", Question.INVITATION_PASSKEY, script=True)
def with_passkey(visit: Here, token: str) -> Response:
    credential = visit.filled("credential")
    answer = visit.ask(Question.INVITATION_PASSKEY, invitation=token, credential=credential)
    visit.begin(answer["session"])
    return visit.answer({"next": "/"})


def _form(visit: Here, token: str, status: int = 200, why: str | None = None) -> Response:
    known: dict[str, Any] = visit.ask(Question.INVITATION, invitation=token)
    return visit.show("invitation.html", status, token=token, why=why, **known)
