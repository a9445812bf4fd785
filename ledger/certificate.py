"""The certificate of an erasure: what was destroyed, when, and that a search by other means found nothing left.

A JSON file that begins with its format and version, indented for people; the Ed25519 signature (RFC 8032) is over the
canonical bytes of everything but itself. docs/specs/certificate.md shows one. Sources: R22, GDPR 28(3)(g), SCC
2021/915 cl. 10(d).

To believe an erasure we must know that
1. the file is a whole certificate of a known version, spelled in the one way that its content has;
2. it is signed by the key it names, and that key is the one expected when the reader knows which;
3. the window had closed when it was carried out;
4. every step of the plan was done, or found nothing to do; the keys came first; none could not;
5. an independent search found nothing, in at least one place, and each search finds what is planted for it to find;
6. (with the agency's ledger at hand) it was made on that ledger, and the ledger names it.
The signature shows who says so; that the machine really did so is shown by the ledger, the diary and the search.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.canonical import canonical, instant, read_instant, sha256
from ledger.chain import LineHead, chain
from ledger.entry import Erased, Head, History, digest
from ledger.witness import verify_extends
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code
from schemas.window import closes_at

FORMAT = "depositaire-certificate"
VERSION = 2  # version 1 named a line of the ledger where this one names a head of the log's tree
DONE = "done"
NOTHING_THERE = "nothing there"
FIRST_STEP = "destroy_keys"
KINDS = ("erasure", "late files")


@dataclass(frozen=True, slots=True)
class CertifiedStep:
    """One step of the plan and what came of it. `counts`: how many of each thing were destroyed."""

    step: str
    outcome: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Searched:
    """One place searched: how many things were looked at, how many named the agency, how many of those planted were
    found."""

    place: str
    looked_at: int
    found: int
    planted: int
    planted_found: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certified. `left`: what stays on purpose, and why; none of it is personal data. `ledger`: where the
    agency's log stood; a line of its ledger in certificates of version 1."""

    kind: str
    agency: AgencyCode
    contract_end: date
    carried_out_at: datetime
    steps: tuple[CertifiedStep, ...]
    left: Mapping[str, str]
    searched: tuple[Searched, ...]
    plan_sha256: str
    code_version: str
    ledger: Head | LineHead

    @property
    def version(self) -> int:
        return 1 if isinstance(self.ledger, LineHead) else VERSION

    @property
    def late(self) -> timedelta:
        """How long after the window closed: a late run is alarmed (R22)."""
        return self.carried_out_at - closes_at(self.contract_end)


def write(certificate: Certificate, key: Ed25519PrivateKey) -> bytes:
    """The signed bytes of a certificate. Raises NotVerified rather than sign what a reader would refuse."""
    _hold(certificate)
    content = _content(certificate, key.public_key())
    return _spelled(content | {"signature": key.sign(_signed(content)).hex()})


def parse(raw: bytes) -> Certificate:
    """The content of a certificate, unverified. Raises Malformed."""
    return _parsed(raw)[0]


def verify(source: Path | bytes, public_key: Ed25519PublicKey | None = None, history: History | None = None) -> None:
    """Returns nothing, or raises NotVerified. Without `public_key` the key in the file is used: that shows that
    nothing was changed since it was signed, not by whom."""
    raw = source if isinstance(source, bytes) else source.read_bytes()
    try:
        certificate, content = _parsed(raw)  # 1
    except Malformed as no:
        raise NotVerified(no.what, "Ask for the file again, as it was issued.") from None
    signature = bytes.fromhex(content.pop("signature"))
    named = Ed25519PublicKey.from_public_bytes(bytes.fromhex(content["public_key"]))
    if public_key is not None and named.public_bytes_raw() != public_key.public_bytes_raw():  # 2
        raise NotVerified("the certificate is signed by another key than the one expected")
    try:
        named.verify(signature, _signed(content))
    except InvalidSignature:
        raise NotVerified("the signature does not hold: the certificate was changed after it was signed") from None
    _hold(certificate)
    if history is not None:
        _in_ledger(certificate, sha256(raw), history)


def _hold(c: Certificate) -> None:
    if c.carried_out_at < closes_at(c.contract_end):  # 3
        raise NotVerified("the window had not closed when the erasure was carried out")
    if not c.steps or any(s.outcome not in (DONE, NOTHING_THERE) for s in c.steps):  # 4
        raise NotVerified("a step of the erasure was not carried out")
    if c.kind == "erasure" and c.steps[0].step != FIRST_STEP:
        raise NotVerified("the keys were not destroyed first")
    if not c.searched or any(s.found for s in c.searched):  # 5
        raise NotVerified("no search was made, or something was left")
    if any(s.planted < 1 or s.planted_found != s.planted for s in c.searched):
        raise NotVerified("a search did not find what was planted for it: it proves nothing")


def _in_ledger(c: Certificate, certificate_sha256: str, history: History) -> None:
    """6. The head it was made on was this ledger's, and a later line names this very file."""
    named = [
        line.number
        for line in history.lines
        if isinstance(line.entry, Erased) and line.entry.certificate_sha256 == certificate_sha256
    ]
    if c.agency != history.agency or not named:
        raise NotVerified("the ledger of the agency does not name this certificate")
    before = history.lines[: named[0] - 1]
    if isinstance(c.ledger, LineHead):
        holds = c.ledger in {head for head, _ in chain(history.agency, before)}
    else:
        holds = c.ledger.size <= len(before) and _extends(history, c.ledger)
    if not holds:
        raise NotVerified("the certificate was made on another ledger than this one")


def _extends(history: History, head: Head) -> bool:
    try:
        verify_extends(history, head)
    except NotVerified:
        return False
    return True


def _content(c: Certificate, key: Ed25519PublicKey) -> dict[str, Any]:
    """In the order in which a person reads it."""
    return {
        "format": FORMAT,
        "version": c.version,
        "kind": c.kind,
        "agency": c.agency,
        "contract_end": c.contract_end.isoformat(),
        "window_closed_at": instant(closes_at(c.contract_end)),
        "carried_out_at": instant(c.carried_out_at),
        "steps": [{"step": s.step, "outcome": s.outcome, "counts": dict(sorted(s.counts.items()))} for s in c.steps],
        "left": dict(sorted(c.left.items())),
        "searched": [asdict(s) for s in c.searched],
        "plan_sha256": c.plan_sha256,
        "code_version": c.code_version,
        "ledger": _head_data(c.ledger),
        "public_key": key.public_bytes_raw().hex(),
    }


def _signed(content: Mapping[str, Any]) -> bytes:
    """What is signed begins with the format's name: the signature can pass for nothing else."""
    return f"{FORMAT}/{content['version']}\n".encode() + canonical(content)


def _spelled(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def _parsed(raw: bytes) -> tuple[Certificate, dict[str, Any]]:
    try:
        content = json.loads(raw)
        if content["format"] != FORMAT or content["version"] not in (1, VERSION):
            raise Malformed("this is not a certificate of a known version", "Use the version that issued it.")
        certificate = _read(content)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(content["public_key"]))
        again = _spelled(_content(certificate, key) | {"signature": bytes.fromhex(content["signature"]).hex()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Malformed("this is not a whole certificate") from None
    if again != raw:
        raise Malformed("this is not the one spelling of a certificate")
    return certificate, content


def _read(content: dict[str, Any]) -> Certificate:
    if content["kind"] not in KINDS:
        raise Malformed("this is not a certificate of a known kind")
    return Certificate(
        kind=content["kind"],
        agency=agency_code(content["agency"]),
        contract_end=date.fromisoformat(content["contract_end"]),
        carried_out_at=read_instant(content["carried_out_at"]),
        steps=tuple(
            CertifiedStep(_text(s["step"]), _text(s["outcome"]), _counts(s["counts"])) for s in content["steps"]
        ),
        left={str(k): str(v) for k, v in content["left"].items()},
        searched=tuple(_searched(s) for s in content["searched"]),
        plan_sha256=digest(content["plan_sha256"]) or "",
        code_version=_text(content["code_version"]),
        ledger=_read_head(content["version"], content["ledger"]),
    )


def _head_data(head: Head | LineHead) -> dict[str, Any]:
    if isinstance(head, LineHead):
        return {"line": head.line, "hash": head.hash}
    return {"size": head.size, "root": head.root.hex()}


def _read_head(version: int, data: dict[str, Any]) -> Head | LineHead:
    if version == 1:
        return LineHead(int(data["line"]), digest(data["hash"]) or "")
    if type(data["size"]) is not int or data["size"] < 0:
        raise Malformed("the size of a log is a whole number")
    return Head(data["size"], bytes.fromhex(digest(data["root"]) or ""))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed("a text is missing")
    return value


def _searched(s: dict[str, Any]) -> Searched:
    counts = _counts({k: v for k, v in s.items() if k != "place"})
    return Searched(str(s["place"]), **counts)


def _counts(counts: dict[str, Any]) -> dict[str, int]:
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in counts.values()):
        raise Malformed("a count is a whole number")
    return dict(counts)
