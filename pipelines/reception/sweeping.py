"""What the web door forgets by itself, each day: GDPR 5(1)(e), R40.

    an account                   thirty days after its last role ended or was revoked, with its keys, sessions and how
                                 it is told of what happens; at once when that was a role at an agency that was erased
    roles at erased agencies     when they are over, which is thirty days after the erasure at the latest (`forgetting`)
    that one was erased          thirty days after it was told
    an invitation                thirty days after it was used or was over
    sessions, tries, challenges  thirty days after they began, an hour, and five minutes after they were made
    ways to an agency's sign-in  ten minutes after they were begun
    what was asked               after twelve months (`journal`)

What was asked keeps the account's pseudonym, which then names nobody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select

from pipelines.notices import post_office
from pipelines.reception.desk import Desk
from pipelines.reception.journal import Journal
from pipelines.reception.tables import (
    ACCOUNT,
    ATTEMPT,
    BINDING,
    CHALLENGE,
    FLOW,
    INVITATION,
    PASSKEY,
    ROLE,
    SESSION,
    SIGNING_KEY,
    stamp,
)
from store import register
from store.house import House

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
    erased = _erased(desk)
    with desk.engine.begin() as db:
        ended = or_(ROLE.c.revoked_at < stamp(at), ROLE.c.until < stamp(at))
        db.execute(delete(ROLE).where(ROLE.c.agency_mark.in_(erased), ended))
        over = or_(INVITATION.c.expires_at < before, INVITATION.c.used_at < before)
        invitations = db.execute(delete(INVITATION).where(over)).rowcount
        gone = db.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.made_at < before, ~_needed(before))).scalars().all()
        # Before the accounts: whoever is stopped in between finds them again tomorrow.
        post_office.sweep(desk.home, gone, erased, before)
        for account in gone:
            _remove(db, account)
        db.execute(delete(SESSION).where(SESSION.c.begun_at < before))
        db.execute(delete(CHALLENGE).where(CHALLENGE.c.expires_at < stamp(at)))
        db.execute(delete(FLOW).where(FLOW.c.expires_at < stamp(at)))
        db.execute(delete(ATTEMPT).where(ATTEMPT.c.at < stamp(at - _TRIES_KEPT)))
    return Swept(len(gone), invitations, journal.clear(at))


def _erased(desk: Desk) -> list[str]:
    """The marks of agencies that were erased and have not begun again."""
    with House.open(desk.home) as house:
        return [desk.vault.mark("agency", code) for code in sorted(register.erased_codes(house.db))]


def _needed(before: str) -> ColumnElement[bool]:
    """Whether an account has a role, or had one until lately, or an invitation that is kept."""
    role = exists().where(
        ROLE.c.account == ACCOUNT.c.id,
        or_(ROLE.c.revoked_at.is_(None), ROLE.c.revoked_at >= before),
        or_(ROLE.c.until.is_(None), ROLE.c.until >= before),
    )
    return or_(role, exists().where(INVITATION.c.account == ACCOUNT.c.id))


def _remove(db: Connection, account: str) -> None:
    for table in (SESSION, PASSKEY, BINDING, SIGNING_KEY, CHALLENGE, INVITATION, ROLE):
        db.execute(delete(table).where(table.c.account == account))
    db.execute(delete(ACCOUNT).where(ACCOUNT.c.id == account))
