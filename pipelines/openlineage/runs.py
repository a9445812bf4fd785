"""What ran, as the logs and the journal of deliveries tell it: one `Ran` a run, without a word of OpenLineage.

Pure: histories and rows go in. Nothing of a person is in either, and what the law forbids to tell is left out until it
may be told (R50). Sources: R43, R44, R46; GDPR 28(3)(a), 28(3)(g).
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ledger.deeds import Fulfilled, Handed, Task
from ledger.entry import UNNAMED, Erased, History, Instruction, Line, Receipt
from ledger.evidence import withheld
from ledger.mandate import fold
from ledger.orders import Synchronise
from pipelines.lineage import Edge, edges
from pipelines.processing_register import PORTAL_PURPOSES
from pipelines.record_of_processing import instants
from schemas.home import PORTAL
from schemas.ids import AgencyCode, System
from schemas.mandate import Grant, Mandate
from schemas.records import RECORDS, exported_fields
from schemas.report import Counts, Report

INSTRUCTED, END_OF_CONTRACT, CONTROLLER = "GDPR 28(3)(a)", "GDPR 28(3)(g)", "GDPR 4(7)"
COMPLETE, FAIL, ABORT = "COMPLETE", "FAIL", "ABORT"
# A reason of these is given before a byte of the delivery is read.
_UNREAD = ("agency.",)


@dataclass(frozen=True, slots=True)
class Data:
    """One data set that a run read or wrote. `place`: `source`, `shelf`, or what left (`return`, `disclose`,
    `transfer`).

    `columns`: those that the run could touch; `links`: what fills them; `counts`: what became of the lines of a source
    table; `rows`: how many rows, where the log says it; `change`: what became of the data set itself.
    """

    place: str
    table: str
    columns: tuple[str, ...]
    system: System | None = None
    layout: str | None = None
    links: tuple[Edge, ...] = ()
    counts: Counts | None = None
    rows: int | None = None
    change: str | None = None

    @property
    def name(self) -> str:
        """Unique in the namespace of its agency."""
        return ".".join(filter(None, (self.place, self.system and str(self.system), self.table)))


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. `identity`: what makes its id; the same facts give the same. `leaf`: the place in the log that tells it;
    None: the journal does."""

    agency: AgencyCode | None
    job: str
    state: str
    at: datetime
    identity: str
    leaf: int | None = None
    reason: str | None = None
    purposes: tuple[str, ...] = ()
    basis: str = INSTRUCTED
    instructions: tuple[str, ...] = ()
    delivery: str | None = None
    layout: str | None = None
    code_version: str | None = None
    inputs: tuple[Data, ...] = ()
    outputs: tuple[Data, ...] = ()
    certificate: str | None = None
    contract_end: str | None = None
    late_files: bool = False

    @property
    def namespace(self) -> str:
        return namespace(self.agency)


def namespace(agency: AgencyCode | None) -> str:
    return f"depositaire://{agency or PORTAL}"


# -- an agency's log ---------------------------------------------------------------------------------------------------


def of_log(history: History, first: int, waiting: Iterable[int], now: datetime) -> tuple[list[Ran], tuple[int, ...]]:
    """The runs that the leaves from `first` on tell, and those of `waiting` that may be told by now; and the places of
    the leaves that may still not be told (R50)."""
    hidden = withheld(history.lines, now)
    again = frozenset(waiting)
    of_lines = _Told(history)
    wanted = [v for v in history.lines if v.number > first or v.number - 1 in again]
    later = tuple(v.number - 1 for v in wanted if v.number - 1 in hidden)
    runs = [ran for v in wanted if v.number - 1 not in hidden and (ran := of_lines.ran(v)) is not None]
    return runs, later


def told(shown: History) -> Iterator[Ran]:
    """The runs of every entry that is shown, in the order of the log."""
    found = _Told(shown)
    return (ran for line in shown.lines if (ran := found.ran(line)) is not None)


class _Told:
    """One history, and what its receipts could touch."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._given = {e.id: e for e in history.given}
        self._mandates: dict[tuple[int, int, tuple[str, ...]], Mandate] = {}
        self._turns: tuple[int, list[datetime]] = (-1, [])
        self._orders = [v for v in history.lines if not isinstance(v.entry, Receipt)]

    def ran(self, line: Line) -> Ran | None:
        match line.entry:
            case Receipt():
                return self._received(line, line.entry)
            case Handed():
                return self._handed(line, line.entry)
            case Fulfilled() if line.entry.does is not Task.RETURN:  # that one stands beside what was handed over
                return self._fulfilled(line, line.entry)
            case Erased():
                return self._erased(line, line.entry)
            case _:
                return None

    def _begun(self, line: Line, job: str, at: datetime) -> Ran:
        agency = self._history.agency
        return Ran(agency, job, COMPLETE, at, f"log:{agency}:{line.number - 1}:{line.hash}", leaf=line.number - 1)

    def _received(self, line: Line, e: Receipt) -> Ran:
        mandate = self._mandate(line, e.instructions)
        inputs, outputs = received(System(e.system), e.layout, e.tables, mandate)
        return replace(
            self._begun(line, f"sync.{e.system}", line.at), purposes=self._purposes(e.instructions),
            instructions=e.instructions, delivery=e.delivery, layout=e.layout, code_version=e.code_version,
            inputs=inputs, outputs=outputs,
        )  # fmt: skip

    def _handed(self, line: Line, e: Handed) -> Ran:
        whole = {t: tuple(f.name for f in exported_fields(RECORDS[t])) for t in e.tables}
        return replace(
            self._begun(line, str(e.does), e.carried_out_at), purposes=self._purposes(e.instructions),
            basis=INSTRUCTED if e.instructions else END_OF_CONTRACT, instructions=e.instructions,
            inputs=tuple(Data("shelf", t, whole[t], rows=n) for t, n in e.tables.items()),
            outputs=tuple(Data(str(e.does), t, whole[t], rows=n) for t, n in e.tables.items()),
        )  # fmt: skip

    def _fulfilled(self, line: Line, e: Fulfilled) -> Ran:
        return replace(
            self._begun(line, f"order.{e.does}", e.carried_out_at), instructions=(e.instruction,),
            outputs=tuple(_shelf(t, change="ALTER", rows=n) for t, n in e.tables.items()),
        )  # fmt: skip

    def _erased(self, line: Line, e: Erased) -> Ran:
        """What of the shelf is gone: every table that an earlier delivery of this contract filled."""
        held = () if e.late_files else self._held_before(line)
        return replace(
            self._begun(line, "erasure", e.carried_out_at), basis=END_OF_CONTRACT,
            certificate=e.certificate_sha256, contract_end=e.end.isoformat(), late_files=e.late_files,
            outputs=tuple(_shelf(t, change="DROP") for t in held),
        )  # fmt: skip

    def _held_before(self, line: Line) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for v in self._history.lines[: self._history.lines.index(line)]:
            if isinstance(v.entry, Erased) and not v.entry.late_files:
                found.clear()
            if isinstance(v.entry, Receipt):
                mandate = self._mandate(v, v.entry.instructions)
                found |= dict.fromkeys(
                    d.table for d in received(System(v.entry.system), None, v.entry.tables, mandate)[1]
                )
        return tuple(t for t in RECORDS if t in found)

    def _purposes(self, instructions: Sequence[str]) -> tuple[str, ...]:
        named = [str(p) for i in instructions for p in getattr(self._given.get(i), "purposes", ())]
        return tuple(dict.fromkeys(named))

    def _mandate(self, line: Line, cited: tuple[str, ...]) -> Mandate:
        """What was allowed when a line was written, by what stood before it. The same whenever it is asked."""
        before = bisect_right(self._orders, line.number - 1, key=lambda v: v.number)
        if self._turns[0] != before:
            self._turns = (before, sorted({t for v in self._orders[:before] for t in instants([v.entry])}))
        key = (before, bisect_right(self._turns[1], line.at), cited)
        if key not in self._mandates:
            stood = replace(self._history, lines=tuple(self._orders[:before]))
            named = [e for e in stood.given if e.id in cited and isinstance(e, Instruction | Synchronise)]
            grants = tuple(Grant(e.id, frozenset(e.systems), frozenset(e.tables), frozenset(e.purposes)) for e in named)
            self._mandates[key] = replace(fold(stood, line.at), grants=grants)
        return self._mandates[key]


def received(
    system: System, layout: str | None, counts: Mapping[str, Counts], mandate: Mandate | None
) -> tuple[tuple[Data, ...], tuple[Data, ...]]:
    """The source tables that a delivery had, and the tables of the shelf that what was stored of them could fill.

    `mandate`: what was allowed; None: everything of the system (the portal's own accounts).
    """
    inputs = tuple(
        Data("source", s, _columns_of(system, s), system, layout, counts=c, rows=c.read) for s, c in counts.items()
    )
    stored = {s for s, c in counts.items() if c.stored}
    found: dict[str, list[Edge]] = {}
    for e in edges():
        if e.system is system and e.source_table in stored and _may(mandate, system, e):
            found.setdefault(e.table, []).append(e)
    named = {t: {e.column for e in links} | {"source_system"} for t, links in found.items()}
    return inputs, tuple(
        Data("shelf", t, tuple(f.name for f in exported_fields(RECORDS[t]) if f.name in named[t]), links=tuple(links))
        for t, links in found.items()
    )


def _may(mandate: Mandate | None, system: System, e: Edge) -> bool:
    if mandate is None:
        return True
    allowed = mandate.fields(system, e.table)
    own = {f.name for f in RECORDS[e.table].fields}
    return allowed is not None and (e.column in allowed or e.column not in own)


@cache
def _columns_of(system: System, source: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.source_column for e in edges() if (e.system, e.source_table) == (system, source)))


def _shelf(table: str, change: str | None = None, rows: int | None = None) -> Data:
    return Data("shelf", table, tuple(f.name for f in exported_fields(RECORDS[table])), rows=rows, change=change)


# -- the journal -------------------------------------------------------------------------------------------------------


def of_journal(rows: Iterable[Any]) -> Iterator[Ran]:
    """The runs that only the journal tells: deliveries refused, and those of the portal's own accounts.

    A delivery that came before is no run: nothing was read into anything. `rows`: of `store.house.JOURNAL`.
    """
    for r in rows:
        own = r.agency is None
        if r.outcome == "refused" or (own and r.outcome == "accepted"):
            yield _settled(r)


def _settled(r: Any) -> Ran:
    agency = None if r.agency is None else AgencyCode(r.agency)
    at = datetime.fromisoformat(r.at).astimezone(UTC)
    told = Receipt.of(_named(r), None, (), None, "", "").delivery
    identity = f"journal:{agency or PORTAL}:{r.system}:{told}:{r.outcome}:{r.reason or ''}:{r.run}:{at.isoformat()}"
    ran = Ran(agency, f"sync.{r.system}", COMPLETE, at, identity, delivery=None if told == UNNAMED else told)
    if agency is None:
        ran = replace(ran, basis=CONTROLLER, purposes=PORTAL_PURPOSES)
    if r.outcome == "refused":
        unread = (r.reason or "").startswith(_UNREAD)
        return replace(ran, state=ABORT if unread else FAIL, reason=r.reason)
    counts = {s: Counts(**c) for s, c in json.loads(r.report)["tables"].items()}
    inputs, outputs = received(System(r.system), None, counts, None)
    return replace(ran, inputs=inputs, outputs=outputs)


def _named(r: Any) -> Report:
    """A row of the journal as a report, as far as a receipt asks."""
    return Report(r.agency, r.system, r.delivery, None, r.outcome, r.reason)
