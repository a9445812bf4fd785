"""Random histories of every kind of entry: the fold agrees with a plain model (`tests.generative.plain_mandate`), and
the order in which they arrived does not count.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ledger.entry import Entry, Erased, Head, History, Instruction, Line, Withdrawal
from ledger.mandate import fold
from ledger.orders import Decision, Disclose, Outcome, Rectify, Return, Transfer
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Basis, Duty, Ground, Mandate, Purpose, RestrictedBy
from tests.generative.plain_mandate import Said, allowed
from tests.unit.ledger.orders_made import (
    AT,
    CODE,
    GIVEN,
    answer,
    engage,
    erase,
    infringement,
    notice_of,
    obligation,
    restrict,
    sealed_notice_of,
    synchronise,
)

HOUR = dt.timedelta(hours=1)
TABLES = (("*",), ("contact", "lot"), ("person",), ("contact",), ("contact", "person"))
REFERENCES = tuple(f"REF-{n:032x}" for n in range(3))
UNKNOWN = {"INS": "INS-0000000000", "NOT": "NOT-0000000000", "OBL": "OBL-0000000000"}
CODES = {
    "superseded_twice", "supersedes_unknown", "withdraws_unknown", "notice_of_unknown", "answers_unknown",
    "answered_twice", "obligation_without_notice", "erases_what_the_law_keeps", "instructed_again_after_erasure",
    "sub_processor_contradicted",
}  # fmt: skip


class Story:
    """One random history. Instants are full hours, few enough to meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.told: list[Any] = []
        self.ids: list[str] = []
        self.kinds = rng.sample(range(len(self.makers())), rng.choice((2, 3, 9)))  # few kinds meet more often
        for n in range(rng.randint(0, 10)):
            self.instruct(n)
        for n in range(rng.randint(0, 5)):
            self.say(n)
        if rng.random() < 0.15:
            self.told.append(Erased(dt.date(2026, 1, 6), self.hour(), "cd" * 32, rng.random() < 0.3))
        if rng.random() < 0.2 and self.told:
            self.told.append(rng.choice(self.told))  # met twice
        rng.shuffle(self.told)

    def hour(self) -> dt.datetime:
        return AT + self.rng.randint(0, 5) * HOUR

    def instruct(self, n: int) -> None:
        rng, start = self.rng, self.hour()
        terms: dict[str, Any] = {"valid_from": start, "recorded_at": self.hour(), "again": n}
        terms["valid_until"] = start + rng.randint(1, 5) * HOUR if rng.random() < 0.4 else None
        if self.ids and rng.random() < 0.35:
            unknown = [UNKNOWN["INS"]] if rng.random() < 0.2 else []
            terms["supersedes"] = tuple(rng.sample(self.ids, 1) + unknown)
        made = self.makers()[rng.choice(self.kinds)](terms)
        self.told.append(made)
        self.ids.append(made.id)

    def makers(self) -> list[Callable[[dict[str, Any]], Any]]:
        rng = self.rng
        tables = rng.choice(TABLES)
        subjects = tuple(rng.sample(REFERENCES, rng.choice((0, 0, 2))))
        systems = tuple(sorted(rng.sample(AGENCY_SYSTEMS, rng.randint(1, 2))))
        scope, targets = rng.choice(
            [
                (RestrictedBy.AGENCY, ()), (RestrictedBy.TABLE, ("lot",)), (RestrictedBy.CATEGORY, ("contact",)),
                (RestrictedBy.ROLE, ("tenant",)), (RestrictedBy.PERSON, REFERENCES[:1]),
            ]
        )  # fmt: skip
        given = {**GIVEN, "tables": tables}
        return [
            self.first_form,
            lambda t: synchronise(tables=tables, systems=systems, **t),
            lambda t: synchronise(tables=tables, systems=systems, **t),
            lambda t: restrict(scope, targets, **t),
            lambda t: erase(*tables, subjects=subjects, **t),
            lambda t: Rectify(**{**given, "subjects": subjects, **t}),
            lambda t: Return(**{**given, **t}),
            lambda t: Transfer(**{**given, "country": "US", "recipient": "Routeur Exemple",
                                  "basis": rng.choice([Basis.ADEQUACY, Basis.CONSENT]), **t}),
            lambda t: Disclose(**{**given, "ground": Ground.CONSENT, "recipient": rng.choice(["Mairie", "Notaire"]),
                                  "evidence": "CONS-1", **t}),
            lambda t: engage(rng.choice(list(Decision)), name=rng.choice(["Imprimerie", "IMPRIMERIE", "Centre"]), **t),
        ]  # fmt: skip

    def first_form(self, terms: dict[str, Any]) -> Instruction:
        t = terms
        return Instruction(
            CODE, (System.SDGI, System.LOGIN), self.rng.choice(TABLES), (Purpose.EXTRANET,), t["valid_from"],
            t["valid_until"], "ANNEXE-1", "gérance", t["recorded_at"], again=t["again"],
        )  # fmt: skip

    def say(self, n: int) -> None:
        """Something about what was instructed, or about nothing that is there."""
        rng = self.rng
        which = rng.choice(self.ids) if self.ids and rng.random() < 0.9 else UNKNOWN["INS"]
        match rng.randrange(4):
            case 0:
                self.told.append(Withdrawal(which, self.hour(), AT))
            case 1 | 2:
                notice = infringement(which, told_at=self.hour(), again=n)
                self.told.append(notice)
                for _ in range(rng.choice((0, 1, 1, 2))):
                    named = notice.id if rng.random() < 0.95 else UNKNOWN["NOT"]
                    outcome = rng.choice(list(Outcome))
                    self.told.append(answer(named, outcome, answered_at=self.hour()))
            case 3:
                self.oblige(n)

    def oblige(self, n: int) -> None:
        rng, start = self.rng, self.hour()
        until = start + rng.randint(1, 5) * HOUR if rng.random() < 0.4 else None
        owed = obligation(
            duty=rng.choice([Duty.KEEP, *Duty]), tables=rng.choice(TABLES), valid_from=start, valid_until=until,
            recorded_at=self.hour(), again=n,
        )  # fmt: skip
        self.told.append(owed)
        if rng.random() < 0.7:
            say = rng.choice([notice_of, sealed_notice_of])
            self.told.append(say(owed.id if rng.random() < 0.95 else UNKNOWN["OBL"], recorded_at=self.hour()))


def folded(entries: list[Entry], at: dt.datetime) -> Mandate:
    lines = tuple(Line(n, AT, e, "00" * 32) for n, e in enumerate(entries, start=1))
    return fold(History(CODE, Head(len(lines), bytes(32)), lines), at)


def plainly(m: Mandate) -> Said:
    """A mandate as the model speaks: plain tuples, in no order."""
    return {
        "grants": {(g.instruction, g.systems, g.tables, g.purposes) for g in m.grants},
        "restrictions": {(r.instruction, str(r.scope), r.targets) for r in m.restrictions},
        "withheld": set(m.withheld),
        "tasks": {(t.instruction, t.does, t.tables, t.subjects) for t in m.tasks},
        "transfers": {(t.instruction, t.country, t.recipient, str(t.basis), t.tables) for t in m.transfers},
        "disclosures": {(d.instruction, str(d.ground), d.recipient, d.authority, d.tables) for d in m.disclosures},
        "sub_processors": {(s.instruction, s.name, s.country, s.authorised, s.tables) for s in m.sub_processors},
        "obligations": {(o.obligation, o.law, str(o.duty), o.tables) for o in m.obligations},
        "suspended": set(m.suspended),
        "conflicts": {(c.code, c.ids) for c in m.conflicts},
    }


def instants() -> list[dt.datetime]:
    """Every full hour that something can begin or end at, and the instant just before it."""
    tick = dt.timedelta(microseconds=1)
    return [AT + n * HOUR - before for n in range(8) for before in (tick, 0 * tick)]


def compare(seeds: range, every: int = 3) -> Counter[str]:
    """Compare these histories at every third instant or so; how often each thing was said, by name."""
    said: Counter[str] = Counter()
    for seed in seeds:
        told = Story(random.Random(seed)).told
        shuffled = told.copy()
        random.Random(-seed).shuffle(shuffled)
        for at in instants()[seed % every :: every]:
            mandate, model = folded(told, at), allowed(told, at)
            assert plainly(mandate) == model, f"history {seed} at {at}"
            assert folded(shuffled, at) == mandate, f"history {seed} at {at}, in another order"
            said.update(name for name, found in model.items() if found)
            said.update({code for code, _ in model["conflicts"]})
    return said


def check_coverage(said: Counter[str], least: int) -> None:
    """A comparison of nothing with nothing would agree too."""
    words = CODES | set(plainly(folded([], AT)))
    assert {name: n for name in words if (n := said[name]) < least} == {}


def test_the_fold_agrees_with_the_plain_model() -> None:
    check_coverage(compare(range(400)), least=5)


@pytest.mark.soak
def test_the_fold_agrees_with_the_plain_model_in_many_histories() -> None:
    check_coverage(compare(range(1000, 31_000), every=1), least=1000)


def test_an_agency_of_which_nothing_is_told_allows_nothing_in_either() -> None:
    assert plainly(folded([], AT)) == allowed([], AT)
    assert not any(allowed([], AT).values())
