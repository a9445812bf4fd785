"""A ledger in a folder of its own, and entries of every kind."""

import datetime as dt
from pathlib import Path

import pytest

from ledger.entry import Entry, Erased, Instruction, Receipt, Window, Withdrawal
from ledger.log import Log
from schemas.ids import System
from schemas.mandate import Purpose
from schemas.report import Counts
from tests.unit.ledger import made

CODE = made.CODE
AT = dt.datetime(2026, 1, 5, 3, 30, tzinfo=dt.UTC)


def instruction(
    valid_from: dt.datetime = AT, valid_until: dt.datetime | None = None, recorded_at: dt.datetime = AT, again: int = 0
) -> Instruction:
    return Instruction(
        agency=CODE, systems=(System.SDGI, System.LOGIN), tables=("person", "contact"), purposes=(Purpose.EXTRANET,),
        valid_from=valid_from, valid_until=valid_until, reference="ANNEXE-RGPD-2026-01", given_by="gérance",
        recorded_at=recorded_at, again=again,
    )  # fmt: skip


def one_of_each() -> tuple[Entry, ...]:
    given = instruction()
    counts = {
        "COPROPRIETAIRES.CSV": Counts(read=12, stored=9, unchanged=1, quarantined=2),
        "LOTS.CSV": Counts(withheld=3, read=3),
    }
    receipt = Receipt(
        "SDGI_A0003_20260105_0210.zip",
        "sdgi",
        "ab" * 32,
        "accepted",
        None,
        counts,
        (given.id,),
        "sdgi 1.4",
        "0.1.0",
        "run-1",
    )
    return (
        given,
        receipt,
        Window(dt.date(2023, 7, 20), dt.date(2026, 1, 6), dt.date(2026, 1, 5)),
        Withdrawal(given.id, AT + dt.timedelta(hours=1), AT + dt.timedelta(hours=1)),
        Erased(dt.date(2026, 1, 6), dt.datetime(2026, 1, 13, 23, tzinfo=dt.UTC), "cd" * 32),
    )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return made.log_at(tmp_path)


@pytest.fixture
def filled(log: Log) -> Log:
    for n, entry in enumerate(one_of_each()):
        log.append(entry, AT + dt.timedelta(hours=n), key=f"key {n}")
    return log
