"""The passkeys that sign for an agency: which there are, one more, one less, and what counts without them."""

import json
import re

from fastapi.responses import Response

from portal.web.acts import FUNCTIONS
from portal.web.pages.acting import to_sign
from portal.web.registry import PAGES
from portal.web.visit import Here
from portal.web.words import marked as _
from schemas.access import NotThere, Question
from schemas.errors import Malformed

_KEY = re.compile(r"CRD-[0-9a-f]{10}")
REASONS = ("lost", "left", "replaced", "doubted")


@PAGES.get("/a/{agency}/keys", Question.KEYS)
def listed(visit: Here, agency: str) -> Response:
    return visit.show("keys.html", functions=FUNCTIONS, reasons=REASONS, **visit.ask(Question.KEYS, agency=agency))


@PAGES.post("/a/{agency}/keys/new", Question.KEYS_CHALLENGE)
def new(visit: Here, agency: str) -> Response:
    function = visit.filled("function") or FUNCTIONS[0]
    if function not in FUNCTIONS:
        raise Malformed("there is no such function", "Open the page again.")
    return visit.show("key_new.html", function=function, options=visit.ask(Question.KEYS_CHALLENGE, agency=agency))


@PAGES.post("/a/{agency}/keys/enrol", Question.KEYS_ENROL, script=True)
def enrol(visit: Here, agency: str) -> Response:
    try:
        response = json.loads(visit.filled("response") or "{}")
    except ValueError:
        response = {}
    said = {n: visit.filled(n) for n in ("id", "rawId", "type")} | {"response": response}
    done = visit.ask(Question.KEYS_ENROL, agency=agency, made=json.dumps(said), function=visit.filled("reference"))
    return visit.answer({"location": f"/a/{agency}/keys?made={done['credential']}"})


@PAGES.post("/a/{agency}/keys/{passkey}/sign", Question.KEYS_SIGN_FOR)
def sign_for(visit: Here, agency: str, passkey: str) -> Response:
    found = visit.ask(Question.KEYS_SIGN_FOR, agency=agency, credential=_named(passkey))
    return to_sign(visit, found, _("Enrol a signing passkey"), {}, f"/a/{agency}/keys/{passkey}/sign")


@PAGES.post("/a/{agency}/keys/{passkey}/revoke", Question.KEYS_REVOKE)
def revoke(visit: Here, agency: str, passkey: str) -> Response:
    reason = visit.filled("reason") or REASONS[0]
    visit.ask(Question.KEYS_REVOKE, agency=agency, credential=_named(passkey), reason=reason)
    return visit.go(f"/a/{agency}/keys")


@PAGES.post("/a/{agency}/keys/rule", Question.KEYS_RULE)
def rule(visit: Here, agency: str) -> Response:
    """To demand signatures counts at once; to do without them again is signed."""
    required = visit.filled("required") != "no"
    found = visit.ask(Question.KEYS_RULE, agency=agency, required=required, given_by=FUNCTIONS[0])
    if found is None:
        return visit.go(f"/a/{agency}/keys")
    return to_sign(visit, found, _("Let unsigned instructions count"), {"required": "no"}, f"/a/{agency}/keys/rule")


def _named(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise NotThere("there is no such page")
    return key
