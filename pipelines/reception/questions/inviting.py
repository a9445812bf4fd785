"""An invitation: a link that is good once, with which its person sets up a way to sign in."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from pipelines.host.wire import Asked
from pipelines.reception import attempts, codes, passkeys, passwords, sessions
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.oidc import settings
from pipelines.reception.tables import ACCOUNT, BINDING, INVITATION, PASSKEY, stamp
from pipelines.reception.vault import digest
from schemas.access import NotThere, Question
from schemas.errors import NotVerified


def opened(visit: Visit, asked: Asked) -> Any:
    """For whom it is, and the secret of an authenticator, in case a password is chosen: the same each time it is
    opened. `provider`: whether the agency's own sign-in can be chosen."""
    desk = visit.desk
    tries = [f"invitation {visit.address}"]  # of their own: opening one takes back no wrong password
    attempts.begin(desk.engine, tries, visit.at)
    with desk.engine.begin() as db:
        found = _invitation(db, asked.text("invitation"), visit.at)
        visit.who = found.account
        email = desk.accounts.email(db, found.account)
        secret = _secret(db, visit, found)
        every = desk.accounts.grants(db, found.account)
        provider = settings.offered(db, desk.vault, every, visit.at) is not None
        grants = [g for g in every if g.until is None or visit.at < g.until]
    attempts.forget(desk.engine, tries)
    address = codes.address(secret, email)
    return {
        "email": email,
        "roles": [{"role": str(g.role), "agency": g.agency} for g in grants],
        "secret": secret,
        "address": address,
        "picture": codes.picture(address),
        "provider": provider,
    }


def challenge(visit: Visit, asked: Asked) -> Any:
    desk = visit.desk
    with desk.engine.begin() as db:
        found = _invitation(db, asked.text("invitation"), visit.at)
        visit.who = found.account
        name = desk.accounts.email(db, found.account)
        return passkeys.challenge_to_make(db, desk.site, found.account, name, visit.at)


def with_passkey(visit: Visit, asked: Asked) -> Any:
    desk = visit.desk
    with desk.engine.connect() as db:
        found = _invitation(db, asked.text("invitation"), visit.at)
    visit.who = found.account
    made = passkeys.made(desk.engine, desk.site, found.account, asked.text("credential"), visit.at)
    with desk.engine.begin() as db:
        token = used(db, found, "passkey", visit.at)
        passkeys.keep(db, found.account, made, visit.at)
    return token


def with_password(visit: Visit, asked: Asked) -> Any:
    """Raises Malformed for a password that is not to be used, NotVerified for a code that is not of the secret."""
    desk, password = visit.desk, asked.text("password")
    attempts.begin(desk.engine, [visit.address], visit.at)
    with desk.engine.begin() as db:
        found = _invitation(db, asked.text("invitation"), visit.at)
        visit.who = found.account
        secret, email = _secret(db, visit, found), desk.accounts.email(db, found.account)
    passwords.check(password, email, email.partition("@")[0])
    step = codes.step(secret, asked.text("code"), visit.at)
    if step is None:
        raise NotVerified("the code is not the one of now", "Wait for the next one, and check your device's clock.")
    kept = {
        "password": passwords.hashed(password),
        "totp": desk.vault.seal(secret, "account", found.account, "totp"),
        "totp_step": step,
    }
    with desk.engine.begin() as db:
        token = used(db, found, "password", visit.at)
        db.execute(update(ACCOUNT).where(ACCOUNT.c.id == found.account).values(**kept))
    return token


def _invitation(db: Connection, token: str, at: datetime) -> Row[Any]:
    return by_digest(db, digest(token), at)


def by_digest(db: Connection, token: str, at: datetime) -> Row[Any]:
    """Raises NotThere for one that never was, is over or was used: nobody can tell which."""
    good = (INVITATION.c.used_at.is_(None), INVITATION.c.expires_at > stamp(at))
    found = db.execute(select(INVITATION).where(INVITATION.c.token == token, *good)).one_or_none()
    if found is None:
        raise NotThere("there is no such page")
    return found


def _secret(db: Connection, visit: Visit, found: Row[Any]) -> str:
    vault = visit.desk.vault
    if found.totp is not None:
        return vault.open(found.totp, "invitation", found.account, "totp")
    secret = codes.fresh()
    sealed = vault.seal(secret, "invitation", found.account, "totp")
    db.execute(update(INVITATION).where(INVITATION.c.token == found.token).values(totp=sealed))
    return secret


def used(db: Connection, found: Row[Any], by: str, at: datetime) -> Any:
    """Whoever has set up a way to sign in is signed in. Ways and sessions from before the invitation end: it is also
    how somebody who lost their device comes in again."""
    good = (INVITATION.c.token == found.token, INVITATION.c.used_at.is_(None))
    if db.execute(update(INVITATION).where(*good).values(used_at=stamp(at), totp=None)).rowcount != 1:
        raise NotThere("there is no such page")
    account = found.account
    for way in (PASSKEY, BINDING):
        db.execute(delete(way).where(way.c.account == account))
    db.execute(update(ACCOUNT).where(ACCOUNT.c.id == account).values(password=None, totp=None))
    sessions.end(db, account, at)
    return {"session": sessions.begin(db, account, by, at)}


ANSWERS: Answers = {
    Question.INVITATION: Answer(opened, ("invitation",)),
    Question.INVITATION_CHALLENGE: Answer(challenge, ("invitation",)),
    Question.INVITATION_PASSKEY: Answer(with_passkey, ("invitation", "credential")),
    Question.INVITATION_PASSWORD: Answer(with_password, ("invitation", "password", "code")),
}
