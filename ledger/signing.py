"""Recording what an agency signs with a passkey: first the leaf that will be written, then its signature, then both
with one write.

The challenge that is signed is the hash of the very leaf: its place, its instant and the salted commitment to what it
says. Nobody without the passkey can record a word of the agency's portal that counts (28(3)(a), R46). A log that grew
meanwhile has another next leaf: then nothing is written, and the person signs again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ledger import acts
from ledger.assertions import public_key
from ledger.canonical import instant
from ledger.entry import Entry, Head, History, Line
from ledger.instruction_file import Draft, Paper
from ledger.log import Foreseen, Log
from ledger.orders import Given
from ledger.passkeys import SIGNABLE, Passkeys, standing
from ledger.signatures import Enrolled, Loss, Revoked, Signed, SigningRule, decoded
from ledger.tree import leaf_hash
from schemas.errors import Malformed, Refused, TryAgain
from schemas.ids import AgencyCode

# A leaf says when it was recorded: whoever takes longer to sign reads it again.
PATIENCE = timedelta(minutes=10)

_ASSERTION = ("authenticator_data", "client_data", "signature")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be signed, and recorded when it is. `entry` will be the next leaf after `head`; `beside`: what is
    recorded behind the signature."""

    agency: AgencyCode
    entry: Entry
    key: str | None
    at: datetime
    head: Head
    foreseen: Foreseen
    beside: tuple[tuple[Entry, str | None], ...] = ()

    @property
    def leaf_hash(self) -> bytes:
        """The challenge: 32 bytes."""
        return leaf_hash(self.foreseen.leaf)

    def as_json(self) -> dict[str, Any]:
        """What a browser needs to make the leaf itself from what it shows (docs/specs/browser-verification.md)."""
        return {
            "index": self.head.size, "at": instant(self.at), "leaf": self.foreseen.leaf.decode(),
            "content": self.foreseen.content.decode(), "salt": self.foreseen.salt.hex(),
            "leaf_hash": self.leaf_hash.hex(),
        }  # fmt: skip


def prepare(log: Log, said: Draft | Paper, at: datetime, policy_sha256: str | None = None) -> Prepared:
    """What recording a file would write, to be signed. Refused when it stands already: there is nothing to sign."""
    history = log.read()
    made = acts.prepare(history, said, at, policy_sha256, ignoring=_lacking(history))
    beside: tuple[tuple[Entry, str | None], ...] = ()
    if isinstance(said, Paper) and said.acknowledgement and isinstance(made, Given):
        told = acts.acknowledged(made, said.acknowledgement, at)
        beside = ((told, f"instruction:{told.id}"),)
    return _prepared(log, history, made, f"instruction:{made.id}", at, beside)


def prepare_withdrawal(log: Log, instruction: str, at: datetime) -> Prepared:
    """What taking an instruction back would write. Refused when the agency never gave it, or took it back before."""
    history = log.read()
    made = acts.withdrawal(history, instruction, at)
    # Another key than without a signature: what was taken back and did not count can still be taken back.
    return _prepared(log, history, made, f"withdrawal:{instruction}:signed", at)


def prepare_enrolment(log: Log, enrolled: Enrolled, at: datetime) -> Prepared:
    """What enrolling one more passkey would write, for a passkey that stands to sign."""
    history = log.read()
    _enrollable(history, enrolled)
    return _prepared(log, history, enrolled, f"passkey:{enrolled.id}", at)


def prepare_rule(log: Log, rule: SigningRule, at: datetime) -> Prepared:
    """What lifting the rule (or demanding it) would write."""
    return _prepared(log, log.read(), rule, None, at)


def record(log: Log, prepared: Prepared, credential: str, assertion: Mapping[str, str], now: datetime) -> Line:
    """Write what was prepared, with its signature: three texts in base64url, `authenticator_data`, `client_data` and
    `signature`.

    Raises Malformed and NotVerified for an assertion that is none of a passkey that stands, TryAgain when the log has
    grown since, or it took too long; then nothing is written.
    """
    if not timedelta() <= now - prepared.at <= PATIENCE:
        raise TryAgain("what was to be signed is too old", "Read it again, and sign again.")
    if set(assertion) != set(_ASSERTION) or not all(isinstance(v, str) for v in assertion.values()):
        raise Malformed("a signature has three parts", f"Give {', '.join(_ASSERTION)}.")
    signed = Signed(credential=credential, **assertion)
    history = log.read()
    if history.head != prepared.head:
        raise TryAgain("the log has grown since it was read", "Read it again, and decide anew.")
    Passkeys.of(history).now.sign(signed, prepared.entry, prepared.leaf_hash)
    items = [(prepared.entry, prepared.key), (signed, None), *prepared.beside]
    return log.append_all(items, prepared.at, expected=prepared.head, foreseen=prepared.foreseen)[0]


def enrol(log: Log, enrolled: Enrolled, at: datetime) -> Line:
    """Record the first passkey of an agency, which nobody can sign for. Refused when one stands, or one has signed:
    every other is signed by one that stands (`prepare_enrolment`)."""
    history = log.read()
    _enrollable(history, enrolled)
    now = Passkeys.of(history).now
    if now.passkeys or now.used:
        raise Refused("a passkey stands for this agency, or has signed", "Let a passkey that stands sign the new one.")
    return log.append_all([(enrolled, f"passkey:{enrolled.id}")], at, expected=history.head)[0]


def revoke(log: Log, credential: str, reason: Loss, recorded_by: str, at: datetime) -> Line:
    """A passkey counts no longer. It takes no signature: to suspend never allows more."""
    history = log.read()
    standing(history, credential)
    gone = Revoked(
        agency=log.agency, credential=credential, reason=reason, recorded_by=recorded_by, recorded_at=at
    )  # fmt: skip
    return log.append_all([(gone, None)], at, expected=history.head)[0]


def demand(log: Log, given_by: str, at: datetime) -> Line:
    """From here on only what is signed counts. It takes no signature; lifting it does (`prepare_rule`)."""
    rule = SigningRule(agency=log.agency, required=True, given_by=given_by, recorded_at=at)
    return log.append(rule, at)


def _prepared(
    log: Log, history: History, made: Entry, key: str | None, at: datetime,
    beside: tuple[tuple[Entry, str | None], ...] = (),
) -> Prepared:  # fmt: skip
    if not isinstance(made, SIGNABLE):
        raise Refused("this is nothing that an agency says", "Only what the agency says is signed.")
    if key is not None and any(line.key == key for line in history.lines):
        raise Refused("this stands in the log already", "There is nothing to sign.")
    return Prepared(log.agency, made, key, at, history.head, log.foresee(history.head, made, at, key), beside)


def _lacking(history: History) -> frozenset[str]:
    """Ids of what was recorded without the signature that it needs: the same text can still be signed."""
    unsigned = Passkeys.of(history).unsigned
    return frozenset(getattr(line.entry, "id", "") for line in history.lines if line.number in unsigned)


def _enrollable(history: History, enrolled: Enrolled) -> None:
    public_key(enrolled.algorithm, decoded(enrolled.public_key))
    if enrolled.agency != history.agency:
        raise Refused("the passkey was enrolled for another agency", "Enrol it again.")
    if enrolled.id in Passkeys.of(history).now.counts:
        raise Refused("this passkey was enrolled before", "Enrol another one.")
