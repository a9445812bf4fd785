"""Portal, a sample day: every row is the one that the contract's own example expects."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from connectors.base import Known, Recalled
from connectors.portal import Portal
from tests.connectors.portal.snapshot import delivery

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("record", ["portal_account", "portal_attachment"])
def test_the_rows_of_a_day_are_the_expected_ones(record: str) -> None:
    lines = (DATA / f"{record}.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {row.pop("source_key"): row for row in map(json.loads, lines)}
    opened = Portal().open(delivery(DATA / "PORTAIL_COMPTES_20260107.csv"), Known())
    reading = Portal().read([opened], Recalled())
    found = {}
    for row in reading.rows[record].to_pylist():
        said = {n: f"{v:%Y-%m-%dT%H:%M:%SZ}" if isinstance(v, datetime) else v for n, v in row.items()}
        key = said.pop("source_key")
        found[key] = {n: v for n, v in said.items() if n not in ("line", "soft")} | {"source_system": "portal"}
    assert found == expected
    assert set(reading.lines["outcome"].to_pylist()) == {"ok"}
