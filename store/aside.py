"""Lines put aside of one agency: where and why in clear, what they said sealed. Counts and places need no key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from schemas.errors import Refused
from store.agency import OpenShelf, Shelf
from store.sealing import framed, unseal
from store.tables import DELIVERY, QUARANTINE


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: of a delivery (its number; 0: all), of a source table, with a reason ("": all)."""

    delivery: int = 0
    source: str = ""
    reason: str = ""

    def where(self) -> list[ColumnElement[bool]]:
        q = QUARANTINE.c
        asked = ((q.delivery, self.delivery), (q.source, self.source), (q.reason, self.reason))
        return [column == value for column, value in asked if value]


def tallied(shelf: Shelf, wanted: Wanted) -> Sequence[Any]:
    """How many lines (`n`) of each system, source table and reason."""
    q = QUARANTINE.c
    by = (q.system, q.source, q.reason)
    found = select(*by, func.count().label("n")).where(*wanted.where()).group_by(*by).order_by(func.count().desc(), *by)
    return shelf.db.execute(found).all()


def deliveries(shelf: Shelf) -> Sequence[Any]:
    """Those of which lines were put aside (`id`, `name`, `system`), the newest first."""
    named = select(QUARANTINE.c.delivery).distinct()
    d = DELIVERY.c
    return shelf.db.execute(select(d.id, d.name, d.system).where(d.id.in_(named)).order_by(d.id.desc())).all()


def page(shelf: Shelf, wanted: Wanted, before: int, most: int) -> Sequence[Any]:
    """Lines with a smaller number than `before` (0: from the newest on), the newest first."""
    below = [QUARANTINE.c.id < before] if before else []
    found = _placed().where(*wanted.where(), *below).order_by(QUARANTINE.c.id.desc()).limit(most)
    return shelf.db.execute(found).all()


def one(shelf: Shelf, number: int) -> Any:
    """The place of one line by its number; None when there is no such line."""
    return shelf.db.execute(_placed().where(QUARANTINE.c.id == number)).one_or_none()


def said(shelf: OpenShelf, number: int) -> str:
    """What one line said. Raises Refused when that is not kept (any more)."""
    q = QUARANTINE
    row = shelf.db.execute(select(q).where(q.c.id == number)).one_or_none()
    if row is None or row.sealed is None:
        raise Refused("what this line said is not kept", "Look it up at the source, by file and line.")
    bound = framed(shelf.agency or "_portal", "quarantine", row.system, str(row.delivery), row.source, row.loc)
    return unseal(shelf.keyring.contents, row.sealed, bound).decode()


def _placed() -> Select[Any]:
    q, d = QUARANTINE.c, DELIVERY.c
    columns = (
        q.id,
        q.delivery,
        d.name,
        d.day,
        q.system,
        q.source,
        q.loc,
        q.reason,
        q.sealed.is_not(None).label("kept"),
    )
    return select(*columns).join(DELIVERY, d.id == q.delivery)
