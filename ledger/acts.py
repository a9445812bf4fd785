"""Recording what an agency says: an instruction, a withdrawal. Saying the same thing twice records it once."""

from dataclasses import fields
from datetime import datetime

from ledger.entry import Erased, History, Instruction, Withdrawal
from ledger.instruction_file import Draft
from ledger.log import Log
from schemas.errors import Malformed, Refused


def instruct(log: Log, draft: Draft, at: datetime, policy_sha256: str | None = None) -> Instruction:
    """Record an instruction, unless the same one stands already: then that one is returned (R46).

    `policy_sha256`: the privacy policy in force (R3). Raises Malformed when the instruction would have ended before
    it begins.
    """
    history = log.read()
    same = [i for i in history.instructions if _says(i, draft)]
    standing = [i for i in same if _stands(i, history)]
    if standing:
        return standing[-1]
    begins = draft.valid_from or at
    if draft.valid_until is not None and draft.valid_until <= begins:
        raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")
    made = Instruction(
        agency=log.agency,
        systems=draft.systems,
        tables=draft.tables,
        purposes=draft.purposes,
        valid_from=begins,
        valid_until=draft.valid_until,
        reference=draft.reference,
        given_by=draft.given_by,
        recorded_at=at,
        document_sha256=draft.document_sha256,
        recipients=draft.recipients,
        countries=draft.countries,
        policy_sha256=policy_sha256,
        does=draft.does,
        again=len(same),
    )
    log.append(made, at, key=f"instruction:{made.id}")
    return made


def withdraw(log: Log, instruction: str, at: datetime) -> Withdrawal:
    """Take an instruction back from `at` on. Refused when the agency never gave it."""
    history = log.read()
    if instruction not in {i.id for i in history.instructions}:
        raise Refused(
            "this agency gave no instruction of that name", "`depositaire instructions --agency …` lists them."
        )
    made = Withdrawal(instruction, at, at)
    log.append(made, at, key=f"withdrawal:{instruction}")
    return next(e for e in log.read().entries if isinstance(e, Withdrawal) and e.instruction == instruction)


def _says(i: Instruction, draft: Draft) -> bool:
    """Whether an instruction says what the draft says. One that names no beginning began when it was recorded."""
    begins = i.recorded_at if draft.valid_from is None else draft.valid_from
    same = all(getattr(i, f.name) == getattr(draft, f.name) for f in fields(draft) if f.name != "valid_from")
    return same and i.valid_from == begins


def _stands(i: Instruction, history: History) -> bool:
    """Neither withdrawn nor ended by an erasure. Whether it has begun or expired is another question: it says when it
    does."""
    withdrawn = any(isinstance(e, Withdrawal) and e.instruction == i.id for e in history.entries)
    ended = any(
        isinstance(e, Erased) and not e.late_files and e.carried_out_at >= i.recorded_at for e in history.entries
    )
    return not withdrawn and not ended
