"""What is due, and what the brake holds back."""

import datetime as dt

import pytest

from retention.due import Due, brake, due
from schemas.ids import AgencyCode
from schemas.window import Contract
from store.register import Agency
from tests.unit.retention.conftest import BEFORE, CLOSED, ENDS

START = dt.date(2023, 7, 20)
ANNOUNCED, SURPRISE = dt.date(2025, 12, 1), dt.date(2026, 1, 7)


def code(n: int) -> AgencyCode:
    return AgencyCode(f"B{n:04d}")


def agency(
    n: int, end: dt.date | None = ENDS, *, set_on: dt.date = ANNOUNCED, moved: bool = False, erased: bool = False
) -> Agency:
    return Agency(Contract(code(n), START, end, erased=erased), end_set_on=set_on, end_moved=moved)


def surprises(many: int, first: int = 0) -> list[Agency]:
    return [agency(n, set_on=SURPRISE, moved=True) for n in range(first, first + many)]


def running(many: int) -> list[Agency]:
    return [agency(1000 + n, None) for n in range(many)]


def test_an_agency_is_due_from_the_second_its_window_closes() -> None:
    assert due([agency(1)], BEFORE) == ()
    assert due([agency(1)], CLOSED) == (Due(code(1), ENDS),)


def test_running_and_erased_agencies_are_never_due() -> None:
    assert due([agency(1, None), agency(2, erased=True)], CLOSED + dt.timedelta(days=9999)) == ()


def test_what_is_late_says_how_late() -> None:
    (found,) = due([agency(1)], CLOSED + dt.timedelta(days=2, seconds=5))
    assert found.late(CLOSED + dt.timedelta(days=2, seconds=5)) == dt.timedelta(days=2, seconds=5)


def test_an_erasure_that_was_begun_is_finished_even_if_the_end_was_moved_later_meanwhile() -> None:
    moved = agency(1, dt.date(2027, 1, 1))
    assert due([moved], CLOSED, {code(1): ENDS}) == (Due(code(1), ENDS, begun=True),)
    assert due([], CLOSED, {code(1): ENDS}) == (Due(code(1), ENDS, begun=True),)


def test_a_moved_end_before_the_erasure_cancels_it() -> None:
    assert due([agency(1, dt.date(2026, 1, 7))], CLOSED) == ()
    assert due([agency(1, None)], CLOSED) == ()


def test_any_number_of_ends_known_beforehand_go_on_one_day() -> None:
    everyone = [agency(n) for n in range(500)]
    braked = brake(due(everyone, CLOSED), everyone)
    assert len(braked.go) == 500
    assert braked.held == ()


def test_a_register_that_suddenly_ends_many_agencies_in_the_past_is_held() -> None:
    everyone = surprises(4) + running(10)
    braked = brake(due(everyone, CLOSED), everyone)
    assert braked.go == ()
    assert [d.agency for d in braked.held] == [code(n) for n in range(4)]


def test_what_was_announced_goes_while_surprises_wait() -> None:
    everyone = [*surprises(4), agency(100), *running(10)]
    braked = brake(due(everyone, CLOSED), everyone)
    assert [d.agency for d in braked.go] == [code(100)]
    assert len(braked.held) == 4


@pytest.mark.parametrize(
    ("many", "living", "held"),
    [(3, 3, False), (4, 4, True), (4, 19, True), (4, 20, False), (5, 20, True), (100, 500, False), (101, 500, True)],
)
def test_the_brake_holds_more_than_three_that_are_more_than_one_in_five(many: int, living: int, held: bool) -> None:
    everyone = surprises(many) + running(living - many)
    assert bool(brake(due(everyone, CLOSED), everyone).held) is held


def test_an_agency_named_by_a_person_is_not_held_and_no_longer_counts() -> None:
    everyone = surprises(5)
    braked = brake(due(everyone, CLOSED), everyone, confirmed=[code(0)])
    assert [d.agency for d in braked.go] == [code(0)]
    assert len(braked.held) == 4
    assert brake(due(everyone, CLOSED), everyone, confirmed=[code(0), code(1)]).held == ()


def test_an_agency_first_met_with_an_end_in_the_past_is_no_surprise() -> None:
    everyone = [agency(n, set_on=SURPRISE) for n in range(50)]
    assert brake(due(everyone, CLOSED), everyone).held == ()


def test_an_end_moved_to_a_day_still_to_come_is_no_surprise() -> None:
    everyone = [agency(n, set_on=ENDS, moved=True) for n in range(50)]
    assert brake(due(everyone, CLOSED), everyone).held == ()


def test_what_was_begun_is_never_held() -> None:
    everyone = surprises(9)
    begun = {code(n): ENDS for n in range(9)}
    assert brake(due(everyone, CLOSED, begun), everyone).held == ()
