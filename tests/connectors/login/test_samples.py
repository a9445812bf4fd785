"""Three days of an invented agency: one complete document, then two of changes, with everything that must come of them.

`data/outcomes.json` holds what is counted of each document, `data/tables.jsonl` every row that is held after the last
one (columns that are null left out).
"""

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Delivery, Known
from connectors.login import Login
from schemas.fields import Kind
from schemas.ids import System, agency_code
from schemas.records import PROCESSOR_TABLES, RECORDS
from tests.connectors.login.shelf import Outcome, Shelf
from tests.leave import may_read

DATA = Path(__file__).parent / "data"
DELIVERIES = sorted(DATA.glob("*.xml.gz"))
EXPECTED: dict[str, dict[str, Any]] = json.loads((DATA / "outcomes.json").read_text("utf-8"))


def _hear(shelf: Shelf, path: Path) -> Outcome:
    connector = Login()
    delivery = Delivery(agency_code("A0001"), System.LOGIN, path.name, datetime(2026, 1, 8, tzinfo=UTC), path=path)
    opened = connector.open(may_read(delivery), Known("90403487300011", shelf.cursor))
    return shelf.keep(connector.read([opened], shelf.recall(list(connector.asks([opened])))))


@pytest.fixture(scope="module")
def heard() -> tuple[Shelf, dict[str, Outcome]]:
    shelf = Shelf()
    return shelf, {path.name: _hear(shelf, path) for path in DELIVERIES}


def _written(record: str, name: str, value: Any) -> Any:
    """A value as the return pack writes it (canonical model, introduction)."""
    kind = next((f.kind for f in RECORDS[record].fields if f.name == name), None)
    if kind in (Kind.MONEY, Kind.DECIMAL2):
        return f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02d}"
    return value.isoformat() if isinstance(value, date) else value


def _rows(shelf: Shelf) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (table, key): {name: _written(table, name, value) for name, value in row.items() if value is not None}
        for table in PROCESSOR_TABLES
        for key, row in shelf.table(table).items()
    }


def _expected_rows() -> dict[tuple[str, str], dict[str, Any]]:
    rows = [json.loads(line) for line in (DATA / "tables.jsonl").read_text("utf-8").splitlines()]
    return {(row.pop("table"), row.pop("source_key")): row for row in rows}


@pytest.mark.parametrize("name", [path.name for path in DELIVERIES])
def test_each_document_is_counted_as_expected(heard: tuple[Shelf, dict[str, Outcome]], name: str) -> None:
    outcome, expected = heard[1][name], EXPECTED[name]
    assert {source: dict(counts) for source, counts in outcome.tables.items()} == expected["tables"]
    assert outcome.quarantined == expected["quarantined"]
    assert +outcome.flags == Counter(expected["flags"])
    assert +outcome.ended == Counter(expected["ended"])


def test_after_the_last_document_every_row_is_as_expected(heard: tuple[Shelf, dict[str, Outcome]]) -> None:
    held, expected = _rows(heard[0]), _expected_rows()
    assert held.keys() == expected.keys()
    assert {key: row for key, row in held.items() if row != expected[key]} == {}


def test_the_samples_change_and_end_things(heard: tuple[Shelf, dict[str, Outcome]]) -> None:
    """Otherwise the comparison above would prove little."""
    assert len(DELIVERIES) == len(EXPECTED) == 3
    ended = sum((outcome.ended for outcome in heard[1].values()), Counter[str]())
    assert set(ended) == {"SORTIE", "DOUBLON", "EFFACEMENT"}
