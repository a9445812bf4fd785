"""Whole deliveries of a synthetic agency: four envois in a chain, the last with a bad date; rows of the first."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Delivery, Known, Opened, Recalled
from connectors.gpi import Gpi
from schemas.fields import Field, Kind
from schemas.ids import AgencyCode, System
from schemas.records import RECORDS, exported_fields
from tests.connectors.gpi.envois import Answer
from tests.leave import may_read

DATA = Path(__file__).parent / "data"
SIRET = "90403487300011"
DAYS = ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"]


def sample(number: int) -> Opened:
    path = DATA / f"GPIA0001.{number:06}"
    delivery = Delivery(AgencyCode("A0001"), System.GPI, path.name, datetime(2026, 2, 1, tzinfo=UTC), path)
    return Gpi().open(may_read(delivery), Known(SIRET, f"{number - 1:06}" if number > 1 else None))


def answered(*numbers: int) -> Answer:
    return Answer(Gpi().read([sample(n) for n in numbers], Recalled()))


def exported(field: Field, value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if field.kind in (Kind.MONEY, Kind.DECIMAL2) and value is not None:
        return f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02}"
    return value


@pytest.mark.parametrize("table", sorted(path.stem for path in (DATA / "rows").glob("*.jsonl")))
def test_the_first_envoi_gives_exactly_the_expected_rows(table: str) -> None:
    answer = answered(1)
    rights = {row["source_key"]: row["right"] for row in answer.rows("holding")}
    given = {}
    for row in answer.rows(table):
        if table == "co_ownership":  # the right is the owner's
            row["right"] = rights[row["person_key"]]
        row["source_system"] = "gpi"
        given[row["source_key"]] = {f.name: exported(f, row.get(f.name)) for f in exported_fields(RECORDS[table])}
    lines = (DATA / "rows" / f"{table}.jsonl").read_text(encoding="utf-8").splitlines()
    expected = {row["source_key"]: row for row in map(json.loads, lines)}
    assert given == expected


def test_the_first_envoi_yields_no_table_but_the_expected_ones() -> None:
    answer = answered(1)
    given = {record for record in answer.reading.rows if answer.rows(record) and RECORDS[record].exported}
    assert given == {path.stem for path in (DATA / "rows").glob("*.jsonl")}


@pytest.mark.parametrize(("number", "day"), list(enumerate(DAYS, start=1)))
def test_each_envoi_is_dated_by_its_header(number: int, day: str) -> None:
    assert str(sample(number).arrived.day) == day


@pytest.mark.parametrize(
    ("number", "ends"),
    [
        (1, {}),
        (2, {"DOUBLON": 1, "EFFACEMENT": 1}),
        (3, {"DOUBLON": 1, "SORTIE": 5}),
        (4, {"EFFACEMENT": 1, "SORTIE": 3}),
    ],
)
def test_each_envoi_tells_its_ends_with_their_reasons(number: int, ends: dict[str, int]) -> None:
    assert Counter(end["reason"] for end in answered(number).endings) == ends


def test_the_flags_of_the_first_envoi_are_the_expected_ones() -> None:
    counted = Counter(flag for line in answered(1).flags for flag in line)
    assert counted == {"iban_mod97": 1, "iban_rib_key": 1, "phone_unparsed": 2}


def test_the_bad_date_is_found_where_it_lies() -> None:
    bad = [line for line in answered(4).lines if line["outcome"] != "ok"]
    assert [(line["source"], line["loc"], line["reason"]) for line in bad] == [("70", "10794", "row.bad_date")]


def test_envois_read_together_say_what_they_say_alone() -> None:
    together = answered(1, 2, 3, 4)
    alone = [answered(n) for n in (1, 2, 3, 4)]

    def without_numbers(line: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in line.items() if name not in ("line", "d")}

    assert [without_numbers(line) for line in together.lines] == [
        without_numbers(line) for answer in alone for line in answer.lines
    ]
    for record in together.reading.rows:
        one_by_one = [row for answer in alone for row in answer.rows(record)]
        assert Counter(map(str, together.rows(record))) == Counter(map(str, one_by_one))
    assert Counter(map(str, together.endings)) == Counter(str(end) for answer in alone for end in answer.endings)
