"""What a signatory says for their agency: shown first with what it would change, then signed, then recorded.

The reception prepares and records. It signs nothing: what is written carries the signature of the agency's own passkey,
over the leaf that is written (docs/specs/signed-instructions.md).
"""

import re
from pathlib import Path
from typing import Any

from ledger.entry import History
from ledger.instruction_file import Draft, Paper, parse
from ledger.orders import Answer as Answered, Channel, InfringementNotice
from ledger.signing import Prepared
from pipelines import preview
from pipelines.host.wire import Asked
from pipelines.instructing import stated
from pipelines.reception import signing_keys
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.logs import Reading
from pipelines.reception.questions.log import described
from schemas.access import NotThere, Question
from schemas.errors import Malformed, TryAgain
from schemas.ids import AGENCY_SYSTEMS
from schemas.window import paris_day
from store import register
from store.house import House

# What the pages let an agency say. Transfers and disclosures stay with the letter: they lean on papers of their own.
KINDS = ("synchronise", "restrict", "rectify", "erase", "return", "authorise", "object", "answer")
_FIELDS = frozenset({
    "kind", "reference", "given_by", "systems", "tables", "purposes", "valid_from", "valid_until", "scope",
    "categories", "roles", "keys", "system", "subjects", "name", "country", "service", "supersedes", "notice",
    "outcome",
})  # fmt: skip
_RECORDED_BY = "portail"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_STANDING = 100


def form(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """What there is to choose from: systems of the contract, instructions that stand, notices that wait."""
    reading = visit.desk.logs.read(visit.named)
    history = reading.counting if reading else None
    with House.open(visit.desk.home) as house:
        row = register.get(house.db, visit.named)
    systems = row.contract.systems if row else frozenset()
    return {
        "systems": [str(s) for s in AGENCY_SYSTEMS if s in systems],
        "standing": _standing(history, visit) if history else [],
        "notices": _notices(history) if history else [],
        "can_sign": bool(own_keys(visit, reading)),
    }


def _standing(history: History, visit: Visit) -> list[dict[str, Any]]:
    found = [s for s in stated(history, visit.at) if s.state == "in_force"]
    return [{"id": s.entry.id, "kind": s.kind, "reference": s.entry.reference} for s in found[-_MOST_STANDING:]]


def _notices(history: History) -> list[dict[str, Any]]:
    answered = {e.notice for e in history.entries if isinstance(e, Answered)}
    found = [e for e in history.entries if isinstance(e, InfringementNotice) and e.id not in answered]
    return [{"id": e.id, "instruction": e.instruction, "law": e.law} for e in found]


def prepare(visit: Visit, asked: Asked) -> Any:
    """What an instruction would change, and the leaf that it would become. Raises what recording it would raise."""
    desk, agency = visit.desk, visit.named
    said = _paper(visit, asked)
    would = preview.of_file(desk.instructions, agency, said, visit.at)
    return to_sign(visit, desk.signing.prepare(agency, said, visit.at)) | {"preview": would.as_json()}


def _paper(visit: Visit, asked: Asked) -> Draft | Paper:
    said, digest = asked.fields["said"], asked.text("document")
    # Closed: no field of a file that would have this process look at a path.
    if not isinstance(said, dict) or not set(said) <= _FIELDS or said.get("kind") not in KINDS:
        raise Malformed("the form says something that is not instructed here", "Open the page again.")
    if digest and not _DIGEST.fullmatch(digest):
        raise Malformed("a digest is 64 hexadecimal figures", "Choose the document again, or leave it out.")
    reference = said.get("reference") or f"PORTAIL-{paris_day(visit.at).isoformat()}"
    content = {**said, "reference": reference, "channel": str(Channel.PORTAL), "recorded_by": _RECORDED_BY}
    return parse(content, Path("/nonexistent"), digest or None)


def withdraw(visit: Visit, asked: Asked) -> Any:
    """The same for taking back the instruction that an entry is."""
    desk, agency, number = visit.desk, visit.named, asked.number("number")
    reading = desk.logs.read(agency)
    line = reading.lines.get(number) if reading else None
    if reading is None or line is None or number in reading.hidden(visit.at):
        raise NotThere("there is no such page")
    named = getattr(line.entry, "id", "")
    would = preview.of_withdrawal(desk.instructions, agency, named, visit.at, signed=True)
    prepared = desk.signing.prepare_withdrawal(agency, named, visit.at)
    return to_sign(visit, prepared) | {"preview": would.as_json()}


def to_sign(visit: Visit, prepared: Prepared) -> dict[str, Any]:
    """What a page needs to show and to have signed. `passkeys`: those of this person that stand."""
    reading = visit.desk.logs.read(visit.named)
    return {
        "reference": visit.desk.waiting.keep(visit.account, prepared),
        "prepared": prepared.as_json(),
        "entry": described(prepared.entry) | {"number": prepared.head.size + 1, "size": prepared.head.size},
        "passkeys": [k.as_asked for k in own_keys(visit, reading)],
        "relying_party": visit.desk.site.domain,
        "preview": None,
    }


def own_keys(visit: Visit, reading: Reading | None) -> list[signing_keys.Key]:
    """This person's passkeys that stand for the agency."""
    if reading is None:
        return []
    mark = visit.desk.vault.mark("agency", visit.named)
    with visit.desk.engine.connect() as db:
        mine = [k for k in signing_keys.of(db, mark) if k.account == visit.account]
    return [k for k in mine if k.credential in reading.passkeys.now.passkeys]


_ASSERTION = ("authenticator_data", "client_data", "signature")


def record(visit: Visit, asked: Asked) -> Any:
    """Write what was prepared, with its signature. `again`: the log has grown meanwhile or it took too long, so that it
    is to be read and signed once more; nothing was written then."""
    desk, reference = visit.desk, asked.text("reference")
    prepared = desk.waiting.find(reference, visit.account, visit.named, visit.at)
    credential = asked.text("credential")
    if prepared is None:
        return {"again": True, "number": None}
    if credential not in {k.credential for k in own_keys(visit, desk.logs.read(visit.named))}:
        raise Malformed("no such passkey stands for this agency", "Enrol one in the portal.")
    try:
        line = desk.signing.record(prepared, credential, {name: asked.text(name) for name in _ASSERTION}, visit.at)
    except TryAgain:
        desk.waiting.drop(reference)
        return {"again": True, "number": None}
    desk.waiting.drop(reference)
    visit.about = str(line.number)
    return {"again": False, "number": line.number}


ANSWERS: Answers = {
    Question.ACT_FORM: Answer(form, ("agency",)),
    Question.ACT_PREPARE: Answer(prepare, ("agency", "said", "document")),
    Question.ACT_WITHDRAW: Answer(withdraw, ("agency", "number")),
    Question.ACT_RECORD: Answer(record, ("agency", "reference", "credential", *_ASSERTION)),
}
