"""What agencies order to be done once: erasures while the contract runs, carried out by every retention run.

Again and again is the same as once: an order is done when the log says so, and one that was interrupted is taken up by
the next run.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.deeds import Fulfilled, Task as Deed
from ledger.entry import History
from ledger.mandate import fold
from pipelines.locks import sole
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Say
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.mandate import Task
from schemas.window import paris_day
from store.agency import OpenShelf, is_held
from store.keys import Keyring, Root
from store.ordered import erase_persons, erase_tables


@dataclass(frozen=True, slots=True)
class Ordered:
    """One order. `problem`: why it could not be carried out; the next run takes it up again."""

    agency: AgencyCode
    instruction: str
    rows: dict[str, int] = field(default_factory=dict)
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"agency": self.agency, "instruction": self.instruction, "rows": self.rows, "problem": self.problem}


def waiting(history: History, at: datetime) -> list[Task]:
    """Erasures that are ordered and not yet done."""
    done = {e.instruction for e in history.entries if isinstance(e, Fulfilled)}
    return [t for t in fold(history, at).tasks if t.does == "erase" and t.instruction not in done]


def carry_out(home: Home, root: Root, agencies: Collection[AgencyCode], at: datetime) -> tuple[Ordered, ...]:
    """Every order of these agencies that is due at `at`."""
    warrants = Warrants(home, root, at)
    out = []
    for agency in agencies:
        try:
            due = waiting(warrants.log(agency).read(), at) if warrants.log(agency).exists else []
        except Say as no:
            out.append(Ordered(agency, "", problem=no.what))
            continue
        out += [_carry_out(home, root, warrants, agency, task, at) for task in due]
    return tuple(out)


def _carry_out(home: Home, root: Root, warrants: Warrants, agency: AgencyCode, task: Task, at: datetime) -> Ordered:
    try:
        with sole(home, agency):
            warrant = warrants.grant(agency, Act.ERASE)
            rows: dict[str, int] = {}
            if is_held(home, agency):
                with (
                    Keyring.open(home, root, warrant.capability) as keyring,
                    OpenShelf.open(home, keyring, warrant) as shelf,
                ):
                    rows = _erase(shelf, task, at)
            done = Fulfilled(
                instruction=task.instruction, does=Deed.ERASE, tables=rows, capability=warrant.capability.digest,
                carried_out_at=at,
            )  # fmt: skip
            warrants.log(agency).append(done, at, key=f"fulfilled:{task.instruction}")
            return Ordered(agency, task.instruction, rows)
    except Say as no:
        return Ordered(agency, task.instruction, problem=no.what)


def _erase(shelf: OpenShelf, task: Task, at: datetime) -> dict[str, int]:
    day = paris_day(at)
    return erase_persons(shelf, task.subjects, day) if task.subjects else erase_tables(shelf, task.tables, day)
