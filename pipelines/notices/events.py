"""What is worth telling of an agency: from its log, entry by entry, and from where it stands. No value, no name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.entry import Erased, Instruction, Line, Receipt, Withdrawal
from ledger.orders import Given, InfringementNotice
from pipelines import status
from pipelines.needs import STALE
from schemas.window import paris_day

# Told to those who want a digest, and to nobody at once: it comes every night.
DIGEST_ONLY = frozenset({"arrived"})
CODES = ("notice", "refused", "late", "aside", "closing", "erased", "instruction", "withdrawal", "arrived")
CLOSING_DAYS = (1, 7, 30)


@dataclass(frozen=True, slots=True)
class Event:
    """`key` is the same whenever the same thing is found again. `facts`: numbers, codes and systems."""

    key: str
    code: str
    at: datetime
    facts: dict[str, Any] = field(default_factory=dict)


def of_log(lines: Iterable[Line], put_aside: int) -> Iterator[Event]:
    """Of entries that may be shown."""
    for line in lines:
        yield from _of_line(line, put_aside)


def _of_line(line: Line, put_aside: int) -> Iterator[Event]:
    def event(code: str, **facts: Any) -> Event:
        return Event(f"{code}:{line.number}", code, line.at, {"number": line.number, **facts})

    match line.entry:
        case Receipt(outcome="accepted") as r:
            yield event("arrived", system=str(r.system), lines=sum(c.read for c in r.tables.values()))
            aside = sum(c.quarantined for c in r.tables.values())
            if aside >= put_aside:
                yield event("aside", system=str(r.system), count=aside)
        case Receipt(outcome="refused") as r:
            yield event("refused", system=str(r.system), reason=r.reason)
        case InfringementNotice():
            yield event("notice")
        case Instruction() | Given():
            yield event("instruction", id=line.entry.id)
        case Withdrawal() as w:
            yield event("withdrawal", id=w.instruction)
        case Erased(late_files=False):
            yield event("erased")
        case _:
            return


def of_state(found: status.Standing, at: datetime) -> Iterator[Event]:
    """What no entry tells: a system that went silent, a window that is about to close."""
    if found.erased_on is not None:
        return
    for f in found.flows:
        came = None if f.at is None else datetime.fromisoformat(f.at)
        if f.instructed and came is not None and at - came > STALE:
            yield Event(f"late:{f.system}:{f.at}", "late", at, {"system": str(f.system)})
    if found.days_left is not None and found.end is not None and 0 <= found.days_left <= max(CLOSING_DAYS):
        step = next(n for n in CLOSING_DAYS if found.days_left <= n)
        facts = {"days": found.days_left, "day": paris_day(at).isoformat()}
        yield Event(f"closing:{found.end}:{step}", "closing", at, facts)
