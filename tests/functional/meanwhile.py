"""What may happen to an agency between two nights, and all that its shelf holds afterwards."""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, select

from ledger.entry import Instruction, Withdrawal
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose
from store.agency import OpenShelf, Shelf
from store.keys import Keyring, open_root
from store.tables import META
from tests.functional.conftest import Installation, noon


def instructed_anew(installation: Installation, agency: AgencyCode, tables: Sequence[str], at: dt.datetime) -> None:
    """What was instructed last is withdrawn, and something else is instructed."""
    log = installation.log(agency)
    for last in log.read().instructions[-1:]:
        log.append(Withdrawal(last.id, at, at), at)
    document = f"ANNEXE-{at:%Y-%m-%d}"
    made = Instruction(agency, AGENCY_SYSTEMS, tuple(tables), (Purpose.EXTRANET,), at, None, document, "gerance", at)
    log.append(made, at)


@contextmanager
def written_to(installation: Installation, agency: AgencyCode) -> Iterator[Connection]:
    """Somebody else writes to the shelf, with the agency's keys and a capability to erase."""
    home, root = installation.home, open_root(installation.home)
    leave = Warrants(home, root, noon("2026-01-06")).grant(agency, Act.ERASE)
    with (
        Keyring.open(home, root, leave.capability) as keyring,
        OpenShelf.open(home, keyring, leave) as shelf,
        shelf.writing() as db,
    ):
        yield db


def held(installation: Installation, agency: AgencyCode, apart: Collection[str]) -> dict[str, Any]:
    """All rows of every table of the shelf, but for the columns `apart`, which differ between two; and its export."""
    out: dict[str, Any] = {"export": installation.tables(agency)}
    with Shelf.known(installation.home, agency) as shelf:
        for name, table in META.tables.items():
            if name not in ("capability", "granted"):
                columns = [c for c in table.c if c.name not in apart]
                out[name] = sorted(map(repr, shelf.db.execute(select(*columns)).all()))
    return out
