"""What the agencies say: recording it, taking it back, and where each instruction stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from ledger import acts
from ledger.canonical import instant
from ledger.entry import Entry, Erased, History, Instruction, Withdrawal, body_of
from ledger.instruction_file import Draft, Paper
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.mandate import fold, stand, withdrawable
from ledger.orders import Acknowledgement, Answer, Channel, Engage, Given, Instructing, Order
from pipelines.policies import in_force as in_force_policy
from pipelines.warrants import Warrants
from schemas.capability import Act, Capability
from schemas.errors import Malformed, Refused
from schemas.home import Home
from schemas.ids import AgencyCode, agency_code
from schemas.mandate import Conflict
from schemas.window import midnight
from store import register, signatories
from store.agency import Shelf, is_held
from store.house import House
from store.keys import Keyring, Root, open_root

# Stands for rows and names that nobody has a key for yet.
NO_ROW = f"REF-{'0' * 32}"


@dataclass(frozen=True, slots=True)
class Stated:
    """An instruction and where it stands: in_force, suspended, unsigned (it needs a signature and has none), not_yet,
    expired, withdrawn, superseded, answered (the agency gave it up when told that it infringes the law) or ended (by an
    erasure). `signed_by`: the passkey that signed it."""

    entry: Instruction | Instructing
    state: str
    withdrawn_from: datetime | None = None
    acknowledged_at: datetime | None = None
    signed_by: str | None = None

    @property
    def kind(self) -> str:
        return kind_of(self.entry)

    def as_json(self) -> dict[str, Any]:
        body = body_of(self.entry)
        return {k: v for k, v in body.items() if k not in ("again", "does", "policy_sha256")} | {
            "instruction": self.entry.id,
            "state": self.state,
            "kind": self.kind,
            "withdrawn_from": instant(self.withdrawn_from) if self.withdrawn_from else None,
            "acknowledged_at": instant(self.acknowledged_at) if self.acknowledged_at else None,
            "signed_by": self.signed_by,
        }


def kind_of(entry: Instruction | Order) -> str:
    """What a file calls it."""
    if isinstance(entry, Instruction):
        return entry.does
    if isinstance(entry, Engage):
        return str(entry.decision)
    return {"LegalObligation": "legal_obligation", "LegalNotice": "legal_notice", "InfringementNotice": "infringement",
            "Acknowledgement": "acknowledge"}.get(type(entry).__name__, type(entry).__name__.lower())  # fmt: skip


def by_agency(said: Paper) -> bool:
    """Whether a file is the agency's own word, and not what it was told."""
    return issubclass(said.kind, Given | Answer)


class Desk:
    """The logs of a home, for whoever records and reads what the agencies say."""

    def __init__(self, home: Home, passphrase: str | None = None, root: Root | None = None) -> None:
        """`root`: of a home that was opened before."""
        self.home = home
        if root is None:
            House.open(home).db.close()
        self._root = root or open_root(home, passphrase)
        self._keys = LogKeys(home, self._root)

    def log(self, agency: AgencyCode) -> Log:
        return Log.at(self.home, agency, self._keys)

    def instruct(
        self,
        agencies: Sequence[AgencyCode],
        said: Draft | Paper,
        at: datetime,
        step: Callable[[str], None],
        everyone: bool = False,
    ) -> list[tuple[str, str]]:
        """Record a file for these agencies; returns each with the id. Recording it again gives the same ids.

        Every agency is looked at before anything is written: one that refuses leaves all of them as they were. Refused
        for what comes in by the portal: it is recorded with its signature (`pipelines.signing`).
        """
        if isinstance(said, Paper) and said.values.get("channel") is Channel.PORTAL and by_agency(said):
            raise Refused(
                "channel: what comes in by the portal is signed there",
                "Sign it in the portal, or name the channel that it came by.",
            )
        theirs = within_contracts(self.home, agencies, said, everyone)
        for agency in agencies:
            acts.prepare(self.log(agency).read(), self.foreseen(agency, theirs[agency], at), at)
        done = []
        for agency in agencies:
            done.append((str(agency), self._recorded(agency, theirs[agency], at)))
            step(agency)
        return done

    def _recorded(self, agency: AgencyCode, said: Draft | Paper, at: datetime) -> str:
        paper, policy = self.written(agency, said, at), in_force_policy(self.home, at)
        return acts.instruct(self.log(agency), paper, at, policy).id

    def foreseen(self, agency: AgencyCode, said: Draft | Paper, at: datetime) -> Draft | Paper:
        """The file as the log would hold it, while nothing is written. Rows of an agency that holds nothing yet get a
        reference that means none."""
        if isinstance(said, Draft):
            return said
        if not self.home.keyring(agency).exists():
            return said.written(lambda *_: NO_ROW, NO_ROW if said.signatory else None)
        with self.keyring(agency, at) as keyring:
            return said.written(keyring.reference, said.signatory and signatories.reference(keyring, said.signatory))

    def written(self, agency: AgencyCode, said: Draft | Paper, at: datetime) -> Draft | Paper:
        """The file as the log holds it: rows by reference, the signatory's name sealed on the shelf."""
        if isinstance(said, Draft) or (said.rows is None and said.signatory is None):
            return said
        with self.keyring(agency, at, create=True) as keyring:
            signed = signatories.keep(self.home, keyring, said.signatory) if said.signatory else None
            return said.written(keyring.reference, signed)

    def unknown_rows(self, agency: AgencyCode, said: Draft | Paper) -> int:
        """How many of the keys that a file names are not held today: a mistyped one closes nothing."""
        if isinstance(said, Draft) or said.rows is None:
            return 0
        r, keys = said.rows, set(said.rows.keys)
        if not is_held(self.home, agency):
            return len(keys)
        with Shelf.known(self.home, agency) as shelf:
            return len(keys - shelf.present(r.table, r.system, keys))

    def keyring(self, agency: AgencyCode, at: datetime, create: bool = False) -> Keyring:
        """To make and to recognise references. It opens no row: the shelf asks for more."""
        return Keyring.open(self.home, self._root, self._leave(agency, at), create=create)

    def _leave(self, agency: AgencyCode, at: datetime) -> Capability:
        return Warrants(self.home, self._root, at).grant(agency, Act.CONFIGURE).capability

    def withdraw(self, agency: AgencyCode, instruction: str, at: datetime) -> datetime:
        """Take an instruction back; returns from when on. The first withdrawal stands. Refused when only a signature
        can take it back."""
        if not withdrawable(self.log(agency).read(), instruction):
            raise Refused(
                "only a passkey of the agency takes this back", "Let the agency sign the withdrawal in the portal."
            )
        return acts.withdraw(self.log(agency), instruction, at).effective_at

    def conflicts(self, agency: AgencyCode, at: datetime) -> tuple[Conflict, ...]:
        """What contradicts itself in an agency's log, and therefore allows nothing."""
        return fold(self.log(agency).read(), at).conflicts

    def instructions(self, agency: str, at: datetime) -> list[Stated]:
        """Every instruction of an agency, the oldest first, as it stands at an instant."""
        code = agency_code(agency)
        with House.open(self.home) as house:
            registered = register.get(house.db, code) is not None
        log = self.log(code)
        if not registered and not log.exists:
            raise Malformed(f"agency {code} is not in the register", "Check the code.")
        return stated(log.read(), at)


def within_contracts(
    home: Home, agencies: Sequence[AgencyCode], said: Draft | Paper, everyone: bool = False
) -> dict[AgencyCode, Draft | Paper]:
    """The file for each agency. Raises Refused for one whose contract had not begun when the instruction wants to begin
    (R1).

    `everyone`: the file is given for all agencies at once, and counts for each from the first day of its contract on;
    it is refused when that is later for every one of them.
    """
    begins = said.valid_from if isinstance(said, Draft) else said.begins
    starts = {} if begins is None else {a: s for a, s in _starts(home, agencies).items() if begins < midnight(s)}
    if starts and (not everyone or len(starts) == len(agencies)):
        agency, start = next(iter(starts.items()))
        raise Refused(
            f"valid_from: the contract of {agency} begins later, on {start.isoformat()}",
            "Let the instruction begin on that day or after it.",
        )
    return {a: _from(said, midnight(starts[a])) if a in starts else said for a in agencies}


def _starts(home: Home, agencies: Sequence[AgencyCode]) -> dict[AgencyCode, date]:
    with House.open(home) as house:
        rows = {a: register.get(house.db, a) for a in agencies}
    return {a: row.contract.start for a, row in rows.items() if row is not None}


def _from(said: Draft | Paper, begins: datetime) -> Draft | Paper:
    if isinstance(said, Draft):
        return replace(said, valid_from=begins)
    return replace(said, values={**said.values, "valid_from": begins})


def stated(history: History, at: datetime) -> list[Stated]:
    found = stand(history, at)
    standing = {e.id for e in found.standing}
    withdrawn = {e.instruction: e.effective_at for e in found.counting if isinstance(e, Withdrawal)}
    told = {e.instruction: e.acknowledged_at for e in history.entries if isinstance(e, Acknowledgement)}
    out = []
    for e in history.given:
        if e.id not in standing:
            state = _gone(e, found.counting, at)
        else:
            state = "suspended" if e.id in found.suspended else "unsigned" if e.id in found.unsigned else "in_force"
        out.append(Stated(e, state, withdrawn.get(e.id), told.get(e.id), found.signers.get(e.id)))
    return out


def _gone(e: Instruction | Instructing, entries: Sequence[Entry], at: datetime) -> str:
    """Why an instruction does not stand."""
    if any(isinstance(x, Erased) and not x.late_files and e.recorded_at <= x.carried_out_at <= at for x in entries):
        return "ended"
    if any(isinstance(x, Withdrawal) and x.instruction == e.id and x.effective_at <= at for x in entries):
        return "withdrawn"
    if at < e.valid_from:
        return "not_yet"
    if e.valid_until is not None and e.valid_until <= at:
        return "expired"
    replaced = any(isinstance(x, Given) and e.id in x.supersedes and x.valid_from <= at for x in entries)
    return "superseded" if replaced else "answered"
