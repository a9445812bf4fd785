"""From what was instructed to what is allowed: agrees with a plain model, whatever the order of arrival."""

import datetime as dt
import random

from hypothesis import given, strategies as st

from ledger.entry import Entry, Erased, Head, History, Instruction, Line, Withdrawal
from ledger.mandate import fold
from schemas.ids import System
from schemas.mandate import Grant, Purpose
from tests.unit.ledger.conftest import AT, CODE, instruction, one_of_each

HOUR = dt.timedelta(hours=1)


def history(*entries: Entry) -> History:
    lines = tuple(Line(n, AT, e, "00" * 32) for n, e in enumerate(entries, start=1))
    return History(CODE, Head(len(lines), bytes(32)), lines)


def ids(at: dt.datetime, *entries: Entry) -> list[str]:
    return [g.instruction for g in fold(history(*entries), at).grants]


def test_an_agency_that_instructed_nothing_allows_nothing() -> None:
    mandate = fold(history(), AT)
    assert mandate.grants == ()
    assert mandate.agency == CODE
    assert mandate.fields(System.SDGI, "person") is None


def test_an_instruction_allows_what_it_names_to_the_systems_it_names() -> None:
    given_ = instruction()
    mandate = fold(history(given_), AT)
    assert mandate.grants == (
        Grant(
            given_.id,
            frozenset({System.SDGI, System.LOGIN}),
            frozenset({"person", "contact"}),
            frozenset({Purpose.EXTRANET}),
        ),
    )
    assert mandate.instructions(System.SDGI) == (given_.id,)
    assert mandate.instructions(System.GPI) == ()


def test_an_instruction_is_in_force_from_its_first_instant_until_just_before_its_last() -> None:
    given_ = instruction(AT, AT + HOUR)
    assert ids(AT - dt.timedelta(microseconds=1), given_) == []
    assert ids(AT, given_) == [given_.id]
    assert ids(AT + HOUR - dt.timedelta(microseconds=1), given_) == [given_.id]
    assert ids(AT + HOUR, given_) == []


def test_a_withdrawal_counts_from_its_instant_on_and_for_its_instruction_only() -> None:
    one, two = instruction(), instruction(AT + HOUR)
    back = Withdrawal(one.id, AT + 2 * HOUR, AT + 2 * HOUR)
    assert ids(AT + 2 * HOUR - dt.timedelta(microseconds=1), one, two, back) == [one.id, two.id]
    assert ids(AT + 2 * HOUR, one, two, back) == [two.id]


def test_an_erasure_ends_every_instruction_recorded_before_it() -> None:
    before, after = instruction(recorded_at=AT), instruction(recorded_at=AT + 3 * HOUR)
    erased = Erased(dt.date(2026, 1, 6), AT + 2 * HOUR, "cd" * 32)
    assert ids(AT + HOUR, before, erased) == [before.id]
    assert ids(AT + 2 * HOUR, before, erased) == []
    assert ids(AT + 4 * HOUR, before, erased, after) == [after.id]


def test_removing_late_files_ends_no_instruction() -> None:
    given_ = instruction()
    late = Erased(dt.date(2026, 1, 6), AT + HOUR, "cd" * 32, late_files=True)
    assert ids(AT + 2 * HOUR, given_, late) == [given_.id]


def test_receipts_and_windows_allow_nothing() -> None:
    others = [e for e in one_of_each() if not isinstance(e, Instruction)]
    assert ids(AT + 5 * HOUR, *others) == []


def test_the_same_instruction_met_twice_is_one_grant() -> None:
    assert len(ids(AT, instruction(), instruction())) == 1


hours = st.integers(0, 12).map(lambda n: AT + n * HOUR)
given_instructions = st.builds(
    lambda first, lasts, recorded, again: instruction(first, first + lasts * HOUR if lasts else None, recorded, again),
    hours, st.integers(0, 6), hours, st.integers(0, 5),
)  # fmt: skip

erasures = st.lists(st.tuples(hours, st.booleans()), max_size=2)


@st.composite
def stories(draw: st.DrawFn) -> list[Entry]:
    instructions = draw(st.lists(given_instructions, max_size=6))
    withdrawn = draw(st.lists(st.sampled_from(instructions), max_size=3)) if instructions else []
    back = [Withdrawal(i.id, draw(hours), AT) for i in withdrawn]
    erased = [
        Erased(dt.date(2026, 1, 6), draw(hours), "cd" * 32, draw(st.booleans())) for _ in range(draw(st.integers(0, 2)))
    ]
    return [*instructions, *back, *erased]


def modelled(entries: list[Entry], at: dt.datetime) -> set[str]:
    """Line by line, with ifs: what is allowed at an instant."""
    allowed = set()
    for e in entries:
        if not isinstance(e, Instruction):
            continue
        alive = not at < e.valid_from
        if e.valid_until is not None and not at < e.valid_until:
            alive = False
        for other in entries:
            if isinstance(other, Withdrawal) and other.instruction == e.id and not at < other.effective_at:
                alive = False
            if isinstance(other, Erased) and not other.late_files:
                ended = not at < other.carried_out_at
                if ended and not other.carried_out_at < e.recorded_at:
                    alive = False
        if alive:
            allowed.add(e.id)
    return allowed


@given(stories(), hours)
def test_the_fold_agrees_with_a_plain_model(entries: list[Entry], at: dt.datetime) -> None:
    assert set(ids(at, *entries)) == modelled(entries, at)


@given(stories(), hours, st.integers(0, 2**16))
def test_the_order_of_arrival_does_not_count(entries: list[Entry], at: dt.datetime, seed: int) -> None:
    shuffled = entries.copy()
    random.Random(seed).shuffle(shuffled)
    assert fold(history(*shuffled), at) == fold(history(*entries), at)
