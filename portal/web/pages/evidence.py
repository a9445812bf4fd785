"""The evidence pack: asked for, waited for, taken away, and how to check it at home."""

from fastapi.responses import Response

from portal.web.download import streamed
from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import Question

READY, FAILED = "ready", "failed"
_PATH = "/a/{agency}/audit/evidence"


@PAGES.get(_PATH, Question.PACK)
def evidence(visit: Here, agency: str) -> Response:
    known = visit.ask(Question.PACK, agency=agency)
    pack = known["pack"]
    at_work = pack is not None and pack["step"] not in (READY, FAILED)
    done = known["steps"].index(pack["step"]) if at_work and pack["step"] in known["steps"] else -1
    return visit.show("evidence.html", known=known, pack=pack, at_work=at_work, done=done)


@PAGES.post(_PATH, Question.PACK_ASK)
def ask(visit: Here, agency: str) -> Response:
    visit.ask(Question.PACK_ASK, agency=agency)
    return visit.go(f"/a/{agency}/audit/evidence")


@PAGES.get(f"{_PATH}/file", Question.PACK, Question.PACK_FILE)
def file(visit: Here, agency: str) -> Response:
    """The visitor's pack. One that is not there, or no longer: to the page that says so."""
    pack = visit.ask(Question.PACK, agency=agency)["pack"]
    if pack is None or pack["step"] != READY:
        return visit.go(f"/a/{agency}/audit/evidence")
    return streamed(
        lambda offset: visit.ask(Question.PACK_FILE, agency=agency, pack=pack["id"], offset=offset),
        f"{agency}-{pack['ready_at'][:10]}.zip", "application/zip", pack["bytes"],
    )  # fmt: skip
