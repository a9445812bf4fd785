"""A plan is data: keys first, the same plan the same digest, and words for each step in both languages."""

import datetime as dt
from pathlib import Path
from typing import get_args

import pytest

from retention.due import Due
from retention.explain import LEFT, Language, explain, explain_held, explain_outcome
from retention.plan import Kind, Plan, plan
from retention.steps import (
    CouldNot,
    DestroyKeys,
    Done,
    LeaveHeld,
    Left,
    NothingThere,
    Outcome,
    Step,
    data_of,
    name_of,
    outcome_data,
    outcome_of,
)
from tests.unit.retention.conftest import A3, ENDS

PORTAL_DAY = dt.date(2026, 1, 13)


def made(kind: Kind = Kind.ERASURE, inboxes: tuple[str, ...] = ("/b", "/a")) -> Plan:
    return plan(Due(A3, ENDS), [Path(p) for p in inboxes], PORTAL_DAY, kind)


def test_the_keys_go_first_and_every_step_is_there_once() -> None:
    steps = made().steps
    assert steps[0] == DestroyKeys(A3)
    assert {type(s) for s in steps} == set(get_args(Step))
    assert len([s for s in steps if not isinstance(s, LeaveHeld)]) == len(get_args(Step)) - 1


def test_everything_that_is_left_is_said() -> None:
    assert {s.left for s in made().steps if isinstance(s, LeaveHeld)} == set(Left) == set(LEFT)


def test_a_portal_that_was_never_read_leaves_no_snapshot() -> None:
    steps = plan(Due(A3, ENDS), [], None).steps
    assert LeaveHeld(Left.PORTAL_SNAPSHOT) not in steps


def test_one_plan_has_one_digest_whenever_and_in_whichever_order_it_is_made() -> None:
    assert made().digest == made(inboxes=("/a", "/b")).digest
    assert len({made().digest, made(Kind.LATE_FILES).digest, made(inboxes=("/a",)).digest}) == 3


def test_every_step_has_a_name_of_its_own() -> None:
    names = [name_of(s) for s in made().steps]
    assert len(names) == len(set(names))
    assert [data_of(s)["step"] for s in made().steps] == names


@pytest.mark.parametrize("outcome", [Done({"deliveries": 2}), NothingThere(), CouldNot("PermissionError EACCES")])
def test_an_outcome_comes_back_from_what_was_noted(outcome: Outcome) -> None:
    assert outcome_of(outcome_data(outcome)) == outcome


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_plan_is_told_in_words_one_sentence_a_step(kind: Kind, language: Language) -> None:
    told = explain(made(kind), language)
    assert len(told) == 1 + len(made().steps)
    assert len(set(told)) == len(told)
    assert A3 in told[0]
    assert "/a, /b" in told[5]


def test_the_words_say_the_closing_in_the_time_of_paris() -> None:
    assert explain(made(), "fr")[0] == (
        "Agence A0003 : contrat fini le 06/01/2026, fenêtre close le 14/01/2026 à 00:00 (Paris). Effacement :"
    )
    assert explain(made(), "en")[0] == (
        "Agency A0003: contract ended on 2026-01-06, window closed at 2026-01-14 00:00 (Paris). Erasure:"
    )


def test_what_the_brake_holds_says_how_to_confirm() -> None:
    for language in get_args(Language):
        assert f"depositaire retention run --agency {A3}" in explain_held(Due(A3, ENDS), language)


def test_outcomes_are_told_apart_in_words() -> None:
    outcomes: list[Outcome] = [Done({"deliveries": 2}), Done({}), NothingThere(), CouldNot("OSError EIO")]
    for language in get_args(Language):
        assert len({explain_outcome(o, language) for o in outcomes}) == len(outcomes)
