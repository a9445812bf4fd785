"""Sessions are kept here, so that they can be ended here: a cookie holds 256 random bits and nothing else.

A session ends when it was not used for 30 minutes, after 12 hours, when its person signs out or ends it from another
machine, and when their roles are revoked; each counts from the next question on. ASVS 5.0 7.2 to 7.4.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from pipelines.reception.tables import SESSION, stamp
from pipelines.reception.vault import digest, fresh_token

IDLE, ABSOLUTE = timedelta(minutes=30), timedelta(hours=12)
# A session's last use is noted to this precision: a page is several questions.
_NOTED = timedelta(seconds=30)
_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Session:
    """`through`: the mark of the agency whose own sign-in it was begun by; None for the other ways."""

    id: str
    account: str
    by: str
    begun_at: str
    seen_at: str
    through: str | None = None


def begin(db: Connection, account: str, by: str, at: datetime) -> str:
    """The token of a fresh session. `by`: how its person showed who they are."""
    token = fresh_token()
    now = stamp(at)
    named = {"token": digest(token), "id": secrets.token_hex(8), "account": account, "by": by}
    db.execute(insert(SESSION).values(**named, begun_at=now, seen_at=now))
    db.execute(delete(SESSION).where(SESSION.c.begun_at < stamp(at - _KEPT)))
    return token


def find(db: Connection, token: str, at: datetime) -> Session | None:
    """The session of a token, if it still counts; its use is noted."""
    row = db.execute(select(SESSION).where(SESSION.c.token == digest(token), _live(at))).one_or_none()
    if row is None:
        return None
    if row.seen_at <= stamp(at - _NOTED):
        db.execute(update(SESSION).where(SESSION.c.token == row.token).values(seen_at=stamp(at)))
    return _session(row)


def of(db: Connection, account: str, at: datetime) -> list[Session]:
    """Those that count now, the last used first."""
    found = db.execute(
        select(SESSION).where(SESSION.c.account == account, _live(at)).order_by(SESSION.c.seen_at.desc(), SESSION.c.id)
    )
    return [_session(r) for r in found]


def end(db: Connection, account: str, at: datetime, only: str | None = None) -> int:
    """End one session of somebody by its id, or all of them. Returns how many there were."""
    those = [SESSION.c.account == account, SESSION.c.ended_at.is_(None)]
    if only is not None:
        those.append(SESSION.c.id == only)
    return db.execute(update(SESSION).where(*those).values(ended_at=stamp(at))).rowcount


def _session(row: Row[Any]) -> Session:
    by, _, through = row.by.partition(" ")
    return Session(row.id, row.account, by, row.begun_at, row.seen_at, through or None)


def _live(at: datetime) -> ColumnElement[bool]:
    return and_(
        SESSION.c.ended_at.is_(None), SESSION.c.seen_at > stamp(at - IDLE), SESSION.c.begun_at > stamp(at - ABSOLUTE)
    )
