"""The catalogue of security measures and the words of the register of processing say nothing that is not there."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from ledger.entry import KINDS
from pipelines.processing_register import PORTAL_PURPOSES, measures, words
from pipelines.record_of_processing import PERSONS
from schemas.fields import Category
from schemas.mandate import Purpose
from schemas.records import CANONICAL

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("measure", measures(), ids=lambda m: m["id"])
def test_every_test_that_a_measure_names_is_there(measure: dict[str, Any]) -> None:
    assert measure["tests"]
    for name in measure["tests"]:
        file, _, function = name.partition("::")
        defined = {n.name for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)}
        assert function in defined, name


def test_every_measure_says_the_same_things_in_both_languages() -> None:
    assert len(measures()) >= 8
    for measure in measures():
        assert sorted(measure) == ["article", "en", "fr", "id", "requirement", "tests"]
        assert measure["fr"] != measure["en"]


def test_every_word_of_the_model_can_be_said_in_the_register() -> None:
    assert {str(c) for c in Category} == words()["category"].keys()
    assert {str(p) for p in Purpose} | {*PORTAL_PURPOSES} == words()["purpose"].keys()
    assert {*PERSONS.values()} == words()["persons"].keys()
    assert PERSONS.keys() <= {r.name for r in CANONICAL}


def test_every_kind_of_entry_is_told_by_the_register_or_left_out_on_purpose() -> None:
    """A new kind of entry makes somebody decide what the register says of it."""
    collector = (ROOT / "pipelines" / "record_of_processing.py").read_text()
    told = {kind.__name__ for kind in KINDS if re.search(rf"\b{kind.__name__}\b", collector)}
    # Restrictions, withdrawals and acknowledgements are told with the instructions (`stated`); the window is the
    # register of contracts' own; a timestamp of a head is no processing; who may sign and
    # what is signed is told with the instructions too (`signed_by`).
    assert {kind.__name__ for kind in KINDS} - told == {
        "Restrict", "Withdrawal", "Acknowledgement", "Window", "Anchored",
        "Enrolled", "Revoked", "Signed", "SigningRule",
    }  # fmt: skip
