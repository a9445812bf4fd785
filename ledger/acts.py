"""Recording what an agency says, and what is said to it. Saying the same thing twice records it once."""

from collections.abc import Callable, Collection
from dataclasses import fields
from datetime import datetime
from typing import Any, overload

from ledger import orders
from ledger.entry import Entry, Erased, History, Instruction, Withdrawal
from ledger.instruction_file import Draft, Paper
from ledger.log import Log
from ledger.orders import Given, Instructing, Order
from schemas.errors import Malformed, Refused

# Instants that a file may leave out: from the moment it is recorded.
_NOW = ("valid_from", "told_at", "answered_at", "acknowledged_at")


@overload
def instruct(log: Log, said: Draft, at: datetime, policy_sha256: str | None = None) -> Instruction: ...


@overload
def instruct(log: Log, said: Paper, at: datetime, policy_sha256: str | None = None) -> Order: ...


@overload
def instruct(log: Log, said: Draft | Paper, at: datetime, policy_sha256: str | None = None) -> Instruction | Order: ...


def instruct(log: Log, said: Draft | Paper, at: datetime, policy_sha256: str | None = None) -> Instruction | Order:
    """Record what a file says, unless the same stands already: then that one is returned (R46).

    `policy_sha256`: the privacy policy in force (R3). Raises Malformed when it would have ended before it begins,
    Refused when it speaks of something that is not in the log; then nothing is written.
    """
    history = log.read()
    made = prepare(history, said, at, policy_sha256)
    if made in history.entries:
        return made
    items: list[tuple[Entry, str | None]] = [(made, f"instruction:{made.id}")]
    if isinstance(said, Paper) and said.acknowledgement and isinstance(made, Given):
        told = acknowledged(made, said.acknowledgement, at)
        items.append((told, f"instruction:{told.id}"))
    log.append_all(items, at, expected=history.head)
    return made


def prepare(
    history: History, said: Draft | Paper, at: datetime, policy_sha256: str | None = None,
    ignoring: Collection[str] = (),
) -> Instruction | Order:  # fmt: skip
    """The entry that recording a file at `at` would make; one that stands already where it says the same.

    `ignoring`: ids of entries that do not count as standing.
    """
    if isinstance(said, Draft):
        return _first_form(history, said, at, policy_sha256, ignoring)
    same = [e for e in history.entries if isinstance(e, said.kind) and _repeats(e, said)]
    current = [e for e in same if not _over(e, history) and e.id not in ignoring]
    if current:
        return current[-1]
    values = {k: at if v is None and k in _NOW else v for k, v in said.values.items()}
    make: Callable[..., Order] = said.kind  # the form of the file said which values it takes
    made = make(agency=history.agency, recorded_at=at, policy_sha256=policy_sha256, again=len(same), **values)
    _known(made, history)
    return made


def acknowledged(given: Instructing, reference: str, at: datetime) -> orders.Acknowledgement:
    """The acknowledgement that a file names beside its instruction."""
    return orders.Acknowledgement(
        agency=given.agency, reference=reference, recorded_by=given.recorded_by, recorded_at=at,
        policy_sha256=given.policy_sha256, instruction=given.id, channel=given.channel, acknowledged_at=at,
    )  # fmt: skip


def withdraw(log: Log, instruction: str, at: datetime) -> Withdrawal:
    """Take an instruction back from `at` on. Refused when the agency never gave it."""
    history = log.read()
    withdrawn = withdrawal(history, instruction, at)
    log.append(withdrawn, at, key=f"withdrawal:{instruction}")
    return next(e for e in log.read().entries if isinstance(e, Withdrawal) and e.instruction == instruction)


def withdrawal(history: History, instruction: str, at: datetime) -> Withdrawal:
    """The withdrawal that would be recorded. Refused when the agency never gave such an instruction."""
    if instruction not in {i.id for i in history.given}:
        raise Refused(
            "this agency gave no instruction of that name", "`depositaire instructions --agency …` lists them."
        )
    return Withdrawal(instruction, at, at)


def _known(made: Order, history: History) -> None:
    """What an entry speaks of stands in the log, and is of the right kind."""
    there: dict[str, set[str]] = {
        "instruction": {i.id for i in history.given},
        "supersedes": {i.id for i in history.given},
        "obligation": {e.id for e in history.entries if isinstance(e, orders.LegalObligation)},
        "notice": {e.id for e in history.entries if isinstance(e, orders.InfringementNotice)},
    }
    for field, ids in there.items():
        named = getattr(made, field, ())
        if not {named} <= ids if isinstance(named, str) else not set(named) <= ids:
            raise Refused(
                f"{field}: this agency's log has no such entry", "`depositaire instructions --agency …` lists them."
            )


def _first_form(
    history: History, draft: Draft, at: datetime, policy_sha256: str | None, ignoring: Collection[str]
) -> Instruction:
    same = [i for i in history.instructions if _says(i, draft)]
    current = [i for i in same if not _over(i, history) and i.id not in ignoring]
    if current:
        return current[-1]
    begins = draft.valid_from or at
    if draft.valid_until is not None and draft.valid_until <= begins:
        raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")
    return Instruction(
        agency=history.agency,
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


def _says(i: Instruction, draft: Draft) -> bool:
    """Whether an instruction says what the draft says. One that names no beginning began when it was recorded."""
    begins = i.recorded_at if draft.valid_from is None else draft.valid_from
    same = all(getattr(i, f.name) == getattr(draft, f.name) for f in fields(draft) if f.name != "valid_from")
    return same and i.valid_from == begins


def _repeats(entry: Order, paper: Paper) -> bool:
    """Whether an entry says what the paper says; an instant left out is that of the recording."""

    def meant(name: str, value: Any) -> Any:
        return entry.recorded_at if value is None and name in _NOW else value

    return all(getattr(entry, name) == meant(name, value) for name, value in paper.values.items())


def _over(i: Entry, history: History) -> bool:
    """Withdrawn, replaced, or ended by an erasure. Whether it has begun or expired is another question: it says when it
    does."""
    named = getattr(i, "id", None)
    return any(
        (isinstance(e, Withdrawal) and e.instruction == named)
        or (isinstance(e, Given) and named in e.supersedes)
        or (
            isinstance(e, Erased)
            and not e.late_files
            and e.carried_out_at >= getattr(i, "recorded_at", e.carried_out_at)
        )
        for e in history.entries
    )
