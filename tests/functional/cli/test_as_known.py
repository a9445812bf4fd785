"""A row as it was known at an instant: what the store keeps is told, and what it does not keep is said."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli.conftest import Desk, plainly
from tests.functional.test_canary import marks, written

DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")
SUPPORT = """\
reference = "ANNEXE-RGPD-2026-03"
kind = "synchronise"
systems = ["sdgi"]
tables = ["*"]
purposes = ["support"]
valid_from = "2026-01-01"
given_by = "gerance"
"""


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("as-known"))
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        desk.open()
        for day in DAYS:
            desk.place_day(day)
            assert desk("sync", "--inbox", desk.inbox, "--at", f"{day}T06:00", "--system", "sdgi").code == 0
    return desk


def asked(desk: Desk, key: str, at: str, *more: str, table: str = "person") -> dict[str, object]:
    said = desk("trace", "--agency", "A0002", table, key, "--system", "sdgi", "--known", at, "--json", *more)
    assert said.code == 0, said.err
    found: dict[str, object] = said.json
    return found


def rows(desk: Desk) -> Iterator[tuple[str, str, str | None]]:
    """Key, day of the delivery that wrote it, day of its end."""
    folder = desk.root / "out"
    assert desk("export", "--agency", "A0002", "--to", folder, "--at", "2026-01-08").code == 0
    for line in (folder / "person.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["source_system"] == "sdgi":
            said = desk("trace", "--agency", "A0002", "person", row["source_key"], "--system", "sdgi", "--json").json
            yield row["source_key"], said["day"], said["ended_on"]


@pytest.fixture(scope="module")
def held(days: Desk) -> list[tuple[str, str, str | None]]:
    return list(rows(days))


def test_a_row_that_did_not_change_was_known_as_it_is_held(days: Desk, held: list[tuple[str, str, str | None]]) -> None:
    key = next(k for k, day, end in held if day == DAYS[0] and end is None)
    said = asked(days, key, "2026-01-05T12:00")
    assert (said["answer"], said["changes_since"]) == ("as_held", [])
    parts = [(s["part"], s["day"], s["known"]) for s in said["steps"]]  # type: ignore[attr-defined]
    assert parts == [("wrote", DAYS[0], True), ("left", DAYS[1], False), ("left", DAYS[2], False)]
    row = said["row"]
    assert isinstance(row, dict)
    assert {"line", "layout", "code_version", "instructions", "run", "delivery", "sha256"} <= set(row)


def test_before_anything_came_nothing_is_told_of_the_row(days: Desk, held: list[tuple[str, str, str | None]]) -> None:
    said = asked(days, held[0][0], "2026-01-05T05:59")
    assert said["answer"] == "nothing_yet"
    assert set(said["row"]) == {"agency", "table", "source_key", "system"}  # type: ignore[call-overload]


def test_a_state_that_was_written_over_is_said_to_be_not_kept(
    days: Desk, held: list[tuple[str, str, str | None]]
) -> None:
    key, day, _ = next(r for r in held if r[1] != DAYS[0])
    said = asked(days, key, "2026-01-05T12:00")
    assert said["answer"] == "not_kept"
    assert "delivery" not in said["row"]  # type: ignore[operator]
    assert [s["day"] for s in said["changes_since"] if s["part"] == "wrote"] == [day]  # type: ignore[attr-defined]
    first = said["steps"][0]  # type: ignore[index]
    assert (first["part"], first["known"]) == ("unknown", True)


def test_an_end_was_not_known_before_its_delivery_came(days: Desk, held: list[tuple[str, str, str | None]]) -> None:
    key, _, end = next(r for r in held if r[1] == DAYS[0] and r[2] in DAYS[1:])
    before = asked(days, key, "2026-01-05T12:00")
    assert before["answer"] == "before_end"
    assert before["row"]["ended_on"] is None  # type: ignore[index]
    assert [s["day"] for s in before["changes_since"]] == [end]  # type: ignore[attr-defined]
    after = asked(days, key, "2026-01-07T12:00")
    assert (after["answer"], after["row"]["ended_on"]) == ("as_held", end)  # type: ignore[index]


def test_values_are_told_where_they_are_those_of_then_and_the_agency_allows_it(
    days: Desk, held: list[tuple[str, str, str | None]]
) -> None:
    same = next(k for k, day, end in held if day == DAYS[0] and end is None)
    other = next(k for k, day, _ in held if day != DAYS[0])
    arguments = ("trace", "--agency", "A0002", "person", same, "--system", "sdgi", "--known", "2026-01-05T12:00")
    assert days(*arguments, "--value", "--at", "2026-01-08").code == 2  # not without the purpose "support"
    path = days.root / "support.toml"
    path.write_text(SUPPORT)
    assert days("instruct", "--agency", "A0002", "--file", path, "--at", "2026-01-08").code == 0
    shown = days(*arguments, "--value", "--at", "2026-01-09", "--json")
    values = {v for v in marks("A0002") if any(form in shown.out.encode() for form in written(v))}
    assert values
    plain = days(*arguments, "--json").out.encode()
    assert [v for v in marks("A0002") if any(form in plain for form in written(v))] == []
    hidden = json.dumps(asked(days, other, "2026-01-05T12:00", "--value", "--at", "2026-01-09")).encode()
    assert [v for v in marks("A0002") if any(form in hidden for form in written(v))] == []


@pytest.mark.usefixtures("french")
def test_it_is_said_in_words(days: Desk, held: list[tuple[str, str, str | None]], tmp_path: Path) -> None:
    key = next(k for k, day, _ in held if day != DAYS[0])
    arguments = ("trace", "--agency", "A0002", "person", key, "--system", "sdgi", "--known")
    assert "n'a pas été conservé" in days(*arguments, "2026-01-05T12:00").out
    assert days(*arguments, "hier").code == 2
    assert "--known" in days(*arguments, "hier").err
