"""The invariants: true of everything that a contract accepts, and each of them noticed when it is broken."""

import datetime as dt
import decimal
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipelines import quality
from pipelines.quality import examine, rules_of
from schemas.fields import Field, Kind
from schemas.frames import ARROW
from schemas.ids import System
from schemas.records import CANONICAL, RECORDS
from tests.functional.conftest import SAMPLES

TRUTHS = sorted({p.parent for p in SAMPLES.rglob("*.jsonl") if "truth" in p.parts})


def value_of(field: Field, text: Any) -> Any:
    match field.kind:
        case _ if text is None:
            return None
        case Kind.DATE:
            return dt.date.fromisoformat(text)
        case Kind.DATETIME:
            return dt.datetime.fromisoformat(text)
        case Kind.MONEY | Kind.DECIMAL2:
            return int(decimal.Decimal(text) * 100)
        case _:
            return text


def frames_of(folder: Path) -> Iterator[tuple[System, dict[str, pa.Table]]]:
    """The canonical rows of a folder, as they would have been admitted, system by system."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows[row["source_system"]][path.stem].append(row)
    for system, tables in rows.items():
        yield System(system), {name: frame(name, each) for name, each in tables.items()}


def frame(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    fields = [f for f in RECORDS[name].fields if f.name != "merged_into"]
    columns = {f.name: pa.array([value_of(f, r.get(f.name)) for r in rows], ARROW[f.kind]) for f in fields}
    d = pa.array([r.get("d", 0) for r in rows], pa.int32())
    line = pa.array([r.get("line", n) for n, r in enumerate(rows)], pa.int64())
    return pa.table({"d": d, "line": line, "source_key": [r["source_key"] for r in rows], **columns})


def contact(d: int = 0, key: str = "CO:1", kind: str = "phone", rank: int = 1, **other: Any) -> dict[str, Any]:
    value = {"phone": "+33600012345", "email": "Zoe.B@exemple.test"}.get(kind, "?")
    own = {"source_key": f"{key}:{kind}:{rank}", "person_key": key, "kind": kind, "rank": rank}
    return {"d": d, "value": value, "value_raw": "as it came", **own, **other}


def broken(name: str, rows: list[dict[str, Any]], system: System = System.SDGI) -> dict[str, dict[int, int]]:
    found = examine({name: frame(name, rows)}, system).broken
    assert {table for table, _ in found} <= {name}
    return {rule: dict(by_delivery) for (_, rule), by_delivery in found.items()}


@pytest.mark.parametrize("folder", TRUTHS, ids=lambda p: "-".join(p.relative_to(SAMPLES).parts))
def test_everything_that_the_samples_hold_keeps_every_rule(folder: Path) -> None:
    for system, frames in frames_of(folder):
        assert examine(frames, system).broken == {}


def test_every_table_has_rules_and_every_closed_list_is_one_of_them() -> None:
    for record in CANONICAL:
        names = {rule.name for rule in rules_of(record, System.SDGI)}
        assert names
        assert {f"{f.name} listed" for f in record.fields if f.kind is Kind.ENUM} <= names
        assert {f"{f.name} filled" for f in record.fields if not f.nullable and f.kind is not Kind.REF} <= names


def test_sound_rows_break_nothing_and_the_rules_are_counted() -> None:
    found = examine({"contact": frame("contact", [contact(), contact(kind="email")])}, System.GPI)
    assert found.broken == {}
    assert found.rules == {"contact": len(rules_of(RECORDS["contact"], System.GPI))}


def test_a_broken_rule_is_told_by_delivery_with_the_number_of_rows() -> None:
    rows = [contact(d, f"CO:{n}", value="0600012345") for d, many in ((1, 2), (4, 3)) for n in range(many)]
    assert broken("contact", [*rows, contact(2), contact(3)]) == {"phone value shaped": {1: 2, 4: 3}}


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        ("kind listed", {"kind": "fax", "source_key": "CO:1:fax:1"}),
        ("value_raw filled", {"value_raw": None}),
        ("phone value shaped", {"value": "+0600012345"}),
        ("phone value shaped", {"value": "+3360001234567890"}),
        ("email value shaped", {"kind": "email", "source_key": "CO:1:email:1", "value": "zoe@Exemple.test"}),
        ("email value shaped", {"kind": "email", "source_key": "CO:1:email:1", "value": "zoe b@exemple.test"}),
        ("email value shaped", {"kind": "email", "source_key": "CO:1:email:1", "value": "zoe@exemple"}),
        ("source_key nested", {"rank": 2}),
        ("person_key shaped", {"person_key": "CO::1", "source_key": "CO::1:phone:1"}),
    ],
)
def test_each_rule_of_a_contact_is_noticed(rule: str, row: dict[str, Any]) -> None:
    assert rule in broken("contact", [contact(), contact(1) | row])


def test_a_key_given_twice_by_one_line_is_noticed() -> None:
    assert broken("contact", [contact(line=7), contact(line=7)]) == {"source_key once": {0: 1}}


@pytest.mark.parametrize("iban", ["FR76 3000", "fr7630006000011234567890189", "FR76-3000", "FR76.3000"])
def test_an_iban_that_was_not_normalised_is_noticed(iban: str) -> None:
    row = {"source_key": "CO:1:BQ", "person_key": "CO:1", "iban": iban}
    assert broken("bank_detail", [row]) == {"iban shaped": {0: 1}}


@pytest.mark.parametrize("iban", ["FR7630006000011234567890189", "WRONG", "É1", None])
def test_a_wrong_iban_is_kept_as_the_contract_says(iban: str | None) -> None:
    assert broken("bank_detail", [{"source_key": "CO:1:BQ", "person_key": "CO:1", "iban": iban}]) == {}


def test_a_day_outside_of_the_calendar_of_a_system_is_noticed() -> None:
    row = {"source_key": "1", "lot_key": "A:1", "start_date": "2050-01-01"}
    assert broken("lease", [row], System.GPI) == {"start_date dated": {0: 1}}
    assert broken("lease", [row], System.SDGI) == {}
    assert broken("lease", [row | {"start_date": "9999-12-31"}], System.SDGI) == {"start_date dated": {0: 1}}


def test_no_frame_no_rows_no_columns_are_no_fault() -> None:
    assert examine({}, System.GPI).broken == {}
    assert examine({"contact": frame("contact", [])}, System.GPI).broken == {}


def test_frames_of_pandas_are_looked_at_like_arrow_tables() -> None:
    table = frame("contact", [contact(), contact(kind="email")])
    as_pandas = table.to_pandas(types_mapper=pd.ArrowDtype)
    assert examine({"contact": as_pandas}, System.GPI) == examine({"contact": table}, System.GPI)


def test_what_great_expectations_is_handed_holds_nothing_of_a_person() -> None:
    secret = ["BELLERIVE", "0600012345", "600012345", "Zoe", "exemple", "CO:4711"]
    seen = quality._Seen(System.GPI)
    seen.look(RECORDS["contact"], frame("contact", [contact(key="CO:4711"), contact(key="CO:4711", kind="email")]))
    handed = seen.frame().to_csv()
    assert len(seen.rows) > 5
    assert [s for s in secret if s in handed] == []


def test_great_expectations_lets_go_of_what_it_looked_at() -> None:
    examine({"contact": frame("contact", [contact(kind="MARKED", source_key="CO:1:MARKED:1")])}, System.GPI)
    batch = quality._bench().batches.get_batch(batch_parameters={"dataframe": pd.DataFrame({"none": []})})
    assert "MARKED" not in batch.data.dataframe.to_csv()


def test_every_kind_of_rule_is_written_down() -> None:
    page = (Path(__file__).parents[3] / "docs" / "specs" / "checks.md").read_text(encoding="utf-8")
    kinds = {rule.name.split()[-1] for r in RECORDS.values() for s in System for rule in rules_of(r, s)}
    assert {k for k in kinds if f" {k}`" not in page} == set()
    assert {f"`{table}.{column}`" for table, column in quality._SHAPED if f"{table}.{column}" not in page} == set()
