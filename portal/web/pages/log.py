"""The instruction log as a timeline, its entries one by one, and what a browser checks them with."""

import re
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.wording import SORTS, SYSTEMS
from schemas.access import NotThere, Question

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LARGE = 2**53

Size = Annotated[int, Query(ge=0, lt=_LARGE)]


@PAGES.get("/a/{agency}/log", Question.LOG_TIMELINE)
def timeline(
    visit: Here, agency: str, before: Size = 0, sort: str = "", system: str = "", since: str = "", until: str = ""
) -> Response:
    """Filters that there are not filter nothing: an address may have been typed."""
    asked = {
        "sort": sort if sort in SORTS else "",
        "system": system if system in SYSTEMS else "",
        "since": since if _DAY.fullmatch(since) else "",
        "until": until if _DAY.fullmatch(until) else "",
    }
    found: dict[str, Any] = visit.ask(Question.LOG_TIMELINE, agency=agency, before=before, **asked)
    return visit.show("log.html", asked=asked, before=before, sorts=SORTS, systems=SYSTEMS, **found)


@PAGES.get("/a/{agency}/log/checkpoint", Question.LOG_CHECKPOINT, script=True)
def checkpoint(visit: Here, agency: str) -> Response:
    return visit.answer(visit.ask(Question.LOG_CHECKPOINT, agency=agency))


@PAGES.get("/a/{agency}/log/consistency", Question.LOG_CONSISTENCY, script=True)
def consistency(visit: Here, agency: str, first: Size, second: Size = 0) -> Response:
    return visit.answer(visit.ask(Question.LOG_CONSISTENCY, agency=agency, first=first, second=second))


@PAGES.get("/a/{agency}/log/entries", Question.LOG_ENTRY, script=True)
def entries(visit: Here, agency: str, first: Size, count: Size = 1, size: Size = 0) -> Response:
    """Leaves from index `first` on, in the tree of `size` leaves (0: as it is now)."""
    return visit.answer(visit.ask(Question.LOG_ENTRY, agency=agency, first=first, count=count, size=size))


@PAGES.get("/a/{agency}/log/{number}", Question.LOG_SHOWN)
def entry(visit: Here, agency: str, number: str, given: str = "") -> Response:
    """`given`: somebody comes from having signed it."""
    if not re.fullmatch(r"[1-9][0-9]{0,14}", number):
        raise NotThere("there is no such page")
    found = visit.ask(Question.LOG_SHOWN, agency=agency, number=int(number))
    return visit.show("entry.html", entry=found, given=given == "1")
