"""What the web door keeps of an agency goes with the agency; what each file keeps, and on what ground, is listed in
docs/specs/window.md.

At once: notices that wait, programmes that are told, requests, how a browser finds the passkeys that signed (their
public keys are in the log, which stays), packs, the agency's own sign-in with whom it let in, and invitations of people
who are of no other agency. Its people keep their roles for thirty days, to read that it was erased and to take the
certificate and the log home (28(3)(g), (h)); then `sweeping` removes the roles, and who has no other one.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update

from pipelines.notices import post_office
from pipelines.reception import requests, tables
from pipelines.reception.oidc import settings
from pipelines.reception.tables import INVITATION, PACK, ROLE, SIGNING_KEY, stamp
from pipelines.reception.vault import Vault
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import Root

ROLES_LAST = timedelta(days=30)


def forget(home: Home, root: Root, agency: AgencyCode, at: datetime) -> Mapping[str, int]:
    """Again is the same as once. Returns how many of each kind there were."""
    return {
        "notices": post_office.forget(home, root, agency),
        "requests": requests.forget(home, root, agency),
        "sign_in": settings.forget(home, root, agency),
        **_in_accounts(home, root, agency, at),
    }


def _in_accounts(home: Home, root: Root, agency: AgencyCode, at: datetime) -> dict[str, int]:
    if not (home.reception / "accounts.db").exists():
        return {}
    mark, engine, last = Vault.of(home, root).mark("agency", agency), tables.accounts(home), roles_end(at)
    here = select(ROLE.c.account).where(ROLE.c.agency_mark == mark)
    stands = (ROLE.c.revoked_at.is_(None), or_(ROLE.c.until.is_(None), ROLE.c.until >= stamp(at)))
    elsewhere = select(ROLE.c.account).where(or_(ROLE.c.agency_mark.is_(None), ROLE.c.agency_mark != mark), *stands)
    only_here = (INVITATION.c.account.in_(here), INVITATION.c.account.not_in(elsewhere))
    longer = (ROLE.c.agency_mark == mark, ROLE.c.revoked_at.is_(None), or_(ROLE.c.until.is_(None), ROLE.c.until > last))
    try:
        with engine.begin() as db:
            counts = {
                "signing_keys": db.execute(delete(SIGNING_KEY).where(SIGNING_KEY.c.agency_mark == mark)).rowcount,
                "packs": db.execute(delete(PACK).where(PACK.c.agency_mark == mark)).rowcount,
                "invitations": db.execute(delete(INVITATION).where(*only_here)).rowcount,
                "roles_ended": db.execute(update(ROLE).where(*longer).values(until=last)).rowcount,
            }
        with engine.connect() as db:  # pages of before stand in the log of the database until they are written over
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return counts
    finally:
        engine.dispose()


def roles_end(at: datetime) -> str:
    """Until when, at the longest, somebody has a role at an agency that is erased at an instant."""
    return stamp(at + ROLES_LAST)


def marks(home: Home, root: Root, agencies: Collection[AgencyCode]) -> Mapping[AgencyCode, str]:
    """What the web door calls these agencies: for whoever searches what is left of them."""
    if not home.reception_key.exists():
        return {}
    vault = Vault.of(home, root)
    return {a: vault.mark("agency", a) for a in agencies}
