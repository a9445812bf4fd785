"""The kinds of entry of an agency's ledger: frozen, numbered, without personal data.

Numbers are for ever: a new kind takes the next one, and none is given twice. Kinds 1 to 5 are here, 6 to 18 in
`ledger.orders`, 19 to 22 in `ledger.deeds`, 23 to 26 in `ledger.signatures`. The shape of each body is in
docs/specs/instruction-log.md and mandate.md.
Sources: R46 (documented instruction), R22 (window, erasure), R3 (policy in force), GDPR 28(3)(a) and 28(3)(g).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, TypeVar, assert_never

from ledger import deeds, orders, signatures
from ledger.bodies import Bodied
from ledger.canonical import canonical, instant, read_instant, sha256
from ledger.deeds import Deed
from ledger.orders import Given, Instructing, Order
from ledger.signatures import Signature
from schemas.errors import Malformed
from schemas.ids import AgencyCode, System, agency_code
from schemas.mandate import Purpose
from schemas.report import Counts, Report

T = TypeVar("T")
Body = dict[str, Any]

_DIGEST = re.compile(r"[0-9a-f]{64}")
# What the names of deliveries are made of in the export contracts. Any other name may speak of a person.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,79}")
UNNAMED = "(a name outside the contract)"


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the agency lets its processor do (R46), from `valid_from` until just before `valid_until` (None: until
    withdrawn).

    `given_by` is a function, never a person's name. `again` tells apart two records of one text made at the same
    instant.
    """

    agency: AgencyCode
    systems: tuple[System, ...]
    tables: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    valid_from: datetime
    valid_until: datetime | None
    reference: str
    given_by: str
    recorded_at: datetime
    document_sha256: str | None = None
    recipients: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    policy_sha256: str | None = None
    does: str = "synchronise"
    again: int = 0

    @property
    def id(self) -> str:
        """Short and readable: the first ten figures of its body's digest."""
        return _id_of(self)


@lru_cache(4096)  # a fold asks for it a dozen times
def _id_of(instruction: Instruction) -> str:
    return f"INS-{sha256(canonical(_instruction(instruction)))[:10]}"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The agency takes an instruction back: from `effective_at` on, it allows nothing."""

    instruction: str
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one delivery, under which instructions, read by which layout and code."""

    delivery: str
    system: str
    sha256: str | None
    outcome: str
    reason: str | None
    tables: Mapping[str, Counts]
    instructions: tuple[str, ...]
    layout: str | None
    code_version: str
    run: str
    policy_sha256: str | None = None

    @classmethod
    def of(
        cls, report: Report, sha256: str | None, instructions: tuple[str, ...], layout: str | None,
        code_version: str, run: str, policy_sha256: str | None = None,
    ) -> "Receipt":  # fmt: skip
        """The receipt of a report. A delivery whose name breaks the contract is not named: the name may be a
        person's."""
        plain = report.reason != "delivery.name" and _PLAIN_NAME.fullmatch(report.delivery)
        name = report.delivery if plain else UNNAMED
        return cls(name, str(report.system), sha256, report.outcome, report.reason, report.tables, instructions, layout,
                   code_version, run, policy_sha256)  # fmt: skip

    def __post_init__(self) -> None:
        if self.delivery != UNNAMED and not _PLAIN_NAME.fullmatch(self.delivery):
            raise Malformed("a receipt names deliveries of the contracts only")


@dataclass(frozen=True, slots=True)
class Window:
    """The contract's days as the register said them on `register_day`, noted when the end is set or moved (R22)."""

    start: date
    end: date | None
    register_day: date


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure was carried out and certified. `late_files`: what arrived after it was removed; no mandate ends by
    that."""

    end: date
    carried_out_at: datetime
    certificate_sha256: str
    late_files: bool = False


Entry = Instruction | Withdrawal | Receipt | Window | Erased | Order | Deed | Signature

KINDS: dict[type[Entry], int] = {
    Instruction: 1, Withdrawal: 2, Receipt: 3, Window: 4, Erased: 5, **dict(orders.KINDS.items()),
    **dict(deeds.KINDS.items()), **dict(signatures.KINDS.items()),
}  # fmt: skip


# Kinds whose content may be destroyed: they say what was done, and nothing of what is allowed.
FORGETTABLE = frozenset({KINDS[Receipt], KINDS[deeds.Handed], KINDS[deeds.Exceeded]})


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as it stands in the log: its number from 1 (one more than its leaf's index), when it was recorded, and
    the hash of its leaf."""

    number: int
    at: datetime
    entry: Entry
    hash: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands: how many leaves it has, and their root (32 bytes)."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class History:
    """A whole ledger, verified. `hashes`: of every leaf, also of those whose line is not there (left out, or
    destroyed); empty where every line is there."""

    agency: AgencyCode
    head: Head
    lines: tuple[Line, ...] = field(default=())
    hashes: tuple[bytes, ...] = field(default=(), repr=False, compare=False)

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """The hash of every leaf, in order."""
        return self.hashes or tuple(bytes.fromhex(line.hash) for line in self.lines)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(line.entry for line in self.lines)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """Those of the first form."""
        return tuple(e for e in self.entries if isinstance(e, Instruction))

    @property
    def given(self) -> tuple[Instruction | Instructing, ...]:
        """Every instruction of the agency, of whatever kind."""
        return tuple(e for e in self.entries if isinstance(e, Instruction | Given))


def body_of(entry: Entry) -> Body:
    """The body of an entry, as it is hashed."""
    match entry:
        case Instruction():
            return _instruction(entry)
        case Withdrawal():
            return {
                "instruction": entry.instruction,
                "effective_at": instant(entry.effective_at),
                "recorded_at": instant(entry.recorded_at),
            }
        case Receipt():
            return _receipt(entry)
        case Window():
            return {
                "start": entry.start.isoformat(),
                "end": entry.end.isoformat() if entry.end else None,
                "register_day": entry.register_day.isoformat(),
            }
        case Erased():
            return {
                "end": entry.end.isoformat(),
                "carried_out_at": instant(entry.carried_out_at),
                "certificate_sha256": entry.certificate_sha256,
                "late_files": entry.late_files,
            }
        case Bodied():
            return entry.body()
        case _:
            assert_never(entry)


def entry_of(kind: int, body: Body) -> Entry:
    """The entry of a body. Raises Malformed for an unknown kind, a missing field or one too many."""
    reader = _READERS.get(kind)
    if reader is None:
        raise Malformed(
            f"entries of kind {kind} are unknown to this version", "Use the version that wrote this ledger."
        )
    try:
        entry = reader(body)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Malformed(f"the body of an entry of kind {kind} is not complete") from None
    if canonical(body_of(entry)) != canonical(body):
        raise Malformed(f"the body of an entry of kind {kind} holds something else than its fields")
    return entry


def digest(text: str | None) -> str | None:
    """A SHA-256 in lower-case hexadecimal, or none."""
    if text is not None and not _DIGEST.fullmatch(text):
        raise Malformed("a digest is 64 hexadecimal figures")
    return text


def _instruction(e: Instruction) -> Body:
    return {
        "again": e.again,
        "agency": e.agency,
        "countries": list(e.countries),
        "document_sha256": e.document_sha256,
        "does": e.does,
        "given_by": e.given_by,
        "policy_sha256": e.policy_sha256,
        "purposes": [str(p) for p in e.purposes],
        "recipients": list(e.recipients),
        "recorded_at": instant(e.recorded_at),
        "reference": e.reference,
        "systems": [str(s) for s in e.systems],
        "tables": list(e.tables),
        "valid_from": instant(e.valid_from),
        "valid_until": instant(e.valid_until) if e.valid_until else None,
    }


def _receipt(e: Receipt) -> Body:
    return {
        "code_version": e.code_version,
        "delivery": e.delivery,
        "instructions": list(e.instructions),
        "layout": e.layout,
        "outcome": e.outcome,
        "policy_sha256": e.policy_sha256,
        "reason": e.reason,
        "run": e.run,
        "sha256": e.sha256,
        "system": e.system,
        "tables": {name: counts.as_json() for name, counts in e.tables.items()},
    }


def _read_instruction(b: Body) -> Instruction:
    return Instruction(
        agency=agency_code(b["agency"]),
        systems=tuple(System(s) for s in b["systems"]),
        tables=tuple(b["tables"]),
        purposes=tuple(Purpose(p) for p in b["purposes"]),
        valid_from=read_instant(b["valid_from"]),
        valid_until=_maybe(read_instant, b["valid_until"]),
        reference=b["reference"],
        given_by=b["given_by"],
        recorded_at=read_instant(b["recorded_at"]),
        document_sha256=digest(b["document_sha256"]),
        recipients=tuple(b["recipients"]),
        countries=tuple(b["countries"]),
        policy_sha256=digest(b["policy_sha256"]),
        does=b["does"],
        again=b["again"],
    )


def _read_receipt(b: Body) -> Receipt:
    return Receipt(
        delivery=b["delivery"],
        system=b["system"],
        sha256=digest(b["sha256"]),
        outcome=b["outcome"],
        reason=b["reason"],
        tables={name: Counts(**counts) for name, counts in b["tables"].items()},
        instructions=tuple(b["instructions"]),
        layout=b["layout"],
        code_version=b["code_version"],
        run=b["run"],
        policy_sha256=digest(b["policy_sha256"]),
    )


def _read_withdrawal(b: Body) -> Withdrawal:
    return Withdrawal(b["instruction"], read_instant(b["effective_at"]), read_instant(b["recorded_at"]))


def _read_window(b: Body) -> Window:
    return Window(
        date.fromisoformat(b["start"]),
        _maybe(date.fromisoformat, b["end"]),
        date.fromisoformat(b["register_day"]),
    )


def _read_erased(b: Body) -> Erased:
    carried_out_at = read_instant(b["carried_out_at"])
    certificate = digest(b["certificate_sha256"]) or ""
    return Erased(date.fromisoformat(b["end"]), carried_out_at, certificate, b["late_files"])


def _maybe(read: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else read(text)


_READERS: dict[int, Callable[[Body], Entry]] = {
    1: _read_instruction,
    2: _read_withdrawal,
    3: _read_receipt,
    4: _read_window,
    5: _read_erased,
    **{number: kind.read for kind, number in orders.KINDS.items()},
    **{number: kind.read for kind, number in deeds.KINDS.items()},
    **{number: kind.read for kind, number in signatures.KINDS.items()},
}
