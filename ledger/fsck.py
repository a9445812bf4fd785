"""Checks the ledgers and certificates of a home from their bytes alone. It shares no code with what it checks
(only the word for a claim that does not hold) and can be read on its own beside docs/specs/ledger.md and
certificate.md.

To believe a home's memory we must know that
1. each ledger begins with the header of the agency that its file is named after;
2. its lines are numbered 1, 2, 3 …, in canonical bytes, each chained to the one before, each with the digests it
   states;
3. each body has the fields of its kind and nothing else;
4. each withdrawal takes back an instruction that stands before it;
5. each erasure names a certificate that is there, byte for byte, and that certificate's head of the ledger is a line
   of it;
6. each certificate is named by the ledger of its agency.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import NotVerified

FIELDS = {
    1: {"again", "agency", "countries", "document_sha256", "does", "given_by", "policy_sha256", "purposes",
        "recipients", "recorded_at", "reference", "systems", "tables", "valid_from", "valid_until"},
    2: {"instruction", "effective_at", "recorded_at"},
    3: {"code_version", "delivery", "instructions", "layout", "outcome", "policy_sha256", "reason", "run", "sha256",
        "system", "tables"},
    4: {"start", "end", "register_day"},
    5: {"end", "carried_out_at", "certificate_sha256", "late_files"},
}  # fmt: skip
LINE = {"at", "body", "body_sha256", "hash", "key", "kind", "line", "prev"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@dataclass(frozen=True, slots=True)
class Checked:
    """A ledger that holds. `torn`: a last line was being written when the machine stopped; it was never
    acknowledged."""

    agency: str
    lines: int
    head: str
    hashes: tuple[str, ...]
    certificates: tuple[tuple[str, str], ...]  # digest of a certificate, and the head before the line that names it
    torn: bool = False


def check_home(root: Path) -> tuple[Checked, ...]:
    """Every ledger and every certificate under a home. Raises NotVerified."""
    ledgers = {p.stem: check_ledger(p) for p in sorted((root / "ledger").glob("*.jsonl"))}
    present = {_sha(p.read_bytes()): p for p in sorted((root / "certificates").glob("*.json"))}
    for checked in ledgers.values():
        for digest, _ in checked.certificates:  # 5
            if digest not in present:
                raise NotVerified(f"{checked.agency}: a certificate that the ledger names is missing or was changed")
    named = {digest for checked in ledgers.values() for digest, _ in checked.certificates}
    for digest, path in present.items():
        stated = _certificate(path)
        ledger = ledgers.get(str(stated.get("agency")))
        if digest not in named or ledger is None or digest not in dict(ledger.certificates):  # 6
            raise NotVerified(f"{path.name}: no ledger names this certificate")
        if stated["ledger"]["hash"] not in ledger.hashes:  # 5
            raise NotVerified(f"{path.name}: it was made on another ledger than the one here")
    return tuple(ledgers.values())


def check_ledger(path: Path) -> Checked:
    """One ledger file. Raises NotVerified naming the line."""
    raw = path.read_bytes()
    *lines, tail = raw.split(b"\n")
    agency = path.stem
    header = b'{"agency":"' + agency.encode() + b'","format":"depositaire-ledger","version":1}'
    if lines and lines[0] != header:  # 1
        raise NotVerified(f"{path.name}: line 0 is not the header of this agency's ledger")
    hashes = [_sha(header)]
    instructions: set[str] = set()
    certificates = []
    for number, text in enumerate(lines[1:], start=1):
        where = f"{path.name}: line {number}"
        line = _line(text, where, number, hashes[-1])
        body = line["body"]
        if line["kind"] == 1:
            instructions.add(f"INS-{line['body_sha256'][:10]}")
        if line["kind"] == 2 and body["instruction"] not in instructions:  # 4
            raise NotVerified(f"{where} takes back an instruction that was never given")
        if line["kind"] == 5:
            certificates.append((body["certificate_sha256"], hashes[-1]))
        hashes.append(line["hash"])
    return Checked(agency, len(hashes) - 1, hashes[-1], tuple(hashes), tuple(certificates), bool(tail))


def _line(text: bytes, where: str, number: int, before: str) -> dict[str, Any]:
    line = _object(text, where)
    if set(line) != LINE or not isinstance(line["body"], dict):
        raise NotVerified(f"{where} does not have the fields of a line")
    if (line["line"], line["prev"]) != (number, before):  # 2
        raise NotVerified(f"{where} does not follow the line before it")
    if line["body_sha256"] != _sha(_bytes(line["body"])):
        raise NotVerified(f"{where}: the body does not have the digest that the line states")
    if line["hash"] != _sha(_bytes({k: v for k, v in line.items() if k != "hash"})):
        raise NotVerified(f"{where} does not have the digest that it states")
    if not INSTANT.fullmatch(str(line["at"])):
        raise NotVerified(f"{where} does not say when it was written")
    if FIELDS.get(line["kind"]) != set(line["body"]):  # 3
        raise NotVerified(f"{where}: the body is not one of its kind")
    return line


def _certificate(path: Path) -> dict[str, Any]:
    """What a certificate states. Its own signature is the business of `ledger.certificate`."""
    try:
        stated = json.loads(path.read_bytes())
        whole = isinstance(stated["ledger"]["hash"], str)
    except (ValueError, RecursionError, KeyError, TypeError):
        whole = False
    if not whole:
        raise NotVerified(f"{path.name} cannot be read")
    return dict(stated)


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise NotVerified(f"{where} cannot be read") from None
    if not isinstance(value, dict) or _bytes(value) != text:
        raise NotVerified(f"{where} is not in canonical bytes")
    return value


def _bytes(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return b""


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
