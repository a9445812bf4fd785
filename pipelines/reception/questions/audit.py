"""What an audit can look at here, and who looked at what of an agency (GDPR 5(2), 28(3)(h), 32(1)(b))."""

from typing import Any

from sqlalchemy import or_, select

from ledger.mandate import fold
from pipelines import field_lineage
from pipelines.host.wire import Asked
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.questions.register import certificates
from pipelines.reception.tables import ROLE
from schemas.access import Question, Role
from schemas.errors import Malformed
from schemas.ids import AGENCY_SYSTEMS
from schemas.mandate import Purpose

PAGE = 50


def state(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """How many columns, certificates and entries there are, and whether values may be looked at."""
    reading = visit.desk.logs.read(visit.named)
    return {
        "columns": len(field_lineage.fields()),
        "certificates": len(certificates(visit)),
        "entries": reading.size if reading is not None else 0,
        "support": supported(visit),
    }


def supported(visit: Visit) -> bool:
    """Whether an instruction in force names the purpose "support", under which single values are looked at (R45)."""
    reading = visit.desk.logs.read(visit.named)
    if reading is None:
        return False
    mandate = fold(reading.counting, visit.at)
    return any(Purpose.SUPPORT in g.purposes for s in AGENCY_SYSTEMS for g in mandate.for_system(s))


def access(visit: Visit, asked: Asked) -> Any:
    """Who asked what of this agency, the newest first. `before`: lines with smaller numbers only (0: from the newest
    on); `role`: of those who have or had this role here, or "". A person is a pseudonym, `roles` those of then."""
    before, role = asked.number("before"), asked.text("role")
    if before < 0 or (role and role not in {str(r) for r in Role}):
        raise Malformed("there is no such filter")
    roles = _roles(visit)
    only = {who for who, held in roles.items() if any(r == role for r, *_ in held)} if role else None
    found = visit.desk.journal.page(visit.named, before, PAGE, only)
    mine = visit.account
    lines = [
        line | {"roles": _then(roles.get(str(line["who"]), []), str(line["at"])), "own": line["who"] == mine}
        for line in found.lines
    ]
    return {"size": found.size, "lines": lines, "next": found.next}


_Held = tuple[str, str, str | None]


def _roles(visit: Visit) -> dict[str, list[_Held]]:
    """The roles at this agency of everybody, with their times: an operator's count at each."""
    here = or_(ROLE.c.agency_mark == visit.desk.vault.mark("agency", visit.named), ROLE.c.role == str(Role.OPERATOR))
    found: dict[str, list[_Held]] = {}
    with visit.desk.engine.connect() as db:
        for row in db.execute(select(ROLE).where(here).order_by(ROLE.c.id)):
            ends = [end for end in (row.until, row.revoked_at) if end is not None]
            found.setdefault(row.account, []).append((row.role, row.since, min(ends) if ends else None))
    return found


def _then(held: list[_Held], at: str) -> list[str]:
    return list(dict.fromkeys(role for role, since, until in held if since <= at and (until is None or at < until)))


ANSWERS: Answers = {
    Question.AUDIT: Answer(state, ("agency",)),
    Question.ACCESS: Answer(access, ("agency", "before", "role")),
}
