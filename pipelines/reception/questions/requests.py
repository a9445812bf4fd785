"""Requests of data subjects: registered, seen with their deadlines and what was done, answered, closed."""

import json
import re
from datetime import date
from typing import Any

from pipelines import subject_package
from pipelines.host.wire import Asked
from pipelines.premises import is_held
from pipelines.reception import requests
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.requests import INSTRUCTS, LONGEST_REFERENCE, PACKED, Kind, New, Outcome, Requests
from schemas.access import LARGEST_MESSAGE, Question, Role
from schemas.errors import Malformed, Refused
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.window import paris_day

PAGE = 50
_NUMBER = re.compile(r"REQ-[0-9a-f]{12}")
_LONGEST_KEY = 200


def listed(visit: Visit, asked: Asked) -> Any:
    """The open ones that are due first, the closed ones last. `after`: begin behind this one."""
    today = paris_day(visit.at)
    found = _mine(visit).page(asked.text("after"), PAGE + 1)
    shown = [_dated(r, today) for r in found[:PAGE]]
    return {
        "requests": shown,
        "next": shown[-1]["id"] if len(found) > PAGE else None,
        "today": today.isoformat(),
    } | _acts(visit)


def shown(visit: Visit, asked: Asked) -> Any:
    found = _one(visit, asked)
    if found is None:
        return None
    reading = visit.desk.logs.read(visit.named)
    orders = (
        [*requests.in_log(reading.counting, found["person"], reading.hidden(visit.at))] if reading is not None else []
    )
    kind = Kind(found["kind"])
    said = _dated({k: v for k, v in found.items() if k != "person"}, paris_day(visit.at))
    return said | {"orders": orders, "instructs": INSTRUCTS.get(kind), "packed": kind in PACKED} | _acts(visit)


def registered(visit: Visit, asked: Asked) -> Any:
    """`person`: the key of a person in a system. It is not kept: the reference is. Nothing for an empty form."""
    if not any(asked.text(name) for name in ("kind", "system", "reference", "person", "received_on")):
        return None
    kind, system = _word(Kind, asked.text("kind")), _word(System, asked.text("system"))
    reference, key = asked.text("reference").strip(), asked.text("person").strip()
    if system not in AGENCY_SYSTEMS:
        raise Malformed("there is no such choice", "Open the page again.")
    if not reference or len(reference) > LONGEST_REFERENCE:
        raise Malformed("the reference is missing, or too long", "Give the number that the request has with you.")
    if not key or len(key) > _LONGEST_KEY:
        raise Malformed("the key of the person is missing", "Write it as the export of that system has it.")
    day = _day(asked.text("received_on"))
    if day > paris_day(visit.at):
        raise Malformed("the request was received in the future", "Check the day.")
    if not is_held(visit.desk.home, visit.named):
        raise Refused("nothing is held for this agency", "There is nothing to hand over.")
    desk = visit.desk
    person = subject_package.reference(desk.home, desk.root, visit.named, system, key, visit.at)
    number = _mine(visit).add(New(kind, system, person, reference, day), visit.account, visit.at)
    visit.about = number
    return {"id": number}


def extended(visit: Visit, asked: Asked) -> Any:
    found = _one(visit, asked)
    if found is not None:
        _mine(visit).extend(found["id"], _day(asked.text("told_on")), visit.account, visit.at)


def closed(visit: Visit, asked: Asked) -> Any:
    found = _one(visit, asked)
    if found is None:
        return
    outcome = _word(Outcome, asked.text("outcome"))
    _mine(visit).close(found["id"], outcome, paris_day(visit.at), visit.account, visit.at)


def packed(visit: Visit, asked: Asked) -> Any:
    """The person's rows with where they came from, as JSON or CSV. Each time is a step of the request, and a line in
    the log of what was asked."""
    found, form = _one(visit, asked), asked.text("form")
    if found is None:
        return None
    if form not in ("json", "csv"):
        raise Malformed("there is no such choice", "Open the page again.")
    if Kind(found["kind"]) not in PACKED:
        raise Refused("this request is not answered with a package", "Give the instruction that it asks for.")
    if not is_held(visit.desk.home, visit.named):
        raise Refused("nothing is held for this agency", "There is nothing to hand over.")
    desk, system = visit.desk, System(found["system"])
    rows = subject_package.package(desk.home, desk.root, visit.named, system, found["person"], visit.at)
    text = json.dumps(rows, ensure_ascii=False, indent=1) if form == "json" else subject_package.as_csv(rows)
    if len(text.encode()) > LARGEST_MESSAGE // 2:
        raise Refused("there is too much of this person for a page", "Ask operations for an export.")
    _mine(visit).note(found["id"], f"package_{form}", visit.account, visit.at)
    return {"text": text}


def _mine(visit: Visit) -> Requests:
    return requests.of(visit.desk.home, visit.desk.vault, visit.named)


def _one(visit: Visit, asked: Asked) -> dict[str, Any] | None:
    """None where this agency has no such request, whoever else has."""
    number = asked.text("request")
    found = _mine(visit).one(number) if _NUMBER.fullmatch(number) else None
    if found is not None:
        visit.about = number
    return found


def _acts(visit: Visit) -> dict[str, bool]:
    roles = {g.role for g in visit.grants}
    return {"acts": Role.SIGNATORY in roles, "opens": bool(roles & {Role.SIGNATORY, Role.READER})}


def _dated(r: dict[str, Any], today: date) -> dict[str, Any]:
    left = (date.fromisoformat(r["due_on"]) - today).days if r["closed_on"] is None else None
    return r | {"days_left": left}


def _word(kinds: Any, text: str) -> Any:
    try:
        return kinds(text)
    except ValueError:
        raise Malformed("there is no such choice", "Open the page again.") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Malformed("this is no day", "Write it as 2026-01-14.") from None


ANSWERS: Answers = {
    Question.REQUESTS: Answer(listed, ("agency", "after")),
    Question.REQUEST: Answer(shown, ("agency", "request")),
    Question.REQUEST_NEW: Answer(registered, ("agency", "kind", "system", "person", "reference", "received_on")),
    Question.REQUEST_LONGER: Answer(extended, ("agency", "request", "told_on")),
    Question.REQUEST_CLOSE: Answer(closed, ("agency", "request", "outcome")),
    Question.REQUEST_PACKAGE: Answer(packed, ("agency", "request", "form")),
}
