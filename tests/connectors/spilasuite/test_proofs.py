"""SpiLaSuite, proofs: when a reading is refused, in the order of the contract; cursors and horizons (spilasuite.md)."""

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors import odbc
from connectors.base import Delivery, Known, Recalled
from connectors.spilasuite import Spilasuite
from connectors.spilasuite.layout import load
from schemas.errors import DeliveryRefused, Malformed
from schemas.ids import System
from tests.connectors.spilasuite.installation import AGENCY, Installation, delivery, heard, opened
from tests.leave import may_read

VIEWS = list(load().views)
COUNTED = [view.name for view in load().incremental]


def _refused(source: Installation, folder: Path, cursor: str | None = None) -> DeliveryRefused:
    with pytest.raises(DeliveryRefused) as refused:
        opened(source, folder, cursor)
    return refused.value


@pytest.mark.parametrize("view", VIEWS)
def test_each_of_the_twenty_views_must_exist(view: str, tmp_path: Path) -> None:
    refusal = _refused(Installation(without={view}), tmp_path)
    assert (refusal.reason, refusal.where) == ("spilasuite.view_missing", view)


@pytest.mark.parametrize("name", [f"{v.name}.{c.name}" for v in load().views.values() for c in v.columns])
def test_each_column_of_the_contract_must_exist(name: str, tmp_path: Path) -> None:
    refusal = _refused(Installation(without={name}), tmp_path)
    assert (refusal.reason, refusal.where) == ("spilasuite.column_missing", name)


def test_there_are_twenty_views_and_seventeen_of_them_are_counted() -> None:
    assert (len(VIEWS), len(COUNTED)) == (20, 17)


@pytest.mark.parametrize("code", ["A0002", "a0001", "", None], ids=["other", "lower-case", "empty", "null"])
def test_the_database_of_another_agency_is_refused(code: str | None, tmp_path: Path) -> None:
    assert _refused(Installation(code=code), tmp_path).reason == "agency.mismatch"


@pytest.mark.parametrize("rows", [0, 2])
def test_a_database_of_no_agency_or_of_two_is_refused(rows: int, tmp_path: Path) -> None:
    assert _refused(Installation(agencies=rows), tmp_path).reason == "agency.mismatch"


def test_the_agency_code_may_be_padded_with_blanks(tmp_path: Path) -> None:
    assert opened(Installation(code=f"{AGENCY}     "), tmp_path).arrived.agency == AGENCY


def test_a_horizon_below_the_cursor_is_refused(tmp_path: Path) -> None:
    assert _refused(Installation(horizons=[41]), tmp_path, cursor="42").reason == "spilasuite.horizon_regression"


@pytest.mark.parametrize("horizons", [[], [None], [5, 6]], ids=["none", "null", "two"])
def test_without_one_horizon_no_count_can_be_proved(horizons: list[int | None], tmp_path: Path) -> None:
    assert _refused(Installation(horizons=horizons), tmp_path).reason == "spilasuite.count_mismatch"


@pytest.mark.parametrize("view", COUNTED)
def test_each_view_with_versions_is_counted(view: str, tmp_path: Path) -> None:
    source = Installation(counted={view: 2})
    source.add(view)
    refusal = _refused(source, tmp_path)
    assert (refusal.reason, refusal.where) == ("spilasuite.count_mismatch", view)


@pytest.mark.parametrize("count", [None, 0, 2, 1], ids=["not counted", "too few", "too many", "right"])
def test_a_count_that_is_missing_or_wrong_proves_nothing(count: int | None, tmp_path: Path) -> None:
    source = Installation(counted={"v_lot": count})
    source.add("v_lot")
    if count == 1:
        assert opened(source, tmp_path).arrived.cursor == "1"
    else:
        assert _refused(source, tmp_path).reason == "spilasuite.count_mismatch"


def test_counts_are_checked_even_when_nothing_is_new(tmp_path: Path) -> None:
    source = Installation(counted={"v_lot": 7})
    last = source.add("v_lot")
    assert _refused(source, tmp_path, cursor=str(last)).reason == "spilasuite.count_mismatch"


def test_reasons_come_in_the_order_of_the_contract(tmp_path: Path) -> None:
    everything = Installation(code="A0002", horizons=[1], counted={"v_lot": 7}, without={"v_tiers.nom", "v_horizon"})
    found = []
    for repaired in ("v_horizon", "v_tiers.nom", "code", "horizons", "counted"):
        found.append(_refused(everything, tmp_path, cursor="9").reason)
        if repaired in everything.without:
            everything.without.remove(repaired)
        elif repaired == "code":
            everything.code = AGENCY
        elif repaired == "horizons":
            everything.horizons = [9]
        else:
            everything.counted = {}
    assert found == [
        "spilasuite.view_missing",
        "spilasuite.column_missing",
        "agency.mismatch",
        "spilasuite.horizon_regression",
        "spilasuite.count_mismatch",
    ]
    assert opened(everything, tmp_path, cursor="9").arrived.cursor == "9"


def test_rows_above_the_horizon_wait_and_rows_up_to_the_cursor_are_known(tmp_path: Path) -> None:
    source = Installation(horizons=[20])
    for rv in (10, 11, 20, 21):
        source.add("v_lot", rv=rv, id_lot=rv)
    assert [line["loc"] for line in heard(source, tmp_path, cursor="10").lines()] == ["11", "20"]


def test_the_cursor_moves_to_the_horizon_and_the_same_state_reads_as_nothing(tmp_path: Path) -> None:
    source = Installation(horizons=[50])
    source.add("v_tiers")
    first = opened(source, tmp_path)
    assert first.arrived.cursor == "50"
    again = opened(source, tmp_path, cursor=first.arrived.cursor)
    reading = Spilasuite().read([again], Recalled())
    assert (again.arrived.cursor, reading.lines.num_rows, reading.rows) == ("50", 0, {})


def test_an_empty_database_is_accepted_with_nothing_in_it(tmp_path: Path) -> None:
    answer = heard(Installation(horizons=[0]), tmp_path)
    assert answer.lines() == []
    assert answer.reading.deliveries[0].cursor == "0"


def test_versions_use_all_sixty_three_bits(tmp_path: Path) -> None:
    highest = 2**63 - 1
    source = Installation(horizons=[highest])
    source.add("v_lot", rv=highest)
    assert [line["loc"] for line in heard(source, tmp_path, cursor=str(highest - 1)).lines()] == ["500"]


def test_what_arrived_is_named_dated_in_paris_and_has_no_digest(tmp_path: Path) -> None:
    late = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)
    arrived = opened(Installation(), tmp_path, at=late).arrived
    assert arrived.day == date(2026, 1, 6)
    assert (arrived.name, arrived.sha256, arrived.layout) == ("SPILASUITE_A0001_20260106", None, "spilasuite 1.0")


def test_the_day_of_delivery_is_the_day_of_reading_whatever_the_name() -> None:
    odd = Delivery(AGENCY, System.SPILASUITE, "", datetime(2026, 7, 5, 22, 30, tzinfo=UTC), source="")
    assert Spilasuite().day_of(odd) == date(2026, 7, 6)
    assert Spilasuite().named(odd)


def test_a_delivery_without_a_source_and_a_cursor_that_is_no_version_are_malformed(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="no connection string"):
        Spilasuite().open(may_read(Delivery(AGENCY, System.SPILASUITE, "x", datetime.now(UTC))), Known())
    path = Installation().write(tmp_path / "views.sqlite")
    with pytest.raises(Malformed, match="not a row version"):
        Spilasuite().open(delivery(odbc.sqlite(path)), Known(cursor="2026-01-05"))


def test_a_view_counted_twice_with_two_results_is_not_counted(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_lot")
    path = source.write(tmp_path / "views.sqlite")
    _execute(path, "INSERT INTO v_controle VALUES ('v_lot', 2)")
    with pytest.raises(DeliveryRefused) as refused:
        Spilasuite().open(delivery(odbc.sqlite(path)), Known())
    assert refused.value.reason == "spilasuite.count_mismatch"


def test_views_may_hold_more_columns_than_the_contract_in_any_order_and_case(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_lot")
    path = source.write(tmp_path / "views.sqlite")
    _execute(path, "ALTER TABLE v_lot RENAME TO lots")
    _execute(path, "CREATE VIEW v_lot AS SELECT rv AS RV, 'secret' AS note, NUMERO_LOT, ID_LOT, id_immeuble, nature,"
                   " batiment, escalier, etage, porte, surface FROM lots")  # fmt: skip
    reading = Spilasuite().read([Spilasuite().open(delivery(odbc.sqlite(path)), Known())], Recalled())
    assert reading.lines["loc"].to_pylist() == ["500"]


def _execute(path: Path, statement: str) -> None:
    base = sqlite3.connect(path)
    with base:
        base.execute(statement)
    base.close()
