"""Where each agency stands: its contract, its instruction, what came last, what is put aside. Counts and codes only."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select

from ledger.deeds import Exceeded
from ledger.entry import History
from ledger.mandate import fold
from pipelines.books import Books
from pipelines.premises import Local, is_held, served
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.mandate import Mandate
from schemas.window import closes_at, paris_day, state
from store import register
from store.agency import Shelf
from store.house import JOURNAL, House
from store.keys import open_root
from store.register import Agency


@dataclass(frozen=True, slots=True)
class Flow:
    """One system of one agency (or the portal's pair): what came last, and what became of it."""

    system: System
    delivery: str | None = None
    day: str | None = None
    at: str | None = None
    outcome: str | None = None
    reason: str | None = None
    where: str | None = None
    counts: Mapping[str, int] | None = None
    instructed: bool | None = None
    source_set: bool | None = None
    excess: tuple[int, int] | None = None  # lines and values of this delivery beyond the instructions

    def as_json(self) -> dict[str, Any]:
        told = {
            "system": str(self.system), "delivery": self.delivery, "day": self.day, "at": self.at,
            "outcome": self.outcome, "reason": self.reason, "where": self.where,
            "counts": dict(self.counts) if self.counts else None,
            "instructed": self.instructed, "source_set": self.source_set,
        }  # fmt: skip
        return told | ({"excess": {"lines": self.excess[0], "values": self.excess[1]}} if self.excess else {})


@dataclass(frozen=True, slots=True)
class Standing:
    """One agency at an instant. `days_left`: to the first day on which nothing of it may remain; None: no end set."""

    agency: AgencyCode
    name: str | None
    start: date | None
    end: date | None
    state: str
    days_left: int | None
    restriction: date | None
    restriction_scope: str | None
    systems: tuple[str, ...]
    erased_on: date | None
    flows: tuple[Flow, ...] = ()
    instructions: tuple[str, ...] = ()
    held: Mapping[str, int] | None = None
    aside: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)

    def contract_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "name": self.name, "date_debut": _iso(self.start), "date_fin": _iso(self.end),
            "state": "erased" if self.erased_on else self.state, "days_left": self.days_left,
            "restriction": _iso(self.restriction), "restriction_portee": self.restriction_scope,
            "systems": list(self.systems), "erased_on": _iso(self.erased_on),
        }  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        more = {"held": dict(self.held), "quarantined": self.aside} if self.held is not None else {}
        flows = [f.as_json() for f in self.flows]
        return self.contract_json() | {"instructions": list(self.instructions), "flows": flows} | more


def agencies(home: Home, at: datetime) -> list[Standing]:
    """Every agency of the register, erased ones too, without what came of it."""
    with House.open(home) as house:
        return [_contract(a, at) for a in register.everyone(house.db)]


def of_house(home: Home, at: datetime, only: str | None = None, passphrase: str | None = None) -> list[Standing]:
    """Every agency (or one, then with what is held of it) with its flows. Raises Malformed for one that is unknown."""
    with House.open(home) as house:
        everyone = register.everyone(house.db)
        if only is not None:
            everyone = tuple(a for a in everyone if a.code == agency_code(only))
            if not everyone:
                raise Malformed(f"agency {agency_code(only)} is not in the register", "Check the code.")
        last = _last(house)
        sourced = frozenset(house.with_source(System.SPILASUITE))
        premises = served(home) or Local(home, open_root(home, passphrase))
        books = Books(house, premises)
        histories = [(a, books.history(a.code)) for a in everyone]
        found = [_standing(a, last, sourced, h, fold(h, at)) for a, h in histories]
    return found if only is None else [_with_shelf(home, s) for s in found]


def of_agency(home: Home, code: AgencyCode, history: History, mandate: Mandate) -> Standing:
    """One agency with its flows and what is held of it, at the instant of `mandate`, which its log allows. Raises
    Malformed for one that is unknown."""
    with House.open(home) as house:
        known = register.get(house.db, code)
        if known is None:
            raise Malformed(f"agency {code} is not in the register", "Check the code.")
        last = {(code, system): row for system, row in house.newest(code).items()}
        sourced = frozenset({code} & set(house.with_source(System.SPILASUITE)))
        found = _standing(known, last, sourced, history, mandate)
    return _with_shelf(home, found)


def of_portal(home: Home) -> Flow:
    """The portal's own accounts."""
    with House.open(home) as house:
        return _flow(System.PORTAL, _last(house).get((None, System.PORTAL)))


def _last(house: House) -> dict[tuple[Any, Any], Any]:
    """The newest entry of each flow. What was received before says nothing new: replays do not count."""
    t = JOURNAL
    newest = select(func.max(t.c.id)).where(t.c.outcome != "replayed").group_by(t.c.agency, t.c.system)
    return {(r.agency, r.system): r for r in house.db.execute(select(t).where(t.c.id.in_(newest)))}


def _contract(a: Agency, at: datetime) -> Standing:
    c = a.contract
    left = (closes_at(c.end).date() - paris_day(at)).days if c.end and not c.erased else None
    systems = tuple(str(s) for s in AGENCY_SYSTEMS if s in c.systems)
    start = c.start if c.start != date.min else None
    scope = str(c.restriction_scope) if c.restriction_scope else None
    erased_on = paris_day(a.erased_on) if a.erased_on else None
    return Standing(
        a.code, a.legal_name, start, c.end, str(state(c, at)), left, c.restriction, scope, systems, erased_on
    )


def _standing(
    a: Agency, last: Mapping[tuple[Any, Any], Any], sourced: Collection[AgencyCode], history: History, mandate: Mandate
) -> Standing:
    s = _contract(a, mandate.at)
    excess = {(str(e.system), e.delivery): e for e in history.entries if isinstance(e, Exceeded)}
    seen = [System(system) for agency, system in last if agency == a.code and system in AGENCY_SYSTEMS]
    wanted = [system for system in AGENCY_SYSTEMS if system in s.systems or system in seen]
    flows = tuple(
        _flow(
            system,
            last.get((a.code, system)),
            bool(mandate.for_system(system)),
            a.code in sourced if system is System.SPILASUITE else None,
        )
        for system in wanted
    )
    flows = tuple(replace(f, excess=_beyond(excess.get((str(f.system), f.delivery or "")))) for f in flows)
    return replace(s, flows=flows, instructions=tuple(g.instruction for g in mandate.grants))


def _beyond(e: Exceeded | None) -> tuple[int, int] | None:
    return None if e is None else (sum(e.lines.values()), sum(e.values.values()))


def _flow(system: System, row: Any, instructed: bool | None = None, source_set: bool | None = None) -> Flow:
    if row is None:
        return Flow(system, instructed=instructed, source_set=source_set)
    report = json.loads(row.report)
    counts = _sum(list(report["tables"].values())) if row.outcome == "accepted" else None
    where = report.get("where")
    return Flow(system, row.delivery, row.day, row.at, row.outcome, row.reason, where, counts, instructed, source_set)


def _sum(tables: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = ("read", "stored", "unchanged", "quarantined", "ignored", "withheld")
    return {n: sum(t.get(n, 0) for t in tables) for n in names}


def _with_shelf(home: Home, s: Standing) -> Standing:
    """With the number of rows held, and of lines put aside in all."""
    if not is_held(home, s.agency):
        return replace(s, held={}, aside=0)
    with Shelf.known(home, s.agency) as shelf:
        held = {name: n for name, n in shelf.counts().items() if n}
        aside = shelf.aside()
        return replace(s, held=held, aside=sum(aside.values()), reasons=aside)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
