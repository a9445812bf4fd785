"""Requests of data subjects that an agency registers (GDPR 12 to 22; R25 to R30): what is asked, until when, what was
done.

No name is kept: the agency's own number for the request, sealed, and a reference to the person that only the agency's
key can make, as its log has them. So what was done under an instruction is found in the log, and nothing has to be said
twice. A request is a matter between the agency and a person: it lies with the accounts of the web door and not among
the agency's records, which only an instruction may write to; it goes when the agency is erased (`forgetting`).
"""

import calendar
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from ledger.deeds import Fulfilled
from ledger.entry import History
from ledger.orders import Erase, Rectify, Restrict
from pipelines.reception.tables import database, stamp
from pipelines.reception.vault import Vault
from schemas.errors import Malformed, Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import Root

META = MetaData()

REQUEST = Table(
    "request",
    META,
    Column("id", String, primary_key=True),
    Column("agency_mark", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("system", String, nullable=False),
    Column("person", String, nullable=False),  # REF-…
    Column("reference", LargeBinary, nullable=False),  # the agency's own number; sealed
    Column("received_on", String, nullable=False),
    Column("due_on", String, nullable=False),
    Column("told_on", String),  # when the person was told that it takes up to two months more
    Column("closed_on", String),
    Column("outcome", String),
)

STEP = Table(
    "step",
    META,
    Column("id", Integer, primary_key=True),
    Column("request", String, nullable=False, index=True),
    Column("at", String, nullable=False),
    Column("what", String, nullable=False),
    Column("who", String, nullable=False),  # an account
)

LONGEST_REFERENCE = 80


class Kind(StrEnum):
    """What a person can ask for: GDPR 15, 16, 18, 17, 21 and 20."""

    ACCESS = "access"
    RECTIFICATION = "rectification"
    RESTRICTION = "restriction"
    ERASURE = "erasure"
    OBJECTION = "objection"
    PORTABILITY = "portability"


class Outcome(StrEnum):
    """How a request ended. Who turns one down tells the person why, and where to complain: 12(4)."""

    DONE = "done"
    TURNED_DOWN = "turned_down"
    NOT_CONCERNED = "not_concerned"


# Which instruction carries a request out; the others are answered with the person's data.
INSTRUCTS = {
    Kind.RECTIFICATION: "rectify", Kind.RESTRICTION: "restrict", Kind.ERASURE: "erase", Kind.OBJECTION: "restrict",
}  # fmt: skip
PACKED = frozenset({Kind.ACCESS, Kind.PORTABILITY})


def later(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month (Regulation 1182/71, 3(2)(c))."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True)
class New:
    """What an agency registers."""

    kind: Kind
    system: System
    person: str
    reference: str
    received_on: date


class Requests:
    """Those of one agency. No call takes two."""

    def __init__(self, engine: Engine, vault: Vault, agency: AgencyCode) -> None:
        self._engine, self._vault, self._agency = engine, vault, agency
        self._mark = vault.mark("agency", agency)

    def add(self, new: New, who: str, at: datetime) -> str:
        number = f"REQ-{secrets.token_hex(6)}"
        with self._engine.begin() as db:
            db.execute(
                insert(REQUEST).values(
                    id=number, agency_mark=self._mark, kind=str(new.kind), system=str(new.system), person=new.person,
                    reference=self._vault.seal(new.reference, "request", self._agency, number),
                    received_on=new.received_on.isoformat(), due_on=later(new.received_on, 1).isoformat(),
                )
            )  # fmt: skip
            _step(db, number, "registered", who, at)
        return number

    def page(self, after: str, most: int) -> list[dict[str, Any]]:
        """The open ones that are due first, then those that are closed. `after`: begin behind this one."""
        order = (REQUEST.c.closed_on.is_not(None), REQUEST.c.due_on, REQUEST.c.id)
        with self._engine.connect() as db:
            found = db.execute(select(REQUEST).where(REQUEST.c.agency_mark == self._mark).order_by(*order)).all()
        known = [r.id for r in found]
        begin = known.index(after) + 1 if after in known else 0
        return [self._said(r) for r in found[begin : begin + most]]

    def one(self, number: str) -> dict[str, Any] | None:
        with self._engine.connect() as db:
            row = self._row(db, number)
            if row is None:
                return None
            steps = db.execute(select(STEP).where(STEP.c.request == number).order_by(STEP.c.id)).all()
        return self._said(row) | {"person": row.person, "steps": [{"at": s.at, "what": s.what} for s in steps]}

    def due(self, today: date) -> list[str]:
        """Days on which open requests are due within a week, or were."""
        mine = (REQUEST.c.agency_mark == self._mark, REQUEST.c.closed_on.is_(None))
        with self._engine.connect() as db:
            days = db.scalars(select(REQUEST.c.due_on).where(*mine).order_by(REQUEST.c.due_on)).all()
        return [d for d in days if (date.fromisoformat(d) - today).days <= 7]

    def extend(self, number: str, told_on: date, who: str, at: datetime) -> None:
        """Two months more, told to the person within the first (12(3)). Raises Refused where that is over, or was."""
        with self._engine.begin() as db:
            row = self._open(db, number)
            if row.told_on is not None or told_on > date.fromisoformat(row.due_on):
                raise Refused("the time for this request cannot be made longer", "The person is told within the month.")
            if told_on < date.fromisoformat(row.received_on):
                raise Malformed("the person was told before the request came", "Check the days.")
            until = later(date.fromisoformat(row.received_on), 3).isoformat()
            db.execute(update(REQUEST).where(REQUEST.c.id == number).values(told_on=told_on.isoformat(), due_on=until))
            _step(db, number, "extended", who, at)

    def close(self, number: str, outcome: Outcome, on: date, who: str, at: datetime) -> None:
        with self._engine.begin() as db:
            self._open(db, number)
            values = {"closed_on": on.isoformat(), "outcome": str(outcome)}
            db.execute(update(REQUEST).where(REQUEST.c.id == number).values(**values))
            _step(db, number, "closed", who, at)

    def note(self, number: str, what: str, who: str, at: datetime) -> None:
        with self._engine.begin() as db:
            if self._row(db, number) is not None:
                _step(db, number, what, who, at)

    def forget(self) -> int:
        with self._engine.begin() as db:
            mine = select(REQUEST.c.id).where(REQUEST.c.agency_mark == self._mark)
            db.execute(delete(STEP).where(STEP.c.request.in_(mine)))
            return db.execute(delete(REQUEST).where(REQUEST.c.agency_mark == self._mark)).rowcount

    def _row(self, db: Connection, number: str) -> Any:
        mine = (REQUEST.c.agency_mark == self._mark, REQUEST.c.id == number)
        return db.execute(select(REQUEST).where(*mine)).one_or_none()

    def _open(self, db: Connection, number: str) -> Any:
        row = self._row(db, number)
        if row is None or row.closed_on is not None:
            raise Refused("there is no such open request", "Look at the list of requests.")
        return row

    def _said(self, row: Any) -> dict[str, Any]:
        reference = self._vault.open(row.reference, "request", self._agency, row.id)
        names = ("id", "kind", "system", "received_on", "due_on", "told_on", "closed_on", "outcome")
        return {name: getattr(row, name) for name in names} | {"reference": reference}


def _step(db: Connection, number: str, what: str, who: str, at: datetime) -> None:
    db.execute(insert(STEP).values(request=number, what=what, who=who, at=stamp(at)))


def of(home: Home, vault: Vault, agency: AgencyCode) -> Requests:
    return Requests(_engine(home), vault, agency)


def _engine(home: Home) -> Engine:
    engine = database(home, "requests.db")
    META.create_all(engine)
    return engine


def forget(home: Home, root: Root, agency: AgencyCode) -> int:
    """Everything of an agency that is being erased. Returns how many requests that was."""
    if not (home.reception / "requests.db").exists():
        return 0
    engine = _engine(home)
    try:
        return Requests(engine, Vault.of(home, root), agency).forget()
    finally:
        engine.dispose()


def in_log(history: History, person: str, hidden: Sequence[int] | frozenset[int]) -> Iterator[dict[str, Any]]:
    """The instructions of the log that name this person, and whether each was carried out."""
    done = {v.entry.instruction: v.number for v in history.lines if isinstance(v.entry, Fulfilled)}
    for v in history.lines:
        if v.number in hidden or not isinstance(v.entry, Rectify | Erase | Restrict):
            continue
        named = getattr(v.entry, "subjects", None) or getattr(v.entry, "targets", None) or ()
        if any(person in str(n) for n in named):
            yield {
                "number": v.number, "id": v.entry.id, "does": type(v.entry).__name__.lower(), "at": stamp(v.at),
                "done": done.get(v.entry.id),
            }  # fmt: skip
