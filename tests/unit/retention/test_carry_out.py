"""Carrying out: in order, a note before and after, and outcomes over several attempts."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from sqlalchemy.exc import OperationalError

from retention.carry_out import Counts, carry_out, over_all_attempts
from retention.diary import Diary, open_rounds
from retention.due import Due
from retention.plan import Kind, Plan, plan
from retention.steps import CouldNot, Done, NothingThere, Outcome, name_of
from schemas.errors import NotVerified, TryAgain
from schemas.ids import AgencyCode
from tests.unit.retention.conftest import A3, CLOSED, ENDS

ORDER = ["destroy_keys", "drop_shelf", "forget_in_house", "detach_portal", "remove_files", "forget_orchestrator"]


class Recording:
    """Hands that destroy files of a folder, one a step, and remember the order; a step named in `failing` cannot."""

    def __init__(self, folder: Path, failing: dict[str, Exception] | None = None) -> None:
        self.folder = folder
        self.failing = failing or {}
        self.done: list[str] = []
        for name in ORDER:
            (folder / name).touch()

    def _destroy(self, name: str) -> Counts:
        self.done.append(name)
        if name in self.failing:
            raise self.failing[name]
        there = (self.folder / name).exists()
        (self.folder / name).unlink(missing_ok=True)
        return {"things": int(there), "nothings": 0}

    def destroy_keys(self, agency: AgencyCode) -> Counts:
        return self._destroy("destroy_keys")

    def drop_shelf(self, agency: AgencyCode) -> Counts:
        return self._destroy("drop_shelf")

    def forget_in_house(self, agency: AgencyCode, end: dt.date) -> Counts:
        return self._destroy("forget_in_house")

    def detach_portal(self, agency: AgencyCode) -> Counts:
        return self._destroy("detach_portal")

    def remove_files(self, agency: AgencyCode, inboxes: tuple[str, ...], portal_before: dt.date | None) -> Counts:
        return self._destroy("remove_files")

    def forget_orchestrator(self, agency: AgencyCode) -> Counts:
        return self._destroy("forget_orchestrator")


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "erasures", A3)


@pytest.fixture
def hands(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


def made(kind: Kind = Kind.ERASURE) -> Plan:
    return plan(Due(A3, ENDS), [], None, kind)


def test_steps_are_carried_out_in_the_order_of_the_plan_with_a_note_before_and_after_each(
    diary: Diary, hands: Recording
) -> None:
    outcomes = carry_out(made(), hands, diary, CLOSED)
    assert hands.done == ORDER == [name_of(s) for s, _ in outcomes]
    assert all(outcome == Done({"things": 1}) for _, outcome in outcomes)
    events = [(n["event"], n.get("step")) for n in diary.read()]
    assert events[0] == ("begun", None)
    told = [(e, s["step"] if isinstance(s, dict) else s) for e, s in events[1:]]
    assert told == [pair for name in ORDER for pair in (("before", name), ("after", name))]


def test_the_plan_that_is_carried_out_is_the_plan_that_was_noted(diary: Diary, hands: Recording) -> None:
    carry_out(made(), hands, diary, CLOSED)
    begun = diary.read()[0]
    assert begun["plan_sha256"] == made().digest
    assert begun["plan"] == made().data


def test_the_second_time_finds_nothing_and_tells_what_the_first_destroyed(diary: Diary, hands: Recording) -> None:
    first = carry_out(made(), hands, diary, CLOSED)
    assert carry_out(made(), hands, diary, CLOSED) == first


def test_a_concluded_round_is_not_counted_in_the_next(diary: Diary, hands: Recording) -> None:
    carry_out(made(), hands, diary, CLOSED)
    diary.conclude(CLOSED)
    again = carry_out(made(), hands, diary, CLOSED)
    assert {type(o) for _, o in again} == {NothingThere}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "no", "/srv/inbox/A0003/Exemplier.zip"), "PermissionError EACCES"),
        (TryAgain("the database is busy"), "TryAgain"),
        (NotVerified("a sealed row does not open"), "NotVerified"),
        (OperationalError("DELETE", {}, Exception("locked: Exemplier")), "OperationalError"),
    ],
)
def test_a_step_that_cannot_does_not_stop_the_others_and_names_only_the_kind_of_failure(
    diary: Diary, tmp_path: Path, error: Exception, reason: str
) -> None:
    hands = Recording(tmp_path, {"destroy_keys": error})
    outcomes = {name_of(s): o for s, o in carry_out(made(), hands, diary, CLOSED)}
    assert outcomes["destroy_keys"] == CouldNot(reason)
    assert hands.done == ORDER
    assert all(outcomes[name] == Done({"things": 1}) for name in ORDER[1:])
    assert "Exemplier" not in diary.path.read_text()
    assert "/srv" not in diary.path.read_text()


def test_a_mistake_of_ours_is_no_obstacle_of_the_world_and_stops(diary: Diary, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        carry_out(made(), Recording(tmp_path, {"drop_shelf": ZeroDivisionError()}), diary, CLOSED)
    assert diary.open() is not None, "and the round stays open"


def test_what_could_not_be_done_and_then_was_is_done(diary: Diary, tmp_path: Path) -> None:
    carry_out(made(), Recording(tmp_path, {"drop_shelf": TryAgain("busy")}), diary, CLOSED)
    outcomes = {name_of(s): o for s, o in carry_out(made(), Recording(tmp_path), diary, CLOSED)}
    assert outcomes["drop_shelf"] == Done({"things": 1})


# -- rounds ------------------------------------------------------------------------------------------------------------


def test_a_round_is_open_from_its_begin_to_its_conclusion(diary: Diary) -> None:
    assert diary.open() is None
    diary.begin(made(), CLOSED)
    opened = diary.open()
    assert opened is not None
    assert (opened.agency, opened.kind, opened.end) == (A3, Kind.ERASURE, ENDS)
    assert open_rounds(diary.path.parent) == {A3: opened}
    diary.conclude(CLOSED)
    assert diary.open() is None
    assert open_rounds(diary.path.parent) == {}


def test_concluding_twice_is_concluding_once(diary: Diary) -> None:
    diary.begin(made(), CLOSED)
    diary.conclude(CLOSED)
    before = diary.path.read_bytes()
    diary.conclude(CLOSED)
    assert diary.path.read_bytes() == before


def test_a_note_torn_at_any_byte_is_no_note_and_the_round_stays_open(diary: Diary) -> None:
    diary.begin(made(), CLOSED)
    diary.conclude(CLOSED)
    whole = diary.path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole) - 1):
        diary.path.write_bytes(whole[:size])
        assert diary.open() is not None, size
        assert open_rounds(diary.path.parent), size


def test_a_diary_that_was_changed_is_not_believed(diary: Diary) -> None:
    diary.begin(made(), CLOSED)
    diary.conclude(CLOSED)
    diary.path.write_bytes(diary.path.read_bytes().replace(b'"event":"begun"', b'"event": "begun"'))
    with pytest.raises(NotVerified, match="line 1"):
        diary.read()


# -- outcomes over attempts --------------------------------------------------------------------------------------------

attempts = st.lists(
    st.none() | st.just(NothingThere()) | st.builds(Done, st.fixed_dictionaries({"n": st.integers(1, 9)}))
)


@given(attempts)
def test_what_earlier_attempts_destroyed_stays_told(earlier: list[Outcome | None]) -> None:
    outcome = over_all_attempts(NothingThere(), earlier)
    destroyed = sum(o.counts["n"] for o in earlier if isinstance(o, Done))
    cut_short = sum(o is None for o in earlier)
    if destroyed or cut_short:
        assert isinstance(outcome, Done)
        assert outcome.counts.get("n", 0) == destroyed
        assert outcome.counts.get("interrupted", 0) == cut_short
    else:
        assert outcome == NothingThere()


@given(attempts)
def test_what_cannot_be_done_now_is_not_done_whatever_came_before(earlier: Sequence[Outcome | None]) -> None:
    assert over_all_attempts(CouldNot("OSError"), earlier) == CouldNot("OSError")
