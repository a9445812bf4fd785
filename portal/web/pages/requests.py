"""Requests of data subjects: the list with its deadlines, one with what was done, and the forms that move it on."""

from typing import Any

from fastapi.responses import Response

from portal.web.daily import KINDS, OUTCOMES
from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.wording import SYSTEMS
from schemas.access import NotThere, Question
from schemas.errors import Malformed, NotVerified, Refused, Say, TryAgain

_FIELDS = ("kind", "system", "person", "reference", "received_on")
_SAYS_NO = (Malformed, Refused, NotVerified, TryAgain)


@PAGES.get("/a/{agency}/requests", Question.REQUESTS)
def listed(visit: Here, agency: str, after: str = "") -> Response:
    return _list(visit, agency, after)


def _list(visit: Here, agency: str, after: str = "", no: Say | None = None) -> Response:
    found: dict[str, Any] = visit.ask(Question.REQUESTS, agency=agency, after=after[:40])
    # What was typed is shown again, but for the key of the person: it is typed anew.
    filled = {name: visit.filled(name) for name in _FIELDS if name != "person"}
    why = visit.why(no) if no is not None else None
    return visit.show(
        "requests.html", _status(no), after=after, kinds=KINDS, systems=SYSTEMS, filled=filled, why=why, **found
    )


@PAGES.post("/a/{agency}/requests", Question.REQUEST_NEW, Question.REQUESTS)
def registered(visit: Here, agency: str) -> Response:
    try:
        made = visit.ask(Question.REQUEST_NEW, agency=agency, **{n: visit.filled(n)[:1000] for n in _FIELDS})
    except NotThere:
        raise
    except _SAYS_NO as no:
        return _list(visit, agency, no=no)
    return visit.go(f"/a/{agency}/requests" + (f"/{made['id']}" if made else ""))


@PAGES.get("/a/{agency}/requests/{request_id}", Question.REQUEST)
def one(visit: Here, agency: str, request_id: str) -> Response:
    return _one(visit, agency, request_id)


def _one(visit: Here, agency: str, number: str, no: Say | None = None) -> Response:
    found = visit.ask(Question.REQUEST, agency=agency, request=number[:40])
    if found is None:
        return visit.go(f"/a/{agency}/requests")
    why = visit.why(no) if no is not None else None
    return visit.show("request.html", _status(no), kinds=KINDS, outcomes=OUTCOMES, why=why, r=found)


@PAGES.post("/a/{agency}/requests/{request_id}/longer", Question.REQUEST_LONGER, Question.REQUEST)
def longer(visit: Here, agency: str, request_id: str) -> Response:
    return _moved(visit, agency, request_id, Question.REQUEST_LONGER, told_on=visit.filled("told_on")[:20])


@PAGES.post("/a/{agency}/requests/{request_id}/close", Question.REQUEST_CLOSE, Question.REQUEST)
def close(visit: Here, agency: str, request_id: str) -> Response:
    return _moved(visit, agency, request_id, Question.REQUEST_CLOSE, outcome=visit.filled("outcome")[:40])


def _moved(visit: Here, agency: str, number: str, question: Question, **fields: str) -> Response:
    try:
        visit.ask(question, agency=agency, request=number[:40], **fields)
    except NotThere:
        raise
    except _SAYS_NO as no:
        return _one(visit, agency, number, no)
    return visit.go(f"/a/{agency}/requests/{number[:40]}")


@PAGES.post("/a/{agency}/requests/{request_id}/package", Question.REQUEST_PACKAGE, Question.REQUEST)
def package(visit: Here, agency: str, request_id: str) -> Response:
    """A file, in the answer to a form: no address leads to it, and nothing keeps it."""
    form = visit.filled("as")
    try:
        made = visit.ask(Question.REQUEST_PACKAGE, agency=agency, request=request_id[:40], form=form[:10])
    except NotThere:
        raise
    except _SAYS_NO as no:
        return _one(visit, agency, request_id, no)
    if made is None:
        return visit.go(f"/a/{agency}/requests")
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    # A byte order mark, so that spreadsheets read UTF-8.
    body = made["text"].encode("utf-8-sig" if form == "csv" else "utf-8")
    name = f"{request_id}.{'csv' if form == 'csv' else 'json'}"
    return Response(body, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


def _status(no: Say | None) -> int:
    if no is None:
        return 200
    return next((status for kind, status in _STATUS if isinstance(no, kind)), 403)


_STATUS: tuple[tuple[type[Say], int], ...] = ((Malformed, 400), (NotVerified, 409), (TryAgain, 503), (Refused, 403))
