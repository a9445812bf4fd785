"""SpiLaSuite, sample deliveries: three days of one agency, against what the contract's own examples expect."""

import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import odbc
from connectors.base import Known, Recalled
from connectors.spilasuite import Spilasuite
from schemas.frames import BIT, FLAGS, Reading
from schemas.memory import DERIVED
from tests.connectors.spilasuite.installation import delivery, from_script

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    """The three days, read one after the other with the cursor that the last one left."""
    folder, cursor, readings = tmp_path_factory.mktemp("days"), None, {}
    for sample in EXPECTED:
        path = from_script(DATA / sample["delivery"], folder / f"{sample['day']}.sqlite")
        at = datetime.fromisoformat(f"{sample['day']}T05:00:00+00:00")
        opened = Spilasuite().open(delivery(odbc.sqlite(path), at), Known(cursor=cursor))
        cursor = opened.arrived.cursor
        readings[sample["day"]] = Spilasuite().read([opened], Recalled())
    return readings


def _tombstones_of_nothing(reading: Reading) -> int:
    """Ends of rows that the store never held (roles that yield none): only the store can count them as ignored."""
    return sum(end["source"] == "v_tiers_role" for end in reading.endings.to_pylist())


@pytest.mark.parametrize("sample", EXPECTED, ids=[sample["day"] for sample in EXPECTED])
def test_each_day_counts_quarantines_and_flags_what_it_should(sample: dict[str, Any], days: dict[str, Reading]) -> None:
    reading = days[sample["day"]]
    lines = reading.lines.to_pylist()
    counted = Counter((line["source"], line["outcome"]) for line in lines)
    for view, expected in sample["tables"].items():
        later = _tombstones_of_nothing(reading) if view == "v_suppression" else 0
        assert counted.pop((view, "ok"), 0) == expected["stored"] + expected["unchanged"] + later, view
        assert counted.pop((view, "ignored"), 0) == expected["ignored"] - later, view
        assert counted.pop((view, "quarantined"), 0) == expected["quarantined"], view
    assert not counted
    assert [(line["source"], line["loc"], line["reason"]) for line in lines if line["reason"]] == [
        (bad["source"], bad["key"], bad["reason"]) for bad in sample["quarantined"]
    ]
    flags = Counter(flag for line in lines if line["outcome"] == "ok" for flag in FLAGS if line["flags"] & BIT[flag])
    assert flags == sample["flags"]


def _written(name: str, value: object, expected: object) -> object:
    """A value as the return pack writes it: money and decimals are texts there."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and isinstance(expected, str):
        return f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02}"
    return value


@pytest.mark.parametrize("record", [path.stem for path in sorted((DATA / "rows").iterdir())])
def test_the_rows_of_the_first_day_are_the_expected_ones(record: str, days: dict[str, Reading]) -> None:
    rows = (DATA / "rows" / f"{record}.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {row["source_key"]: row for row in map(json.loads, rows)}
    found = {row["source_key"]: row for row in days[EXPECTED[0]["day"]].rows[record].to_pylist()}
    assert found.keys() == expected.keys()
    # What the store fills in from the copropriété is null until then.
    later = {column for system, table, column in DERIVED if (system, table) == ("spilasuite", record)}
    for key, row in found.items():
        later_here = later | {name.removeprefix("via:") for name in row if name.startswith("via:")}
        names = [name for name in row if name in expected[key] and name not in later_here]
        assert {n: _written(n, row[n], expected[key][n]) for n in names} == {n: expected[key][n] for n in names}
        assert {row[name] for name in later_here} <= {None}


def test_the_coproprietes_of_the_first_day_are_remembered_for_their_buildings(days: dict[str, Reading]) -> None:
    rows = (DATA / "rows" / "building.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {row["source_key"]: row for row in map(json.loads, rows) if row["registry_number"]}
    found = days[EXPECTED[0]["day"]].rows["copropriete"].to_pylist()
    assert [(row["building_key"], row["registry_number"], row["siret"], row["manager_key"]) for row in found] == [
        (key, row["registry_number"], row["siret"], row["manager_key"]) for key, row in expected.items()
    ]
