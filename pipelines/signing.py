"""What a signatory does in the portal: enrolling passkeys, and signing what the agency says.

For the reception (`pipelines.reception`), which knows who asks. Everything that is signed comes in two steps:
`prepare…` makes the leaf that would be written, the browser has it signed, `record` writes both. What is prepared lies
with whoever prepared it, in memory, until it is signed or forgotten: it holds the leaf's salt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger import signing
from ledger.canonical import instant
from ledger.entry import History, Line
from ledger.instruction_file import Draft, Paper
from ledger.passkeys import Passkeys
from ledger.signatures import Enrolled, Loss, Revoked, SigningRule, encoded
from ledger.signing import Prepared
from pipelines.instructing import Desk, by_agency, within_contracts
from pipelines.policies import in_force as in_force_policy
from schemas.errors import Malformed, Refused
from schemas.ids import AgencyCode
from store import signatories


@dataclass(frozen=True, slots=True)
class Passkey:
    """What a registration in the browser gave, once its ceremony was verified: `public_key` as SubjectPublicKeyInfo
    (DER), its COSE algorithm, the relying party and the page's origin, and the counter. `signatory` is a name: it is
    sealed on the agency's shelf."""

    public_key: bytes
    algorithm: int
    relying_party: str
    origin: str
    function: str
    invited_by: str
    sign_count: int = 0
    signatory: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A passkey of an agency and what became of it: `standing`, `revoked`, `ended` (by an erasure) or `unsigned` (its
    enrolment lacks the signature that it needs). `signed`: how many entries it signed."""

    entry: Enrolled
    state: str
    signed: int

    def as_json(self) -> dict[str, Any]:
        e = self.entry
        return {
            "credential": e.id, "state": self.state, "function": e.function, "invited_by": e.invited_by,
            "relying_party": e.relying_party, "enrolled_at": instant(e.recorded_at), "signed": self.signed,
        }  # fmt: skip


class SigningDesk:
    """The signing of a home's agencies."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def prepare(self, agency: AgencyCode, said: Draft | Paper, at: datetime) -> Prepared:
        """The leaf that an instruction or an answer becomes. Refused for what is not the agency's own word."""
        if isinstance(said, Paper) and not by_agency(said):
            raise Refused("this is nothing that an agency says", "Only what the agency says is signed.")
        said = within_contracts(self._desk.home, [agency], said)[agency]
        paper = self._desk.written(agency, said, at)
        return signing.prepare(self._desk.log(agency), paper, at, in_force_policy(self._desk.home, at))

    def prepare_withdrawal(self, agency: AgencyCode, instruction: str, at: datetime) -> Prepared:
        return signing.prepare_withdrawal(self._desk.log(agency), instruction, at)

    def prepare_enrolment(self, agency: AgencyCode, passkey: Passkey, at: datetime) -> Prepared:
        """One more passkey, for one that stands to sign."""
        return signing.prepare_enrolment(self._desk.log(agency), self._enrolled(agency, passkey, at), at)

    def prepare_rule(self, agency: AgencyCode, required: bool, given_by: str, at: datetime) -> Prepared:
        """Whether only what is signed counts from then on."""
        rule = SigningRule(agency=agency, required=required, given_by=given_by, recorded_at=at)
        return signing.prepare_rule(self._desk.log(agency), rule, at)

    def record(self, prepared: Prepared, credential: str, assertion: Mapping[str, str], now: datetime) -> Line:
        """Write what was prepared with its signature. TryAgain: prepare it again, and let it be signed again."""
        return signing.record(self._desk.log(prepared.agency), prepared, credential, assertion, now)

    def enrol(self, agency: AgencyCode, passkey: Passkey, at: datetime) -> str:
        """The agency's first passkey; returns its name. Refused when one stands, or has signed."""
        enrolled = self._enrolled(agency, passkey, at)
        signing.enrol(self._desk.log(agency), enrolled, at)
        return enrolled.id

    def revoke(self, agency: AgencyCode, credential: str, reason: Loss, recorded_by: str, at: datetime) -> None:
        signing.revoke(self._desk.log(agency), credential, reason, recorded_by, at)

    def demand(self, agency: AgencyCode, given_by: str, at: datetime) -> None:
        """From then on only what is signed counts. Lifting it takes a signature (`prepare_rule`)."""
        signing.demand(self._desk.log(agency), given_by, at)

    def passkeys(self, agency: AgencyCode) -> list[Known]:
        """Every passkey of an agency, the oldest first."""
        return known(self._desk.log(agency).read())

    def _enrolled(self, agency: AgencyCode, passkey: Passkey, at: datetime) -> Enrolled:
        ref = None
        if passkey.signatory is not None:
            with self._desk.keyring(agency, at, create=True) as keyring:
                ref = signatories.keep(self._desk.home, keyring, passkey.signatory)
        return Enrolled(
            agency=agency, algorithm=passkey.algorithm, public_key=encoded(passkey.public_key),
            relying_party=passkey.relying_party, origin=passkey.origin, function=passkey.function, signatory=ref,
            invited_by=passkey.invited_by, sign_count=passkey.sign_count, recorded_at=at,
        )  # fmt: skip


def known(history: History) -> list[Known]:
    """Every passkey that a log enrols, the oldest first."""
    found = Passkeys.of(history)
    revoked = {line.entry.credential for line in history.lines if isinstance(line.entry, Revoked)}
    signed = list(found.signers.values())
    out = []
    for line in history.lines:
        if isinstance(line.entry, Enrolled):
            name = line.entry.id
            stood = line.number in found.enrolments
            gone = "revoked" if name in revoked else "standing" if name in found.now.passkeys else "ended"
            out.append(Known(line.entry, gone if stood else "unsigned", signed.count(name) if stood else 0))
    return out


def spki_of_cose(cose: bytes) -> bytes:
    """A public key as a registration brings it (COSE, RFC 9053), as SubjectPublicKeyInfo in DER. Raises Malformed."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        key = decoded_public_key_to_cryptography(decode_credential_public_key(cose))
    except (WebAuthnException, ValueError):
        raise Malformed("this is no public key that is known here", "Use ES256, EdDSA or RS256.") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
