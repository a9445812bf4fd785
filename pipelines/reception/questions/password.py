"""Another password: for whoever knows the one of now and has the authenticator, whoever else has their session."""

from typing import Any

from sqlalchemy import select, update

from pipelines.host.wire import Asked
from pipelines.reception import attempts, passwords, sessions
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.questions.signing_in import holds
from pipelines.reception.tables import ACCOUNT
from schemas.access import NotThere, Question
from schemas.errors import Malformed, NotVerified


def changed(visit: Visit, asked: Asked) -> Any:
    """How many other sessions have ended with it: all that there were.

    Tries count with those of signing in. Raises NotThere for an account that has no password, NotVerified where
    password and code are not this account's, Malformed for a password that is not to be used.
    """
    desk = visit.desk
    with desk.engine.connect() as db:
        row = db.execute(select(ACCOUNT).where(ACCOUNT.c.id == visit.account)).one()
        email = desk.accounts.email(db, row.id)
    if row.password is None:
        raise NotThere("there is no such page")
    current, fresh = asked.text("current"), asked.text("password")
    tries = [desk.vault.mark("tries", email), visit.address]
    attempts.begin(desk.engine, tries, visit.at)
    # Before the code is used up: who mistypes the new one needs no second code.
    passwords.check(fresh, email, email.partition("@")[0])
    if fresh == current:
        raise Malformed("the new password is the one of now", "Take another one.")
    if not holds(visit, row, current, asked.text("code")):
        raise NotVerified("password and code do not belong together", "Try again.")
    attempts.forget(desk.engine, tries[:1])
    kept = passwords.hashed(fresh)
    with desk.engine.begin() as db:
        same = (ACCOUNT.c.id == row.id, ACCOUNT.c.password == row.password)
        if db.execute(update(ACCOUNT).where(*same).values(password=kept)).rowcount != 1:
            raise NotVerified("password and code do not belong together", "Try again.")
        others = [s.id for s in sessions.of(db, row.id, visit.at) if visit.session is None or s.id != visit.session.id]
        return {"ended": sum(sessions.end(db, row.id, visit.at, each) for each in others)}


ANSWERS: Answers = {Question.PASSWORD: Answer(changed, ("current", "code", "password"))}
