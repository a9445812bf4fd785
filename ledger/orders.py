"""What an agency can instruct beside its first form, and what the law or its processor answers: kinds 6 to 18.

Frozen and numbered like every entry (`ledger.entry`); a field added later makes a new kind. No personal data: people
are functions (`given_by`), rows are keyed references (`REF-…`) that only the agency's own key can make, and a text of
the law is a citation. Sources: GDPR 28(2), 28(3)(a) and its last sentence, 28(10), 29, 44–49; R2, R3, R14–R18,
R45–R50.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from ledger.bodies import Bodied
from ledger.canonical import canonical, sha256
from schemas.errors import Malformed
from schemas.ids import AgencyCode, System
from schemas.mandate import Basis, Duty, Ground, Purpose, RestrictedBy

_DIGEST = re.compile(r"[0-9a-f]{64}")
_REFERENCE = re.compile(r"REF-[0-9a-f]{32}")
_ID = re.compile(r"(INS|OBL|NOT|LEG|ANS|ACK)-[0-9a-f]{10}")


class Channel(StrEnum):
    """How a word came in, or went out."""

    LETTER = "letter"
    EMAIL = "email"
    PORTAL = "portal"
    MEETING = "meeting"
    TELEPHONE = "telephone"
    CONTRACT = "contract"


class Decision(StrEnum):
    """What an agency says of a sub-processor (28(2))."""

    AUTHORISE = "authorise"
    OBJECT = "object"


class Outcome(StrEnum):
    """What an agency answers when told that its instruction infringes the law."""

    MAINTAINED = "maintained"
    AMENDED = "amended"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Bodied):
    """What every one of these says: whose log, when it was recorded, by which function, on which document.

    `again` tells apart two records of one text made at the same instant; `policy_sha256` is the privacy policy in
    force (R3).
    """

    PREFIX: ClassVar[str] = "INS"

    agency: AgencyCode
    reference: str
    recorded_by: str
    recorded_at: datetime
    document_sha256: str | None = None
    policy_sha256: str | None = None
    again: int = 0

    def __post_init__(self) -> None:
        for name in ("document_sha256", "policy_sha256"):
            value = getattr(self, name)
            if value is not None and not _DIGEST.fullmatch(value):
                raise Malformed("a digest is 64 hexadecimal figures")

    @property
    def id(self) -> str:
        """Short and readable: a prefix and the first ten figures of its body's digest."""
        return f"{self.PREFIX}-{sha256(canonical(self.body()))[:10]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Recorded):
    """An instruction of the agency, from `valid_from` until just before `valid_until` (None: until withdrawn).

    `given_by` is a function; `signatory`, a reference to the name sealed on the agency's shelf. `supersedes`: the
    instructions that this one takes the place of.
    """

    channel: Channel
    given_by: str
    valid_from: datetime
    valid_until: datetime | None = None
    supersedes: tuple[str, ...] = ()
    signatory: str | None = None

    def __post_init__(self) -> None:
        Recorded.__post_init__(self)
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")
        if not all(_ID.fullmatch(i) for i in self.supersedes):
            raise Malformed("supersedes is not a list of ids of instructions")
        _referenced(() if self.signatory is None else (self.signatory,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronise(Given):
    """Read and hold, for these purposes (R45). `recipients` and `countries` as in the first form."""

    systems: tuple[System, ...]
    tables: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    recipients: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrict(Given):
    """Withhold for a while (R2); erases nothing. `targets` are words of the model for tables, categories and roles,
    references for buildings, lots and persons, and nothing for the whole agency."""

    scope: RestrictedBy
    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        Given.__post_init__(self)
        if (self.scope is RestrictedBy.AGENCY) == bool(self.targets):
            raise Malformed("a restriction names what it restricts, unless it is the whole agency")
        if self.scope in (RestrictedBy.BUILDING, RestrictedBy.LOT, RestrictedBy.PERSON):
            _referenced(self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRows(Given):
    """About these tables; `subjects`: only the rows of these."""

    tables: tuple[str, ...]
    subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Given.__post_init__(self)
        _referenced(self.subjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectify(OnRows):
    """Correct at the source (R23): what is wrong is in the agency's document, of which the log has the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(OnRows):
    """Erase what is named; it does not come in again while this stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return(Given):
    """Give back to the agency (28(3)(g))."""

    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Given):
    """Send to a recipient in a third country, on a basis of chapter V (R47, 44–49). `safeguards`: the document that
    holds them."""

    tables: tuple[str, ...]
    country: str
    recipient: str
    basis: Basis
    safeguards: str | None = None

    def __post_init__(self) -> None:
        Given.__post_init__(self)
        if self.basis.startswith("46") and self.safeguards is None:
            raise Malformed("safeguards is missing: a transfer under article 46 names the document that holds them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclose(Given):
    """Hand to somebody, on one of the four grounds of the policy (R14–R18). `evidence`: the consent, the order, the
    case or the note on necessity that the ground needs."""

    tables: tuple[str, ...]
    ground: Ground
    recipient: str
    evidence: str
    authority: str | None = None

    def __post_init__(self) -> None:
        Given.__post_init__(self)
        if self.ground is Ground.LAW and self.authority is None:
            raise Malformed("authority is missing: a disclosure that the law demands names who demands it")
        if self.ground is Ground.SECURITY and self.valid_until is None:
            raise Malformed("valid_until is missing: a disclosure for security has a limit in time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engage(Given):
    """A sub-processor authorised, or objected to (28(2))."""

    decision: Decision
    name: str
    country: str
    service: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement(Recorded):
    """The processor told the agency that it has an instruction; `reference` names how."""

    PREFIX: ClassVar[str] = "ACK"

    instruction: str
    channel: Channel
    acknowledged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalObligation(Recorded):
    """What Union or member-state law makes the processor do without an instruction (R48). `law` cites the text,
    `jurisdiction` is EU or a member state. Nothing runs under it before its notice is recorded (R49)."""

    PREFIX: ClassVar[str] = "OBL"

    jurisdiction: str
    law: str
    duty: Duty
    tables: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime | None = None

    def __post_init__(self) -> None:
        Recorded.__post_init__(self)
        if self.jurisdiction not in MEMBERS:
            raise Malformed("jurisdiction is neither EU nor a member state", "Only their law can oblige (R48).")
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalNotice(Recorded):
    """The agency's notice of an obligation (R49): open, or sealed until `released_from` where `prohibition` cites the
    text that forbids telling (R50). Sealed ones are approved by two different functions."""

    PREFIX: ClassVar[str] = "LEG"

    obligation: str
    channel: Channel | None = None
    prohibition: str | None = None
    approved_by: tuple[str, ...] = ()
    released_from: datetime | None = None

    def __post_init__(self) -> None:
        Recorded.__post_init__(self)
        sealed = (self.prohibition, self.released_from)
        if self.channel is not None and (any(sealed) or self.approved_by):
            raise Malformed("a notice is told through a channel, or sealed, not both")
        if self.channel is None and None in sealed:
            raise Malformed(
                "a sealed notice cites its prohibition and says when it is released",
                "Give prohibition and released_from; or channel, for an open notice.",
            )
        if self.channel is None and len({a.casefold() for a in self.approved_by}) != 2:
            raise Malformed("approved_by is not two different functions: a sealed notice needs four eyes")

    @property
    def sealed(self) -> bool:
        return self.channel is None


@dataclass(frozen=True, slots=True, kw_only=True)
class InfringementNotice(Recorded):
    """The processor finds that an instruction infringes the law and says so at once (28(3), last sentence). From
    `told_at` the instruction allows nothing, until an answer maintains it."""

    PREFIX: ClassVar[str] = "NOT"

    instruction: str
    law: str
    channel: Channel
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Recorded):
    """The agency's answer to such a notice, in force from `answered_at`."""

    PREFIX: ClassVar[str] = "ANS"

    notice: str
    outcome: Outcome
    channel: Channel
    given_by: str
    answered_at: datetime


Instructing = Synchronise | Restrict | Rectify | Erase | Return | Transfer | Disclose | Engage
Order = Instructing | Acknowledgement | LegalObligation | LegalNotice | InfringementNotice | Answer

KINDS: dict[type[Order], int] = {
    Synchronise: 6, Restrict: 7, Rectify: 8, Erase: 9, Return: 10, Transfer: 11, Disclose: 12, Engage: 13,
    Acknowledgement: 14, LegalObligation: 15, LegalNotice: 16, InfringementNotice: 17, Answer: 18,
}  # fmt: skip

# The Union and its member states (TEU, art. 52): only their law sets an instruction aside (R48).
MEMBERS = frozenset(
    ("EU", "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
     "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK")
)  # fmt: skip


def _referenced(texts: tuple[str, ...]) -> None:
    if not all(_REFERENCE.fullmatch(t) for t in texts):
        # A key of a row may be somebody's account number.
        raise Malformed("the log names rows by reference, never by their key")
