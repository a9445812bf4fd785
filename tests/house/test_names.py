"""Our top-level packages have generic names: they are ours, and nobody else's."""

import importlib
import re
import subprocess
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "connectors", "ledger", "store", "retention", "pipelines", "portal")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_that_is_imported_is_ours(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_claims_the_name(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"depositaire"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_module_is_called_utils() -> None:
    assert [p for p in tracked() if re.fullmatch(r"(utils?|helpers?|misc)\.py", p.name)] == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    # Written apart, so that this file does not find itself.
    pattern = re.compile(r"pytest\.(mark\.)?(sk" + r"ip|xf" + r"ail|importorsk" + r"ip)")
    assert [p for p in tracked() if p.suffix == ".py" and pattern.search(p.read_text())] == []


def test_only_people_and_numbers_that_cannot_exist_are_written_down() -> None:
    """Addresses of e-mail in code and documents lie in reserved domains."""
    address = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")
    reserved = re.compile(r"(^|\.)(example|test|invalid|localhost)(\.(com|org|net))?$", re.IGNORECASE)
    # The two addresses that the published privacy policy names.
    policy = {"septeo.fr", "spi.immo"}
    found = {}
    for path in tracked():
        if "portal_truncated" in path.parts:
            continue  # cut in the middle of an address, on purpose
        if path.suffix in (".py", ".md", ".toml", ".xml", ".csv", ".sql"):
            strange = {d for d in address.findall(path.read_text(errors="replace")) if not reserved.search(d)} - policy
            if strange:
                found[str(path.relative_to(ROOT))] = strange
    assert found == {}
