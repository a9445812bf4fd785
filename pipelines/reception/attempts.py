"""How often signing in may fail: twenty times a minute for an account, and as often from one address (ASVS 5.0 6.3.1).

Kept in the database, so that a restart forgets none. An account is counted whether it exists or not.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, insert, select

from pipelines.reception.tables import ATTEMPT, stamp
from schemas.access import TooOften

MOST, WITHIN = 20, timedelta(minutes=1)
_KEPT = timedelta(hours=1)


def begin(engine: Engine, marks: Sequence[str], at: datetime) -> None:
    """Count a try, before anything of it is looked at. Raises TooOften when there were too many."""
    with engine.begin() as db:
        db.execute(delete(ATTEMPT).where(ATTEMPT.c.at < stamp(at - _KEPT)))
        db.execute(insert(ATTEMPT), [{"mark": mark, "at": stamp(at)} for mark in marks])
        for mark in marks:
            recent = (ATTEMPT.c.mark == mark, ATTEMPT.c.at > stamp(at - WITHIN))
            if db.execute(select(func.count()).where(*recent)).scalar_one() > MOST:
                blocked = True
                break
        else:
            blocked = False
    if blocked:
        raise TooOften("too many tries", "Wait a minute.")


def forget(engine: Engine, marks: Sequence[str]) -> None:
    """Those that succeeded count no more."""
    with engine.begin() as db:
        db.execute(delete(ATTEMPT).where(ATTEMPT.c.mark.in_(marks)))
