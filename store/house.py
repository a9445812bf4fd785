"""What the installation knows besides the shelves: the register of agencies, the journal of deliveries, sealed
sources, inboxes.

It holds codes, names of deliveries, counts and reasons; connection strings are
sealed with the agency's key.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)

from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.inbox import Place, place
from schemas.report import Report
from store import engine
from store.keys import Keyring
from store.sealing import framed, seal, unseal

META = MetaData()

JOURNAL = Table(
    "journal",
    META,
    Column("id", Integer, primary_key=True),
    Column("agency", String),
    Column("system", String, nullable=False),
    Column("delivery", String, nullable=False),
    Column("day", String),
    Column("at", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", String),
    Column("run", String, nullable=False),
    Column("report", String, nullable=False),
    # The newest of a flow, without reading what all agencies have ever received.
    Index("journal_flow", "agency", "system", "id"),
)

SOURCE = Table(
    "source",
    META,
    Column("agency", String, primary_key=True),
    Column("system", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

INBOX = Table("inbox", META, Column("path", String, primary_key=True))


def demand(home: Home) -> None:
    """Raises Malformed where there is no home."""
    if not engine.of(home).has_house():
        raise Malformed(
            "there is no home here",
            "Run `depositaire init --home DIR` first, or name the home with --home or DEPOSITAIRE_HOME.",
        )


class House:
    """Use as a context manager."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.db = engine.of(home).house()

    @classmethod
    def open(cls, home: Home, create: bool = False) -> Self:
        if create:
            engine.of(home).make_house()
        else:
            demand(home)
        return cls(home)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.db.rollback()
        self.db.info["immediate"] = True
        try:
            yield self.db
            self.db.commit()
        except BaseException:
            self.db.rollback()
            raise
        finally:
            self.db.info["immediate"] = False

    # -- journal -------------------------------------------------------------------------------------------------------

    def journal_add(self, reports: Sequence[Report], at: datetime, run: str) -> None:
        if not reports:
            return
        with self.writing() as db:
            engine.on(db).index(db, JOURNAL)
            db.execute(insert(JOURNAL), [_entry(r, at, run) for r in reports])

    def journal_make_up(self, agency: AgencyCode, kept: Sequence[Row[Any]]) -> None:
        """Enter accepted deliveries (rows of `store.tables.DELIVERY`) that the journal does not have: what stopped the
        run that kept them stopped it before it said so."""
        j = JOURNAL.c
        for row in kept:
            known = (j.agency == agency, j.system == row.system, j.delivery == row.name, j.outcome == "accepted")
            if self.db.scalar(select(j.id).where(*known, j.run == row.run, j.at == row.at).limit(1)) is None:
                told = {"agency": agency, "delivery": row.name, "outcome": "accepted", "reason": None}
                same = {name: getattr(row, name) for name in ("system", "day", "at", "run", "report")}
                with self.writing() as db:
                    db.execute(insert(JOURNAL).values(told | same))

    def journal(
        self, agency: AgencyCode | None = None, system: System | None = None, limit: int = 1000
    ) -> Sequence[Row[Any]]:
        """Newest first."""
        where = [JOURNAL.c.agency == agency] if agency else []
        where += [JOURNAL.c.system == system] if system else []
        return self.db.execute(select(JOURNAL).where(*where).order_by(JOURNAL.c.id.desc()).limit(limit)).all()

    def last_by_flow(self) -> Sequence[Row[Any]]:
        """The newest entry of each agency and system."""
        newest = select(func.max(JOURNAL.c.id)).group_by(JOURNAL.c.agency, JOURNAL.c.system)
        return self.db.execute(
            select(JOURNAL).where(JOURNAL.c.id.in_(newest)).order_by(JOURNAL.c.agency, JOURNAL.c.system)
        ).all()

    def newest(self, agency: AgencyCode) -> dict[System, Row[Any]]:
        """The newest entry of each flow of one agency. What was received before says nothing new: replays do not
        count."""
        found = {}
        for system in AGENCY_SYSTEMS:
            mine = (JOURNAL.c.agency == agency, JOURNAL.c.system == system, JOURNAL.c.outcome != "replayed")
            row = self.db.execute(select(JOURNAL).where(*mine).order_by(JOURNAL.c.id.desc()).limit(1)).one_or_none()
            if row is not None:
                found[system] = row
        return found

    # -- sources -------------------------------------------------------------------------------------------------------

    def set_source(self, agency: AgencyCode, system: System, text: str, keyring: Keyring) -> None:
        """Keep a connection string sealed; it is never printed back."""
        sealed = seal(keyring.contents, text.encode(), framed(agency, "source", system))
        with self.writing() as db:
            engine.put(db, SOURCE, {"agency": agency, "system": str(system), "sealed": sealed}, replacing=["sealed"])

    def source(self, agency: AgencyCode, system: System, keyring: Keyring) -> str | None:
        sealed = self.db.scalar(select(SOURCE.c.sealed).where(SOURCE.c.agency == agency, SOURCE.c.system == system))
        return unseal(keyring.contents, sealed, framed(agency, "source", system)).decode() if sealed else None

    def with_source(self, system: System) -> list[AgencyCode]:
        return [
            AgencyCode(a)
            for a in self.db.scalars(select(SOURCE.c.agency).where(SOURCE.c.system == system).order_by(SOURCE.c.agency))
        ]

    # -- inboxes -------------------------------------------------------------------------------------------------------

    def remember_inbox(self, inbox: Place) -> None:
        """So that an erasure can remove the deliveries of an agency from every inbox that was ever read."""
        named = str(inbox.absolute() if isinstance(inbox, Path) else inbox)
        if named in {str(p) for p in self.inboxes()}:
            return
        with self.writing() as db:
            engine.put(db, INBOX, {"path": named})

    def inboxes(self) -> list[Place]:
        return [place(p) for p in self.db.scalars(select(INBOX.c.path).order_by(INBOX.c.path))]

    # -- erasure -------------------------------------------------------------------------------------------------------

    def forget_agency(self, agency: AgencyCode) -> dict[str, int]:
        """Remove what the journal and the sources say of one agency, and the residue. Again and again is the same as
        once."""
        with self.writing() as db:
            gone = {t.name: db.execute(delete(t).where(t.c.agency == agency)).rowcount for t in (JOURNAL, SOURCE)}
        if any(gone.values()):
            engine.on(self.db).scrub(self.db)
        return gone


def _entry(report: Report, at: datetime, run: str) -> dict[str, Any]:
    told = report.as_json() | ({"where": report.where} if report.where else {})
    return {
        "agency": report.agency, "system": str(report.system), "delivery": report.delivery,
        "day": report.day.isoformat() if report.day else None, "at": at.isoformat(), "outcome": report.outcome,
        "reason": report.reason, "run": run, "report": json.dumps(told),
    }  # fmt: skip
