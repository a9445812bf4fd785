"""One request as a page sees it: who asks, in which language, what was filled in; and how it is answered."""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from portal.web.reception import Reception
from portal.web.registry import PAGES, Page
from portal.web.rendering import rendered
from portal.web.site import Cookie, Site
from portal.web.words import Language, catalogue, chosen, spoken
from schemas.access import Question
from schemas.errors import Malformed, Refused, Say

LARGEST_FORM = 256 * 1024  # bytes
_MOST_FIELDS = 200
# Seconds; what is not named goes when the browser is closed.
_AGES: Mapping[Cookie, int] = {"language": 365 * 24 * 3600, "provider": 365 * 24 * 3600, "flow": 600}


class Forged(Refused):
    """A form that no page of ours showed this visitor."""


@dataclass(slots=True)
class Visit:
    request: Request
    page: Page | None
    reception: Reception
    site: Site
    language: Language
    session: str
    form_key: str
    form: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Any] | None = None  # how far an auditor sees; nobody else has any
    _set: dict[Cookie, str | None] = field(default_factory=dict)

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask(self, question: Question, **fields: Any) -> Any:
        """The reception's answer. A page asks the questions that it was listed with, and no others."""
        if self.page is None or question not in self.page.asks:
            raise RuntimeError("a page asked what it is not listed with")
        client = self.request.client
        said = self.reception.told(question, self.session, client.host if client else "", **fields)
        self.limits = said.get("limits", self.limits)
        return said["ok"]

    def filled(self, name: str) -> str:
        return self.form.get(name, "")

    # -- words ---------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> str:
        return catalogue(self.language).gettext(text) if text else ""

    def why(self, no: Say) -> str:
        """A no of the reception, in words."""
        said = [spoken(text, self.language).rstrip(".") for text in (no.what, no.hint) if text]
        return " ".join(f"{text[:1].upper()}{text[1:]}." for text in said)

    # -- answering -----------------------------------------------------------------------------------------------------

    @property
    def form_token(self) -> str:
        return sha256(f"form {self.form_key}".encode()).hexdigest()

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        return self._with_cookies(HTMLResponse(rendered(template, self, values), status))

    def answer(self, value: Any, status: int = 200) -> Response:
        return self._with_cookies(JSONResponse(value, status))

    def go(self, path: str) -> Response:
        """To another page of ours, by GET."""
        return self._with_cookies(RedirectResponse(path, 303))

    def begin(self, session: str) -> None:
        """Somebody has signed in: their session's cookie, and a form key of their own."""
        self._set |= {"session": session, "form": secrets.token_urlsafe(32)}

    def end(self) -> None:
        self._set |= {"session": None, "form": None}

    def leave(self, browser: str) -> None:
        """Somebody goes to their agency's sign-in: what they are known by when they come back."""
        self._set["flow"] = browser

    def back(self, entrance: str | None) -> None:
        """They are back: the cookie was good once. `entrance`: let in, so that the sign-in page offers it here."""
        self._set["flow"] = None
        if entrance is not None:
            self._set["provider"] = entrance

    def prefer(self, language: str) -> None:
        self._set["language"] = language

    def _with_cookies(self, response: Response) -> Response:
        told_now = dict(self._set)
        if self.request.cookies.get(self.site.cookie("form")) != self.form_key:
            told_now.setdefault("form", self.form_key)
        for name, value in told_now.items():
            told: dict[str, Any] = {"secure": True, "httponly": True, "samesite": "lax", "path": "/"}
            if value is None:
                response.delete_cookie(self.site.cookie(name), **told)
            else:
                age = _AGES.get(name)
                response.set_cookie(self.site.cookie(name), value, max_age=age, **told)
        return response


async def visiting(request: Request) -> Visit:
    """The visit of a request, once it is found that its form, if it has one, is ours. Raises Forged, Malformed."""
    visit = bare(request, PAGES.named(request.scope["route"].name))
    if request.method == "POST":
        visit.form = await _filled_in(request)
        _own(visit)
    return visit


def bare(request: Request, page: Page | None = None) -> Visit:
    """A visit of which no form was read."""
    site: Site = request.app.state.site
    cookies = request.cookies
    language = chosen(cookies.get(site.cookie("language")), request.headers.get("accept-language", ""))
    key = cookies.get(site.cookie("form"), "")
    return Visit(
        request, page, request.app.state.reception, site, language, cookies.get(site.cookie("session"), ""),
        key if len(key) >= 40 else secrets.token_urlsafe(32),
    )  # fmt: skip


Here = Annotated[Visit, Depends(visiting)]


def _own(visit: Visit) -> None:
    """The browser says that the request comes from our own page (W3C Fetch Metadata), and the form holds the token that
    only our pages can read: either alone would do."""
    headers = visit.request.headers
    fetch, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if fetch not in (None, "same-origin") or (fetch is None and origin not in (None, visit.site.origin)):
        raise Forged("the form was not sent from one of our pages", "Open the page again.")
    shown = visit.form.pop("form", "") or headers.get("x-form", "")
    if not hmac.compare_digest(shown.encode("utf-8", "replace"), visit.form_token.encode()):
        raise Forged("the form was not sent from one of our pages", "Open the page again.")


async def _filled_in(request: Request) -> dict[str, str]:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_FORM:
            raise Malformed("the form is too large", "Send less at once.")
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            said = json.loads(raw or b"{}")
            if not isinstance(said, dict):
                raise ValueError
            return {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in said.items()}
        found = parse_qs(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=_MOST_FIELDS)
    except (ValueError, RecursionError):
        raise Malformed("the form cannot be read", "Open the page again.") from None
    return {name: values[-1] for name, values in found.items()}
