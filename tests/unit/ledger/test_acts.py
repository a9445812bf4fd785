"""Recording what an agency says: twice is once, and nothing is taken back that was never given."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from ledger.acts import instruct, withdraw
from ledger.entry import Erased
from ledger.instruction_file import Draft
from ledger.log import Log
from ledger.mandate import fold
from schemas.errors import Malformed, Refused
from schemas.ids import System
from schemas.mandate import Purpose
from tests.unit.ledger.conftest import AT, CODE
from tests.unit.ledger.made import log_at

HOUR = dt.timedelta(hours=1)
DRAFT = Draft("ANNEXE-RGPD-2026-01", "synchronise", (System.SDGI,), ("*",), (Purpose.EXTRANET,), "gerance")


def test_an_instruction_is_recorded_with_its_agency_and_the_policy_in_force(log: Log) -> None:
    made = instruct(log, DRAFT, AT, policy_sha256="ab" * 32)
    assert log.read().instructions == (made,)
    assert (made.agency, made.valid_from, made.recorded_at, made.policy_sha256) == (CODE, AT, AT, "ab" * 32)
    assert made.id.startswith("INS-")
    assert len(made.id) == 14


def test_the_same_instruction_again_is_the_one_that_stands(log: Log) -> None:
    first = instruct(log, DRAFT, AT)
    assert instruct(log, DRAFT, AT + HOUR) == first
    assert len(log.read().lines) == 1


def test_another_text_is_another_instruction(log: Log) -> None:
    first = instruct(log, DRAFT, AT)
    second = instruct(log, dataclasses.replace(DRAFT, tables=("person",)), AT)
    assert first.id != second.id
    assert len(fold(log.read(), AT).grants) == 2


def test_one_text_has_another_id_at_another_agency(log: Log, tmp_path: Path) -> None:
    other = log_at(tmp_path, type(CODE)("A0001"))
    assert instruct(log, DRAFT, AT).id != instruct(other, DRAFT, AT).id


def test_what_was_withdrawn_can_be_instructed_again_even_at_the_same_instant(log: Log) -> None:
    first = instruct(log, DRAFT, AT)
    withdraw(log, first.id, AT)
    again = instruct(log, DRAFT, AT)
    assert again.id != first.id
    assert fold(log.read(), AT).instructions(System.SDGI) == (again.id,)


def test_after_an_erasure_the_same_text_is_a_new_instruction(log: Log) -> None:
    first = instruct(log, DRAFT, AT)
    log.append(Erased(dt.date(2025, 12, 20), AT + HOUR, "cd" * 32), AT + HOUR)
    again = instruct(log, DRAFT, AT + 2 * HOUR)
    assert again.id != first.id
    assert fold(log.read(), AT + 2 * HOUR).instructions(System.SDGI) == (again.id,)


def test_withdrawing_twice_is_withdrawing_once(log: Log) -> None:
    made = instruct(log, DRAFT, AT)
    first = withdraw(log, made.id, AT + HOUR)
    assert withdraw(log, made.id, AT + 2 * HOUR) == first
    assert len(log.read().lines) == 2
    assert fold(log.read(), AT + HOUR).grants == ()


def test_an_instruction_that_was_never_given_cannot_be_withdrawn(log: Log) -> None:
    with pytest.raises(Refused, match="gave no instruction"):
        withdraw(log, "INS-0000000000", AT)
    assert not log.path.exists()


def test_an_instruction_that_would_have_ended_when_recorded_is_refused(log: Log) -> None:
    with pytest.raises(Malformed, match="end before it begins"):
        instruct(log, dataclasses.replace(DRAFT, valid_until=AT), AT)
    assert not log.path.exists()
