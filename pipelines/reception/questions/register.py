"""The register of processing (GDPR 30(2)) and the certificates of erasure of an agency, as pages and as files."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from ledger import certificate
from ledger.canonical import instant, sha256
from pipelines import processing_register, register_files
from pipelines.host.wire import Asked
from pipelines.reception.desk import Answer, Answers, Visit
from schemas.access import NotThere, Question
from schemas.errors import Malformed, NotVerified
from schemas.window import closes_at
from store.keys import signer

PAGE = 10
# A file of a register in one answer; one of an agency has some kilobytes.
_LARGEST = 2 * 2**20
# In the place of the columns of a category that an auditor may not see.
OUTSIDE = "outside_mandate"
_SAID = {"fr": "hors de votre mandat", "en": "outside your mandate", "scope": "processor"}
_CERTIFICATES_A_PAGE = 25


def _register(visit: Visit) -> dict[str, Any]:
    desk = visit.desk
    found = processing_register.collect(desk.home, visit.at, {visit.named}, root=desk.root)
    limit = visit.limits
    if limit is None or limit.categories is None:
        return found
    for record in found["article_30_2"]["records"]:
        record["data"] = {c: names if limit.within(c) else [OUTSIDE] for c, names in record["data"].items()}
    kept = {name for record in found["article_30_2"]["records"] for names in record["data"].values() for name in names}
    found["model"] = {name: said for name, said in found["model"].items() if name in kept} | {OUTSIDE: dict(_SAID)}
    return found


def shown(visit: Visit, asked: Asked) -> Any:
    """Each category of processing as headed texts by section, `page` after page from 1. `language`: of the texts."""
    language, page = _language(asked), asked.number("page")
    found = _register(visit)
    every = register_files.cards(found, "article_30_2", language)
    records = found["article_30_2"]["records"]
    start = (max(page, 1) - 1) * PAGE
    return {
        "at": found["at"], "incomplete": found["incomplete"], "size": len(every), "page": max(page, 1),
        "pages": max(1, -(-len(every) // PAGE)),
        "records": [
            {"id": r["id"], "category": processing_register.words()["processing"][r["category"]][language == "en"],
             "system": r["system"], "carried_out": r["carried_out"], "sections": _sections(card)}
            for r, card in list(zip(records, every, strict=True))[start : start + PAGE]
        ],
    }  # fmt: skip


def _sections(card: register_files.Card) -> list[list[Any]]:
    """A section's title and its headed texts; what has several parts is a list. Nothing that is empty."""
    found: dict[str, list[list[Any]]] = {}
    for section, heading, text in card:
        if text:
            found.setdefault(section, []).append([heading, text.split(register_files.BETWEEN)])
    return [[title, rows] for title, rows in found.items()]


def file(visit: Visit, asked: Asked) -> Any:
    """The register as a file: `format` json, csv or ods. `part` in base64."""
    form, language = asked.text("format"), _language(asked)
    if form not in register_files.FORMATS:
        raise NotThere("there is no such page")
    visit.about = form
    found = _register(visit)
    raw = {
        "json": lambda: register_files.as_json(found),
        "csv": lambda: register_files.as_csv(found, "article_30_2", language),
        "ods": lambda: register_files.as_ods(found, language),
    }[form]()
    if len(raw) > _LARGEST:
        raise Malformed("the register is too large for a page", "Ask for it to be written with `depositaire register`.")
    return {"part": b64encode(raw).decode()}


def _language(asked: Asked) -> register_files.Language:
    return "en" if asked.text("language") == "en" else "fr"


# -- certificates ------------------------------------------------------------------------------------------------------


def certificates(visit: Visit) -> list[Path]:
    """Those of the agency, the oldest first: their numbers never change."""
    return sorted(visit.desk.home.certificates.glob(f"{visit.named}-*.json"))


def listed(visit: Visit, asked: Asked) -> Any:
    """The newest first; `before`: those with smaller numbers only (0: from the newest on)."""
    every = certificates(visit)
    end = min(asked.number("before") - 1, len(every)) if asked.number("before") else len(every)
    if end < 0:
        raise NotThere("there is no such page")
    start = max(0, end - _CERTIFICATES_A_PAGE)
    those = [_said(visit, n, every[n - 1]) for n in range(end, start, -1)]
    return {"size": len(every), "certificates": those, "next": start + 1 if start else None}


def one(visit: Visit, asked: Asked) -> Any:
    path = _of_number(visit, asked.number("number"))
    said = _said(visit, asked.number("number"), path)
    try:
        c = certificate.parse(path.read_bytes())
    except Malformed:
        return said
    return said | {
        "steps": [{"step": s.step, "outcome": s.outcome, "counts": dict(s.counts)} for s in c.steps],
        "left": dict(c.left),
        "searched": [
            {"place": s.place, "looked_at": s.looked_at, "found": s.found, "planted": s.planted,
             "planted_found": s.planted_found} for s in c.searched
        ],
        "code_version": c.code_version, "late_seconds": int(c.late.total_seconds()),
        "log_size": getattr(c.ledger, "size", None),
        "key": signer(visit.desk.home, visit.desk.root).public_key().public_bytes_raw().hex(),
    }  # fmt: skip


def one_file(visit: Visit, asked: Asked) -> Any:
    path = _of_number(visit, asked.number("number"))
    return {"name": path.name, "part": b64encode(path.read_bytes()).decode()}


def _of_number(visit: Visit, number: int) -> Path:
    every = certificates(visit)
    if not 0 < number <= len(every):
        raise NotThere("there is no such page")
    visit.about = str(number)
    return every[number - 1]


def _said(visit: Visit, number: int, path: Path) -> dict[str, Any]:
    """What it certifies, and whether it holds: signed by this house's key, and named by the agency's log."""
    raw = path.read_bytes()
    said: dict[str, Any] = {"number": number, "name": path.name, "sha256": sha256(raw), "kind": None, "problem": None}
    reading = visit.desk.logs.read(visit.named)
    try:
        key = signer(visit.desk.home, visit.desk.root).public_key()
        certificate.verify(raw, key, reading.history if reading is not None else None)
        c = certificate.parse(raw)
    except NotVerified as no:
        return said | {"problem": [no.what, no.hint]}
    return said | {
        "kind": c.kind, "contract_end": c.contract_end.isoformat(), "carried_out_at": instant(c.carried_out_at),
        "window_closed_at": instant(closes_at(c.contract_end)),
    }  # fmt: skip


ANSWERS: Answers = {
    Question.REGISTER: Answer(shown, ("agency", "language", "page")),
    Question.REGISTER_FILE: Answer(file, ("agency", "format", "language")),
    Question.CERTIFICATES: Answer(listed, ("agency", "before")),
    Question.CERTIFICATE: Answer(one, ("agency", "number")),
    Question.CERTIFICATE_FILE: Answer(one_file, ("agency", "number")),
}
