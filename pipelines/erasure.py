"""Erasure, in plain Python: due → plan → carry out → search → certify. Again and again is the same as once.

Agencies are taken in groups: each group is locked against syncs from its first key to its mark in the register, and
searched with one walk. What could not be finished stays begun in its diary, gets no certificate, and is taken up by
the next run. Sources: R22, R55, GDPR 28(3)(g); the order of work is in docs/specs/window.md.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ledger import certificate
from ledger.canonical import sha256
from ledger.certificate import Certificate, CertifiedStep, Searched
from ledger.entry import Erased, Window
from ledger.keys import LogKeys
from ledger.lines import write_whole
from ledger.log import Log
from ledger.minting import mint_end, mint_own
from pipelines import orders
from pipelines.locks import sole
from pipelines.objects import Objects
from pipelines.openlineage.outbox import Outbox
from pipelines.orders import Ordered
from pipelines.reception import forgetting
from retention import files, residue
from retention.carry_out import Counts, Hands, carry_out
from retention.diary import Diary, OpenRound, open_rounds
from retention.due import Braked, Due, brake, due
from retention.explain import LEFT
from retention.objects import Emptying
from retention.plan import Kind, Plan, plan
from retention.steps import LeaveHeld, Outcome, Step, name_of, outcome_data
from schemas.capability import Act
from schemas.errors import Say, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.inbox import Bucket, place
from schemas.window import Contract, paris_day
from store import engine, portal, register
from store.agency import drop
from store.house import House
from store.keys import Keyring, Root, signer

GROUP = 50
PATIENCE_SECONDS = 60.0
# Whatever may be in the way of one agency must not stop the others; a mistake of ours still does.
_IN_THE_WAY = (Say, OSError, SQLAlchemyError, sqlite3.Error)


@dataclass(frozen=True, slots=True)
class Broom:
    """What an erasure needs from outside. `forget_orchestrator` erases an agency from the orchestrator and tells
    counts; `kept` names the orchestrator's own erasure jobs, assets and sensors, whose records stay as evidence.

    Where the orchestrator has a database of its own, `rewrite_orchestrator` writes it anew once, after all erasures of
    a run, and `look_at_orchestrator` opens it for the search."""

    home: Home
    root: Root
    code_version: str
    forget_orchestrator: Callable[[AgencyCode], Counts]
    kept: frozenset[str] = frozenset()
    patience: float = PATIENCE_SECONDS
    rewrite_orchestrator: Callable[[], None] = lambda: None
    look_at_orchestrator: Callable[[], AbstractContextManager[Connection | None]] = nullcontext

    @property
    def diaries(self) -> Path:
        return self.home.root / "erasures"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would be erased now, and what waits for a confirmation."""

    plans: tuple[Plan, ...]
    held: tuple[Due, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of one agency. No certificate: `problem` says why, and the next run takes it up again."""

    plan: Plan
    at: datetime
    steps: tuple[tuple[Step, Outcome], ...] = ()
    residue: Mapping[str, int] = field(default_factory=dict)
    certificate: Path | None = None
    problem: str | None = None

    @property
    def agency(self) -> AgencyCode:
        return self.plan.agency

    def as_json(self) -> dict[str, Any]:
        late = self.at - Due(self.agency, self.plan.end).closed_at
        return {
            "agency": self.agency, "kind": str(self.plan.kind), "date_fin": self.plan.end.isoformat(),
            "certificate": self.certificate.name if self.certificate else None, "problem": self.problem,
            "late_seconds": int(late.total_seconds()), "residue": dict(self.residue),
            "steps": [{"step": name_of(s)} | outcome_data(o) for s, o in self.steps],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Swept:
    """A whole run."""

    erasures: tuple[Erasure, ...]
    held: tuple[Due, ...]
    ordered: tuple[Ordered, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything due is gone and certified, and everything ordered is done."""
        done = all(e.certificate is not None for e in self.erasures) and all(o.problem is None for o in self.ordered)
        return done and not self.held


Told = Callable[[AgencyCode, Step, Outcome], None]


def outlook(broom: Broom, at: datetime, agencies: Collection[AgencyCode] | None = None) -> Outlook:
    """What `run` would do at this instant. `agencies`: these only; naming an agency confirms it against the brake."""
    with House.open(broom.home) as house:
        return _outlook(broom, house, at, agencies)


def run(broom: Broom, at: datetime, agencies: Collection[AgencyCode] | None = None, told: Told | None = None) -> Swept:
    """Erase everything that is due at `at`, and what has come for agencies erased before.

    `agencies`: these only; a person who names an agency confirms it against the brake. `told` hears of each step.
    """
    with House.open(broom.home) as house:
        note_ends(house, at, broom.root)
        found = _outlook(broom, house, at, agencies)
        erasures: list[Erasure] = []
        for start in range(0, len(found.plans), GROUP):
            erasures += _erase_group(broom, house, found.plans[start : start + GROUP], at, told)
        if agencies is None and all(e.certificate is not None for e in erasures):
            _portal_looked_through(broom, house)
        living = [c.agency for c in _living(house) if agencies is None or c.agency in agencies]
        return Swept(tuple(erasures), found.held, orders.carry_out(broom.home, broom.root, living, at))


def note_ends(house: House, at: datetime, root: Root) -> int:
    """Write each end that the register set or moved into its agency's ledger; returns how many.

    After each loading of the register; again is the same as once. A ledger that does not hold is left as it is.
    """
    noted = []
    keys = LogKeys(house.home, root)
    for agency in register.to_note(house.db):
        seen = agency.end_set_on or paris_day(at)
        entry = Window(agency.contract.start, agency.contract.end, seen)
        try:
            Log.at(house.home, agency.code, keys).append(entry, at, key=f"window:{entry.end}:{seen}")
        except _IN_THE_WAY:
            continue
        noted.append(agency.code)
    if noted:
        with house.writing() as db:
            register.noted(db, noted)
    return len(noted)


def _living(house: House) -> list[Contract]:
    house.db.rollback()  # a new look: the last one may be of before an erasure
    return [a.contract for a in register.everyone(house.db) if not a.contract.erased]


# -- deciding ----------------------------------------------------------------------------------------------------------


def _outlook(broom: Broom, house: House, at: datetime, only: Collection[AgencyCode] | None) -> Outlook:
    everyone = register.everyone(house.db)
    rounds = open_rounds(broom.diaries)
    begun = {code: r.end for code, r in rounds.items() if r.kind is Kind.ERASURE}
    braked: Braked = brake(due(everyone, at, begun), everyone, only)
    late = _late_arrivals(broom, house, everyone, rounds)
    newest, inboxes = _portal_newest(house), house.inboxes()
    plans = [plan(d, inboxes, newest) for d in braked.go]
    plans += [plan(d, inboxes, newest, Kind.LATE_FILES) for d in late if d.agency not in begun]
    wanted = [p for p in plans if only is None or p.agency in only]
    return Outlook(tuple(wanted), tuple(d for d in braked.held if only is None or d.agency in only))


def _late_arrivals(
    broom: Broom, house: House, everyone: Iterable[register.Agency], rounds: Mapping[AgencyCode, OpenRound]
) -> list[Due]:
    """Agencies erased before, of which something has come since: files, a snapshot of the portal, or a shelf."""
    ends = {a.code: a.contract.end for a in everyone if a.contract.erased and a.contract.end is not None}
    codes = frozenset(ends)
    found = {code for code, r in rounds.items() if r.kind is Kind.LATE_FILES and code in codes}
    store = engine.of(broom.home)
    found |= {code for code in codes if broom.home.keyring(code).exists() or store.holds(code)}
    newest, since = _portal_newest(house), _looked_through(broom)
    for inbox in _folders(house):
        found |= set(files.delivered(inbox, codes))
        for pair in files.superseded(inbox, newest, since).values():
            found |= files.attached(pair, codes)
    for bucket in _buckets(broom.home, house) if codes else ():
        with suppress(TryAgain):  # what cannot be asked now does not keep the others from being erased
            found |= Emptying(bucket).late(codes, newest, since)
    return [Due(code, ends[code]) for code in sorted(found)]


def _portal_newest(house: House) -> date | None:
    """The day of the portal's newest accepted snapshot."""
    accepted = [r.day for r in house.journal(system=System.PORTAL) if r.outcome == "accepted" and r.day]
    return date.fromisoformat(max(accepted)) if accepted else None


def _looked_through(broom: Broom) -> date:
    """Superseded snapshots of earlier days were already searched for every agency erased so far."""
    try:
        return date.fromisoformat((broom.diaries / "portal-looked-through").read_text())
    except (FileNotFoundError, ValueError):
        return date.min


def _portal_looked_through(broom: Broom, house: House) -> None:
    newest = _portal_newest(house)
    if newest is not None and newest != _looked_through(broom):
        broom.diaries.mkdir(parents=True, exist_ok=True)
        write_whole(broom.diaries / "portal-looked-through", newest.isoformat().encode())


# -- acting ------------------------------------------------------------------------------------------------------------


def _erase_group(
    broom: Broom, house: House, plans: Sequence[Plan], at: datetime, told: Told | None
) -> Iterator[Erasure]:
    with ExitStack() as locks:
        mine, busy = _lock(broom, plans, locks)
        yield from (Erasure(p, at, problem="busy: another run is at work on this agency") for p in busy)
        # Read again under the lock: the register may have moved an end since the plan was made.
        mine = list(_outlook(broom, house, at, [p.agency for p in mine]).plans)
        marks = _marks(house, [p.agency for p in mine])
        hands = _HouseHands(broom, house, at)
        done = {p.agency: _carry_out(broom, hands, p, at, told) for p in mine}
        findings = _purged(broom, house) or _search(broom, house, [p.agency for p in mine], marks, at)
        for p in mine:
            steps = done[p.agency]
            yield steps if isinstance(steps, Erasure) else _finish(broom, house, p, steps, findings, at)


def _lock(broom: Broom, plans: Sequence[Plan], locks: ExitStack) -> tuple[list[Plan], list[Plan]]:
    mine, busy = [], []
    for p in plans:
        try:
            locks.enter_context(sole(broom.home, p.agency, broom.patience))
            mine.append(p)
        except TryAgain:
            busy.append(p)
    return mine, busy


def _carry_out(
    broom: Broom, hands: Hands, p: Plan, at: datetime, told: Told | None
) -> tuple[tuple[Step, Outcome], ...] | Erasure:
    """The steps with their outcomes, or why there are none: without a diary nothing is destroyed."""
    try:
        return carry_out(p, hands, Diary(broom.diaries, p.agency), at, _teller(told, p))
    except _IN_THE_WAY as no:
        return Erasure(p, at, problem=f"the diary could not be kept: {type(no).__name__}")


def _teller(told: Told | None, p: Plan) -> Callable[[Step, Outcome], None] | None:
    return None if told is None else lambda step, outcome: told(p.agency, step, outcome)


def _marks(house: House, codes: Sequence[AgencyCode]) -> dict[AgencyCode, str]:
    """The SIRET of each agency that shares it with no other: a text that must leave the house's bytes with it."""
    sirets = {a.code: a.siret for a in register.everyone(house.db) if a.siret}
    shared = list(sirets.values())
    return {c: s for c in codes if (s := sirets.get(c)) is not None and shared.count(s) == 1}


def _purged(broom: Broom, house: House) -> str | None:
    """None, or what was in the way: nothing is searched, and nothing certified, before what was dropped is written
    over."""
    house.db.rollback()
    try:
        engine.of(broom.home).purge()
        broom.rewrite_orchestrator()
    except _IN_THE_WAY as no:
        return type(no).__name__
    return None


def _search(
    broom: Broom, house: House, codes: Sequence[AgencyCode], marks: Mapping[AgencyCode, str], at: datetime
) -> tuple[residue.Finding, ...] | str:
    """The findings, or why there are none."""
    home = broom.home
    orchestrator = home.dagster if home.dagster.is_dir() else None
    inboxes = tuple(p for p in _folders(house) if p.is_dir())
    house.db.rollback()
    try:
        where = residue.Where(
            home.root, home.keys, inboxes, orchestrator, broom.kept, marks, objects=_buckets(home, house),
            door_marks=forgetting.marks(home, broom.root, codes), door_roles_end=forgetting.roles_end(at),
        )  # fmt: skip
        with broom.look_at_orchestrator() as there, engine.of(home).eye() or nullcontext() as eye:
            return residue.search(replace(where, database=eye, orchestrator_database=there), codes)
    except _IN_THE_WAY as no:
        return type(no).__name__


def _folders(house: House) -> list[Path]:
    return [p for p in house.inboxes() if isinstance(p, Path)]


def _buckets(home: Home, house: House) -> tuple[Objects, ...]:
    return tuple(Objects(p, home.inbox_keys) for p in house.inboxes() if isinstance(p, Bucket))


def _finish(
    broom: Broom, house: House, p: Plan, steps: tuple[tuple[Step, Outcome], ...],
    findings: tuple[residue.Finding, ...] | str, at: datetime,
) -> Erasure:  # fmt: skip
    """Certificate, ledger, register: in this order, each of them once."""
    failed = [name_of(s) for s, o in steps if outcome_data(o)["outcome"] == "could not"]
    if failed:
        return Erasure(p, at, steps, problem=f"could not: {', '.join(failed)}")
    if isinstance(findings, str):
        return Erasure(p, at, steps, problem=f"the search could not be made: {findings}")
    left = residue.left(findings, p.agency)
    diary = Diary(broom.diaries, p.agency)
    try:
        diary.searched(left, at)
        if left:
            return Erasure(p, at, steps, left, problem=f"something is left: {', '.join(left)}")
        path = _certify(broom, house, p, steps, findings, diary, at)
        if p.kind is Kind.ERASURE:
            with house.writing() as db:
                register.mark_erased(db, p.agency, at, p.end)
        (broom.home.locks / f"{p.agency}.lock").unlink(missing_ok=True)
        diary.conclude(at)
    except _IN_THE_WAY as no:
        return Erasure(p, at, steps, problem=f"not certified: {type(no).__name__}")
    return Erasure(p, at, steps, certificate=path)


def _certify(
    broom: Broom, house: House, p: Plan, steps: tuple[tuple[Step, Outcome], ...],
    findings: Sequence[residue.Finding], diary: Diary, at: datetime,
) -> Path:  # fmt: skip
    """Write the certificate and its mention in the ledger. A certificate that an earlier attempt finished is kept."""
    noted = diary.certificate()
    log = Log.at(broom.home, p.agency, LogKeys(broom.home, broom.root))
    path = broom.home.certificates / noted[0] if noted else None
    if path is not None and noted is not None and path.exists() and sha256(path.read_bytes()) == noted[1]:
        raw = path.read_bytes()
    else:
        made = _certificate(broom, house, p, steps, findings, log, at)
        raw = certificate.write(made, signer(broom.home, broom.root))
        path = _free_name(broom.home.certificates, p.agency, paris_day(at))
        diary.certified(path.name, sha256(raw), at)
        write_whole(path, raw)
    stated = certificate.parse(raw)
    entry = Erased(p.end, stated.carried_out_at, sha256(raw), p.kind is Kind.LATE_FILES)
    log.append(entry, at, key=f"erased:{sha256(raw)}")
    return path


def _certificate(
    broom: Broom, house: House, p: Plan, steps: tuple[tuple[Step, Outcome], ...],
    findings: Sequence[residue.Finding], log: Log, at: datetime,
) -> Certificate:  # fmt: skip
    told = [(name_of(s), outcome_data(o)) for s, o in steps]
    left = {str(s.left): LEFT[s.left]["en"] for s in p.steps if isinstance(s, LeaveHeld)}
    missing = files.absent(_folders(house)) + sum(not b.there() for b in _buckets(broom.home, house))
    if missing:
        left["inboxes"] = f"{missing} of the inboxes once read are no longer there and could not be looked at"
    return Certificate(
        kind=str(p.kind),
        agency=p.agency,
        contract_end=p.end,
        carried_out_at=at.astimezone(UTC),
        steps=tuple(CertifiedStep(name, o["outcome"], o.get("counts", {})) for name, o in told),
        left=left,
        searched=tuple(
            Searched(f.place, f.looked_at, f.hits.get(p.agency, 0), f.planted, f.planted_found) for f in findings
        ),
        plan_sha256=p.digest,
        code_version=broom.code_version,
        ledger=log.head(),
    )


def _free_name(folder: Path, agency: AgencyCode, day: date) -> Path:
    """`<CODE>-<AAAAMMJJ>.json`, with a number when that day has one already."""
    names = [f"{agency}-{day:%Y%m%d}.json", *(f"{agency}-{day:%Y%m%d}-{n}.json" for n in range(2, 1000))]
    return next(folder / name for name in names if not (folder / name).exists())


class _HouseHands:
    """The hands of an erasure on a real home."""

    def __init__(self, broom: Broom, house: House, at: datetime) -> None:
        self._broom = broom
        self._house = house
        self._at = at
        self._buckets: dict[Bucket, Emptying] = {}

    def destroy_keys(self, agency: AgencyCode) -> Counts:
        return {"key_rings": int(Keyring.destroy(self._broom.home, mint_end(agency, self._at)))}

    def drop_shelf(self, agency: AgencyCode) -> Counts:
        rows = dict(engine.of(self._broom.home).tally(agency))
        return rows | {"shelves": int(drop(self._broom.home, mint_end(agency, self._at)))}

    def forget_in_house(self, agency: AgencyCode, end: date) -> Counts:
        # What only the journal tells of becomes an event before it is gone.
        Outbox(self._broom.home, self._broom.root).before_forgetting(agency, self._at)
        gone = dict(self._house.forget_agency(agency))
        with self._house.writing() as db:
            reduced = register.reduce_row(db, agency, end)
        # DELETE and UPDATE leave what was there in free pages; an earlier attempt may have stopped before this line.
        engine.on(self._house.db).scrub(self._house.db)
        gone |= forgetting.forget(self._broom.home, self._broom.root, agency, self._at)
        return gone | {"register_rows": int(reduced)}

    def detach_portal(self, agency: AgencyCode) -> Counts:
        with sole(self._broom.home, None, self._broom.patience):
            return portal.forget_agency(self._broom.home, self._broom.root, agency, mint_own(Act.ERASE, self._at))

    def remove_files(self, agency: AgencyCode, inboxes: tuple[str, ...], portal_before: date | None) -> Counts:
        places = [place(p) for p in inboxes]
        folders = [p for p in places if isinstance(p, Path)]
        gone = Counter(files.remove_files(self._broom.home, agency, folders, portal_before))
        for bucket in (p for p in places if isinstance(p, Bucket)):
            if bucket not in self._buckets:
                self._buckets[bucket] = Emptying(Objects(bucket, self._broom.home.inbox_keys))
            gone.update(self._buckets[bucket].remove(agency, portal_before))
        return gone

    def forget_orchestrator(self, agency: AgencyCode) -> Counts:
        return self._broom.forget_orchestrator(agency)
