"""A delivery that is read, checked and kept in slices becomes what it becomes whole: reports, rows, exports."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from connectors.spilasuite import Spilasuite
from pipelines.memory import USUAL
from schemas.ids import System
from tests import engines
from tests.functional.conftest import DAYS, SAMPLES, Installation, noon
from tests.functional.test_samples import CASES, by_key, differences, expected_form

A_LINE = 32_768  # bytes of memory for each line of a slice (`Night.slice_lines`)


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spilasuite, "weight", lambda *_: 1 << 40)


def days(root: Path, memory: int | None) -> tuple[Installation, list[dict[str, Any]]]:
    """Three days of three agencies; what became of each delivery."""
    installation = Installation(root)
    reports = []
    for day in DAYS:
        if (register := SAMPLES / "agencies" / f"AGENCES_{day.replace('-', '')}.csv").exists():
            installation.load_register(register)
        for agency in ("A0001", "A0002", "A0003"):
            installation.instruct(agency)
        installation.place_day(day)
        reports += installation.sync(noon(day), memory=USUAL if memory is None else memory)
    shutil.rmtree(root / "inbox")
    return installation, reports


def in_order(reports: list[dict[str, Any]]) -> list[str]:
    """Batches, and with them the order in which deliveries are told, are others: what is told is not."""
    return sorted(json.dumps(r, sort_keys=True) for r in reports)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, list[dict[str, Any]]]:
    return days(tmp_path_factory.mktemp("whole"), None)


@pytest.mark.parametrize("lines", [3, pytest.param(7, marks=pytest.mark.soak)])
def test_three_days_in_slices_become_what_they_become_whole(
    lines: int, whole: tuple[Installation, list[dict[str, Any]]], tmp_path: Path
) -> None:
    installation, reports = days(tmp_path, lines * A_LINE)
    assert in_order(reports) == in_order(whole[1])
    for agency in ("A0001", "A0002", "A0003", None):
        assert installation.tables(agency) == whole[0].tables(agency)
        folder = SAMPLES / "truth" / (agency or "_portal") / DAYS[-1]
        assert differences(installation.tables(agency), folder) == []


@pytest.mark.parametrize("case", [c for c in CASES if (SAMPLES / "faults" / c / "truth").exists()])
def test_one_odd_delivery_in_slices_gives_what_is_expected(
    case: str, whole: tuple[Installation, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder = SAMPLES / "faults" / case
    entry = json.loads((folder / "expect.json").read_text())
    engines.copied(whole[0].home.root.parent, tmp_path / "copy")
    installation = Installation.on(tmp_path / "copy")
    system = System(entry["system"])
    installation.place(folder / entry["delivery"], entry["agency"], entry["system"])
    reports = installation.sync(noon(entry["day"]), systems=(system,), portal=False, memory=2 * A_LINE)
    report = next(r for r in reports if r["system"] == entry["system"] and r["agency"] == entry["agency"])
    assert expected_form(report) == expected_form(entry)
    got = installation.tables(entry["agency"])
    assert by_key(got["person"])
    assert differences(got, folder / "truth", entry["system"]) == []
