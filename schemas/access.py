"""Who may ask what at the web door: roles, the closed list of questions, and the one table of both. Pure.

What is not in the table is refused. A question is asked by the web pages of the reception (`pipelines.reception`), which
alone decides; the pages read this table only to know which of their links lead somewhere. Sources: R40, R46, R52.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.errors import Refused, TryAgain
from schemas.ids import AgencyCode

SERVICE = "depositaire.reception.v1"
METHOD = "ask"
LARGEST_MESSAGE = 4 * 2**20


class SignedOut(Refused):
    """Nobody is signed in with this session: it never was, was idle for too long, or was ended."""


class NotThere(Refused):
    """There is no such thing, or not for this visitor: nobody can tell which."""


class TooOften(TryAgain):
    """Asked too often of late: wait a minute."""


class Role(StrEnum):
    """OPERATOR is of the installation. The others are of one agency; an auditor for a time, for named categories."""

    OPERATOR = "operator"
    READER = "reader"
    SIGNATORY = "signatory"
    AUDITOR = "auditor"


class Needs(StrEnum):
    """What a question needs before it is looked at: nothing, a session, or a role at the agency that it names."""

    NOTHING = "nothing"
    SESSION = "session"
    AGENCY = "agency"


class Question(StrEnum):
    """Everything that can be asked."""

    ASSET = "asset"  # style sheets and scripts: the pages answer it themselves

    SIGN_IN = "sign_in.password"
    SIGN_IN_CHALLENGE = "sign_in.challenge"
    SIGN_IN_PASSKEY = "sign_in.passkey"
    INVITATION = "invitation.open"
    INVITATION_CHALLENGE = "invitation.challenge"
    INVITATION_PASSKEY = "invitation.passkey"
    INVITATION_PASSWORD = "invitation.password"  # noqa: S105 - the name of a question
    PROVIDER = "provider.shown"  # of an agency's own sign-in
    PROVIDER_BEGIN = "provider.begin"
    PROVIDER_INVITED = "provider.invited"
    PROVIDER_RETURN = "provider.return"

    WHO = "own.who"
    LANGUAGE = "own.language"
    SESSIONS = "own.sessions"
    END_SESSION = "own.end_session"
    END_ALL = "own.end_all"
    SIGN_OUT = "own.sign_out"
    PASSWORD = "own.password"  # noqa: S105 - the name of a question
    PREFERENCES = "own.preferences"
    PREFER = "own.prefer"

    HOME = "home.state"
    LOG_TIMELINE = "log.timeline"
    LOG_SHOWN = "log.shown"
    LOG_CHECKPOINT = "log.checkpoint"
    LOG_ENTRY = "log.entry"
    LOG_CONSISTENCY = "log.consistency"

    AUDIT = "audit.state"
    FIELDS = "lineage.fields"
    FIELD = "lineage.field"
    RECORD = "lineage.record"
    RECORD_VALUES = "lineage.values"
    EVENTS = "lineage.events"
    REGISTER = "register.shown"
    REGISTER_FILE = "register.file"
    CERTIFICATES = "certificate.list"
    CERTIFICATE = "certificate.shown"
    CERTIFICATE_FILE = "certificate.file"
    PACK = "pack.state"
    PACK_ASK = "pack.ask"
    PACK_FILE = "pack.file"
    ACCESS = "access.list"
    ACT_FORM = "act.form"
    ACT_PREPARE = "act.prepare"
    ACT_WITHDRAW = "act.withdraw"
    ACT_RECORD = "act.record"

    KEYS = "keys.list"
    KEYS_CHALLENGE = "keys.challenge"
    KEYS_ENROL = "keys.enrol"
    KEYS_SIGN_FOR = "keys.sign_for"
    KEYS_REVOKE = "keys.revoke"
    KEYS_RULE = "keys.rule"
    QUARANTINE = "quarantine.list"
    QUARANTINE_VALUE = "quarantine.line"

    DOCUMENTS = "documents.list"
    DOCUMENT_TITLE = "documents.title"

    REQUESTS = "requests.list"
    REQUEST = "requests.one"
    REQUEST_NEW = "requests.new"
    REQUEST_LONGER = "requests.longer"
    REQUEST_CLOSE = "requests.close"
    REQUEST_PACKAGE = "requests.package"


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one question. `reads`: what the access log says was read, or nothing where nothing of an agency is."""

    needs: Needs
    roles: frozenset[Role] = frozenset()
    reads: str | None = None


_ANYBODY = Rule(Needs.NOTHING)
_SIGNED_IN = Rule(Needs.SESSION, frozenset(Role))


def _of_agency(reads: str, *roles: Role) -> Rule:
    return Rule(Needs.AGENCY, frozenset(roles or Role), reads)


# Whoever is of the agency itself: what shows a value is for nobody else.
_OF_AGENCY = (Role.READER, Role.SIGNATORY)

TABLE: Mapping[Question, Rule] = {
    Question.ASSET: _ANYBODY,
    Question.SIGN_IN: _ANYBODY,
    Question.SIGN_IN_CHALLENGE: _ANYBODY,
    Question.SIGN_IN_PASSKEY: _ANYBODY,
    Question.INVITATION: _ANYBODY,
    Question.INVITATION_CHALLENGE: _ANYBODY,
    Question.INVITATION_PASSKEY: _ANYBODY,
    Question.INVITATION_PASSWORD: _ANYBODY,
    Question.PROVIDER: _ANYBODY,
    Question.PROVIDER_BEGIN: _ANYBODY,
    Question.PROVIDER_INVITED: _ANYBODY,
    Question.PROVIDER_RETURN: _ANYBODY,
    Question.WHO: _SIGNED_IN,
    Question.LANGUAGE: _SIGNED_IN,
    Question.SESSIONS: _SIGNED_IN,
    Question.END_SESSION: _SIGNED_IN,
    Question.END_ALL: _SIGNED_IN,
    Question.SIGN_OUT: _SIGNED_IN,
    Question.PASSWORD: _SIGNED_IN,
    Question.PREFERENCES: _SIGNED_IN,
    Question.PREFER: _SIGNED_IN,
    Question.HOME: _of_agency("state"),
    Question.LOG_TIMELINE: _of_agency("log"),
    Question.LOG_SHOWN: _of_agency("log entry"),
    Question.LOG_CHECKPOINT: _of_agency("log head"),
    Question.LOG_ENTRY: _of_agency("log proof"),
    Question.LOG_CONSISTENCY: _of_agency("log proof"),
    Question.AUDIT: _of_agency("what can be audited"),
    Question.FIELDS: _of_agency("fields"),
    Question.FIELD: _of_agency("field"),
    Question.RECORD: _of_agency("record"),
    # Values are for whom the agency has them looked at: its own people, and its auditors. Not for the operator's.
    Question.RECORD_VALUES: _of_agency("record values", Role.READER, Role.SIGNATORY, Role.AUDITOR),
    Question.EVENTS: _of_agency("lineage events"),
    Question.REGISTER: _of_agency("register"),
    Question.REGISTER_FILE: _of_agency("register"),
    Question.CERTIFICATES: _of_agency("certificates"),
    Question.CERTIFICATE: _of_agency("certificate"),
    Question.CERTIFICATE_FILE: _of_agency("certificate"),
    Question.PACK: _of_agency("evidence pack"),
    Question.PACK_ASK: _of_agency("evidence pack"),
    Question.PACK_FILE: _of_agency("evidence pack"),
    Question.ACCESS: _of_agency("access log"),
    # To act for an agency is its signatories' alone: no operator, no reader, no auditor.
    Question.ACT_FORM: _of_agency("log", Role.SIGNATORY),
    Question.ACT_PREPARE: _of_agency("preview", Role.SIGNATORY),
    Question.ACT_WITHDRAW: _of_agency("preview", Role.SIGNATORY),
    Question.ACT_RECORD: _of_agency("log entry", Role.SIGNATORY),
    Question.KEYS: _of_agency("signing keys"),
    Question.KEYS_CHALLENGE: _of_agency("signing keys", Role.SIGNATORY),
    Question.KEYS_ENROL: _of_agency("signing keys", Role.SIGNATORY),
    Question.KEYS_SIGN_FOR: _of_agency("signing keys", Role.SIGNATORY),
    Question.KEYS_REVOKE: _of_agency("signing keys", Role.SIGNATORY),
    Question.KEYS_RULE: _of_agency("signing keys", Role.SIGNATORY),
    Question.QUARANTINE: _of_agency("lines put aside"),
    Question.QUARANTINE_VALUE: _of_agency("line put aside, opened", *_OF_AGENCY),
    Question.DOCUMENTS: _of_agency("documents by audience", *_OF_AGENCY),
    Question.DOCUMENT_TITLE: _of_agency("title of a document", *_OF_AGENCY),
    Question.REQUESTS: _of_agency("requests of persons", *_OF_AGENCY, Role.OPERATOR),
    Question.REQUEST: _of_agency("request of a person", *_OF_AGENCY, Role.OPERATOR),
    Question.REQUEST_NEW: _of_agency("request of a person", Role.SIGNATORY),
    Question.REQUEST_LONGER: _of_agency("request of a person", Role.SIGNATORY),
    Question.REQUEST_CLOSE: _of_agency("request of a person", Role.SIGNATORY),
    Question.REQUEST_PACKAGE: _of_agency("rows of a person, opened", *_OF_AGENCY),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody has. `agency` None: an operator's, at every agency. `until` is the first instant at which it
    counts no more; `categories` None: not limited to any."""

    role: Role
    agency: AgencyCode | None
    since: datetime
    until: datetime | None = None
    categories: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if (self.role is Role.OPERATOR) != (self.agency is None):
            raise ValueError("an operator is of no agency, every other role of one")

    def counts(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far somebody sees who is an auditor and nothing else: until when, and which categories (None: all)."""

    until: datetime | None
    categories: frozenset[str] | None

    def within(self, category: str) -> bool:
        return self.categories is None or category in self.categories


def limits(grants: Iterable[Grant]) -> Limits | None:
    """Of the roles under which a question was asked. None: one of them has no such limit."""
    those = tuple(grants)
    if not those or any(g.role is not Role.AUDITOR for g in those):
        return None
    ends = [g.until for g in those if g.until is not None]
    named = [g.categories for g in those if g.categories is not None]
    return Limits(
        max(ends) if len(ends) == len(those) else None,
        frozenset().union(*named) if len(named) == len(those) else None,
    )


def permitted(
    question: Question, agency: AgencyCode | None, grants: Iterable[Grant], at: datetime
) -> tuple[Grant, ...]:
    """Those of somebody's roles under which a question may be asked at an instant; none: it may not.

    An agency is named exactly where the question is about one.
    """
    rule = TABLE.get(question)
    if rule is None or (rule.needs is Needs.AGENCY) != (agency is not None):
        return ()
    there = (g for g in grants if g.role in rule.roles and g.counts(at))
    return tuple(g for g in there if agency is None or g.agency in (None, agency))
