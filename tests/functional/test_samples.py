"""Every sample delivery gives what is expected: outcome, reason, counts, quarantine, flags, ends and the exported
tables."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import System
from tests import engines
from tests.functional.conftest import DAYS, SAMPLES, Installation, noon, read_jsonl

EXPECT = json.loads((SAMPLES / "expect.json").read_text())
CASES = sorted(p.name for p in (SAMPLES / "faults").iterdir() if not p.name.startswith("agencies"))


def expected_form(entry: dict[str, Any]) -> dict[str, Any]:
    """The parts of an expected entry that a report must equal; the order inside lists has no meaning."""
    keys = ["agency", "system", "outcome", "reason"]
    if entry["outcome"] == "accepted":
        keys += ["tables", "quarantined", "flags", "delivery_flags", "ended"]
    out = {k: entry.get(k) for k in keys}
    if "quarantined" in out:
        out["quarantined"] = sorted(json.dumps(q, sort_keys=True) for q in out["quarantined"] or [])
        out["delivery_flags"] = sorted(out["delivery_flags"] or [])
    return out


def by_key(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["source_system"], r["source_key"]): r for r in rows}


def differences(got: dict[str, list[dict[str, Any]]], folder: Path, system: str | None = None) -> list[str]:
    """Where exported tables depart from the truth: table, key and column, so that a failure can be read."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        want = by_key(read_jsonl(path))
        have = by_key([r for r in got[path.stem] if system is None or r["source_system"] == system])
        found += [f"{path.stem} {k}: missing" for k in want.keys() - have.keys()]
        found += [f"{path.stem} {k}: unexpected" for k in have.keys() - want.keys()]
        for k in want.keys() & have.keys():
            found += [
                f"{path.stem} {k} {c}: {have[k].get(c)!r} is not {want[k].get(c)!r}"
                for c in want[k].keys() | have[k].keys()
                if want[k].get(c) != have[k].get(c)
            ]
    return found


def run_days(installation: Installation, days: tuple[str, ...]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for day in days:
        if (register := SAMPLES / "agencies" / f"AGENCES_{day.replace('-', '')}.csv").exists():
            installation.load_register(register)
        for agency in ("A0001", "A0002", "A0003"):
            installation.instruct(agency)
        installation.place_day(day)
        yield day, installation.sync(noon(day))


def test_three_days_of_three_agencies_become_what_is_expected(installation: Installation) -> None:
    for day, reports in run_days(installation, DAYS):
        wanted = [e for e in EXPECT["deliveries"] if e["day"] == day]
        for entry in wanted:
            name = entry["delivery"].removesuffix(".sqlite")
            report = next(
                r
                for r in reports
                if r["delivery"] == name and r["system"] == entry["system"] and r["agency"] == entry["agency"]
            )
            assert expected_form(report) == expected_form(entry), name
        for agency in ("A0001", "A0002", "A0003"):
            assert differences(installation.tables(agency), SAMPLES / "truth" / agency / day) == []
        assert differences(installation.tables(None), SAMPLES / "truth" / "_portal" / day) == []
        again = installation.sync(noon(day))
        files = [r for r in again if r["system"] != "spilasuite" and r["reason"] != "agency.contract_ended"]
        assert {(r["outcome"], r["reason"]) for r in files} == {("replayed", None)}
        for agency in ("A0001", "A0002", "A0003"):
            assert differences(installation.tables(agency), SAMPLES / "truth" / agency / day) == [], (
                "a second sync changed something"
            )


@pytest.fixture(scope="session")
def after_three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    installation = Installation(root)
    for _ in run_days(installation, DAYS):
        pass
    shutil.rmtree(root / "inbox")
    return root


@pytest.mark.parametrize("case", CASES)
def test_one_odd_delivery_gives_what_is_expected(case: str, after_three_days: Path, tmp_path: Path) -> None:
    folder = SAMPLES / "faults" / case
    entry = json.loads((folder / "expect.json").read_text())
    engines.copied(after_three_days, tmp_path / "copy")
    installation = Installation.on(tmp_path / "copy")
    system = System(entry["system"])
    if system is System.PORTAL:
        target = installation.inbox / "_portal"
        target.mkdir(parents=True)
        for path in folder.glob("*.csv"):
            shutil.copy(path, target / path.name)
    else:
        installation.place(folder / entry["delivery"], entry["agency"], entry["system"])
    before = installation.tables(entry["agency"])
    reports = installation.sync(
        noon(entry["day"]), systems=() if system is System.PORTAL else (system,), portal=system is System.PORTAL
    )
    report = next(r for r in reports if r["system"] == entry["system"] and r["agency"] == entry["agency"])
    assert expected_form(report) == expected_form(entry)
    got = installation.tables(entry["agency"])
    if entry["outcome"] == "accepted" and (folder / "truth").exists():
        assert differences(got, folder / "truth", entry["system"]) == []
    else:
        assert got == before, "a delivery that was not accepted changed something"


def test_a_file_whose_name_is_none_of_a_contract_is_refused_and_its_name_is_not_kept(
    installation: Installation,
) -> None:
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    folder = installation.inbox / "A0002" / "sdgi"
    folder.mkdir(parents=True)
    (folder / "BELLERIVE Zoe.zip").write_bytes(b"?")
    [without] = installation.sync(noon("2026-01-05"), portal=False)
    installation.instruct("A0002")
    [with_one] = installation.sync(noon("2026-01-05"), portal=False)
    assert (without["reason"], with_one["reason"]) == ("agency.no_instruction", "delivery.name")
    kept = b"".join(p.read_bytes() for p in installation.home.root.rglob("*") if p.is_file())
    kept += engines.written(installation.home)
    assert b"BELLERIVE" not in kept
    assert b"agency.no_instruction" in kept, "the search must be able to find what the journal says"


def test_the_return_pack_is_the_same_byte_for_byte(installation: Installation) -> None:
    for _ in run_days(installation, DAYS[:1]):
        installation.tables("A0001")
        for path in (SAMPLES / "truth" / "A0001" / DAYS[0]).glob("*.jsonl"):
            assert (installation.inbox.parent / "export" / path.name).read_bytes() == path.read_bytes(), path.name
