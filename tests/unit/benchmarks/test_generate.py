"""Made-up deliveries keep the contracts, name nobody who exists, and are the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from stdnum import iban
from stdnum.fr import siren

from benchmarks import generate, home
from benchmarks.people import people
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.report import Report

PERSONS = 300
NOWHERE = ("06000", "019900", "026191", "035301", "046571", "053649")  # ARCEP: for fiction, or not given out


def of_all(reports: list[Report], count: str) -> int:
    return sum(getattr(c, count) for r in reports for c in r.tables.values())


def nights(system: System, folder: Path, agencies: int = 1) -> dict[str, list[Report]]:
    """Three nights in a row on a new home."""
    those = generate.agencies(PERSONS, agencies, seed=7)
    installation = home.make(folder / "home", those)
    found = {}
    for name, night in generate.NIGHTS.items():
        deliveries = generate.deliver(system, those, night, folder / name)
        if system is System.SPILASUITE:
            home.point(installation, deliveries)
        found[name] = home.night(installation, folder / name, system, night)
    return found


@pytest.mark.parametrize("system", AGENCY_SYSTEMS)
def test_three_nights_are_accepted_with_nothing_quarantined(system: System, tmp_path: Path) -> None:
    found = nights(system, tmp_path)
    assert [r.outcome for reports in found.values() for r in reports] == ["accepted"] * 3
    assert [r.quarantined for reports in found.values() for r in reports] == [()] * 3
    assert of_all(found["first"], "stored") > 3 * PERSONS
    assert of_all(found["again"], "stored") == 0
    assert 0 < of_all(found["changed"], "stored") < of_all(found["first"], "stored") * 0.03


def test_agencies_share_the_persons_and_are_all_accepted(tmp_path: Path) -> None:
    found = nights(System.GPI, tmp_path, agencies=3)
    assert [(r.agency, r.outcome) for r in found["first"]] == [(f"B000{i}", "accepted") for i in range(3)]
    assert sum(a.persons for a in generate.agencies(100, 3)) == 100


@pytest.mark.parametrize("system", AGENCY_SYSTEMS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(system: System, tmp_path: Path) -> None:
    def bytes_of(seed: int, folder: str) -> list[bytes]:
        those = generate.agencies(PERSONS, 2, seed)
        paths = [generate.deliver(system, those, night, tmp_path / folder) for night in generate.NIGHTS.values()]
        return [path.read_bytes() for some in paths for path in some]

    once = bytes_of(1, "once")
    assert len(once) == 6
    assert bytes_of(1, "twice") == once
    assert all(a != b for a, b in zip(bytes_of(2, "other"), once, strict=True))


def test_nobody_can_be_rung_written_to_or_paid() -> None:
    some = people(np.random.default_rng(3), 2_000)
    numbers = [n for n in some.mobile.to_pylist() if n]
    assert len(numbers) > 1_000
    assert all(n.startswith(NOWHERE) and len(n) == 10 for n in numbers)
    addresses = [e for e in some.email.to_pylist() if e and "@" in e]
    assert addresses
    assert all(e.lower().endswith(".test") for e in addresses)
    companies = [s for s in some.siren.to_pylist() if s]
    assert companies
    assert not any(map(siren.is_valid, companies))
    accounts = [i.replace(" ", "").upper() for i in some.iban.to_pylist() if i]
    assert all(i[4:9] >= "99990" for i in accounts)
    assert 0.97 < np.mean([iban.is_valid(i) for i in accounts]) < 1  # some are wrong, to be flagged


def test_too_few_persons_for_an_agency_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 20 persons"):
        generate.agencies(30, 2)


def test_the_command_writes_a_register_and_an_inbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--persons", "60", "--agencies", "2", "--system", "sdgi", "--to", str(tmp_path)])
    printed = [Path(line).relative_to(tmp_path).parts for line in capsys.readouterr().out.splitlines()]
    register, *deliveries = printed
    assert register == ("AGENCES_20260105.csv",)
    assert deliveries == [(f"B000{i}", "sdgi", f"SDGI_B000{i}_20260105_0210.zip") for i in range(2)]
