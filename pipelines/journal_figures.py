"""What the journal says of the last day, and when each flow last brought something: read again only where it has grown.

A night of thousands of agencies adds tens of thousands of entries, and a monitor asks several times a minute. What was
read stays; what is new is read; the whole is read again once in a while, because an erasure takes entries away.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select

from schemas.ids import System
from store.house import JOURNAL, House

DAY = timedelta(days=1)
LINES = ("read", "stored", "unchanged", "quarantined", "ignored", "withheld")
OTHER = "other"
# Entries of several machines become visible in another order than that of their numbers: a few are looked at again.
OVERLAP = 5000
_REREAD = timedelta(hours=1)
# Entries are told apart by text; one written with another offset may sort up to a day away.
_SLACK = timedelta(days=1)


class Flow(NamedTuple):
    """An agency (None: the portal, or nobody that is known) and a system."""

    agency: str | None
    system: str


class _Told(NamedTuple):
    """One delivery of the last day: no code, no name."""

    at: datetime
    system: str
    outcome: str
    reason: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LastDay:
    """Counts of the 24 hours before an instant: deliveries by system and outcome, refusals by system and reason, lines
    by system and outcome."""

    deliveries: Mapping[tuple[str, str], int]
    refusals: Mapping[tuple[str, str], int]
    lines: Mapping[tuple[str, str], int]

    def quarantined_share(self, system: str) -> float:
        """Of the lines read; 0 when none were."""
        read = self.lines.get((system, "read"), 0)
        return self.lines.get((system, "quarantined"), 0) / read if read else 0.0


class JournalFigures:
    """One home's. `brought`: when each flow last had a delivery accepted."""

    def __init__(self) -> None:
        self.brought: dict[Flow, datetime] = {}
        self._told: dict[tuple[int, str], _Told] = {}
        self._seen = 0
        self._whole_at: datetime | None = None

    def read(self, house: House, at: datetime) -> LastDay:
        """Bring it up to `at`."""
        newest = house.db.scalar(select(func.max(JOURNAL.c.id))) or 0
        if self._whole_at is None or newest < self._seen or not timedelta() <= at - self._whole_at < _REREAD:
            self._read_whole(house, at)
        else:
            self._take(house.db.execute(_ENTRIES.where(JOURNAL.c.id > self._seen - OVERLAP)), at)
        self._seen = newest
        return self._counted(at)

    def _read_whole(self, house: House, at: datetime) -> None:
        self.brought, self._told, self._whole_at = {}, {}, at
        accepted = select(func.max(JOURNAL.c.id)).where(JOURNAL.c.outcome == "accepted")
        newest = accepted.group_by(JOURNAL.c.agency, JOURNAL.c.system)
        columns = (JOURNAL.c.agency, JOURNAL.c.system, JOURNAL.c.at)
        for row in house.db.execute(select(*columns).where(JOURNAL.c.id.in_(newest))):
            self._bring(row)
        since = (at.astimezone(UTC) - DAY - _SLACK).isoformat()
        self._take(house.db.execute(_ENTRIES.where(JOURNAL.c.at >= since)), at)

    def _take(self, entries: Iterable[Any], at: datetime) -> None:
        for row in entries:
            if (row.id, row.run) not in self._told:
                self._told[row.id, row.run] = _told(row)
                if row.outcome == "accepted":
                    self._bring(row)
        floor = at - DAY - _SLACK
        self._told = {key: told for key, told in self._told.items() if told.at > floor or key[0] > self._seen - OVERLAP}

    def _bring(self, row: Any) -> None:
        flow, came = Flow(row.agency, _system(row.system)), datetime.fromisoformat(row.at)
        self.brought[flow] = max(came, self.brought.get(flow, came))

    def _counted(self, at: datetime) -> LastDay:
        told = [t for t in self._told.values() if at - DAY < t.at <= at]
        deliveries = Counter((t.system, t.outcome) for t in told)
        refusals = Counter((t.system, t.reason) for t in told if t.outcome == "refused")
        return LastDay(deliveries, refusals, dict(_summed(told)))


_ENTRIES = select(
    JOURNAL.c.id, JOURNAL.c.run, JOURNAL.c.agency, JOURNAL.c.system, JOURNAL.c.at, JOURNAL.c.outcome, JOURNAL.c.reason,
    JOURNAL.c.report,
)  # fmt: skip


def _told(row: Any) -> _Told:
    tables = json.loads(row.report)["tables"].values() if row.outcome == "accepted" else ()
    lines = tuple(sum(t.get(name, 0) for t in tables) for name in LINES)
    return _Told(datetime.fromisoformat(row.at), _system(row.system), row.outcome, row.reason or "", lines)


def _system(name: str) -> str:
    """A folder that bears a stranger's name is nobody's business."""
    return name if name in set(System) else OTHER


def _summed(told: Iterable[_Told]) -> Iterator[tuple[tuple[str, str], int]]:
    sums: dict[str, list[int]] = {}
    for each in told:
        of = sums.setdefault(each.system, [0] * len(LINES))
        for place, n in enumerate(each.lines):
            of[place] += n
    for system, counts in sums.items():
        for name, n in zip(LINES, counts, strict=True):
            yield (system, name), n
