"""Signing in and out, and the choice of a language."""

from contextlib import suppress

from fastapi.responses import Response

from portal.web.pages.provider import ENTRANCE
from portal.web.registry import PAGES
from portal.web.visit import Here, Visit
from portal.web.words import LANGUAGES
from schemas.access import Question, SignedOut
from schemas.errors import Malformed, NotVerified, TryAgain


@PAGES.get("/sign-in", Question.ASSET)
def form(visit: Here) -> Response:
    return visit.show("sign_in.html", why=None, entrance=_entrance(visit))


@PAGES.post("/sign-in", Question.SIGN_IN)
def with_password(visit: Here) -> Response:
    given = {name: visit.filled(name)[:1000] for name in ("email", "password", "code")}
    try:
        answer = visit.ask(Question.SIGN_IN, **given)
    except (NotVerified, TryAgain) as no:
        return visit.show(
            "sign_in.html", 429 if isinstance(no, TryAgain) else 403, why=visit.why(no), entrance=_entrance(visit)
        )
    return _begun(visit, answer)


@PAGES.post("/sign-in/challenge", Question.SIGN_IN_CHALLENGE, script=True)
def challenge(visit: Here) -> Response:
    return visit.answer(visit.ask(Question.SIGN_IN_CHALLENGE))


@PAGES.post("/sign-in/passkey", Question.SIGN_IN_PASSKEY, script=True)
def with_passkey(visit: Here) -> Response:
    answer = visit.ask(Question.SIGN_IN_PASSKEY, credential=visit.filled("credential"))
    _begun(visit, answer)
    return visit.answer({"next": "/"})


@PAGES.post("/sign-out", Question.SIGN_OUT)
def sign_out(visit: Here) -> Response:
    visit.ask(Question.SIGN_OUT)
    visit.end()
    return visit.go("/sign-in")


@PAGES.post("/language", Question.LANGUAGE)
def language(visit: Here) -> Response:
    """Kept in a cookie, and with the account of whoever is signed in."""
    wanted, back = visit.filled("language"), visit.filled("back")
    if wanted not in LANGUAGES:
        raise Malformed("an unknown language was named", "Open the page again.")
    with suppress(SignedOut):  # then the cookie is enough
        visit.ask(Question.LANGUAGE, language=wanted)
    visit.prefer(wanted)
    return visit.go(back if _is_ours(back) else "/")


def _entrance(visit: Visit) -> str | None:
    """The agency's sign-in that somebody came in by at this browser. Nothing else says that there is one."""
    said = visit.request.cookies.get(visit.site.cookie("provider"), "")
    return said if ENTRANCE.fullmatch(said) else None


def _is_ours(path: str) -> bool:
    """A path of this site, and nothing that a browser would read as another one."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return plain and path.startswith("/") and not path.startswith("//")


def _begun(visit: Here, answer: dict[str, str]) -> Response:
    visit.begin(answer["session"])
    if answer.get("language"):
        visit.prefer(answer["language"])
    return visit.go("/")
