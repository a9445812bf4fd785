"""What an evidence pack says in short: every figure follows from the log's entries, but for what stands under `house`.

`summary.json` shows it whole, `resume.pdf` says it in French. Names are those of the entries; no personal data.
Sources: GDPR 28(3)(h), 30(2); R14, R18, R22, R46 to R49.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ledger.canonical import instant
from ledger.deeds import Anchored, Exceeded, Fulfilled, Handed, beyond
from ledger.entry import Entry, Erased, History, Receipt, body_of
from ledger.mandate import fold
from ledger.orders import Answer, Engage, InfringementNotice, LegalNotice, LegalObligation, Order
from pipelines.instructing import stated
from pipelines.signing import known
from schemas.mandate import Mandate

FORMAT = "depositaire-evidence-summary"
# 2: `signed_by` of each instruction, and the passkeys.
VERSION = 2

E = TypeVar("E", bound=Entry)
# What every entry says of its recording; the log has it, a summary need not.
_RECORDED = ("again", "agency", "policy_sha256", "recorded_by", "document_sha256")


def summarise(shown: History, hidden: int, at: datetime, house: Mapping[str, Any]) -> dict[str, Any]:
    """The summary at an instant of what is shown of a log. `hidden`: contents that are not; `house`: what the processor
    says and the log does not (the contract's days, the deliveries refused)."""
    mandate = fold(shown, at)
    return {
        "format": FORMAT,
        "version": VERSION,
        "agency": shown.agency,
        "at": instant(at),
        "log": {"size": shown.head.size, "root": shown.head.root.hex(), "hidden": hidden},
        "instructions": [s.as_json() for s in stated(shown, at)],
        "received": _received(_of(shown, Receipt)),
        "restrictions": [_in_force(r.instruction, scope=str(r.scope), targets=r.targets) for r in mandate.restrictions],
        "transfers": [
            _in_force(t.instruction, country=t.country, recipient=t.recipient, basis=str(t.basis), tables=t.tables)
            for t in mandate.transfers
        ],
        "disclosures": [
            _in_force(d.instruction, ground=str(d.ground), recipient=d.recipient, tables=d.tables)
            for d in mandate.disclosures
        ],
        "sub_processors": _sub_processors(shown, mandate),
        "obligations": _orders(_of(shown, LegalObligation)),
        "notices": _orders([*_of(shown, LegalNotice), *_of(shown, InfringementNotice), *_of(shown, Answer)]),
        "handed": [body_of(e) for e in _of(shown, Handed)],
        "fulfilled": [body_of(e) for e in _of(shown, Fulfilled)],
        "exceeded": beyond(_of(shown, Exceeded)),
        "erasures": [body_of(e) for e in _of(shown, Erased)],
        "suspended": list(mandate.suspended),
        "conflicts": [{"code": c.code, "ids": list(c.ids)} for c in mandate.conflicts],
        "passkeys": [k.as_json() for k in known(shown)],
        "timestamps": [body_of(e) for e in _of(shown, Anchored)],
        "house": dict(house),
    }


def systems(shown: History) -> frozenset[str]:
    """The systems that the agency's instructions and receipts name."""
    named = {str(s) for e in shown.given for s in getattr(e, "systems", ())}
    return frozenset(named | {e.system for e in _of(shown, Receipt)})


def _of(shown: History, kind: type[E]) -> list[E]:
    return [e for e in shown.entries if isinstance(e, kind)]


def _received(receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """By system: how many deliveries were accepted, and what became of their lines."""
    names = ("read", "stored", "unchanged", "quarantined", "ignored", "withheld")
    found = []
    for system in sorted({r.system for r in receipts}):
        ours = [r for r in receipts if r.system == system]
        counts = [c for r in ours for c in r.tables.values()]
        found.append(
            {"system": system, "deliveries": sum(r.outcome == "accepted" for r in ours)}
            | {name: sum(getattr(c, name) for c in counts) for name in names}
        )
    return found


def _sub_processors(shown: History, mandate: Mandate) -> list[dict[str, Any]]:
    """As the agency last decided (28(2))."""
    service = {e.id: e.service for e in _of(shown, Engage)}
    return [
        _in_force(
            s.instruction, name=s.name, country=s.country, service=service[s.instruction], authorised=s.authorised,
            tables=s.tables,
        )
        for s in mandate.sub_processors
    ]  # fmt: skip


def _orders(entries: Iterable[Order]) -> list[dict[str, Any]]:
    return [{"id": e.id} | {k: v for k, v in body_of(e).items() if k not in _RECORDED} for e in entries]


def _in_force(instruction: str, **said: Any) -> dict[str, Any]:
    plain = {k: sorted(v) if isinstance(v, frozenset) else v for k, v in said.items()}
    return {"instruction": instruction} | plain
