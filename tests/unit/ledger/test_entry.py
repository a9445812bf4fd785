"""Entries: closed bodies, and no personal data by way of a file's name."""

from typing import Any

import pytest

from ledger.entry import KINDS, UNNAMED, Receipt, body_of, entry_of
from schemas.errors import Malformed
from schemas.ids import System
from schemas.report import Counts, Report
from tests.unit.ledger.conftest import CODE, one_of_each


@pytest.mark.parametrize("entry", one_of_each(), ids=lambda e: type(e).__name__)
def test_an_entry_comes_back_from_its_body(entry: Any) -> None:
    assert entry_of(KINDS[type(entry)], body_of(entry)) == entry


@pytest.mark.parametrize("entry", one_of_each(), ids=lambda e: type(e).__name__)
def test_a_body_with_a_field_missing_or_too_many_is_refused(entry: Any) -> None:
    kind, body = KINDS[type(entry)], body_of(entry)
    for field in body:
        with pytest.raises(Malformed):
            entry_of(kind, {k: v for k, v in body.items() if k != field})
    with pytest.raises(Malformed):
        entry_of(kind, body | {"remark": ""})


def test_a_kind_that_is_not_known_yet_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(Malformed, match="Use the version that wrote this ledger"):
        entry_of(99, {})


def receipt(report: Report) -> Receipt:
    return Receipt.of(report, None, (), None, "0.1.0", "run-1")


def test_a_receipt_says_what_the_report_says() -> None:
    counts = {"LOTS.CSV": Counts(read=3, stored=3)}
    report = Report(CODE, System.SDGI, "SDGI_A0003_20260105_0210.zip", None, "accepted", tables=counts)
    made = receipt(report)
    assert (made.delivery, made.system, made.outcome, made.tables) == (report.delivery, "sdgi", "accepted", counts)


@pytest.mark.parametrize(
    "name", ["liste de Mme Exemplier.xlsx", "Exemplier", "../A0001", "a@b.example", "é.zip", "x" * 90]
)
def test_a_delivery_whose_name_breaks_the_contract_is_not_named_in_the_ledger(name: str) -> None:
    refused = Report(CODE, System.SDGI, name, None, "refused", "delivery.name")
    assert receipt(refused).delivery == UNNAMED


def test_a_receipt_cannot_be_made_with_such_a_name() -> None:
    with pytest.raises(Malformed):
        Receipt("liste de Mme Exemplier.xlsx", "sdgi", None, "refused", None, {}, (), None, "0.1.0", "run-1")
