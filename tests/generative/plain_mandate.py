"""A plain model of docs/specs/mandate.md, "What is allowed at an instant" and "Conflicts": every rule is a loop over
all entries, in the order of the page. It shares nothing with `ledger.mandate`; what it says is sets of plain tuples.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from ledger.deeds import Fulfilled
from ledger.entry import Erased, Instruction, Withdrawal
from ledger.orders import (
    Answer,
    Disclose,
    Engage,
    Erase,
    InfringementNotice,
    LegalNotice,
    LegalObligation,
    Rectify,
    Restrict,
    Return,
    Synchronise,
    Transfer,
)

Said = dict[str, Any]


def allowed(entries: Iterable[Any], at: dt.datetime) -> Said:
    """What is allowed at an instant, in the words of `schemas.mandate.Mandate`."""
    return Plain(list(entries), at).says()


class Plain:
    """One history at one instant."""

    def __init__(self, entries: list[Any], at: dt.datetime) -> None:
        self.entries, self.at = entries, at
        kinds = (Instruction, Synchronise, Restrict, Rectify, Erase, Return, Transfer, Disclose, Engage)
        self.given = self.each(*kinds)
        self.standing = [e for e in self.given if self.stands(e)]
        self.suspended = {e.id for e in self.standing if self.waits(e)}
        self.obliging = [e for e in self.each(LegalObligation) if self.lasts(e) and not self.erased_since(e)]
        self.conflicts = set(self.find_conflicts())
        self.disputed = {i for _, ids in self.conflicts for i in ids}

    def each(self, *kinds: Any) -> list[Any]:
        """Entries of these kinds, one of each id."""
        seen: dict[str, Any] = {}
        for e in self.entries:
            if isinstance(e, kinds):
                seen[e.id] = e
        return [seen[i] for i in sorted(seen)]

    # -- what stands: rules 1 to 5 -------------------------------------------------------------------------------------

    def stands(self, e: Any) -> bool:
        return (
            self.lasts(e)
            and not self.withdrawn(e, self.at)
            and not self.erased_since(e)
            and not self.replaced(e)
            and not any(self.said(n) in ({"amended"}, {"withdrawn"}) for n in self.notices_of(e))
        )

    def lasts(self, e: Any) -> bool:
        """1."""
        begun = self.at >= e.valid_from
        return begun and (e.valid_until is None or self.at < e.valid_until)

    def withdrawn(self, e: Any, at: dt.datetime) -> bool:
        """2."""
        return any(isinstance(w, Withdrawal) and w.instruction == e.id and w.effective_at <= at for w in self.entries)

    def erased_since(self, e: Any) -> bool:
        """3."""
        for x in self.entries:
            if isinstance(x, Erased) and not x.late_files and e.recorded_at <= x.carried_out_at <= self.at:
                return True
        return False

    def replaced(self, e: Any) -> bool:
        """4."""
        return any(e.id in getattr(heir, "supersedes", ()) and self.began(heir) for heir in self.given)

    def began(self, e: Any) -> bool:
        return self.at >= e.valid_from and not self.withdrawn(e, e.valid_from)

    def notices_of(self, e: Any) -> list[Any]:
        return [n for n in self.each(InfringementNotice) if n.instruction == e.id and n.told_at <= self.at]

    def answers_to(self, notice: Any) -> list[Any]:
        return [a for a in self.each(Answer) if a.notice == notice.id and a.answered_at <= self.at]

    def said(self, notice: Any) -> set[str]:
        return {str(a.outcome) for a in self.answers_to(notice)}

    def waits(self, e: Any) -> bool:
        """6. Two different answers are none."""
        return any(len(self.said(n)) != 1 for n in self.notices_of(e))

    # -- conflicts: 7 --------------------------------------------------------------------------------------------------

    def find_conflicts(self) -> list[tuple[str, tuple[str, ...]]]:
        found = [*self.of_the_unknown(), *self.of_answers(), *self.of_heirs(), *self.of_erasures()]
        found += [("obligation_without_notice", {o.id}) for o in self.obliging if not self.told(o)]
        for a in self.standing:
            for b in self.standing:
                if isinstance(a, Engage) and isinstance(b, Engage) and self.contradict(a, b):
                    same = {e.id for e in self.standing if isinstance(e, Engage) and e.name.lower() == a.name.lower()}
                    found.append(("sub_processor_contradicted", same))
        return [(code, tuple(sorted(ids))) for code, ids in found]

    def contradict(self, a: Any, b: Any) -> bool:
        return bool(a.name.lower() == b.name.lower() and a.decision != b.decision)

    def of_the_unknown(self) -> list[tuple[str, set[str]]]:
        known = {e.id for e in self.given}
        notices = {n.id for n in self.each(InfringementNotice)}
        obligations = {o.id for o in self.each(LegalObligation)}
        found = []
        for e in self.entries:
            if isinstance(e, Withdrawal) and e.instruction not in known:
                found.append(("withdraws_unknown", {e.instruction}))
            if isinstance(e, InfringementNotice) and e.instruction not in known:
                found.append(("notice_of_unknown", {e.id, e.instruction}))
            if isinstance(e, LegalNotice) and e.obligation not in obligations:
                found.append(("notice_of_unknown", {e.id, e.obligation}))
            if isinstance(e, Answer) and e.notice not in notices:
                found.append(("answers_unknown", {e.id, e.notice}))
        for e in self.standing:
            missing = {i for i in getattr(e, "supersedes", ()) if i not in known}
            if missing:
                found.append(("supersedes_unknown", {e.id} | missing))
        return found

    def of_answers(self) -> list[tuple[str, set[str]]]:
        told = [n for n in self.each(InfringementNotice) if n.told_at <= self.at]
        return [("answered_twice", {n.id} | {a.id for a in self.answers_to(n)}) for n in told if len(self.said(n)) > 1]

    def of_heirs(self) -> list[tuple[str, set[str]]]:
        found = []
        for a in self.standing:
            for b in self.standing:
                shared = set(getattr(a, "supersedes", ())) & set(getattr(b, "supersedes", ()))
                divided = isinstance(a, Synchronise) and not set(a.systems) & set(getattr(b, "systems", ()))
                if a.id != b.id and type(a) is type(b) and not divided:
                    found += [("superseded_twice", {old, a.id, b.id}) for old in shared]
        return found

    def of_erasures(self) -> list[tuple[str, set[str]]]:
        found = []
        for erase in self.standing:
            if not isinstance(erase, Erase):
                continue
            for o in self.obliging:
                both = {"*"} & {*erase.tables, *o.tables} or set(erase.tables) & set(o.tables)
                if self.told(o) and str(o.duty) == "keep" and both:
                    found.append(("erases_what_the_law_keeps", {erase.id, o.id}))
            for e in self.standing:
                named = set(getattr(e, "tables", ())) & set(erase.tables) - {"*"}
                later = isinstance(e, Instruction | Synchronise) and e.valid_from > erase.valid_from
                if later and named and not erase.subjects:
                    found.append(("instructed_again_after_erasure", {erase.id, e.id}))
        return found

    def told(self, obligation: Any) -> bool:
        return any(n.obligation == obligation.id and n.recorded_at <= self.at for n in self.each(LegalNotice))

    # -- what is allowed -----------------------------------------------------------------------------------------------

    def in_force(self, *kinds: Any) -> list[Any]:
        quiet = self.suspended | self.disputed
        return [e for e in self.standing if isinstance(e, kinds) and e.id not in quiet]

    def says(self) -> Said:
        erasures = [e for e in self.standing if isinstance(e, Erase)]
        engaged = [e for e in self.standing if isinstance(e, Engage) and str(e.decision) == "object"]
        engaged += [e for e in self.in_force(Engage) if str(e.decision) == "authorise"]
        return {
            "grants": {
                (e.id, frozenset(e.systems), frozenset(e.tables), frozenset(e.purposes))
                for e in self.in_force(Instruction, Synchronise)
            },
            "restrictions": {
                (e.id, str(e.scope), frozenset(e.targets)) for e in self.standing if isinstance(e, Restrict)
            },
            "withheld": {t for e in erasures if not e.subjects for t in e.tables},
            "tasks": {
                (e.id, type(e).__name__.lower(), frozenset(e.tables), frozenset(getattr(e, "subjects", ())))
                for e in self.in_force(Rectify, Erase, Return)
            },
            "transfers": {
                (e.id, e.country, e.recipient, str(e.basis), frozenset(e.tables)) for e in self.in_force(Transfer)
            },
            "disclosures": {
                (e.id, str(e.ground), e.recipient, e.authority, frozenset(e.tables)) for e in self.in_force(Disclose)
            },
            "sub_processors": {
                (e.id, e.name, e.country, str(e.decision) == "authorise", frozenset(e.tables)) for e in engaged
            },
            "obligations": {
                (o.id, o.law, str(o.duty), frozenset(o.tables))
                for o in self.obliging
                if self.told(o) and o.id not in self.disputed
            },
            "suspended": self.suspended,
            "conflicts": self.conflicts,
        }


def to_be_erased(entries: Iterable[Any], at: dt.datetime) -> set[str]:
    """Orders of erasure that wait to be carried out."""
    every = list(entries)
    done = {e.instruction for e in every if isinstance(e, Fulfilled)}
    return {i for i, does, _, _ in allowed(every, at)["tasks"] if does == "erase" and i not in done}
