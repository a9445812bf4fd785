"""The explorer of lineage: columns of the model, rows of the agency, and its events for other tools.

A row is asked for by a form: its key stands in no address.
"""

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from portal.web.download import streamed
from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.wording import CATEGORIES, SCOPES, SYSTEMS_WITH_PORTAL
from schemas.access import Question
from schemas.errors import Malformed, Refused

_LONGEST = 80
_NDJSON = "application/x-ndjson"
_ASKED = ("system", "table", "key", "day", "time")


@PAGES.get("/a/{agency}/audit/fields", Question.FIELDS)
def fields(
    visit: Here, agency: str, text: str = "", category: str = "", scope: str = "", system: str = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:  # fmt: skip
    """Filters that there are not filter nothing: an address may have been typed."""
    asked = {
        "text": text.strip()[:_LONGEST],
        "category": category if category in CATEGORIES else "",
        "scope": scope if scope in SCOPES else "",
        "system": system if system in SYSTEMS_WITH_PORTAL else "",
    }
    found: dict[str, Any] = visit.ask(Question.FIELDS, agency=agency, page=page, **asked)
    return visit.show(
        "lineage_fields.html", asked=asked, categories=CATEGORIES, scopes=SCOPES, systems=SYSTEMS_WITH_PORTAL, **found
    )


@PAGES.get("/a/{agency}/audit/fields/{field}", Question.FIELD)
def field(visit: Here, agency: str, field: str) -> Response:
    known = visit.ask(Question.FIELD, agency=agency, field=field[:_LONGEST], language=visit.language)
    return visit.show("lineage_field.html", known=known)


@PAGES.get("/a/{agency}/audit/record", Question.RECORD)
def ask_record(visit: Here, agency: str) -> Response:
    return _record(visit, agency, Question.RECORD, {})


@PAGES.post("/a/{agency}/audit/record", Question.RECORD)
def record(visit: Here, agency: str) -> Response:
    return _record(visit, agency, Question.RECORD, visit.form)


@PAGES.post("/a/{agency}/audit/record/values", Question.RECORD_VALUES, Question.RECORD)
def values(visit: Here, agency: str) -> Response:
    """The values of a row, where the mandate allows it; else the row without them, and why."""
    return _record(visit, agency, Question.RECORD_VALUES, visit.form)


def _record(visit: Here, agency: str, question: Question, form: dict[str, str]) -> Response:
    asked = {name: form.get(name, "")[:200] for name in _ASKED}
    why, status = None, 200
    try:
        known = visit.ask(question, agency=agency, **asked)
    except Refused as no:
        if question is not Question.RECORD_VALUES or type(no) is not Refused:
            raise
        why = visit.why(no)
        try:
            known = visit.ask(Question.RECORD, agency=agency, **asked)
        except Malformed:
            known = visit.ask(Question.RECORD, agency=agency, **dict.fromkeys(_ASKED, ""))
    except Malformed as no:
        why, status = visit.why(no), 400
        known = visit.ask(Question.RECORD, agency=agency, **dict.fromkeys(_ASKED, ""))
    return visit.show("lineage_record.html", status, known=known, asked=asked, why=why)


@PAGES.get("/a/{agency}/audit/openlineage", Question.EVENTS)
def events(visit: Here, agency: str) -> Response:
    """One event a line, as `depositaire openlineage --agency` writes them."""
    return streamed(
        lambda offset: visit.ask(Question.EVENTS, agency=agency, offset=offset), f"{agency}-openlineage.jsonl", _NDJSON
    )
