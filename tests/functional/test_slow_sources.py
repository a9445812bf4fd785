"""A source that hangs costs its own agency's flow a refusal, and the others nothing."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors import odbc
from connectors.odbc import children
from pipelines import beside, sync
from pipelines.locks import sole
from schemas.capability import Act
from schemas.ids import AgencyCode, System
from schemas.report import Report
from store.house import House
from store.keys import Keyring, open_root
from tests.functional.conftest import RUN, SAMPLES, Installation, Quiet, noon
from tests.leave import capability

HANGS, ANSWERS = AgencyCode("A0001"), AgencyCode("A0003")
NIGHT = noon("2026-01-05")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The connection string of a server that takes every call and never says a word."""
    monkeypatch.setattr(children.POOL, "limits", odbc.Limits(login=3, connect=4.0))
    monkeypatch.setattr(beside, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={port};Database=x;UID=u;PWD=p;SSLmode=disable"


def _connect(installation: Installation, agency: AgencyCode, source: str) -> None:
    with (
        House.open(installation.home) as house,
        Keyring.open(
            installation.home, open_root(installation.home), capability(agency, Act.CONFIGURE), create=True
        ) as keyring,
    ):
        house.set_source(agency, System.SPILASUITE, source, keyring)


def _prepared(installation: Installation, silent: str) -> sync.Night:
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in (HANGS, ANSWERS):
        installation.instruct(agency)
    day = SAMPLES / "deliveries" / "2026-01-05" / ANSWERS / "spilasuite"
    installation.place(next(day.glob("*.sqlite")), ANSWERS, "spilasuite")
    _connect(installation, HANGS, silent)
    return sync.Night(installation.home, NIGHT, installation.inbox, (System.SPILASUITE,))


@pytest.mark.parametrize("agencies", [1, 250], ids=["each in a batch of its own", "in one batch"])
def test_the_others_are_settled_before_a_source_that_hangs_is_given_up(
    agencies: int, installation: Installation, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_AGENCIES", agencies)
    night = _prepared(installation, silent)
    reports = sync.settle(night, System.SPILASUITE, [HANGS, ANSWERS], Quiet(), RUN)
    assert [(r.agency, r.outcome, r.reason) for r in reports] == [
        (ANSWERS, "accepted", None),
        (HANGS, "refused", "source.unreachable"),
    ]


def test_an_agency_that_was_settled_is_free_while_another_is_awaited(installation: Installation, silent: str) -> None:
    night = _prepared(installation, silent)
    free: list[bool] = []

    class Neighbour(Quiet):
        def settled(self, report: Report) -> None:
            if report.agency == HANGS:
                with sole(night.home, ANSWERS, patience=0):
                    free.append(True)

    sync.settle(night, System.SPILASUITE, [HANGS, ANSWERS], Neighbour(), RUN)
    assert free == [True]


def test_sources_that_answer_shortly_after_another_are_settled_together() -> None:
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(time.sleep, seconds) for seconds in (0.3, 0.0, 5.0)]
        groups = list(beside.as_they_come(calls))
    assert groups[0] == [0, 1]
    assert [n for group in groups for n in group] == [0, 1, 2]
    assert [] in groups


def test_nobody_awaited_is_nobody_to_wait_for() -> None:
    assert list(beside.as_they_come([])) == []
