"""The checklist of OWASP ASVS 5.0.0, level 2, is whole, and what it points at is there."""

import ast
import tomllib
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHECKLIST = ROOT / "docs" / "security" / "asvs-5.0-l2.toml"
STATUS = {"met", "not met", "not applicable"}
# Of the lines "number level" of the 70 requirements of level 1 and the 183 of level 2, in the order of their numbers.
WHOLE = "29debb6cfc11acf5deb2b2bb4e01bd836c5648dcc592aae17957e36b808cec05"
REQUIREMENTS: list[dict[str, Any]] = tomllib.loads(CHECKLIST.read_text())["requirement"]


def test_every_requirement_of_levels_one_and_two_is_there_once() -> None:
    assert Counter(r["level"] for r in REQUIREMENTS) == {1: 70, 2: 183}
    assert sha256("\n".join(f"{r['id']} {r['level']}" for r in REQUIREMENTS).encode()).hexdigest() == WHOLE


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r["id"])
def test_a_requirement_is_shown_by_something_that_is_there_or_says_why_not(requirement: dict[str, Any]) -> None:
    assert set(requirement) <= {"id", "level", "status", "shown_by", "why"}
    assert requirement["status"] in STATUS
    if requirement["status"] == "met":
        assert requirement["shown_by"]
        assert [ref for ref in requirement["shown_by"] if not there(ref)] == []
    else:
        assert "shown_by" not in requirement
        assert len(requirement["why"]) > 15


def there(reference: str) -> bool:
    path, _, name = reference.partition("::")
    return (ROOT / path).is_file() and (name in names(path) if name else path.startswith("docs/"))


@cache
def names(path: str) -> frozenset[str]:
    """The tests of a file."""
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return frozenset(n.name for n in nodes if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def test_a_test_that_was_renamed_is_missed() -> None:
    assert there("tests/house/test_asvs.py::test_a_test_that_was_renamed_is_missed")
    assert not there("tests/house/test_asvs.py::test_that_there_is_not")
    assert not there("tests/house/test_of_nothing.py::test_x")
    assert not there("docs/of_nothing.md")
