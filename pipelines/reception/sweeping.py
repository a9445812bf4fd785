"""What the web door forgets by itself, each day: GDPR 5(1)(e), R40.

    an account                   thirty days after its last role ended or was revoked, with its keys and sessions
    an invitation                thirty days after it was used or was over
    sessions, tries, challenges  thirty days after they began, an hour, and five minutes after they were made
    what was asked               after twelve months (`journal`)

What was asked keeps the account's pseudonym, which then names nobody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select

from pipelines.reception.desk import Desk
from pipelines.reception.journal import Journal
from pipelines.reception.tables import (
    ACCOUNT,
    ATTEMPT,
    CHALLENGE,
    INVITATION,
    PASSKEY,
    ROLE,
    SESSION,
    SIGNING_KEY,
    stamp,
)

KEPT = timedelta(days=30)
_TRIES_KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Swept:
    """How many of each are gone."""

    accounts: int
    invitations: int
    asked: int


def sweep(desk: Desk, journal: Journal, at: datetime) -> Swept:
    """Twice is once."""
    before = stamp(at - KEPT)
    with desk.engine.begin() as db:
        over = or_(INVITATION.c.expires_at < before, INVITATION.c.used_at < before)
        invitations = db.execute(delete(INVITATION).where(over)).rowcount
        gone = db.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.made_at < before, ~_needed(before))).scalars().all()
        for account in gone:
            _remove(db, account)
        db.execute(delete(SESSION).where(SESSION.c.begun_at < before))
        db.execute(delete(CHALLENGE).where(CHALLENGE.c.expires_at < stamp(at)))
        db.execute(delete(ATTEMPT).where(ATTEMPT.c.at < stamp(at - _TRIES_KEPT)))
    return Swept(len(gone), invitations, journal.clear(at))


def _needed(before: str) -> ColumnElement[bool]:
    """Whether an account has a role, or had one until lately, or an invitation that is kept."""
    role = exists().where(
        ROLE.c.account == ACCOUNT.c.id,
        or_(ROLE.c.revoked_at.is_(None), ROLE.c.revoked_at >= before),
        or_(ROLE.c.until.is_(None), ROLE.c.until >= before),
    )
    return or_(role, exists().where(INVITATION.c.account == ACCOUNT.c.id))


def _remove(db: Connection, account: str) -> None:
    for table in (SESSION, PASSKEY, SIGNING_KEY, CHALLENGE, INVITATION, ROLE):
        db.execute(delete(table).where(table.c.account == account))
    db.execute(delete(ACCOUNT).where(ACCOUNT.c.id == account))
