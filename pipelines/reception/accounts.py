"""Accounts and roles. Nobody makes an account alone: one is made by an invitation, which the operator hands over."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select, update

from ledger.canonical import read_instant
from pipelines.reception.tables import ACCOUNT, BINDING, INVITATION, PASSKEY, ROLE, SESSION, stamp
from pipelines.reception.vault import Vault, digest, fresh_token
from schemas.access import Grant, Role
from schemas.errors import Malformed, Refused
from schemas.fields import Category
from schemas.ids import AgencyCode

INVITED_FOR = timedelta(hours=72)
# Deliberately loose: whether an address exists is shown by the invitation that reaches it (RFC 5321 §4.5.3.1.3).
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")


@dataclass(frozen=True, slots=True)
class Person:
    """An account as operations list it."""

    account: str
    email: str
    grants: tuple[Grant, ...]
    ready: bool  # whether a way to sign in was set up
    sessions: int

    def as_json(self) -> dict[str, object]:
        roles = [
            {
                "role": str(g.role), "agency": g.agency, "until": stamp(g.until) if g.until else None,
                "categories": sorted(g.categories) if g.categories is not None else None,
            }
            for g in self.grants
        ]  # fmt: skip
        known = {"account": self.account, "email": self.email, "ready": self.ready, "sessions": self.sessions}
        return known | {"roles": roles}


def normal(email: str) -> str:
    """Raises Malformed, without repeating it, for what is no address."""
    said = email.strip().lower()
    if not _EMAIL.fullmatch(said):
        raise Malformed("this is no e-mail address", "Write name@domain.")
    return said


class Accounts:
    """Those of one home."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault

    def invite(self, email: str, grant: Grant, at: datetime) -> str:
        """Give somebody a role, and a token that lets them set up a way to sign in: shown once, good once, for 72
        hours. An account that is there keeps its roles; older invitations of it end."""
        said = normal(email)
        _check(grant, at)
        token = fresh_token()
        with self._engine.begin() as db:
            account = self._account(db, said, at)
            db.execute(insert(ROLE).values(account=account, **self._kept(grant)))
            db.execute(delete(INVITATION).where(INVITATION.c.account == account))
            db.execute(
                insert(INVITATION).values(token=digest(token), account=account, expires_at=stamp(at + INVITED_FOR))
            )
        return token

    def grants(self, db: Connection, account: str) -> tuple[Grant, ...]:
        """Every role that was not revoked, also those whose time is over or has not come."""
        found = db.execute(
            select(ROLE).where(ROLE.c.account == account, ROLE.c.revoked_at.is_(None)).order_by(ROLE.c.id)
        )
        return tuple(
            Grant(
                Role(r.role),
                None if r.agency is None else AgencyCode(self._vault.open(r.agency, "role", "agency")),
                read_instant(r.since),
                None if r.until is None else read_instant(r.until),
                None if r.categories is None else frozenset(r.categories.split()),
            )
            for r in found
        )

    def people(self, at: datetime) -> list[Person]:
        """Everybody who has a role, or ever had one."""
        with self._engine.connect() as db:
            ready = {a for way in (PASSKEY, BINDING) for (a,) in db.execute(select(way.c.account).distinct())}
            live = [a for (a,) in db.execute(select(SESSION.c.account).where(SESSION.c.ended_at.is_(None)))]
            return [
                Person(
                    row.id,
                    self._vault.open(row.email, "account", row.id, "email"),
                    tuple(g for g in self.grants(db, row.id) if g.until is None or at < g.until),
                    row.password is not None or row.id in ready,
                    live.count(row.id),
                )
                for row in db.execute(select(ACCOUNT).order_by(ACCOUNT.c.made_at, ACCOUNT.c.id)).all()
            ]

    def revoke(self, email: str, at: datetime) -> int:
        """Take away every role of somebody, and end every session and invitation, at once. Returns how many roles there
        were. Raises Refused for somebody who is not known."""
        with self._engine.begin() as db:
            account = self.find(db, email)
            if account is None:
                raise Refused("nobody of this address has an account", "List them: `depositaire door people`.")
            those = (ROLE.c.account == account, ROLE.c.revoked_at.is_(None))
            gone = db.execute(update(ROLE).where(*those).values(revoked_at=stamp(at))).rowcount
            live = (SESSION.c.account == account, SESSION.c.ended_at.is_(None))
            db.execute(update(SESSION).where(*live).values(ended_at=stamp(at)))
            db.execute(delete(INVITATION).where(INVITATION.c.account == account))
            db.execute(delete(BINDING).where(BINDING.c.account == account))
        return gone

    def find(self, db: Connection, email: str) -> str | None:
        mark = self._vault.mark("email", normal(email))
        return db.execute(select(ACCOUNT.c.id).where(ACCOUNT.c.email_mark == mark)).scalar_one_or_none()

    def email(self, db: Connection, account: str) -> str:
        sealed = db.execute(select(ACCOUNT.c.email).where(ACCOUNT.c.id == account)).scalar_one()
        return self._vault.open(sealed, "account", account, "email")

    def _account(self, db: Connection, email: str, at: datetime) -> str:
        known = self.find(db, email)
        if known is not None:
            return known
        fresh = f"USR-{secrets.token_hex(8)}"
        sealed = self._vault.seal(email, "account", fresh, "email")
        mark = self._vault.mark("email", email)
        db.execute(insert(ACCOUNT).values(id=fresh, email=sealed, email_mark=mark, made_at=stamp(at)))
        return fresh

    def _kept(self, g: Grant) -> dict[str, object]:
        return {
            "role": str(g.role),
            "agency": None if g.agency is None else self._vault.seal(g.agency, "role", "agency"),
            "agency_mark": None if g.agency is None else self._vault.mark("agency", g.agency),
            "categories": None if g.categories is None else " ".join(sorted(g.categories)),
            "since": stamp(g.since),
            "until": None if g.until is None else stamp(g.until),
        }


def _check(grant: Grant, at: datetime) -> None:
    if grant.role is Role.AUDITOR and grant.until is None:
        raise Malformed("an auditor is invited for a time", "Give --until.")
    if grant.until is not None and grant.until <= at:
        raise Malformed("the role would end before it begins", "Give a later day.")
    if grant.categories is not None and grant.role is not Role.AUDITOR:
        raise Malformed("only an auditor is limited to categories", "Leave --categories out.")


def categories(names: Sequence[str] | None) -> frozenset[str] | None:
    """Raises Malformed for a category that the model does not have."""
    if not names:
        return None
    known = {str(c) for c in Category}
    if not set(names) <= known:
        raise Malformed("an unknown category was named", f"Known: {', '.join(sorted(known))}.")
    return frozenset(names)
