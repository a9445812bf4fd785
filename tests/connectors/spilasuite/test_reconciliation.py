"""The weekly reconciliation: rows that vanished without a tombstone are counted, and nothing else happens."""

from pathlib import Path

import pytest

from connectors import odbc
from connectors.base import Known
from connectors.spilasuite import absent_keys
from schemas.errors import DeliveryRefused
from tests.connectors.spilasuite.installation import Installation, delivery


def _absent(
    source: Installation, folder: Path, held: dict[str, list[str]], cursor: str | None = None
) -> dict[str, int]:
    path = source.write(folder / "views.sqlite")
    before = path.read_bytes()
    found = absent_keys(delivery(odbc.sqlite(path)), Known(cursor=cursor), held)
    assert path.read_bytes() == before
    return found


def test_a_row_that_is_neither_there_nor_ended_is_counted(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_tiers")
    source.add("v_bail_tiers")
    source.add("v_lot_proprietaire", date_debut="2018-07-08")
    source.add("v_lot_cle", code_cle="A:1")
    source.add("v_suppression", nom_vue="v_tiers", cle="1009")
    held = {
        "v_tiers": ["1004", "1009", "1010", "1011"],
        "v_bail_tiers": ["700:1004:PRINCIPAL", "700:1005:GARANT"],
        "v_lot_proprietaire": ["500:1004:2018-07-08"],
        "v_lot_cle": ["500:A%3A1"],
        "v_mandat": ["600"],
    }
    assert _absent(source, tmp_path, held) == {"v_tiers": 2, "v_bail_tiers": 1, "v_mandat": 1}


def test_keys_already_read_are_looked_for_below_the_cursor_too(tmp_path: Path) -> None:
    source = Installation()
    last = source.add("v_tiers")
    assert _absent(source, tmp_path, {"v_tiers": ["1004"]}, cursor=str(last)) == {}


def test_a_row_above_the_horizon_is_not_there_yet(tmp_path: Path) -> None:
    source = Installation(horizons=[3])
    source.add("v_tiers", rv=4)
    assert _absent(source, tmp_path, {"v_tiers": ["1004"]}) == {"v_tiers": 1}


def test_a_database_that_cannot_be_proved_whole_reports_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused, match=r"spilasuite\.count_mismatch"):
        _absent(Installation(counted={"v_tiers": 9}), tmp_path, {"v_tiers": ["1004"]})
    with pytest.raises(DeliveryRefused, match=r"spilasuite\.horizon_regression"):
        _absent(Installation(horizons=[1]), tmp_path, {"v_tiers": ["1004"]}, cursor="2")
