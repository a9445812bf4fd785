"""There and back: an agency's own sign-in. These pages lead; the reception begins, checks and lets in.

A link goes there, not a form: `form-action` of the policy would keep a form from leading elsewhere (Chromium).
"""

import re

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Forged, Here, Visit
from schemas.access import NotThere, Question, TooOften
from schemas.errors import NotVerified, TryAgain

ENTRANCE = re.compile(r"[0-9a-f]{32}")
_PATH = "/sign-in/agency/{entrance}"
_LONGEST = 4096


@PAGES.get(_PATH, Question.PROVIDER)
def shown(visit: Here, entrance: str) -> Response:
    return _form(visit, entrance)


@PAGES.get(f"{_PATH}/go", Question.PROVIDER_BEGIN, Question.PROVIDER)
def begin(visit: Here, entrance: str) -> Response:
    _from_here(visit)
    try:
        answer = visit.ask(Question.PROVIDER_BEGIN, entrance=_named(entrance))
    except (NotVerified, TryAgain) as no:
        return _form(visit, entrance, no)
    visit.leave(answer["browser"])
    return visit.go(answer["location"])


@PAGES.get("/invitation/{token}/agency", Question.PROVIDER_INVITED)
def begin_invited(visit: Here, token: str) -> Response:
    _from_here(visit)
    answer = visit.ask(Question.PROVIDER_INVITED, invitation=token)
    visit.leave(answer["browser"])
    return visit.go(answer["location"])


@PAGES.get(f"{_PATH}/return", Question.PROVIDER_RETURN, Question.PROVIDER)
def returned(
    visit: Here, entrance: str, code: str = "", state: str = "", iss: str = "", error: str = ""
) -> Response:  # fmt: skip
    browser = visit.request.cookies.get(visit.site.cookie("flow"), "")
    said = {"code": code, "state": state, "issuer": iss, "error": error, "browser": browser}
    try:
        cut = {name: text[:_LONGEST] for name, text in said.items()}
        answer = visit.ask(Question.PROVIDER_RETURN, entrance=_named(entrance), **cut)
    except (NotVerified, TryAgain) as no:
        visit.back(None)
        return _form(visit, entrance, no)
    visit.back(entrance)
    visit.begin(answer["session"])
    if answer["language"]:
        visit.prefer(answer["language"])
    return visit.go("/")


def _form(visit: Visit, entrance: str, no: NotVerified | TryAgain | None = None) -> Response:
    known = visit.ask(Question.PROVIDER, entrance=_named(entrance))
    status = 200 if no is None else 403
    if isinstance(no, TryAgain):
        status = 429 if isinstance(no, TooOften) else 503
    why = None if no is None else visit.why(no)
    return visit.show("provider.html", status, entrance=entrance, host=known["host"], why=why)


def _named(entrance: str) -> str:
    if not ENTRANCE.fullmatch(entrance):
        raise NotThere("there is no such page")
    return entrance


def _from_here(visit: Visit) -> None:
    """Nobody else's page sends somebody on their way: the browser says whose page it was (W3C Fetch Metadata)."""
    if visit.request.headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
        raise Forged("the form was not sent from one of our pages", "Open the page again.")
