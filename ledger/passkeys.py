"""Which passkeys stand for an agency at each place of its log, and which entries they signed.

Places count here, not instants: an instant is what whoever writes the log says it is, and the order of the leaves is
what every kept head holds fast.

1. A passkey stands from its enrolment on when a passkey that stood before signed the enrolment; or, without a
   signature, when none stood and none had ever signed: the first one, which the agency finds in its log. Once revoked,
   it does not come back.
2. It stands until it is revoked, or an erasure ends the contract. A revocation needs no signature.
3. A `Signed` signs the leaf directly before it, when that is something that the agency says, and a passkey that stood
   before that leaf made it (`ledger.assertions`).
4. Only what is signed counts from a `SigningRule` on that demands it, until one that is signed lifts it, or an erasure
   ends the contract.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ledger.assertions import verify
from ledger.entry import Entry, Erased, History, Instruction, Line, Withdrawal
from ledger.orders import Answer, Channel, Given
from ledger.signatures import Enrolled, Revoked, Signed, SigningRule
from schemas.errors import NotVerified, Refused

# Stands for the passkey that somebody is going to sign with.
FORESEEN = "CRD-0000000000"
# What an agency says, and can therefore sign.
SIGNABLE = (Instruction, Withdrawal, Given, Answer, Enrolled, Revoked, SigningRule)


@dataclass(slots=True)
class Standing:
    """What stands after some leaves. `passkeys` by id, `counts`: the last counter seen of each; `used`: whether one has
    signed under this contract; `required`: whether only what is signed counts."""

    passkeys: dict[str, Enrolled] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    used: bool = False
    required: bool = False

    def sign(self, signed: Signed, what: Entry, leaf_hash: bytes) -> str:
        """The passkey that signed this entry, once that is verified (3). Raises NotVerified."""
        if not isinstance(what, SIGNABLE):
            raise NotVerified("a signature stands behind something that no agency says", "Keep the log as evidence.")
        passkey = self.passkeys.get(signed.credential)
        if passkey is None:
            raise NotVerified("no such passkey stood when this was signed", "Sign with a passkey that is enrolled.")
        told = verify(signed, passkey, leaf_hash, self.counts[signed.credential])
        self.counts[signed.credential] = told.count
        self.used = True
        return signed.credential

    def admits(self, enrolled: Enrolled, signer: str | None) -> bool:
        """Whether a passkey stands by this enrolment (1)."""
        first = not self.used and not self.passkeys
        return (first or signer is not None) and enrolled.id not in self.counts

    def take(self, entry: Entry, signer: str | None) -> None:
        """What an entry changes for those after it."""
        match entry:
            case Enrolled() if self.admits(entry, signer):
                self.passkeys[entry.id] = entry
                self.counts[entry.id] = entry.sign_count
            case Revoked():
                self.passkeys.pop(entry.credential, None)
            case SigningRule():
                self.required = entry.required or (self.required and signer is None)
            case Erased() if not entry.late_files:
                self.passkeys, self.counts, self.used, self.required = {}, {}, False, False
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Passkeys:
    """What a whole log says of signatures. `signers`: by number of line, the passkey that signed it; `unsigned`: lines
    that would need a signature and have none; `enrolments`: lines of enrolments that stand or stood; `broken`: lines of
    signatures that hold for nothing."""

    now: Standing
    signers: Mapping[int, str]
    unsigned: frozenset[int]
    enrolments: frozenset[int]
    broken: Mapping[int, str]

    @classmethod
    def of(cls, history: History, foreseen: Collection[int] = ()) -> "Passkeys":
        """`foreseen`: numbers of lines that are not written yet, and will be signed."""
        return read(history.lines, foreseen)


def read(lines: Iterable[Line], foreseen: Collection[int] = ()) -> Passkeys:
    """The lines in the order of the log. Never raises: a signature that does not hold is none."""
    ordered = sorted(lines, key=lambda line: line.number)
    after = {line.number - 1: line for line in ordered if isinstance(line.entry, Signed)}
    now = Standing()
    signers: dict[int, str] = {}
    unsigned, enrolments = set(), set()
    broken: dict[int, str] = {}
    for line in ordered:
        if isinstance(line.entry, Signed):
            if line.number - 1 not in signers:
                broken.setdefault(line.number, "a signature does not stand behind what it signs")
            continue
        behind, signer = after.get(line.number), None
        if behind is not None and isinstance(behind.entry, Signed):
            try:
                signer = signers[line.number] = now.sign(behind.entry, line.entry, bytes.fromhex(line.hash))
            except NotVerified as no:
                broken[behind.number] = no.what
        elif line.number in foreseen:
            signer = signers[line.number] = FORESEEN
        if signer is None and needs(line.entry, now.required):
            unsigned.add(line.number)
        if isinstance(line.entry, Enrolled) and now.admits(line.entry, signer):
            enrolments.add(line.number)
        now.take(line.entry, signer)
    return Passkeys(now, signers, frozenset(unsigned), frozenset(enrolments), broken)


def needs(entry: Entry, required: bool) -> bool:
    """Whether something that the agency says counts only when it is signed."""
    if isinstance(entry, Instruction | Withdrawal):
        return required
    return isinstance(entry, Given | Answer) and (required or entry.channel is Channel.PORTAL)


def standing(history: History, credential: str) -> Enrolled:
    """A passkey that stands at the end of the log. Raises Refused."""
    found = Passkeys.of(history).now.passkeys.get(credential)
    if found is None:
        raise Refused("no such passkey stands for this agency", "Enrol one in the portal.")
    return found
