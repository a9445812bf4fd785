"""The passkeys that sign for an agency: which there are, enrolling one, revoking one, and what counts without them.

The first is enrolled unsigned, every other waits until one that stands has signed for it. So nobody who has the machine
alone comes by a key (docs/specs/signed-instructions.md).
"""

from typing import Any

from sqlalchemy import Connection

from ledger.signatures import Enrolled, Loss
from pipelines.host.wire import Asked
from pipelines.reception import passkeys, signing_keys
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.questions.acting import own_keys, to_sign
from pipelines.signing import known
from schemas.access import Question
from schemas.errors import Malformed, Refused


def listed(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """`waiting`: passkeys that were made and that none that stands has signed for. `lost`: some have signed, and none
    stands any more."""
    reading = visit.desk.logs.read(visit.named)
    with visit.desk.engine.begin() as db:
        waiting = _waiting(db, visit)
        whose = {k.credential: k.account for k in signing_keys.of(db, _mark(visit))}
    lines = reading.counting.lines if reading else ()
    places = {line.entry.id: line.number for line in lines if isinstance(line.entry, Enrolled)}
    now = reading.passkeys.now if reading else None
    return {
        "keys": [
            k.as_json() | {"number": places[k.entry.id], "own": whose.get(k.entry.id) == visit.account}
            for k in (known(reading.counting) if reading else ())
        ],
        "waiting": [k.as_json() | {"own": k.account == visit.account} for k in waiting],
        "required": bool(now and now.required),
        "first": not now or not (now.passkeys or now.used),
        "lost": bool(now and now.used and not now.passkeys),
        "acts": visit.acts,
        "can_sign": bool(own_keys(visit, reading)),
    }  # fmt: skip


def challenge(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """What a browser is asked to make a signing passkey with."""
    with visit.desk.engine.begin() as db:
        mine = [k.id for k in signing_keys.of(db, _mark(visit)) if k.account == visit.account]
        name = f"{visit.named} · signature"
        return passkeys.challenge_to_enrol(db, visit.desk.site, visit.account, name, mine, visit.at)


def enrol(visit: Visit, asked: Asked) -> Any:
    """`enrolled`: it stands, being the first; otherwise it waits for a signature."""
    desk, agency = visit.desk, visit.named
    said = asked.text("made")
    registration = passkeys.made(desk.engine, desk.site, visit.account, said, visit.at, "enrol")
    key = signing_keys.made(registration, visit.account, asked.text("function"), visit.at)
    visit.about = key.credential
    with desk.engine.begin() as db:
        if any(k.credential == key.credential for k in signing_keys.of(db, _mark(visit))):
            raise Refused("this passkey was enrolled before", "Enrol another one.")
        reading = desk.logs.read(agency)
        first = reading is None or not (reading.passkeys.now.passkeys or reading.passkeys.now.used)
        signing_keys.keep(db, _mark(visit), key)
    if first:  # with its row kept before: a key in the log that no browser can find again would stand for ever
        desk.signing.enrol(agency, key.passkey(desk.site), visit.at)
    return {"credential": key.credential, "enrolled": first}


def sign_for(visit: Visit, asked: Asked) -> Any:
    """The enrolment of a passkey that waits, to be signed by one that stands."""
    desk = visit.desk
    with desk.engine.begin() as db:
        key = signing_keys.one(_waiting(db, visit), asked.text("credential"))
    visit.about = key.credential
    return to_sign(visit, desk.signing.prepare_enrolment(visit.named, key.passkey(desk.site), visit.at))


def revoke(visit: Visit, asked: Asked) -> Any:
    """It takes no signature: to suspend never allows more."""
    try:
        reason = Loss(asked.text("reason"))
    except ValueError:
        raise Malformed("there is no such reason", "Open the page again.") from None
    credential = asked.text("credential")
    visit.desk.signing.revoke(visit.named, credential, reason, signing_keys.RECORDED_BY, visit.at)
    visit.about = credential


def rule(visit: Visit, asked: Asked) -> Any:
    """To demand it is recorded at once (None is answered); to lift it is to be signed."""
    desk, required, given_by = visit.desk, asked.flag("required"), asked.text("given_by")
    if not required:
        return to_sign(visit, desk.signing.prepare_rule(visit.named, False, given_by, visit.at))
    reading = desk.logs.read(visit.named)
    if reading is None or not reading.passkeys.now.passkeys:
        raise Refused("no passkey stands for this agency", "Enrol one in the portal.")
    if not reading.passkeys.now.required:
        desk.signing.demand(visit.named, given_by, visit.at)
    return None


def _mark(visit: Visit) -> str:
    return visit.desk.vault.mark("agency", visit.named)


def _waiting(db: Connection, visit: Visit) -> list[signing_keys.Key]:
    reading = visit.desk.logs.read(visit.named)
    enrolled = {e.id for e in reading.counting.entries if isinstance(e, Enrolled)} if reading else frozenset()
    return signing_keys.waiting(db, _mark(visit), enrolled, visit.at)


ANSWERS: Answers = {
    Question.KEYS: Answer(listed, ("agency",)),
    Question.KEYS_CHALLENGE: Answer(challenge, ("agency",)),
    Question.KEYS_ENROL: Answer(enrol, ("agency", "made", "function")),
    Question.KEYS_SIGN_FOR: Answer(sign_for, ("agency", "credential")),
    Question.KEYS_REVOKE: Answer(revoke, ("agency", "credential", "reason")),
    Question.KEYS_RULE: Answer(rule, ("agency", "required", "given_by")),
}
