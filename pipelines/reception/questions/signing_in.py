"""Signing in: with a passkey, or with a password and a code; through an agency's own sign-in see `provider`.

Whatever is wrong is answered in the same words and takes the same work, for accounts that there are and for those that
there are not (ASVS 5.0 6.3.8).
"""

from typing import Any

from sqlalchemy import Row, select, update

from pipelines.host.wire import Asked
from pipelines.reception import attempts, codes, passkeys, passwords, sessions
from pipelines.reception.accounts import normal
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.tables import ACCOUNT
from schemas.access import Question
from schemas.errors import Malformed, NotVerified


def with_password(visit: Visit, asked: Asked) -> Any:
    email, password, code = asked.text("email"), asked.text("password"), asked.text("code")
    desk = visit.desk
    marks = [desk.vault.mark("tries", _spelled(email)), visit.address]
    attempts.begin(desk.engine, marks, visit.at)
    with desk.engine.connect() as db:
        mark = desk.vault.mark("email", _spelled(email))
        row = db.execute(select(ACCOUNT).where(ACCOUNT.c.email_mark == mark)).one_or_none()
    if not holds(visit, row, password, code) or row is None:
        raise NotVerified("address, password and code do not belong together", "Try again.")
    attempts.forget(desk.engine, marks[:1])
    return begun(visit, row.id, "password")


def holds(visit: Visit, row: Row[Any] | None, password: str, code: str) -> bool:
    """Whether both are an account's, after the same work for one that there is not; the code was used then."""
    known = passwords.matches(password, row.password if row else None)
    sealed = row.totp if row else None
    secret = visit.desk.vault.open(sealed, "account", row.id, "totp") if row and sealed else codes.NOBODYS
    step = codes.step(secret, code, visit.at)
    return row is not None and sealed is not None and known and step is not None and _fresh(visit, row.id, step)


def _fresh(visit: Visit, account: str, step: int) -> bool:
    """Whether the code was not used before; from now on it was. Of two that come at once, one is let in."""
    later = (ACCOUNT.c.id == account, ACCOUNT.c.totp_step < step)
    with visit.desk.engine.begin() as db:
        return db.execute(update(ACCOUNT).where(*later).values(totp_step=step)).rowcount == 1


def challenge(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    attempts.begin(visit.desk.engine, [f"challenge {visit.address}"], visit.at)
    with visit.desk.engine.begin() as db:
        return passkeys.challenge_to_show(db, visit.desk.site, visit.at)


def with_passkey(visit: Visit, asked: Asked) -> Any:
    attempts.begin(visit.desk.engine, [visit.address], visit.at)
    account = passkeys.shown(visit.desk.engine, visit.desk.site, asked.text("credential"), visit.at)
    return begun(visit, account, "passkey")


def begun(visit: Visit, account: str, by: str) -> Any:
    """A session of its own for whoever has shown who they are; what the browser had before ends."""
    with visit.desk.engine.begin() as db:
        before = sessions.find(db, visit.token, visit.at)
        if before is not None:
            sessions.end(db, before.account, visit.at, before.id)
        token = sessions.begin(db, account, by, visit.at)
        language = db.execute(select(ACCOUNT.c.language).where(ACCOUNT.c.id == account)).scalar_one()
    visit.who = account
    return {"session": token, "language": language}


def _spelled(email: str) -> str:
    try:
        return normal(email)
    except Malformed:
        return "no address"


ANSWERS: Answers = {
    Question.SIGN_IN: Answer(with_password, ("email", "password", "code")),
    Question.SIGN_IN_CHALLENGE: Answer(challenge),
    Question.SIGN_IN_PASSKEY: Answer(with_passkey, ("credential",)),
}
