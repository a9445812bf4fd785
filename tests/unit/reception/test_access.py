"""The one table: what is not in it is refused; everything that can be asked is in it, answered, and asked by a page."""

import datetime as dt
import itertools

import pytest

import portal.web.pages  # noqa: F401 - lists the pages
from pipelines.reception.questions import ANSWERS
from portal.web.registry import PAGES
from schemas.access import TABLE, Grant, Needs, Question, Role, permitted
from schemas.ids import AgencyCode

NOW = dt.datetime(2026, 1, 6, 11, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
OURS, THEIRS = AgencyCode("A0001"), AgencyCode("A0002")
OF_AGENCY = [q for q in Question if q in TABLE and TABLE[q].needs is Needs.AGENCY]


def test_every_question_is_in_the_table_answered_once_and_asked_by_a_page() -> None:
    assert set(TABLE) == set(Question)
    assert set(ANSWERS) == set(Question) - {Question.ASSET}
    assert {q for page in PAGES for q in page.asks} == set(Question)


def test_every_question_of_an_agency_says_what_it_reads() -> None:
    assert [q for q in OF_AGENCY if not TABLE[q].reads] == []
    assert all("agency" in ANSWERS[q].fields for q in OF_AGENCY)


@pytest.mark.parametrize("question", OF_AGENCY)
def test_a_role_counts_at_its_own_agency_and_for_its_time(question: Question) -> None:
    for role in TABLE[question].roles - {Role.OPERATOR}:
        grant = Grant(role, OURS, NOW, NOW + DAY)
        assert permitted(question, OURS, [grant], NOW) == (grant,)
        assert permitted(question, THEIRS, [grant], NOW) == ()
        assert permitted(question, OURS, [grant], NOW - DAY) == ()
        assert permitted(question, OURS, [grant], NOW + DAY) == ()
        assert permitted(question, None, [grant], NOW) == ()


def test_a_question_that_is_not_in_the_table_may_be_asked_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = [Grant(Role.OPERATOR, None, NOW), *(Grant(r, OURS, NOW) for r in Role if r is not Role.OPERATOR)]
    monkeypatch.setattr("schemas.access.TABLE", {q: r for q, r in TABLE.items() if q is not Question.HOME})
    assert permitted(Question.HOME, OURS, everybody, NOW) == ()
    assert permitted(Question.LOG_SHOWN, OURS, everybody, NOW) == tuple(everybody)


def test_a_role_that_the_table_does_not_name_may_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.access import Rule

    only = {Question.HOME: Rule(Needs.AGENCY, frozenset({Role.SIGNATORY}), "state")}
    monkeypatch.setattr("schemas.access.TABLE", only)
    for role, agency in itertools.product((Role.READER, Role.AUDITOR, Role.SIGNATORY), (OURS, THEIRS)):
        found = permitted(Question.HOME, OURS, [Grant(role, agency, NOW)], NOW)
        assert bool(found) == (role is Role.SIGNATORY and agency == OURS)


def test_an_operator_is_of_no_agency_and_nobody_else_is() -> None:
    for role in Role:
        with pytest.raises(ValueError, match="operator"):
            Grant(role, OURS if role is Role.OPERATOR else None, NOW)
