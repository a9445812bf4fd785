"""What the connector alone can know of every SDGI sample: refusals, quarantine, flags, header flags, first-day rows.

What needs a shelf (references to earlier days, ends, counts of unchanged lines) is compared in tests/functional.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.base import Known, Recalled
from connectors.sdgi import Sdgi
from schemas.errors import DeliveryRefused
from schemas.fields import Kind
from schemas.frames import Reading
from schemas.records import RECORDS
from tests.connectors.sdgi.sending import delivery, flags

SAMPLES = Path(__file__).parents[3] / "samples"
EXPECTED: dict[str, Any] = json.loads((SAMPLES / "expect.json").read_text("utf-8"))
DAYS = [entry for entry in EXPECTED["deliveries"] if entry["system"] == "sdgi"]
FAULTS = [json.loads((folder / "expect.json").read_text("utf-8")) for folder in sorted(SAMPLES.glob("faults/sdgi_*"))]
# These two are decided by name and bytes, before any connector opens the file.
OPENED = [entry for entry in FAULTS if entry["reason"] != "delivery.conflict" and entry["outcome"] != "replayed"]
LAST = "202601070210"


def place(entry: dict[str, Any]) -> Path:
    if "case" in entry:
        return SAMPLES.joinpath("faults", entry["case"], entry["delivery"])
    return SAMPLES.joinpath("deliveries", entry["day"], entry["agency"], "sdgi", entry["delivery"])


def siret(code: str) -> str:
    with (SAMPLES / "agencies" / "AGENCES_20260107.csv").open(encoding="utf-8", newline="") as register:
        return next(row["siret"] for row in csv.DictReader(register, delimiter=";") if row["code_agence"] == code)


def read_sample(entry: dict[str, Any]) -> Reading:
    known = Known(siret(entry["agency"]), LAST if "case" in entry else None)
    return Sdgi().read([Sdgi().open(delivery(place(entry), entry["agency"]), known)], Recalled())


def label(entry: dict[str, Any]) -> str:
    return str(entry.get("case", entry["delivery"]))


def test_the_samples_are_there() -> None:
    assert len(DAYS) == 6
    assert len(OPENED) > 25


@pytest.mark.parametrize("entry", [e for e in OPENED if e["outcome"] == "refused"], ids=label)
def test_a_faulty_sample_is_refused_with_its_reason(entry: dict[str, Any]) -> None:
    with pytest.raises(DeliveryRefused) as refusal:
        read_sample(entry)
    assert refusal.value.reason == entry["reason"]


@pytest.mark.parametrize("entry", [*DAYS, *(e for e in OPENED if e["outcome"] == "accepted")], ids=label)
def test_an_accepted_sample_has_the_expected_lines_and_flags(entry: dict[str, Any]) -> None:
    reading = read_sample(entry)
    lines = reading.lines.to_pylist()
    quarantined = {(row["source"], int(row["loc"]), row["reason"]) for row in lines if row["outcome"] == "quarantined"}
    expected = {(row["source"], row["line"], row["reason"]) for row in entry["quarantined"]}
    assert quarantined == {row for row in expected if row[2] != "row.dangling_ref"}
    counted: dict[str, int] = {}
    for raised in flags(reading):
        for flag in raised:
            counted[flag] = counted.get(flag, 0) + 1
    assert counted == {flag: n for flag, n in entry["flags"].items() if flag != "ref_unresolved"}
    headers = {flag for flag in entry["delivery_flags"] if flag.startswith("header_")}
    assert set(reading.deliveries[0].flags) == headers
    for source in {row["source"] for row in lines} | entry["tables"].keys():
        assert sum(row["source"] == source for row in lines) == entry["tables"][source]["read"]


@pytest.mark.parametrize("entry", [e for e in DAYS if e["day"] == "2026-01-05"], ids=label)
def test_the_rows_of_a_first_delivery_are_the_expected_ones(entry: dict[str, Any]) -> None:
    folder = SAMPLES / "truth" / entry["agency"] / entry["day"]
    expected = {}
    for file in folder.glob("*.jsonl"):
        for row in map(json.loads, file.read_text("utf-8").splitlines()):
            if row.pop("source_system") == "sdgi":
                expected[file.stem, row["source_key"]] = row
    assert exported(read_sample(entry)) == expected


def exported(reading: Reading) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows as a return pack would show them when nothing was held before."""
    held = {record: set(table.column("source_key").to_pylist()) for record, table in reading.rows.items()}
    found = {}
    for record, table in reading.rows.items():
        for row in table.to_pylist():
            kept = resolved(record, row, held)
            if kept is not None:
                found[record, row["source_key"]] = kept
    return found


def resolved(record: str, row: dict[str, Any], held: dict[str, set[str]]) -> dict[str, Any] | None:
    """Optional references without a target become null; a soft row without its target is dropped (canonical §6)."""
    shown = {"source_key": row["source_key"], "ended_on": None, "ended_reason": None}
    for field in RECORDS[record].fields:
        value = row.get(field.name)
        if field.kind is Kind.REF and value is not None and value not in held[str(field.target)]:
            if field.required:
                assert row["soft"]
                return None
            value = None
        shown[field.name] = written(field.kind, value)
    return shown


def written(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind in (Kind.MONEY, Kind.DECIMAL2):
        return f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02d}"
    return value.isoformat() if kind is Kind.DATE else value


def test_deliveries_read_together_give_what_each_gives_alone() -> None:
    entries = [e for e in DAYS if e["agency"] == "A0001"] + [e for e in FAULTS if e["case"] == "sdgi_columns_reordered"]
    connector = Sdgi()
    opened = [connector.open(delivery(place(e), "A0001"), Known(siret("A0001"))) for e in entries]
    together = connector.read(opened, Recalled())
    assert sorted(together.lines.column("line").to_pylist()) == list(range(len(together.lines)))
    for d, one in enumerate(opened):
        alone = connector.read([one], Recalled())
        assert told(together, d) == told(alone, 0)


def told(reading: Reading, d: int) -> dict[str, list[str]]:
    """Everything that is said of one delivery, each line by its file and place instead of its number in the batch."""
    names = {row["line"]: (row["source"], row["loc"]) for row in reading.lines.to_pylist() if row["d"] == d}
    tables: dict[str, pa.Table] = {"lines": reading.lines, "endings": reading.endings, "content": reading.content}
    said = {}
    for name, table in (tables | reading.rows).items():
        rows = [row for row in table.to_pylist() if row["line"] in names]
        if rows:
            said[name] = sorted(str({**row, "line": names[row["line"]], "d": 0}) for row in rows)
    return said
