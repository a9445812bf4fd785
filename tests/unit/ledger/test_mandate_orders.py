"""The other kinds in the fold: restrictions, suspensions, replacements, conflicts; agrees with a plain model."""

import datetime as dt
import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings, strategies as st

from ledger.entry import Entry, Erased, Head, History, Instruction, Line, Withdrawal
from ledger.mandate import fold, stand, to_release
from ledger.orders import (
    Answer,
    Decision,
    Disclose,
    Engage,
    Erase,
    InfringementNotice,
    LegalNotice,
    LegalObligation,
    Outcome,
    Restrict,
    Synchronise,
    Transfer,
)
from schemas.ids import System
from schemas.mandate import Basis, Duty, Ground, Mandate, RestrictedBy
from tests.unit.ledger.orders_made import (
    AT,
    CODE,
    GIVEN,
    answer,
    engage,
    erase,
    every_order,
    infringement,
    notice_of,
    obligation,
    restrict,
    sealed_notice_of,
    synchronise,
)

HOUR = dt.timedelta(hours=1)


def mandate(at: dt.datetime, *entries: Entry) -> Mandate:
    return fold(history(*entries), at)


def history(*entries: Entry) -> History:
    lines = tuple(Line(n, AT, e, "00" * 32) for n, e in enumerate(entries, start=1))
    return History(CODE, Head(len(lines), bytes(32)), lines)


def allowed(at: dt.datetime, *entries: Entry) -> list[str]:
    return [g.instruction for g in mandate(at, *entries).grants]


def conflicts(at: dt.datetime, *entries: Entry) -> list[tuple[str, tuple[str, ...]]]:
    return [(c.code, c.ids) for c in mandate(at, *entries).conflicts]


def test_a_restricted_table_is_not_held_while_the_restriction_lasts() -> None:
    first, closed = synchronise(), restrict(targets=("lot",), valid_from=AT + HOUR, valid_until=AT + 2 * HOUR)
    held = [mandate(AT + n * HOUR, first, closed).fields(System.SDGI, "lot") is not None for n in range(3)]
    assert held == [True, False, True]
    assert mandate(AT + HOUR, first, closed).freezes(System.SDGI, "lot")
    assert not mandate(AT + HOUR, first, closed).freezes(System.SDGI, "building")
    assert not mandate(AT + HOUR, first, closed).freezes(System.GPI, "lot"), "gpi was not instructed at all"


def test_a_restricted_category_takes_its_columns_away_and_no_key() -> None:
    first = synchronise()
    without = mandate(AT, first, restrict(RestrictedBy.CATEGORY, ("location",)))
    person, everything = without.fields(System.SDGI, "person"), mandate(AT, first).fields(System.SDGI, "person")
    assert person is not None
    assert everything is not None
    assert {"city", "postal_code"} <= everything - person
    assert "last_name" in person
    assert without.freezes(System.SDGI, "person")


def test_a_restriction_of_the_agency_closes_every_system() -> None:
    closed = mandate(AT, synchronise(), restrict(RestrictedBy.AGENCY, ()))
    assert [closed.for_system(s) for s in System] == [()] * len(System)
    assert closed.fields(System.SDGI, "building") is None


def test_a_restriction_by_row_is_carried_for_whoever_reads() -> None:
    reference = f"REF-{'0b' * 16}"
    (found,) = mandate(AT, synchronise(), restrict(RestrictedBy.PERSON, (reference,))).restrictions
    assert (found.scope, found.targets) == (RestrictedBy.PERSON, frozenset({reference}))


def test_a_table_ordered_to_be_erased_does_not_come_in_again() -> None:
    order = erase("contact")
    now = mandate(AT, synchronise(), order)
    assert now.fields(System.SDGI, "contact") is None
    assert now.fields(System.SDGI, "person") is not None
    assert [(t.instruction, t.does) for t in now.tasks] == [(order.id, "erase")]


def test_a_superseded_instruction_allows_nothing_from_when_the_other_begins() -> None:
    old = synchronise()
    new = synchronise(supersedes=(old.id,), tables=("lot",), valid_from=AT + HOUR)
    assert allowed(AT, old, new) == [old.id]
    assert allowed(AT + HOUR, old, new) == [new.id]
    gone = Withdrawal(new.id, AT + 2 * HOUR, AT + 2 * HOUR)
    assert allowed(AT + 2 * HOUR, old, new, gone) == [], "what was replaced does not come back"
    never = Withdrawal(new.id, AT + HOUR, AT)
    assert allowed(AT + 2 * HOUR, old, new, never) == [old.id], "one that never began replaced nothing"


def test_two_that_replace_one_are_a_conflict_unless_they_divide_its_systems() -> None:
    old = synchronise()
    a = synchronise(supersedes=(old.id,), tables=("lot",))
    b = synchronise(supersedes=(old.id,), tables=("person",))
    assert conflicts(AT, old, a, b) == [("superseded_twice", tuple(sorted((old.id, a.id, b.id))))]
    assert allowed(AT, old, a, b) == []
    left, right = replace(a, systems=(System.SDGI,)), replace(b, systems=(System.LOGIN,))
    assert conflicts(AT, old, left, right) == []
    assert sorted(allowed(AT, old, left, right)) == sorted((left.id, right.id))


def test_an_infringing_instruction_is_suspended_until_it_is_maintained() -> None:
    first = synchronise()
    told = infringement(first.id, told_at=AT + HOUR)
    kept = answer(told.id, answered_at=AT + 2 * HOUR)
    assert [bool(allowed(AT + n * HOUR, first, told, kept)) for n in range(3)] == [True, False, True]
    assert mandate(AT + HOUR, first, told).suspended == (first.id,)
    given_up = answer(told.id, Outcome.WITHDRAWN, answered_at=AT + 2 * HOUR)
    assert allowed(AT + 3 * HOUR, first, told, given_up) == []
    assert mandate(AT + 3 * HOUR, first, told, given_up).suspended == ()
    both = conflicts(AT + 3 * HOUR, first, told, kept, given_up)
    assert both == [("answered_twice", tuple(sorted((told.id, kept.id, given_up.id))))]
    assert allowed(AT + 3 * HOUR, first, told, kept, given_up) == []


def test_suspending_never_allows_more() -> None:
    first, closed, against = synchronise(), restrict(targets=("lot",)), engage(Decision.OBJECT)
    order = erase("contact")
    told = [infringement(e.id) for e in (closed, against, order)]
    now = mandate(AT, first, closed, against, order, *told)
    assert now.fields(System.SDGI, "lot") is None
    assert now.fields(System.SDGI, "contact") is None
    assert [s.authorised for s in now.sub_processors] == [False]
    assert now.tasks == (), "nothing is erased on a suspended order"


def test_an_obligation_counts_from_its_notice_on_and_waits_by_name() -> None:
    owed = obligation()
    assert conflicts(AT, owed) == [("obligation_without_notice", (owed.id,))]
    assert mandate(AT, owed).obligations == ()
    told = notice_of(owed.id, recorded_at=AT + HOUR)
    assert mandate(AT, owed, told).obligations == (), "the notice comes before anything runs"
    assert [o.obligation for o in mandate(AT + HOUR, owed, told).obligations] == [owed.id]
    sealed = sealed_notice_of(owed.id, recorded_at=AT)
    assert [o.obligation for o in mandate(AT, owed, sealed).obligations] == [owed.id]


def test_a_sealed_notice_is_to_be_released_when_its_prohibition_lapses() -> None:
    owed = obligation()
    sealed = sealed_notice_of(owed.id, released_from=AT + HOUR)
    assert to_release([owed, sealed], AT) == []
    assert to_release([owed, sealed], AT + HOUR) == [sealed]
    assert to_release([owed, sealed, notice_of(owed.id, recorded_at=AT + HOUR)], AT + HOUR) == []


def test_what_the_law_keeps_is_not_erased_by_a_guess() -> None:
    owed, order = obligation(duty=Duty.KEEP, tables=("account",)), erase("account")
    now = mandate(AT, owed, notice_of(owed.id), order)
    assert [(c.code, c.ids) for c in now.conflicts] == [
        ("erases_what_the_law_keeps", tuple(sorted((order.id, owed.id))))
    ]
    assert now.tasks == ()
    assert now.obligations == ()


def test_a_table_instructed_again_after_its_erasure_is_a_conflict() -> None:
    order, again = erase("contact"), synchronise(tables=("contact",), valid_from=AT + HOUR)
    assert conflicts(AT + HOUR, order, again) == [
        ("instructed_again_after_erasure", tuple(sorted((order.id, again.id))))
    ]
    assert conflicts(AT + HOUR, order, synchronise(valid_from=AT + HOUR)) == []


def test_a_sub_processor_authorised_and_objected_to_is_not_authorised() -> None:
    yes, no = engage(Decision.AUTHORISE), engage(Decision.OBJECT, name="IMPRIMERIE EXEMPLE")
    assert conflicts(AT, yes, no) == [("sub_processor_contradicted", tuple(sorted((yes.id, no.id))))]
    assert [s.authorised for s in mandate(AT, yes, no).sub_processors] == [False]
    assert [s.authorised for s in mandate(AT, yes).sub_processors] == [True]


def test_entries_about_what_is_not_there_are_named() -> None:
    nowhere = "INS-0000000000"
    told, said = infringement(nowhere), answer("NOT-0000000000")
    owed = notice_of("OBL-0000000000")
    new = synchronise(supersedes=(nowhere,))
    assert {code for code, _ in conflicts(AT, told, said, owed, new, Withdrawal(nowhere, AT, AT))} == {
        "notice_of_unknown", "answers_unknown", "supersedes_unknown", "withdraws_unknown",
    }  # fmt: skip
    assert allowed(AT, new) == []


def test_transfers_and_disclosures_need_an_instruction_of_their_own() -> None:
    sent = Transfer(**GIVEN, tables=("contact",), country="US", recipient="Routeur Exemple", basis=Basis.ADEQUACY)
    shown = Disclose(
        **GIVEN, tables=("account",), ground=Ground.LAW, recipient="Tribunal", authority="Juge", evidence="ORD-1"
    )
    now = mandate(AT, synchronise(), sent, shown)
    assert now.may_transfer("US", "Routeur Exemple", "contact") == (sent.id,)
    for country, recipient, table in (
        ("CA", "Routeur Exemple", "contact"), ("US", "Autre", "contact"), ("US", "Routeur Exemple", "person"),
    ):  # fmt: skip
        assert now.may_transfer(country, recipient, table) == ()
    assert now.may_disclose("Tribunal", "account") == (shown.id,)
    assert now.may_disclose("Tribunal", "person") == now.may_disclose("Autre", "account") == ()
    refused = mandate(AT, sent, engage(Decision.OBJECT, name="Routeur Exemple"))
    assert refused.may_transfer("US", "Routeur Exemple", "contact") == ()


def test_an_erasure_of_the_agency_ends_every_kind() -> None:
    erased = Erased(dt.date(2026, 1, 6), AT + HOUR, "cd" * 32)
    now = mandate(AT + HOUR, *every_order(), erased)
    assert now == Mandate(CODE, AT + HOUR, ())


def test_the_same_entry_met_twice_is_one() -> None:
    assert mandate(AT, *every_order(), *every_order()) == mandate(AT, *every_order())


# -- a plain model -----------------------------------------------------------------------------------------------------

hours = st.integers(0, 5).map(lambda n: AT + n * HOUR)
SYSTEMS = st.sampled_from([(System.SDGI,), (System.LOGIN,), (System.SDGI, System.LOGIN)])


@st.composite
def stories(draw: st.DrawFn) -> list[Entry]:
    """Up to nine instructions that may replace each other, and what is said about them afterwards."""
    told: list[Entry] = []
    ids: list[str] = []
    for n in range(draw(st.integers(0, 7))):
        start = draw(hours)
        terms: dict[str, Any] = {"valid_from": start, "recorded_at": draw(hours), "again": n}
        terms["valid_until"] = start + draw(st.integers(1, 4)) * HOUR if draw(st.booleans()) else None
        if ids and draw(st.integers(0, 2)) == 0:
            terms["supersedes"] = (draw(st.sampled_from(ids)),)
        made: Any = draw(
            st.sampled_from(
                [
                    lambda t: synchronise(systems=draw(SYSTEMS), tables=draw(TABLES), **t),
                    lambda t: restrict(targets=("lot",), **t),
                    lambda t: erase("contact", **t),
                    lambda t: engage(draw(st.sampled_from(list(Decision))), **t),
                ]
            )
        )(terms)
        told.append(made)
        ids.append(made.id)
    told += [Withdrawal(i, draw(hours), AT) for i in (draw(st.lists(st.sampled_from(ids), max_size=3)) if ids else [])]
    for name in draw(st.lists(st.sampled_from(ids), max_size=2)) if ids else []:
        notice = infringement(name, told_at=draw(hours))
        told.append(notice)
        outcomes = draw(st.lists(st.sampled_from(list(Outcome)), max_size=2))
        told += [answer(notice.id, outcome, answered_at=draw(hours)) for outcome in outcomes]
    if draw(st.booleans()):
        owed = obligation(tables=("contact",), valid_from=draw(hours), recorded_at=draw(hours))
        told.append(owed)
        if draw(st.booleans()):
            told.append(notice_of(owed.id, recorded_at=draw(hours)))
    if draw(st.integers(0, 5)) == 0:
        told.append(Erased(dt.date(2026, 1, 6), draw(hours), "cd" * 32, draw(st.booleans())))
    return told


TABLES = st.sampled_from([("*",), ("contact", "lot"), ("person",)])


class Model:
    """Entry by entry, with ifs."""

    def __init__(self, entries: list[Entry], at: dt.datetime) -> None:
        self.entries, self.at = entries, at
        self.disputed: set[str] = set()
        standing: list[Any] = [e for e in entries if hasattr(e, "valid_from") and self.stands(e)]
        self.suspended = {e.id for e in standing if self.waits(e)}
        self._find_disputes(standing)
        self.standing = [e for e in standing if not isinstance(e, LegalObligation)]
        self.active = {e.id for e in self.standing} - self.suspended - self.disputed

    def withdrawn_at(self, name: str) -> dt.datetime:
        back = [e.effective_at for e in self.entries if isinstance(e, Withdrawal) and e.instruction == name]
        return min(back, default=dt.datetime.max.replace(tzinfo=dt.UTC))

    def stands(self, e: Any) -> bool:
        if self.at < e.valid_from or (e.valid_until is not None and not self.at < e.valid_until):
            return False
        if not self.at < self.withdrawn_at(e.id):
            return False
        for other in self.entries:
            over = isinstance(other, Erased) and not other.late_files and not self.at < other.carried_out_at
            if over and not other.carried_out_at < e.recorded_at:  # type: ignore[union-attr]
                return False
            begun = e.id in getattr(other, "supersedes", ()) and not self.at < other.valid_from  # type: ignore[union-attr]
            if begun and other.valid_from < self.withdrawn_at(other.id):  # type: ignore[union-attr]
                return False
        return not any(self.answers(n) in ({Outcome.AMENDED}, {Outcome.WITHDRAWN}) for n in self.notices(e))

    def notices(self, e: Any) -> list[InfringementNotice]:
        return [
            n for n in self.entries
            if isinstance(n, InfringementNotice) and n.instruction == e.id and not self.at < n.told_at
        ]  # fmt: skip

    def answers(self, notice: InfringementNotice) -> set[Outcome]:
        return {
            a.outcome for a in self.entries
            if isinstance(a, Answer) and a.notice == notice.id and not self.at < a.answered_at
        }  # fmt: skip

    def waits(self, e: Any) -> bool:
        return any(len(self.answers(n)) != 1 for n in self.notices(e))

    def _find_disputes(self, standing: list[Any]) -> None:
        for e in standing:
            for other in standing:
                if e.id != other.id and self.contradict(e, other):
                    self.disputed |= {e.id, other.id}

    def contradict(self, a: Any, b: Any) -> bool:
        shared = set(getattr(a, "supersedes", ())) & set(getattr(b, "supersedes", ()))
        if shared and type(a) is type(b):
            return not isinstance(a, Synchronise) or bool(set(a.systems) & set(b.systems))
        if isinstance(a, Erase) and isinstance(b, Synchronise):
            return b.valid_from > a.valid_from and "contact" in b.tables
        if isinstance(a, Engage) and isinstance(b, Engage):
            return a.decision != b.decision
        if isinstance(a, Erase) and isinstance(b, LegalObligation):
            notices = [n for n in self.entries if isinstance(n, LegalNotice) and n.obligation == b.id]
            return any(n.recorded_at <= self.at for n in notices)
        return False


@settings(max_examples=400, deadline=None)
@given(stories(), hours)
def test_the_fold_agrees_with_a_plain_model(entries: list[Entry], at: dt.datetime) -> None:
    now, model = mandate(at, *entries), Model(entries, at)
    assert {g.instruction for g in now.grants} == {
        e.id for e in model.standing if isinstance(e, Synchronise) and e.id in model.active
    }
    assert {r.instruction for r in now.restrictions} == {e.id for e in model.standing if isinstance(e, Restrict)}
    assert {t.instruction for t in now.tasks} == {
        e.id for e in model.standing if isinstance(e, Erase) and e.id in model.active
    }
    assert now.withheld == ({"contact"} if any(isinstance(e, Erase) for e in model.standing) else frozenset())
    assert set(now.suspended) == model.suspended
    assert {i for c in now.conflicts for i in c.ids} >= model.disputed
    trusted = {s.instruction for s in now.sub_processors if s.authorised}
    assert trusted == {
        e.id for e in model.standing
        if isinstance(e, Engage) and e.decision is Decision.AUTHORISE and e.id in model.active
    }  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(stories(), hours, st.integers(0, 2**16))
def test_the_order_of_arrival_does_not_count(entries: list[Entry], at: dt.datetime, seed: int) -> None:
    shuffled = entries.copy()
    random.Random(seed).shuffle(shuffled)
    assert mandate(at, *shuffled) == mandate(at, *entries)
    one, other = stand(history(*shuffled), at), stand(history(*entries), at)
    assert (one.standing, one.suspended) == (other.standing, other.suspended)


@settings(max_examples=200, deadline=None)
@given(stories(), hours, st.integers(0, 8))
def test_a_notice_of_infringement_never_allows_more(entries: list[Entry], at: dt.datetime, which: int) -> None:
    named = [e.id for e in entries if isinstance(e, Instruction | Synchronise | Restrict | Erase | Engage)]
    if not named:
        return
    told = infringement(named[which % len(named)], told_at=AT, reference="NOTE-8")
    before, after = mandate(at, *entries), mandate(at, *entries, told)
    for system in System:
        for table in ("person", "contact", "lot"):
            assert (after.fields(system, table) or frozenset()) <= (before.fields(system, table) or frozenset())
