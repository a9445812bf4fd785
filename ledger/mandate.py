"""From what was instructed to what is allowed at an instant. Pure: the order in which entries arrived does not count.

Sources: R46 (no valid instruction, no run), R1 and R22 (an erasure ends the contract and every instruction given
under it).
"""

from collections.abc import Iterable
from datetime import datetime

from ledger.entry import Entry, Erased, History, Instruction, Withdrawal
from schemas.mandate import Grant, Mandate


def fold(history: History, at: datetime) -> Mandate:
    """Everything the agency allows at `at`.

    An instruction is in force when
    1. `valid_from` ≤ `at` < `valid_until`;
    2. no withdrawal of it has taken effect;
    3. no erasure came after it was recorded: a new contract needs a new instruction.
    """
    return Mandate(history.agency, at, tuple(_grant(i) for i in in_force(history.entries, at)))


def in_force(entries: Iterable[Entry], at: datetime) -> list[Instruction]:
    """The instructions in force at an instant, the oldest first."""
    entries = tuple(entries)
    withdrawn = {e.instruction for e in entries if isinstance(e, Withdrawal) and e.effective_at <= at}
    erasures = [e.carried_out_at for e in entries if isinstance(e, Erased) and not e.late_files]
    ended = max((instant for instant in erasures if instant <= at), default=None)
    found = {
        e.id: e
        for e in entries
        if isinstance(e, Instruction)
        and e.valid_from <= at
        and (e.valid_until is None or at < e.valid_until)
        and e.id not in withdrawn
        and (ended is None or e.recorded_at > ended)
    }
    return sorted(found.values(), key=lambda e: (e.valid_from, e.id))


def _grant(e: Instruction) -> Grant:
    return Grant(e.id, frozenset(e.systems), frozenset(e.tables), frozenset(e.purposes))
