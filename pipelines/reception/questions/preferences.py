"""How somebody wants to be told of what happens."""

from typing import Any

from pipelines.host.wire import Asked
from pipelines.notices.outbox import Outbox, Pace
from pipelines.notices.tables import open_outbox
from pipelines.reception.desk import Answer, Answers, Visit
from schemas.access import Question
from schemas.errors import Malformed


def shown(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - it asks for nothing
    with visit.desk.engine.connect() as db:
        email = visit.desk.accounts.email(db, visit.account)
    return {"pace": str(_outbox(visit).pace(visit.account)), "email": email}


def preferred(visit: Visit, asked: Asked) -> Any:
    pace = asked.text("pace")
    if pace not in {str(p) for p in Pace}:
        raise Malformed("there is no such choice", "Open the page again.")
    _outbox(visit).prefer(visit.account, Pace(pace), visit.at)


def _outbox(visit: Visit) -> Outbox:
    desk = visit.desk
    return Outbox(desk.home, open_outbox(desk.home), desk.engine, desk.vault, desk.logs)


ANSWERS: Answers = {
    Question.PREFERENCES: Answer(shown),
    Question.PREFER: Answer(preferred, ("pace",)),
}
