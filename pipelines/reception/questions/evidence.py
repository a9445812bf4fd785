"""The evidence pack: asked for, made behind the door, fetched part by part by whoever asked (GDPR 28(3)(h))."""

from base64 import b64encode
from dataclasses import asdict
from typing import Any

from pipelines.evidence import STEPS
from pipelines.host.wire import Asked
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.packs import PART, READY, Pack
from schemas.access import NotThere, Question
from schemas.errors import TryAgain


def state(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """The visitor's pack of this agency, or nothing; the steps of making one; the key that signs the log."""
    reading = visit.desk.logs.read(visit.named)
    pack = visit.desk.packs.of(visit.named, visit.account, _categories(visit), visit.at)
    visit.about = pack.id if pack is not None else None
    return {
        "pack": None if pack is None else asdict(pack), "steps": list(STEPS),
        "entries": reading.size if reading is not None else 0, "key": visit.desk.logs.verifier(visit.named),
    }  # fmt: skip


def ask(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """Begin one. What an auditor's categories leave out is left out of its `lineage.json`. Without a log: nothing."""
    if visit.desk.logs.read(visit.named) is None:
        return {"pack": None}
    visit.desk.packs.clear(visit.at)
    pack = visit.desk.packs.ask(visit.named, visit.account, _categories(visit), visit.at)
    visit.about = pack.id
    return {"pack": asdict(pack)}


def part(visit: Visit, asked: Asked) -> Any:
    """The visitor's own pack from an offset on, in base64; `next`: where the rest begins, or nothing."""
    offset = max(0, asked.number("offset"))
    pack = _own(visit, asked.text("pack"))
    try:
        raw = visit.desk.packs.part(visit.named, pack, offset)
    except FileNotFoundError:
        raise TryAgain("the pack was removed", "Ask for it again.") from None
    visit.about = f"{pack.id} {offset}"
    after = offset + len(raw)
    return {"part": b64encode(raw).decode(), "next": after if len(raw) == PART and after < (pack.bytes or 0) else None}


def _own(visit: Visit, wanted: str) -> Pack:
    """Raises NotThere for anybody else's: nobody can tell that there is one."""
    pack = visit.desk.packs.of(visit.named, visit.account, _categories(visit), visit.at)
    if pack is None or pack.id != wanted or pack.step != READY:
        raise NotThere("there is no such page")
    return pack


def _categories(visit: Visit) -> frozenset[str] | None:
    limit = visit.limits
    return None if limit is None else limit.categories


ANSWERS: Answers = {
    Question.PACK: Answer(state, ("agency",)),
    Question.PACK_ASK: Answer(ask, ("agency",)),
    Question.PACK_FILE: Answer(part, ("agency", "pack", "offset")),
}
