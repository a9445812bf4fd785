"""Giving an instruction: choose, fill in, see what it would change, sign, and find it in the log.

The form and what it would change need no script. To sign does: the browser makes the challenge itself from what the
page shows (`static/sign.js`).
"""

import re
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import Response

from portal.web import acts
from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.words import marked as _
from schemas.access import NotThere, Question
from schemas.errors import Malformed, Refused
from schemas.records import PROCESSOR_TABLES

_REQUEST = re.compile(r"REQ-[0-9a-f]{12}")
_ACT = "/a/{agency}/instruct/{act}"


@PAGES.get("/a/{agency}/instruct", Question.ACT_FORM)
def choose(visit: Here, agency: str, does: str = "", notice: str = "", system: str = "", request: str = "") -> Response:
    """With `does`, the form of that instruction at once: what waits on another page leads here."""
    if does:
        scope = "person" if request else "agency"
        return form(visit, agency, does, scope, notice, system, request)
    return visit.show("instruct.html", acts=acts.ACTS, known=visit.ask(Question.ACT_FORM, agency=agency))


@PAGES.get(_ACT, Question.ACT_FORM)
def form(
    visit: Here, agency: str, act: str, scope: str = "agency", notice: str = "", system: str = "", request: str = ""
) -> Response:
    """`notice`, `system`, and `request` (of a person, registered here) are filled in where the agency has them."""
    known = visit.ask(Question.ACT_FORM, agency=agency)
    filled = acts.first_values(_known(act), known, scope if scope in acts.SCOPES else "agency")
    if notice in {n["id"] for n in known["notices"]}:
        filled["notice"] = notice
    if system in known["systems"]:
        filled = {k: v for k, v in filled.items() if not k.startswith("systems.")}
        filled |= {"system": system, f"systems.{system}": "1"}
    if _REQUEST.fullmatch(request):
        filled["reference"] = request
    return _form(visit, act, known, filled)


@PAGES.post(_ACT, Question.ACT_FORM, Question.ACT_PREPARE)
def look(visit: Here, agency: str, act: str) -> Response:
    """What it would change. With `edit` the form again, as it was filled in."""
    _known(act)
    if visit.filled("edit"):
        return _form(visit, act, visit.ask(Question.ACT_FORM, agency=agency), visit.form)
    said, document = acts.said(act, visit.form), visit.filled("document").strip().lower()
    lacks = acts.lacks(said)
    if lacks:
        return _form(visit, act, visit.ask(Question.ACT_FORM, agency=agency), visit.form, 400, visit.say(lacks))
    try:
        found = visit.ask(Question.ACT_PREPARE, agency=agency, said=said, document=document)
    except (Malformed, Refused) as no:
        if isinstance(no, NotThere):
            raise
        return _form(visit, act, visit.ask(Question.ACT_FORM, agency=agency), visit.form, 400, visit.why(no))
    return to_sign(visit, found, acts.ACTS[act].title, _said_again(visit.form), f"/a/{agency}/instruct/{act}")


@PAGES.post("/a/{agency}/log/{number}/withdraw", Question.ACT_WITHDRAW)
def withdraw(visit: Here, agency: str, number: str) -> Response:
    if not number.isdigit() or len(number) > 15:
        raise NotThere("there is no such page")
    found = visit.ask(Question.ACT_WITHDRAW, agency=agency, number=int(number))
    return to_sign(visit, found, _("Withdraw an instruction"), {}, f"/a/{agency}/log/{number}/withdraw")


@PAGES.post("/a/{agency}/sign", Question.ACT_RECORD, script=True)
def record(visit: Here, agency: str) -> Response:
    """409: the log has grown meanwhile, or it took too long. What is to be signed is another leaf now."""
    names = ("reference", "credential", "authenticator_data", "client_data", "signature")
    done = visit.ask(Question.ACT_RECORD, agency=agency, **{n: visit.filled(n)[:8192] for n in names})
    if done["again"]:
        return visit.answer({"no": "again"}, 409)
    return visit.answer({"location": f"/a/{agency}/log/{done['number']}?given=1"})


def to_sign(visit: Here, found: dict[str, Any], title: str, again: dict[str, str], path: str) -> Response:
    """The page on which something is signed. `again`: the form as it was filled in, and `path` where it is sent."""
    return visit.show("sign.html", title=title, again=again, path=path, **found)


def _known(act: str) -> str:
    if act not in acts.ACTS:
        raise NotThere("there is no such page")
    return act


def _form(
    visit: Here, act: str, known: dict[str, Any], filled: dict[str, str], status: int = 200, why: str = ""
) -> Response:
    return visit.show(
        "act.html", status, act=act, what=acts.ACTS[act], known=known, filled=filled, why=why, scopes=acts.SCOPES,
        tables=PROCESSOR_TABLES, categories=acts.CATEGORIES, only_categories=acts.ONLY_CATEGORIES, roles=acts.ROLES,
        purposes=acts.PURPOSES, functions=acts.FUNCTIONS, outcomes=acts.OUTCOMES, came_with=_came_with(filled),
    )  # fmt: skip


def _came_with(filled: dict[str, str]) -> str:
    """What led here stays when another scope is chosen: the system, and the request of a person. Nothing typed."""
    led = {"system": filled.get("system", ""), "request": filled.get("reference", "")}
    kept = {"system": led["system"] in acts.SYSTEMS, "request": _REQUEST.fullmatch(led["request"])}
    return urlencode({name: led[name] for name, here in kept.items() if here})


def _said_again(form: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in form.items() if v and k not in ("edit", "form")}
