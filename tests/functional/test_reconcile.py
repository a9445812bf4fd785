"""The weekly comparison with a SpiLaSuite source reports what vanished, and changes nothing."""

import shutil
import sqlite3
from pathlib import Path

from pipelines import sync
from pipelines.reconcile import Reconciled, reconcile
from schemas.ids import AgencyCode, System
from tests.functional.conftest import SAMPLES, Installation, noon

A = AgencyCode("A0001")


def prepared(installation: Installation) -> Path:
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    installation.instruct(A)
    day = SAMPLES / "deliveries" / "2026-01-05" / A / "spilasuite"
    installation.place(next(day.glob("*.sqlite")), A, "spilasuite")
    installation.sync(noon("2026-01-05"), systems=(System.SPILASUITE,), portal=False)
    return next((installation.inbox.parent / "sources" / A).glob("*.sqlite"))


def compared(installation: Installation) -> list[Reconciled]:
    night = sync.Night(installation.home, noon("2026-01-05"), None, (System.SPILASUITE,))
    return list(reconcile(night, sync.registered(installation.home)))


def test_nothing_is_reported_while_the_source_holds_what_we_hold(installation: Installation) -> None:
    prepared(installation)
    assert compared(installation) == [Reconciled(A)]


def test_a_row_that_vanished_without_a_tombstone_is_reported_and_stays(installation: Installation) -> None:
    source = prepared(installation)
    before = installation.tables(A)
    with sqlite3.connect(source) as db:
        db.execute("DELETE FROM v_lot WHERE id_lot = (SELECT max(id_lot) FROM v_lot)")
        db.execute("UPDATE v_controle SET nb_lignes = nb_lignes - 1 WHERE nom_vue = 'v_lot'")
    assert compared(installation) == [Reconciled(A, {"v_lot": 1})]
    assert installation.tables(A) == before


def test_a_source_is_not_read_without_an_instruction(installation: Installation) -> None:
    prepared(installation)
    shutil.rmtree(installation.home.ledger(A))
    assert compared(installation) == [Reconciled(A, refused="agency.no_instruction")]
