"""What one agency's log says was done for it, as the register of processing wants it. Pure: no clock, no file.

Only what is in the log counts, not what a form promised: a category of processing was carried out when a receipt, a
deed or a certificate says so. Sources: GDPR 30(2), 28(2), 44–49; R22, R43–R50, R56.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from ledger.canonical import instant
from ledger.deeds import Exceeded, Fulfilled, Handed, Handing, Task, beyond
from ledger.entry import Entry, Erased, History, Instruction, Receipt
from ledger.mandate import fold
from ledger.orders import (
    Answer,
    Disclose,
    Engage,
    Erase,
    InfringementNotice,
    LegalNotice,
    LegalObligation,
    Rectify,
    Return,
    Synchronise,
    Transfer,
)
from pipelines.instructing import Stated, stated
from schemas.fields import Field
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Duty, Grant, Mandate
from schemas.records import PROCESSOR_TABLES, RECORDS
from schemas.window import paris_day
from store.register import Agency

# Whom the rows of a table are about (R42). A table that is not here is about those of `person`.
PERSONS: dict[str, str] = {
    "person": "known", "person_link": "linked", "co_ownership": "co_owner", "council_membership": "council",
    "mandate": "landlord", "lease_party": "tenant", "staff": "staff", "portal_account": "portal_user",
    "portal_attachment": "portal_user",
}  # fmt: skip
COUNTS = ("read", "stored", "unchanged", "quarantined", "ignored", "withheld")
OUTCOMES = ("accepted", "refused", "replayed")

Fills = Mapping[tuple[str, str], Mapping[str, frozenset[str]]]
Columns = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Record:
    """One category of processing for one controller. `system`: of receiving only. `carried_out`: something says that it
    took place; else it is instructed and nothing was done yet. `columns`: (table, column) that were, or would be,
    touched."""

    owner: str
    category: str
    system: str | None = None
    carried_out: bool = False
    purposes: tuple[str, ...] = ()
    columns: Columns = frozenset()
    deliveries: Mapping[str, int] = field(default_factory=dict)
    days: tuple[datetime, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    instructions: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return "/".join(part for part in (self.owner, self.category, self.system) if part)

    def as_json(self) -> dict[str, Any]:
        tables = [t for t in RECORDS if any(table == t for table, _ in self.columns)]
        days = sorted(paris_day(at).isoformat() for at in self.days)
        persons = dict.fromkeys(PERSONS.get(t, "known") for t in tables if _personal(t))
        return {
            "id": self.id, "controller": self.owner, "category": self.category, "system": self.system,
            "carried_out": self.carried_out, "purposes": list(self.purposes), "tables": tables,
            "data": by_category(self.columns), "persons": list(persons),
            "deliveries": {o: self.deliveries.get(o, 0) for o in OUTCOMES} if self.deliveries else {},
            "first_day": days[0] if days else None, "last_day": days[-1] if days else None,
            "lines": dict(self.lines), "rows": dict(sorted(self.rows.items())),
            "instructions": list(self.instructions), "recipients": list(self.recipients),
        }  # fmt: skip


def by_category(columns: Columns) -> dict[str, list[str]]:
    """`table.column` by category, in the order of the model."""
    found: dict[str, list[str]] = {}
    for table, record in RECORDS.items():
        for f in record.fields:
            if (table, f.name) in columns:
                found.setdefault(str(f.category), []).append(f"{table}.{f.name}")
    return found


def _personal(table: str) -> bool:
    return any(f.personal for f in RECORDS[table].fields)


def columns_of(tables: Iterable[str]) -> Columns:
    """Every column of these tables; `*` is every table of the agency, a word of a category its columns."""
    wanted = set(tables)
    named = PROCESSOR_TABLES if "*" in wanted else tuple(t for t in PROCESSOR_TABLES if t in wanted)
    whole = {(t, f.name) for t in named for f in RECORDS[t].fields}
    return frozenset(whole | {(t, f.name) for t, f in _fields() if str(f.category) in wanted})


def _fields() -> Iterator[tuple[str, Field]]:
    return ((t, f) for t in PROCESSOR_TABLES for f in RECORDS[t].fields)


# -- an agency -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """What one agency's log says up to `at`. `fills`: which columns of the model each source table fills.
    `journal`: outcomes of deliveries by system, which the log does not hold for what was refused or replayed.
    `for_agency`: the part that goes to the agency; what the law forbids to tell it is left out (R50)."""

    agency: Agency
    history: History
    at: datetime
    fills: Fills
    journal: Mapping[str, Mapping[str, int]]
    for_agency: bool

    @classmethod
    def of(
        cls, agency: Agency, history: History, at: datetime, fills: Fills,
        journal: Mapping[str, Mapping[str, int]], for_agency: bool,
    ) -> "Account":  # fmt: skip
        """With what the log held at `at`: later lines are as if they were not written yet."""
        until = tuple(line for line in history.lines if line.at <= at)
        return cls(agency, replace(history, lines=until), at, fills, journal, for_agency)

    def records(self) -> list[Record]:
        received = [r for s in AGENCY_SYSTEMS if (r := self._received(s)) is not None]
        held = frozenset(chain.from_iterable(r.columns for r in received))
        return [*received, *self._tasks(), *self._handings(), *self._legal(), *self._ends(held)]

    def controller(self) -> dict[str, Any]:
        a = self.agency
        start = a.contract.start if a.contract.start.year > 1 else None  # an erased agency's start is forgotten
        return {
            "code": a.code, "name": a.legal_name, "siret": a.siret,
            "contract_start": start.isoformat() if start else None,
            "contract_end": a.contract.end.isoformat() if a.contract.end else None,
            "instructions": [_instructed(s) for s in stated(self.history, self.at)],
            "infringements": [self._infringement(n) for n in self._all(InfringementNotice)],
            "transfers": [self._transfer(t) for t in self._all(Transfer)],
            "handed": [_plain(h, "does", "recipient", "country", "tables", "instructions", "carried_out_at")
                       for h in self.handed()],
            "exceeded": beyond(self._all(Exceeded)),
            "sub_processors": [_plain(e, "id", "decision", "name", "country", "service", "tables")
                               | {"state": self._states().get(e.id)} for e in self._all(Engage)],
            "obligations": [self._obligation(o) for o in self.obligations()],
            "erasures": [_plain(e, "end", "carried_out_at", "certificate_sha256", "late_files")
                         for e in self._all(Erased)],
        }  # fmt: skip

    # -- what the law forbids to tell ------------------------------------------------------------------------------

    def obligations(self) -> list[LegalObligation]:
        """Those that may be shown: all of them in the processor's own register. To the agency only those that it was
        told of, or whose prohibition has lapsed; one whose notice is not recorded yet may still be sealed."""
        every = self._all(LegalObligation)
        return [o for o in every if not self.for_agency or any(self._open(n) for n in self._notices(o))]

    def handed(self) -> list[Handed]:
        """What left the shelf. To the agency: what went back to it, and what rests on something that it may see."""
        shown = {i.id for i in self.history.given} | {o.id for o in self.obligations()}
        return [h for h in self._all(Handed) if not self.for_agency or _seen(h, shown)]

    def _notices(self, o: LegalObligation) -> list[LegalNotice]:
        return [n for n in self._all(LegalNotice) if n.obligation == o.id]

    def _open(self, n: LegalNotice) -> bool:
        return n.released_from is None or n.released_from <= self.at

    def _obligation(self, o: LegalObligation) -> dict[str, Any]:
        notices = [n for n in self._notices(o) if not self.for_agency or self._open(n)]
        told = ("id", "recorded_at", "channel", "prohibition", "released_from")
        said = _plain(o, "id", "reference", "jurisdiction", "law", "duty", "tables", "valid_from", "valid_until")
        return said | {"notices": [_plain(n, *told) | {"sealed": not self._open(n)} for n in notices]}

    # -- the categories ---------------------------------------------------------------------------------------------

    def _received(self, system: System) -> Record | None:
        """Receiving one system. None when nothing came and the register does not open it, or nobody instructed it."""
        lines = [(x.at, x.entry) for x in self.history.lines if isinstance(x.entry, Receipt)]
        mine = [(at, r) for at, r in lines if r.system == system]
        journal = self.journal.get(system, {})
        synchronise = self._all(Instruction) + self._all(Synchronise)
        cited = {i for _, r in mine for i in r.instructions}
        standing = {g.instruction for g in fold(self._orders(), self.at).for_system(system)}
        if not mine and not (standing and system in self.agency.contract.systems) and not journal:
            return None
        under = [i for i in synchronise if i.id in (cited if mine else standing)]
        accepted = sum(r.outcome == "accepted" for _, r in mine)
        counts = [c for _, r in mine for c in r.tables.values()]
        return Record(
            self.agency.code, "receive", str(system), bool(mine),
            purposes=_in_order(str(p) for i in under for p in i.purposes),
            columns=self._held(mine) if mine else self._foreseen(system, under),
            deliveries={"accepted": accepted, "refused": 0, "replayed": 0}
            | {o: n for o, n in journal.items() if o != "accepted"},
            days=tuple(at for at, _ in mine),
            lines={n: sum(getattr(c, n) for c in counts) for n in COUNTS},
            instructions=tuple(i.id for i in under),
            recipients=_in_order(r for i in under for r in i.recipients),
        )  # fmt: skip

    def _held(self, receipts: Sequence[tuple[datetime, Receipt]]) -> Columns:
        """The columns that could be kept: filled by a source table of which lines were kept, and allowed by the
        instructions that the receipt cites, less what was restricted or ordered to be erased when it was recorded."""
        turns = sorted(set(instants(self._orders().entries)))
        met: dict[tuple[int, tuple[str, ...]], tuple[datetime, str, set[str]]] = {}
        for at, r in receipts:
            # Between two instants of which the entries speak, nothing that is allowed changes.
            seen = met.setdefault((bisect_right(turns, at), r.instructions), (at, r.system, set()))
            seen[2].update(source for source, c in r.tables.items() if c.stored or c.unchanged)
        found: set[tuple[str, str]] = set()
        for (_, cited), (at, system, sources) in met.items():
            mandate = self._mandate(at, cited)
            for source in sources:
                found |= _allowed(mandate, System(system), self.fills.get((system, source), {}))
        return frozenset(found)

    def _foreseen(self, system: System, under: Sequence[Instruction | Synchronise]) -> Columns:
        mandate = self._mandate(self.at, tuple(i.id for i in under))
        sources = [tables for (s, _), tables in self.fills.items() if s == system]
        return frozenset(chain.from_iterable(_allowed(mandate, system, tables) for tables in sources))

    def _mandate(self, at: datetime, cited: tuple[str, ...]) -> Mandate:
        """What stood at an instant, with the grants of these instructions: those that a receipt cites."""
        named = [i for i in self._all(Instruction) + self._all(Synchronise) if i.id in cited]
        grants = tuple(Grant(i.id, frozenset(i.systems), frozenset(i.tables), frozenset(i.purposes)) for i in named)
        return replace(fold(self._orders(), at), grants=grants)

    def _tasks(self) -> Iterator[Record]:
        for category, kind in ((Task.RECTIFY, Rectify), (Task.ERASE, Erase)):
            ordered = self._all(kind)
            done = [f for f in self._all(Fulfilled) if f.does is category]
            if ordered:
                yield self._deed(str(category), ordered, [f.tables for f in done], [f.carried_out_at for f in done])

    def _handings(self) -> Iterator[Record]:
        law = {o.id for o in self._all(LegalObligation)}
        fulfilled = {f.instruction for f in self._all(Fulfilled)}
        for category, kind in ((Handing.RETURN, Return), (Handing.DISCLOSE, Disclose), (Handing.TRANSFER, Transfer)):
            ordered = self._all(kind)
            # What rests on the law alone is told by `_legal`.
            left = [h for h in self.handed() if h.does is category and not _rests_on(law, h)]
            if ordered or left:
                named = [h.recipient for h in left] + [getattr(i, "recipient", None) for i in ordered]
                yield self._deed(str(category), ordered, [h.tables for h in left], [h.carried_out_at for h in left],
                                 recipients=_in_order(n for n in named if n),
                                 done=any(i.id in fulfilled for i in ordered))  # fmt: skip

    def _legal(self) -> Iterator[Record]:
        shown = self.obligations()
        if not shown:
            return
        ids = {o.id for o in shown}
        left = [h for h in self.handed() if ids & {*h.instructions}]
        # A duty to keep is carried out by keeping, from its notice on (R49).
        kept = any(o.duty is Duty.KEEP and o.valid_from <= self.at and self._notices(o) for o in shown)
        yield self._deed("legal", shown, [h.tables for h in left], [h.carried_out_at for h in left],
                         recipients=_in_order(h.recipient for h in left), done=kept)  # fmt: skip

    def _deed(
        self, category: str, ordered: Sequence[Any], met: Sequence[Mapping[str, int]], days: Sequence[datetime],
        recipients: tuple[str, ...] = (), done: bool = False,
    ) -> Record:  # fmt: skip
        rows: dict[str, int] = {}
        for table, count in chain.from_iterable(m.items() for m in met):
            rows[table] = rows.get(table, 0) + count
        tables = {*rows} | {t for o in ordered for t in o.tables}
        return Record(
            self.agency.code, category, None, bool(days) or done, columns=columns_of(tables), days=tuple(days),
            rows=rows, instructions=tuple(o.id for o in ordered), recipients=recipients,
        )  # fmt: skip

    def _ends(self, held: Columns) -> Iterator[Record]:
        ends = self._all(Erased)
        if ends:
            days = tuple(e.carried_out_at for e in ends)
            yield Record(self.agency.code, "end_of_contract", None, True, columns=held, days=days)

    # -- the log ----------------------------------------------------------------------------------------------------

    def _all(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.history.entries if isinstance(e, kind)]

    def _orders(self) -> History:
        """The log without its receipts: they allow nothing, and there are many."""
        return replace(self.history, lines=tuple(x for x in self.history.lines if not isinstance(x.entry, Receipt)))

    def _states(self) -> dict[str, str]:
        return {s.entry.id: s.state for s in stated(self.history, self.at)}

    def _transfer(self, t: Transfer) -> dict[str, Any]:
        done = [h for h in self.handed() if t.id in h.instructions]
        told = _plain(t, "id", "reference", "country", "recipient", "basis", "safeguards", "tables", "valid_from",
                      "valid_until")  # fmt: skip
        return told | {
            "state": self._states().get(t.id),
            "carried_out": [instant(h.carried_out_at) for h in done],
            "rows": sum(sum(h.tables.values()) for h in done),
        }

    def _infringement(self, n: InfringementNotice) -> dict[str, Any]:
        answers = [a for a in self._all(Answer) if a.notice == n.id]
        told = _plain(n, "id", "instruction", "law", "told_at")
        return told | {"answers": [_plain(a, "id", "outcome", "answered_at") for a in answers]}


def _rests_on(ids: set[str], h: Handed) -> bool:
    """Whether what left rests on these, and on nothing else."""
    return bool(h.instructions) and {*h.instructions} <= ids


def _seen(h: Handed, shown: set[str]) -> bool:
    if not h.instructions:
        return h.does is Handing.RETURN
    return _rests_on(shown, h)


def _instructed(s: Stated) -> dict[str, Any]:
    """An instruction and where it stands, without the references to what is sealed on the shelf."""
    told = {name: value for name, value in s.as_json().items() if name not in ("signatory", "subjects")}
    if "targets" in told:
        told["targets"] = [t for t in told["targets"] if not t.startswith("REF-")]
    return told


def _allowed(mandate: Mandate, system: System, tables: Mapping[str, frozenset[str]]) -> set[tuple[str, str]]:
    allowed = {t: mandate.fields(system, t) or frozenset() for t in tables}
    return {(t, c) for t, columns in tables.items() for c in columns & allowed[t]}


def _in_order(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def instants(entries: Iterable[Entry]) -> Iterator[datetime]:
    for e in entries:
        if is_dataclass(e):
            yield from (v for f in fields(e) if isinstance(v := getattr(e, f.name), datetime))


def _plain(entry: Any, *names: str) -> dict[str, Any]:
    """These fields of an entry, in the words of a log's body."""
    return {name: _value(getattr(entry, name)) for name in names}


def _value(value: Any) -> Any:
    match value:
        case datetime():
            return instant(value)
        case tuple():
            return [str(v) for v in value]
        case Mapping():
            return dict(sorted(value.items()))
        case bool() | int() | None:
            return value
        case _:
            return str(value)  # a day, a word of a closed list, a text
