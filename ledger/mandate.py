"""From what was instructed to what is allowed at an instant. Pure: the order in which entries arrived does not count,
but for signatures (`ledger.passkeys`).

Sources: R46 (no valid instruction, no run), R1 and R22 (an erasure ends the contract and every instruction given
under it), R2 (restrictions), R47 (transfers), R48 and R49 (legal obligations, after their notice), GDPR 28(2) and
28(3) with its last sentence (an infringing instruction is suspended).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from ledger.entry import Entry, Erased, History, Instruction, Line, Withdrawal
from ledger.orders import (
    Answer,
    Decision,
    Disclose,
    Engage,
    Erase,
    Given,
    InfringementNotice,
    Instructing,
    LegalNotice,
    LegalObligation,
    Outcome,
    Recorded,
    Rectify,
    Restrict,
    Return,
    Synchronise,
    Transfer,
)
from ledger.passkeys import Passkeys
from schemas.mandate import (
    Conflict,
    Disclosable,
    Duty,
    Grant,
    Mandate,
    Obligation,
    RestrictedBy,
    Restriction,
    SubProcessor,
    Task,
    Transferable,
)

Instructed = Instruction | Instructing


def fold(history: History, at: datetime, foreseen: Collection[int] = ()) -> Mandate:
    """Everything the agency allows at `at`. `foreseen`: numbers of lines that are to be taken as signed.

    An instruction stands when
    1. `valid_from` ≤ `at` < `valid_until`;
    2. no withdrawal of it has taken effect;
    3. no erasure came after it was recorded: a new contract needs a new instruction;
    4. no other instruction that supersedes it has taken effect;
    5. no notice that it infringes the law was answered by amending or withdrawing it.
    It is in force when it stands and moreover
    6. no notice that it infringes the law waits for its answer;
    7. it is in no conflict; to need a signature and have none is one.
    What stands but is not in force allows nothing. It still restricts: suspending something never allows more. For the
    same reason what needs a signature and has none opens nothing that is closed: it neither replaces a restriction, an
    order of erasure or an objection, nor takes it back; nor does anything unsigned open what a signature closed.
    """
    found = _Standing(history, at, foreseen)
    obligations, waiting = _obligations(found)
    conflicts = [*found.conflicts, *waiting, *_crossed(found, obligations)]
    disputed = {i for c in conflicts for i in c.ids}
    standing = found.standing
    active = [e for e in standing if e.id not in found.suspended and e.id not in disputed]
    return Mandate(
        history.agency,
        at,
        tuple(_grant(e) for e in active if isinstance(e, Instruction | Synchronise)),
        restrictions=tuple(_restriction(e) for e in standing if isinstance(e, Restrict)),
        withheld=frozenset(t for e in standing if isinstance(e, Erase) and not e.subjects for t in e.tables),
        tasks=tuple(_task(e) for e in active if isinstance(e, Rectify | Erase | Return)),
        transfers=tuple(_transferable(e) for e in active if isinstance(e, Transfer)),
        disclosures=tuple(_disclosable(e) for e in active if isinstance(e, Disclose)),
        sub_processors=tuple(_sub_processors(standing, active)),
        obligations=tuple(_obligation(o) for o in obligations if o.id not in disputed),
        suspended=tuple(sorted(found.suspended)),
        conflicts=tuple(sorted(set(conflicts), key=lambda c: (c.code, c.ids))),
    )


@dataclass(frozen=True, slots=True)
class Stand:
    """The instructions that stand at an instant, the oldest first; of them, by id, those that are suspended and those
    that lack their signature; all that a passkey signed, with its name; and the entries that count."""

    standing: tuple[Instructed, ...]
    suspended: frozenset[str]
    unsigned: frozenset[str]
    signers: Mapping[str, str]
    counting: tuple[Entry, ...]


def stand(history: History, at: datetime) -> Stand:
    """Where the instructions of a log stand."""
    found = _Standing(history, at)
    signing = found.signing
    return Stand(
        tuple(found.standing), frozenset(found.suspended), frozenset(signing.unsigned), signing.signers, found.entries
    )


def withdrawable(history: History, instruction: str) -> bool:
    """Whether a withdrawal without a signature would count: what a signature closed only a signature opens, and so it
    is of all that closes while only what is signed counts."""
    signing = _Signing(history)
    return signing.may_open(instruction, signed=False, lacking=signing.required)


def to_release(entries: Iterable[Entry], at: datetime) -> list[LegalNotice]:
    """Sealed notices whose prohibition has lapsed and that the agency has not been told since (R50)."""
    notices = sorted({e.id: e for e in entries if isinstance(e, LegalNotice)}.items())
    told = {n.obligation for _, n in notices if not n.sealed and n.recorded_at <= at}
    return [n for _, n in notices if n.released_from and n.released_from <= at and n.obligation not in told]


class _Standing:
    """Which instructions stand at an instant, which of them are suspended, and what contradicts what."""

    def __init__(self, history: History, at: datetime, foreseen: Collection[int] = ()) -> None:
        self.signing = _Signing(history, foreseen)
        self.entries, self.at = self.signing.counting, at
        # By id: the same entry met twice is one.
        self.given: dict[str, Instructed] = {e.id: e for e in self.entries if isinstance(e, Instruction | Given)}
        self.conflicts: list[Conflict] = []
        self._withdrawn: dict[str, datetime] = {}
        for e in self.entries:
            if isinstance(e, Withdrawal):
                first = self._withdrawn.get(e.instruction, e.effective_at)
                self._withdrawn[e.instruction] = min(first, e.effective_at)
        ends = [e.carried_out_at for e in self.entries if isinstance(e, Erased) and not e.late_files]
        self.ended = max((instant for instant in ends if instant <= at), default=None)
        self.suspended, dead = self._noticed()
        replaced = self._replaced()
        alive = [e for e in self.given.values() if self._valid(e) and e.id not in dead and e.id not in replaced]
        self.standing = sorted(alive, key=lambda e: (e.valid_from, e.id))
        self.suspended &= {e.id for e in alive}
        self._unknown()
        self._doubled()
        lacking = self.signing.unsigned & {e.id for e in alive}
        self.conflicts += [Conflict("not_signed", (i,)) for i in sorted(lacking)]

    def of_this_contract(self, e: Instructed | Recorded) -> bool:
        return self.ended is None or e.recorded_at > self.ended

    def _valid(self, e: Instructed) -> bool:
        gone = self._withdrawn.get(e.id)
        return (
            e.valid_from <= self.at  # 1
            and (e.valid_until is None or self.at < e.valid_until)
            and (gone is None or self.at < gone)  # 2
            and self.of_this_contract(e)  # 3
        )

    def _replaced(self) -> dict[str, list[Instructing]]:
        """(4) By the instruction that went: those that took its place; not one withdrawn before it began."""
        heirs: dict[str, list[Instructing]] = defaultdict(list)
        for e in self.given.values():
            if isinstance(e, Given) and e.valid_from <= self.at:
                gone = self._withdrawn.get(e.id)
                if gone is None or e.valid_from < gone:
                    for old in e.supersedes:
                        if self.signing.may_end(old, e.id):
                            heirs[old].append(e)
        self._heirs = heirs
        return heirs

    def _noticed(self) -> tuple[set[str], set[str]]:
        """Instructions that wait for an answer (6), and those that an answer ended (5)."""
        notices = {e.id: e for e in self.entries if isinstance(e, InfringementNotice) and e.told_at <= self.at}
        answers: dict[str, dict[str, Outcome]] = defaultdict(dict)
        for e in self.entries:
            if isinstance(e, Answer) and e.answered_at <= self.at:
                answers[e.notice][e.id] = e.outcome
        suspended, dead = set(), set()
        for notice in notices.values():
            said = set(answers[notice.id].values())
            if len(said) > 1:
                self.conflicts.append(Conflict("answered_twice", _ids(notice.id, *answers[notice.id])))
                suspended.add(notice.instruction)
            elif not said:
                suspended.add(notice.instruction)
            elif said != {Outcome.MAINTAINED}:
                dead.add(notice.instruction)
        return suspended, dead

    def _unknown(self) -> None:
        """Entries that speak of something that is not in the log."""
        notices = {e.id for e in self.entries if isinstance(e, InfringementNotice)}
        obligations = {e.id for e in self.entries if isinstance(e, LegalObligation)}
        for e in self.entries:
            match e:
                case Withdrawal() if e.instruction not in self.given:
                    self.conflicts.append(Conflict("withdraws_unknown", (e.instruction,)))
                case InfringementNotice() if e.instruction not in self.given:
                    self.conflicts.append(Conflict("notice_of_unknown", _ids(e.id, e.instruction)))
                case Answer() if e.notice not in notices:
                    self.conflicts.append(Conflict("answers_unknown", _ids(e.id, e.notice)))
                case LegalNotice() if e.obligation not in obligations:
                    self.conflicts.append(Conflict("notice_of_unknown", _ids(e.id, e.obligation)))
                case _:
                    pass
        for given in self.standing:
            missing = [i for i in getattr(given, "supersedes", ()) if i not in self.given]
            if missing:
                self.conflicts.append(Conflict("supersedes_unknown", _ids(given.id, *missing)))

    def _doubled(self) -> None:
        """Two that stand and took the place of one: which of them was meant, nobody here can say."""
        alive = {e.id for e in self.standing}
        for old, heirs in self._heirs.items():
            there = [e for e in heirs if e.id in alive]
            for a, b in combinations(sorted(there, key=lambda e: e.id), 2):
                if _overlap(a, b):
                    self.conflicts.append(Conflict("superseded_twice", _ids(old, a.id, b.id)))


class _Signing:
    """What of a history counts, as far as signatures decide it.

    `counting`: the entries, without withdrawals and answers that would open what they may not. `unsigned`: ids of
    instructions that need a signature and have none; `signers`: by id, the passkey that signed.
    """

    def __init__(self, history: History, foreseen: Collection[int] = ()) -> None:
        found = Passkeys.of(history, foreseen)
        self.required = found.now.required
        given = [(line.number, line.entry) for line in history.lines if isinstance(line.entry, Instruction | Given)]
        # The same text may have been recorded twice: one signature is enough.
        self.signers = {e.id: found.signers[n] for n, e in given if n in found.signers}
        lacking = {e.id for n, e in given if n in found.unsigned}
        self.unsigned = lacking - {e.id for n, e in given if n not in found.unsigned}
        self._closing = {e.id for _, e in given if _closes(e)}
        notices = {e.id: e.instruction for e in history.entries if isinstance(e, InfringementNotice)}
        self.counting = tuple(line.entry for line in history.lines if self._counts(line, found, notices))

    def may_end(self, old: str, heir: str) -> bool:
        """Whether an instruction may take the place of another."""
        return self.may_open(old, signed=heir in self.signers, lacking=heir in self.unsigned)

    def may_open(self, old: str, *, signed: bool, lacking: bool) -> bool:
        """Whether something may take back what may close."""
        return old not in self._closing or signed or not (lacking or old in self.signers)

    def _counts(self, line: Line, found: Passkeys, notices: Mapping[str, str]) -> bool:
        signed, lacking = line.number in found.signers, line.number in found.unsigned
        match line.entry:
            case Withdrawal():
                return self.may_open(line.entry.instruction, signed=signed, lacking=lacking)
            case Answer():
                closed = notices.get(line.entry.notice, "")
                return not lacking and self.may_open(closed, signed=signed, lacking=lacking)
            case _:
                return True


def _closes(e: Instructed) -> bool:
    """Whether an instruction takes something away: it binds as long as it stands."""
    return isinstance(e, Restrict | Erase) or (isinstance(e, Engage) and e.decision is Decision.OBJECT)


def _overlap(a: Instructing, b: Instructing) -> bool:
    """Whether two instructions speak of the same thing. One for each system is a division, not a doubt."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Synchronise) and isinstance(b, Synchronise):
        return bool(set(a.systems) & set(b.systems))
    return True


def _obligations(found: _Standing) -> tuple[list[LegalObligation], list[Conflict]]:
    """Obligations whose notice was recorded (R49), and those that wait for it."""
    noted = {e.obligation for e in found.entries if isinstance(e, LegalNotice) and e.recorded_at <= found.at}
    due = {
        e.id: e
        for e in found.entries
        if isinstance(e, LegalObligation)
        and e.valid_from <= found.at
        and (e.valid_until is None or found.at < e.valid_until)
        and found.of_this_contract(e)
    }
    ready = [due[i] for i in sorted(due) if i in noted]
    return ready, [Conflict("obligation_without_notice", (i,)) for i in sorted(due) if i not in noted]


def _crossed(found: _Standing, obligations: list[LegalObligation]) -> Iterator[Conflict]:
    """What stands and cannot be done together."""
    erasing = [e for e in found.standing if isinstance(e, Erase)]
    for erase in erasing:
        for o in obligations:
            if o.duty is Duty.KEEP and _share(erase.tables, o.tables):
                yield Conflict("erases_what_the_law_keeps", _ids(erase.id, o.id))
        for e in found.standing:
            again = isinstance(e, Instruction | Synchronise) and e.valid_from > erase.valid_from
            if again and not erase.subjects and _names(e, erase.tables):
                yield Conflict("instructed_again_after_erasure", _ids(erase.id, e.id))
    decided: dict[str, list[Engage]] = defaultdict(list)
    for e in found.standing:
        if isinstance(e, Engage):
            decided[e.name.casefold()].append(e)
    for same in decided.values():
        if len({e.decision for e in same}) > 1:
            yield Conflict("sub_processor_contradicted", _ids(*(e.id for e in same)))


def _names(e: Instructed, tables: tuple[str, ...]) -> bool:
    """Whether an instruction names one of these tables word for word. "*" names none."""
    said = set(e.tables) if isinstance(e, Instruction | Synchronise) else set()
    return bool((said & set(tables)) - {"*"})


def _share(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    return "*" in a or "*" in b or bool(set(a) & set(b))


def _ids(*ids: str) -> tuple[str, ...]:
    return tuple(sorted(set(ids)))


def _grant(e: Instruction | Synchronise) -> Grant:
    return Grant(e.id, frozenset(e.systems), frozenset(e.tables), frozenset(e.purposes))


def _restriction(e: Restrict) -> Restriction:
    return Restriction(e.id, RestrictedBy(e.scope), frozenset(e.targets))


def _task(e: Rectify | Erase | Return) -> Task:
    subjects = frozenset() if isinstance(e, Return) else frozenset(e.subjects)
    return Task(e.id, type(e).__name__.lower(), frozenset(e.tables), subjects)


def _transferable(e: Transfer) -> Transferable:
    return Transferable(e.id, e.country, e.recipient, e.basis, frozenset(e.tables))


def _disclosable(e: Disclose) -> Disclosable:
    return Disclosable(e.id, e.ground, e.recipient, e.authority, frozenset(e.tables))


def _sub_processors(standing: list[Instructed], active: list[Instructed]) -> Iterator[SubProcessor]:
    """Objections as long as they stand, authorisations while they are in force."""
    trusted = {e.id for e in active}
    for e in standing:
        if isinstance(e, Engage) and (e.decision is Decision.OBJECT or e.id in trusted):
            yield SubProcessor(e.id, e.name, e.country, e.decision is Decision.AUTHORISE, frozenset(e.tables))


def _obligation(o: LegalObligation) -> Obligation:
    return Obligation(o.id, o.law, o.duty, frozenset(o.tables))
