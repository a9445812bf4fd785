"""From what happened to who is told: events are written once, and a post for each person whom they concern.

Who is told: readers and signatories of the agency, each at the pace that they chose, of what happened since they have
the role; and the programmes of the agency, at once. Nobody who was not there when it happened.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from ledger.canonical import read_instant
from ledger.entry import Head, History, Line
from ledger.mandate import fold
from ledger.tree import EMPTY_ROOT
from pipelines import status
from pipelines.notices import events
from pipelines.notices.events import DIGEST_ONLY, Event
from pipelines.notices.tables import EVENT, LETTER, POST, PREFERENCE, READ, WEBHOOK
from pipelines.reception.accounts import Accounts
from pipelines.reception.logs import Logs, Reading
from pipelines.reception.tables import ACCOUNT, ROLE, stamp
from pipelines.reception.vault import Vault
from schemas.access import Grant, Role
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.window import PARIS

_KEPT = timedelta(days=400)
MORNING = time(7)  # in Paris, when digests are sent; weekly ones on Mondays


class Pace(StrEnum):
    """How somebody wants to be told."""

    NOW = "now"
    DAILY = "daily"
    WEEKLY = "weekly"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An account, or a programme (`WHK-…`). `since`: of what came before, it is not told."""

    id: str
    agency: AgencyCode
    pace: Pace
    since: datetime

    @property
    def is_programme(self) -> bool:
        return self.id.startswith("WHK-")


def due(pace: Pace, code: str, at: datetime) -> datetime | None:
    """When somebody is told of something that is found at an instant; None: not at all."""
    if pace is Pace.NEVER or (pace is Pace.NOW and code in DIGEST_ONLY):
        return None
    if pace is Pace.NOW:
        return at
    here = at.astimezone(PARIS)
    morning = datetime.combine(here.date(), MORNING, PARIS)
    if morning <= here:
        morning += timedelta(days=1)
    if pace is Pace.WEEKLY:
        morning += timedelta(days=-morning.weekday() % 7)
    return morning


def _since(reading: Reading | None, after: int, hidden: Collection[int]) -> Iterator[Line]:
    """The entries behind number `after` that may be shown. No other entry is opened."""
    if reading is not None:
        shown = (n for n in range(after + 1, reading.size + 1) if n not in hidden)
        yield from filter(None, map(reading.lines.get, shown))


class Outbox:
    """That of one home."""

    def __init__(self, home: Home, engine: Engine, accounts: Engine, vault: Vault, logs: Logs) -> None:
        self.engine, self.vault = engine, vault
        self._home, self._accounts, self._logs = home, accounts, logs
        self._people = Accounts(accounts, vault)

    def collect(self, at: datetime, put_aside: int) -> int:
        """Write what is new of every agency that somebody is to be told of. Returns how many events that is."""
        recipients = self.recipients(at)
        return sum(
            self._collected(agency, [r for r in recipients if r.agency == agency], at, put_aside)
            for agency in sorted({r.agency for r in recipients})
        )

    def _collected(self, agency: AgencyCode, to: list[Recipient], at: datetime, put_aside: int) -> int:
        if not self._logs.knows(agency):
            return 0
        reading = self._logs.read(agency)
        history = reading.counting if reading else History(agency, Head(0, EMPTY_ROOT))
        hidden = reading.hidden(at) if reading else frozenset()
        mark = self.vault.mark("agency", agency)
        with self.engine.connect() as db:
            after = db.scalar(select(READ.c.size).where(READ.c.agency_mark == mark)) or 0
        found = [
            *events.of_log(_since(reading, after, hidden), put_aside),
            *events.of_state(status.of_agency(self._home, agency, history, fold(history, at)), at),
        ]
        # An entry that may not be shown yet is told of when it may: it is read again until then.
        size = min([*(n - 1 for n in hidden if n > after), history.head.size])
        with self.engine.begin() as db:
            fresh = sum(self._noted(db, agency, mark, event, to, at) for event in found)
            db.execute(delete(READ).where(READ.c.agency_mark == mark))
            db.execute(insert(READ).values(agency_mark=mark, size=size))
        return fresh

    def _noted(
        self, db: Connection, agency: AgencyCode, mark: str, event: Event, to: Iterable[Recipient], at: datetime
    ) -> bool:
        """Whether the event was new. Its posts are written with it, or not at all."""
        same = (EVENT.c.agency_mark == mark, EVENT.c.key == event.key)
        if db.scalar(select(EVENT.c.id).where(*same)) is not None:
            return False
        posts = [
            {"recipient": r.id, "due_at": stamp(when)}
            for r in to
            if r.since <= event.at and (when := due(r.pace, event.code, at)) is not None
        ]
        sealed = self.vault.seal(agency, "event", "agency")
        values = {"agency": sealed, "agency_mark": mark, "key": event.key, "code": event.code, "at": stamp(event.at)}
        made = db.execute(insert(EVENT).values(**values, facts=json.dumps(event.facts))).inserted_primary_key
        if posts and made is not None:
            db.execute(insert(POST), [p | {"event": made[0]} for p in posts])
        return True

    def recipients(self, at: datetime) -> list[Recipient]:
        """Everybody who is told of anything."""
        with self.engine.connect() as db:
            paces = {r.account: Pace(r.pace) for r in db.execute(select(PREFERENCE))}
            hooks = db.execute(select(WEBHOOK).order_by(WEBHOOK.c.id)).all()
        found = [
            Recipient(
                w.id, AgencyCode(self.vault.open(w.agency, "webhook", "agency")), Pace.NOW, read_instant(w.made_at)
            )
            for w in hooks
        ]
        with self._accounts.connect() as db:
            for account in db.scalars(select(ROLE.c.account).distinct().order_by(ROLE.c.account)).all():
                for agency, since in _looked_after(self._people.grants(db, account), at):
                    found.append(Recipient(account, agency, paces.get(account, Pace.NOW), since))
        return found

    # -- preferences ---------------------------------------------------------------------------------------------------

    def pace(self, account: str) -> Pace:
        with self.engine.connect() as db:
            return Pace(db.scalar(select(PREFERENCE.c.pace).where(PREFERENCE.c.account == account)) or Pace.NOW)

    def prefer(self, account: str, pace: Pace, at: datetime) -> None:
        """From now on, and for what waits. Who wants nothing is sent nothing more, from the next letter on."""
        with self.engine.begin() as db:
            db.execute(delete(PREFERENCE).where(PREFERENCE.c.account == account))
            db.execute(insert(PREFERENCE).values(account=account, pace=str(pace)))
            waits = (POST.c.recipient == account, POST.c.letter.is_(None))
            if pace is Pace.NEVER:
                unsent = select(LETTER.c.id).where(LETTER.c.recipient == account, LETTER.c.sent_at.is_(None))
                db.execute(delete(POST).where(*waits))
                db.execute(delete(POST).where(POST.c.letter.in_(unsent)))
                db.execute(delete(LETTER).where(LETTER.c.id.in_(unsent)))
            else:
                when = due(pace, "any", at) or at
                db.execute(update(POST).where(*waits).values(due_at=stamp(when)))

    # -- what is over --------------------------------------------------------------------------------------------------

    def clear(self, at: datetime) -> None:
        """Remove what is older than is kept."""
        with self.engine.begin() as db:
            old = select(EVENT.c.id).where(EVENT.c.at < stamp(at - _KEPT))
            db.execute(delete(POST).where(POST.c.event.in_(old)))
            db.execute(delete(EVENT).where(EVENT.c.at < stamp(at - _KEPT)))
            db.execute(delete(LETTER).where(LETTER.c.made_at < stamp(at - _KEPT)))

    def forget(self, agency: AgencyCode, size: int) -> int:
        """Everything of an agency but how far its log is read from now on (`size` entries), so that nothing of before
        is told again. Returns how many events and programmes that was."""
        mark = self.vault.mark("agency", agency)
        with self.engine.begin() as db:
            mine = select(EVENT.c.id).where(EVENT.c.agency_mark == mark)
            letters = select(POST.c.letter).where(POST.c.event.in_(mine), POST.c.letter.is_not(None))
            db.execute(delete(LETTER).where(LETTER.c.id.in_(letters)))
            db.execute(delete(POST).where(POST.c.event.in_(mine)))
            gone = db.execute(delete(EVENT).where(EVENT.c.agency_mark == mark)).rowcount
            gone += db.execute(delete(WEBHOOK).where(WEBHOOK.c.agency_mark == mark)).rowcount
            db.execute(delete(READ).where(READ.c.agency_mark == mark))
            db.execute(insert(READ).values(agency_mark=mark, size=size))
        return gone

    def waiting(self) -> int:
        """Posts that were not sent yet."""
        with self.engine.connect() as db:
            sent = select(LETTER.c.id).where(LETTER.c.sent_at.is_not(None))
            unsent = POST.c.letter.is_(None) | POST.c.letter.not_in(sent)
            return db.scalar(select(func.count()).select_from(POST).where(unsent)) or 0

    def addressee(self, account: str, agency: AgencyCode, at: datetime) -> tuple[str, str] | None:
        """Where somebody is written to, and in which language. None for whoever is told of this agency no longer: a
        letter may wait for a week, and a role may be revoked meanwhile."""
        with self._accounts.connect() as db:
            if agency not in dict(_looked_after(self._people.grants(db, account), at)):
                return None
            language = db.scalar(select(ACCOUNT.c.language).where(ACCOUNT.c.id == account))
            return self._people.email(db, account), language or "fr"


def _looked_after(grants: Iterable[Grant], at: datetime) -> Iterator[tuple[AgencyCode, datetime]]:
    """The agencies of which somebody is, with the instant since when."""
    since: dict[AgencyCode, datetime] = {}
    for g in grants:
        if g.role in (Role.READER, Role.SIGNATORY) and g.agency is not None and g.counts(at):
            since[g.agency] = min(g.since, since.get(g.agency, g.since))
    yield from since.items()


def facts_of(row: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row.facts)
    return found
