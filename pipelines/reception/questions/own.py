"""What somebody who is signed in asks of themselves: who they are here, their sessions, their language."""

from typing import Any

from sqlalchemy import select, update

from pipelines.host.wire import Asked
from pipelines.reception import sessions
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.tables import ACCOUNT, stamp
from schemas.access import NotThere, Question
from schemas.errors import Malformed
from schemas.ids import AgencyCode
from store import register
from store.house import House

LANGUAGES = ("fr", "en")
_MOST_AGENCIES = 1000


def who(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    """Who is signed in, whether with a password, and the agencies that they may look at, with their roles."""
    with visit.desk.engine.connect() as db:
        email = visit.desk.accounts.email(db, visit.account)
        row = db.execute(select(ACCOUNT.c.language, ACCOUNT.c.password).where(ACCOUNT.c.id == visit.account)).one()
    agencies = _agencies(visit)
    return {"email": email, "language": row.language, "password": row.password is not None, "agencies": agencies}


def _agencies(visit: Visit) -> list[dict[str, Any]]:
    with House.open(visit.desk.home) as house:
        every = {a.code: a.legal_name for a in register.everyone(house.db)}
    roles: dict[AgencyCode, list[str]] = {}
    until: dict[AgencyCode, str | None] = {}
    for g in visit.grants:
        for code in every if g.agency is None else [g.agency]:
            if code in every:
                roles.setdefault(code, []).append(str(g.role))
                until[code] = stamp(g.until) if g.until else None
    return [
        {"agency": code, "name": every[code], "roles": sorted(set(roles[code])), "until": until[code]}
        for code in sorted(roles)[:_MOST_AGENCIES]
    ]


def set_language(visit: Visit, asked: Asked) -> Any:
    chosen = asked.text("language")
    if chosen not in LANGUAGES:
        raise Malformed("an unknown language was named", f"Known: {', '.join(LANGUAGES)}.")
    with visit.desk.engine.begin() as db:
        db.execute(update(ACCOUNT).where(ACCOUNT.c.id == visit.account).values(language=chosen))


def listed(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    mine = visit.session.id if visit.session else None
    with visit.desk.engine.connect() as db:
        found = sessions.of(db, visit.account, visit.at)
    return [
        {"id": s.id, "by": s.by, "begun_at": s.begun_at, "seen_at": s.seen_at, "own": s.id == mine} for s in found
    ]  # fmt: skip


def end(visit: Visit, asked: Asked) -> Any:
    """Raises NotThere for a session that is not one of theirs."""
    with visit.desk.engine.begin() as db:
        if not sessions.end(db, visit.account, visit.at, asked.text("id")):
            raise NotThere("there is no such page")


def end_all(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    """Also the one that asks."""
    with visit.desk.engine.begin() as db:
        sessions.end(db, visit.account, visit.at)


def sign_out(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    with visit.desk.engine.begin() as db:
        sessions.end(db, visit.account, visit.at, visit.session.id if visit.session else None)


ANSWERS: Answers = {
    Question.WHO: Answer(who),
    Question.LANGUAGE: Answer(set_language, ("language",)),
    Question.SESSIONS: Answer(listed),
    Question.END_SESSION: Answer(end, ("id",)),
    Question.END_ALL: Answer(end_all),
    Question.SIGN_OUT: Answer(sign_out),
}
