"""The log of what was asked at the web door, for twelve months: who by pseudonym, when, what, of which agency.

No value of anybody. Kept apart from the accounts and from the instruction logs: CNIL, délibération 2021-122 of
14 October 2021; GDPR 32(1)(b), 5(2). The database itself refuses a change, and a removal before its time (`tables`).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select

from pipelines.reception.tables import ACCESS, stamp
from pipelines.reception.vault import Vault
from schemas.access import TABLE, Question
from schemas.ids import AgencyCode

KEPT = timedelta(days=366)
AT_ONCE = 5_000  # lines


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of one agency, the newest first. `next`: where the page below begins; none when this is the last."""

    size: int
    lines: tuple[dict[str, Any], ...]
    next: int | None


class Journal:
    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault

    def note(
        self,
        at: datetime,
        who: str | None,
        question: Question | None,
        agency: AgencyCode | None,
        outcome: str,
        about: str | None = None,
    ) -> None:
        """`who`: an account; `about`: numbers or ids of the project's own, never a text that somebody typed."""
        rule = TABLE.get(question) if question is not None else None
        line = {
            "at": stamp(at), "who": who, "question": "unknown" if question is None else str(question),
            "reads": rule.reads if rule else None, "object": about, "outcome": outcome,
            "agency": None if agency is None else self._vault.mark("agency", agency),
        }  # fmt: skip
        with self._engine.begin() as db:
            db.execute(insert(ACCESS).values(**line))

    def of(self, agency: AgencyCode) -> list[dict[str, object]]:
        """What was asked of one agency, the oldest first."""
        mark = self._vault.mark("agency", agency)
        with self._engine.connect() as db:
            found = db.execute(select(ACCESS).where(ACCESS.c.agency == mark).order_by(ACCESS.c.id)).mappings()
            return [{k: v for k, v in row.items() if k not in ("agency", "id")} for row in found]

    def page(self, agency: AgencyCode, before: int, most: int, only: Collection[str] | None = None) -> Page:
        """The newest `most` lines of one agency below its `before`th (0: from the newest on). `only`: of these
        accounts. Lines are counted for each agency apart: how much is asked of others shows nowhere."""
        mark = self._vault.mark("agency", agency)
        wanted = [ACCESS.c.agency == mark, *([] if only is None else [ACCESS.c.who.in_(only)])]
        with self._engine.connect() as db:
            size = db.execute(select(func.count()).select_from(ACCESS).where(*wanted)).scalar_one()
            end = min(before - 1, size) if before else size
            start = max(0, end - most)
            these = select(ACCESS).where(*wanted).order_by(ACCESS.c.id).offset(start).limit(end - start)
            rows = db.execute(these).mappings().all()
        names = ("at", "who", "question", "reads", "object", "outcome")
        return Page(size, tuple({n: r[n] for n in names} for r in reversed(rows)), start + 1 if start else None)

    def size(self) -> int:
        """The number of the newest line; numbers only grow."""
        with self._engine.connect() as db:
            return int(db.scalar(select(func.max(ACCESS.c.id))) or 0)

    def since(self, after: int) -> Iterator[dict[str, Any]]:
        """Every line above a number, of all agencies, the oldest first. Agencies are marks."""
        while True:
            with self._engine.connect() as db:
                some = select(ACCESS).where(ACCESS.c.id > after).order_by(ACCESS.c.id).limit(AT_ONCE)
                found = db.execute(some).mappings().all()
            if not found:
                return
            yield from (dict(each) for each in found)
            after = found[-1]["id"]

    def clear(self, at: datetime) -> int:
        """Remove what is older than is kept. Returns how many lines that was."""
        with self._engine.begin() as db:
            return db.execute(delete(ACCESS).where(ACCESS.c.at < stamp(at - KEPT))).rowcount
