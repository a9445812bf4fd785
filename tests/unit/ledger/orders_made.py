"""One entry of each of the kinds 6 to 26, as an agency's log would hold them."""

import datetime as dt
from typing import Any

from ledger.deeds import Anchored, Deed, Exceeded, Fulfilled, Handed, Handing, Task
from ledger.orders import (
    Acknowledgement,
    Answer,
    Channel,
    Decision,
    Disclose,
    Engage,
    Erase,
    InfringementNotice,
    LegalNotice,
    LegalObligation,
    Order,
    Outcome,
    Rectify,
    Restrict,
    Return,
    Synchronise,
    Transfer,
)
from ledger.signatures import Enrolled, Loss, Revoked, Signature, Signed, SigningRule
from schemas.ids import AgencyCode, System
from schemas.mandate import Basis, Duty, Ground, Purpose, RestrictedBy

CODE = AgencyCode("A0003")
AT = dt.datetime(2026, 1, 5, 3, 30, tzinfo=dt.UTC)

OURS: dict[str, Any] = {"agency": CODE, "reference": "NOTE-7", "recorded_by": "exploitant", "recorded_at": AT}
GIVEN: dict[str, Any] = OURS | {"channel": Channel.LETTER, "given_by": "gérance", "valid_from": AT}


def synchronise(**changes: Any) -> Synchronise:
    said = {"systems": (System.SDGI, System.LOGIN), "tables": ("*",), "purposes": (Purpose.EXTRANET,)}
    return Synchronise(**GIVEN | said | changes)


def restrict(scope: RestrictedBy = RestrictedBy.TABLE, targets: tuple[str, ...] = ("lot",), **changes: Any) -> Restrict:
    return Restrict(**GIVEN | {"scope": scope, "targets": targets} | changes)


def erase(*tables: str, **changes: Any) -> Erase:
    return Erase(**GIVEN | {"tables": tables or ("contact",)} | changes)


def engage(decision: Decision, **changes: Any) -> Engage:
    said = {"name": "Imprimerie Exemple", "country": "FR", "service": "impression", "tables": ("document",)}
    return Engage(**GIVEN | said | {"decision": decision} | changes)


def obligation(**changes: Any) -> LegalObligation:
    said = {"jurisdiction": "FR", "law": "CGI, art. L. 96 G", "duty": Duty.KEEP, "tables": ("account",)}
    return LegalObligation(**OURS | {"valid_from": AT} | said | changes)


def notice_of(obligation_id: str, **changes: Any) -> LegalNotice:
    return LegalNotice(**OURS | {"obligation": obligation_id, "channel": Channel.EMAIL} | changes)


def sealed_notice_of(obligation_id: str, **changes: Any) -> LegalNotice:
    said = {
        "obligation": obligation_id, "prohibition": "CPP, art. 60-1", "approved_by": ("dpo", "direction"),
        "released_from": AT + dt.timedelta(days=90),
    }  # fmt: skip
    return LegalNotice(**OURS | said | changes)


def infringement(instruction: str, **changes: Any) -> InfringementNotice:
    said = {"instruction": instruction, "law": "RGPD, art. 9", "channel": Channel.EMAIL, "told_at": AT}
    return InfringementNotice(**OURS | said | changes)


def answer(notice: str, outcome: Outcome = Outcome.MAINTAINED, **changes: Any) -> Answer:
    said = {"notice": notice, "outcome": outcome, "channel": Channel.LETTER, "given_by": "gérance", "answered_at": AT}
    return Answer(**OURS | said | changes)


def every_order() -> tuple[Order, ...]:
    first, owed = synchronise(), obligation()
    told = infringement(first.id)
    return (
        first,
        restrict(valid_until=AT + dt.timedelta(days=30)),
        Rectify(**GIVEN | {"tables": ("person",), "subjects": (f"REF-{'0a' * 16}",), "document_sha256": "ab" * 32}),
        erase("bank_detail", supersedes=(first.id,), policy_sha256="cd" * 32),
        Return(**GIVEN | {"tables": ("*",)}),
        Transfer(**GIVEN | {
            "tables": ("contact",), "country": "US", "recipient": "Routeur Exemple", "basis": Basis.COMMISSION_CLAUSES,
            "safeguards": "CCT-2026-3",
        }),
        Disclose(**GIVEN | {
            "tables": ("account",), "ground": Ground.LAW, "recipient": "Tribunal judiciaire", "authority": "Juge",
            "evidence": "ORD-2026-14",
        }),
        engage(Decision.AUTHORISE),
        Acknowledgement(**OURS | {"instruction": first.id, "channel": Channel.EMAIL, "acknowledged_at": AT}),
        owed,
        notice_of(owed.id),
        told,
        answer(told.id),
    )  # fmt: skip


def every_deed() -> tuple[Deed, ...]:
    first = synchronise()
    return (
        Anchored(
            size=4, checkpoint_sha256="ab" * 32, response_sha256="cd" * 32, authority="autorite-exemple", stamped_at=AT
        ),
        Handed(
            does=Handing.RETURN, recipient="A0003", country=None, tables={"lot": 2, "person": 3}, instructions=(),
            capability="ef" * 32, carried_out_at=AT,
        ),
        Fulfilled(
            instruction=first.id, does=Task.ERASE, tables={"contact": 1}, capability="ef" * 32, carried_out_at=AT
        ),
        Exceeded(
            system=System.GPI, delivery="GPIA0003.000012", lines={"60": 3}, values={"person.birth_date": 2}
        ),
    )  # fmt: skip


def every_signature() -> tuple[Signature, ...]:
    """Their shape only: the signature is none."""
    enrolled = Enrolled(
        agency=CODE, algorithm=-8, public_key="MCowBQYDK2VwAyEATLWr9q2sDFMe-h-aVvS47bFtzqjTBWJ3JPA0aVbpkCY",
        relying_party="portail.example", origin="https://portail.example", function="gérance",
        signatory=f"REF-{'0b' * 16}", invited_by="exploitant", sign_count=0, recorded_at=AT,
    )  # fmt: skip
    return (
        enrolled,
        Revoked(agency=CODE, credential=enrolled.id, reason=Loss.LOST, recorded_by="gérance", recorded_at=AT),
        Signed(credential=enrolled.id, authenticator_data="AAAA", client_data="e30", signature="AAECAw"),
        SigningRule(agency=CODE, required=True, given_by="gérance", recorded_at=AT),
    )
