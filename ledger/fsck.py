"""Checks the logs and certificates of a home from their bytes alone. It shares no code with what it checks (only the
word for a claim that does not hold) and can be read on its own beside docs/specs/instruction-log.md, ledger.md and
certificate.md.

To believe a home's memory we must know that
1. each log's checkpoint is spelled as one, names the agency of its folder, and is signed by the logs' key;
2. it counts no more leaves than there are, and its root is theirs; so are the tiles;
3. each leaf is in canonical bytes, of this agency, in its place;
4. its salt is there, and it commits to the line of content that stands for it;
5. each body has the fields of its kind and nothing else;
6. each instruction, obligation or notice that a body names stands before it;
7. each erasure names a certificate that is there, byte for byte, and that certificate names a head that the log had
   before it (version 1: a line of the ledger that the log's first leaves repeat);
8. each certificate is named by the log of its agency;
9. the two files of each anchor are there, byte for byte as its entry states: the stamped head is one that the log had
   before the entry, and the timestamp is over that head and states the same instant;
10. each signature of a passkey holds for the leaf before it (`ledger.fsck_signed`, which shares no code either).
A signature and a commitment take keys to be checked; `Keys` holds them. Without any, 1, 4 and 9 are checked as far as
bytes show. Who signed a timestamp is checked when the certificates of the authorities' roots are given (PEM).
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from ledger import fsck_signed
from schemas.errors import NotVerified

RECORDED = {"again", "agency", "document_sha256", "policy_sha256", "recorded_at", "recorded_by", "reference"}
GIVEN = RECORDED | {"channel", "given_by", "signatory", "supersedes", "valid_from", "valid_until"}
FIELDS = {
    1: {"again", "agency", "countries", "document_sha256", "does", "given_by", "policy_sha256", "purposes",
        "recipients", "recorded_at", "reference", "systems", "tables", "valid_from", "valid_until"},
    2: {"instruction", "effective_at", "recorded_at"},
    3: {"code_version", "delivery", "instructions", "layout", "outcome", "policy_sha256", "reason", "run", "sha256",
        "system", "tables"},
    4: {"start", "end", "register_day"},
    5: {"end", "carried_out_at", "certificate_sha256", "late_files"},
    6: GIVEN | {"countries", "purposes", "recipients", "systems", "tables"},
    7: GIVEN | {"scope", "targets"},
    8: GIVEN | {"subjects", "tables"},
    9: GIVEN | {"subjects", "tables"},
    10: GIVEN | {"tables"},
    11: GIVEN | {"basis", "country", "recipient", "safeguards", "tables"},
    12: GIVEN | {"authority", "evidence", "ground", "recipient", "tables"},
    13: GIVEN | {"country", "decision", "name", "service", "tables"},
    14: RECORDED | {"acknowledged_at", "channel", "instruction"},
    15: RECORDED | {"duty", "jurisdiction", "law", "tables", "valid_from", "valid_until"},
    16: RECORDED | {"approved_by", "channel", "obligation", "prohibition", "released_from"},
    17: RECORDED | {"channel", "instruction", "law", "told_at"},
    18: RECORDED | {"answered_at", "channel", "given_by", "notice", "outcome"},
    19: {"authority", "checkpoint_sha256", "response_sha256", "size", "stamped_at"},
    20: {"capability", "carried_out_at", "country", "does", "instructions", "recipient", "tables"},
    21: {"capability", "carried_out_at", "does", "instruction", "tables"},
    22: {"delivery", "lines", "system", "values"},
    23: {"agency", "algorithm", "function", "invited_by", "origin", "public_key", "recorded_at", "relying_party",
         "sign_count", "signatory"},
    24: {"agency", "credential", "reason", "recorded_at", "recorded_by"},
    25: {"authenticator_data", "client_data", "credential", "signature"},
    26: {"agency", "given_by", "recorded_at", "required"},
}  # fmt: skip
# Kinds whose content may have been destroyed.
FORGETTABLE = {3, 20, 22}
# Which kinds the ids in a body are of, by the field that they stand in; and how those kinds' ids begin.
NAMED = {"instruction": {1, *range(6, 14)}, "obligation": {15}, "notice": {17}}
PREFIXES = {1: "INS", **dict.fromkeys(range(6, 14), "INS"), 15: "OBL", 17: "NOT"}
LINE = {"at", "body", "body_sha256", "hash", "key", "kind", "line", "prev"}
LEAF = {"agency", "at", "commitment", "format", "index", "kind", "version"}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
HEX = re.compile(r"[0-9a-f]{64}")
FIGURES = re.compile(r"0|[1-9][0-9]*")
SLOT = 40
SALTS = b"depositaire-salts/1\n".ljust(SLOT, b"\0")


@dataclass(frozen=True, slots=True)
class Keys:
    """`public`: the Ed25519 key that signs the logs' heads; `salts`: what wraps the salts of an agency's log."""

    public: bytes
    salts: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Checked:
    """A log that holds. `torn`: something was being written when the machine stopped; it was never acknowledged.

    `certificates`: digest of each certificate that an erasure names, and how many leaves stood before that leaf.
    `anchors`: the body of each anchor, and the same.
    """

    agency: str
    lines: int
    head: str
    hashes: tuple[str, ...]
    certificates: tuple[tuple[str, int], ...]
    chain: tuple[str, ...] = field(default=())  # the digests of version 1 over the same entries, the header's first
    torn: bool = False
    anchors: tuple[tuple[Mapping[str, Any], int], ...] = ()
    signatures: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """The bytes of a log's files. `checkpoint`: none in a log that was never begun."""

    entries: bytes = b""
    contents: bytes = b""
    salts: bytes = b""
    tiles: tuple[bytes, ...] = ()
    checkpoint: bytes | None = None


def check_home(root: Path, keys: Keys | None = None, authorities: bytes | None = None) -> tuple[Checked, ...]:
    """Every log and every certificate under a home. Raises NotVerified."""
    folder = root / "ledger"
    logs = {p.name: check_log(p, keys, authorities) for p in sorted(folder.glob("*/")) if p.is_dir()}
    for path in sorted(folder.glob("*.jsonl")):  # not yet moved into a tree
        logs.setdefault(path.stem, check_ledger(path))
    present = {_sha(p.read_bytes()): p for p in sorted((root / "certificates").glob("*.json"))}
    for checked in logs.values():
        for digest, _ in checked.certificates:  # 7
            if digest not in present:
                raise NotVerified(f"{checked.agency}: a certificate that the ledger names is missing or was changed")
    for digest, path in present.items():
        stated = _certificate(path)
        log = logs.get(str(stated["agency"]))
        if log is None or digest not in dict(log.certificates):  # 8
            raise NotVerified(f"{path.name}: no ledger names this certificate")
        _made_on(stated["ledger"], log, dict(log.certificates)[digest], path.name)  # 7
    return tuple(logs.values())


def check_log(folder: Path, keys: Keys | None = None, authorities: bytes | None = None) -> Checked:
    """One log's folder. Raises NotVerified naming the leaf."""
    names = sorted((p for p in folder.glob("tiles/*") if FIGURES.fullmatch(p.name)), key=lambda p: int(p.name))
    if [p.name for p in names] != [str(n) for n in range(len(names))]:
        raise NotVerified(f"{folder.name}: a level of tiles is missing")
    entries, contents, salts = (_bytes_of(folder / name) or b"" for name in ("entries", "contents", "salts"))
    files = Files(entries, contents, salts, tuple(p.read_bytes() for p in names), _bytes_of(folder / "checkpoint"))
    checked = check_files(files, folder.name, keys)
    for body, before in checked.anchors:
        _anchored(folder / "anchors", body, checked.hashes[:before], keys, authorities)  # 9
    first = folder / "version-1.jsonl"
    if first.exists():
        moved = check_ledger(first, folder.name)
        if moved.hashes != checked.chain[: len(moved.hashes)]:
            raise NotVerified(f"{folder.name}: the log does not begin with the ledger of version 1 that it took in")
    return checked


def check_files(files: Files, agency: str, keys: Keys | None = None) -> Checked:
    """One log from its bytes. Raises NotVerified naming the leaf."""
    leaves, torn = _leaves(files.entries)
    size, root = _checkpoint(files.checkpoint, agency, keys)  # 1
    if files.checkpoint is None and files.entries:
        raise NotVerified(f"{agency}: there are leaves and no checkpoint")
    if size > len(leaves):  # 2
        raise NotVerified(f"{agency}: the checkpoint counts {size} leaves, and {len(leaves)} are there")
    hashes = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    if _root(hashes[:size]) != root:
        raise NotVerified(f"{agency}: the leaves do not have the root of the checkpoint")
    _tiles(hashes[:size], files.tiles, agency)
    *lines, _ = files.contents.split(b"\n")
    secret = keys.salts(agency) if keys is not None and leaves else None
    history = _Read(agency)
    entries: list[tuple[int, Mapping[str, Any] | None, bytes]] = []
    for index, leaf in enumerate(leaves):
        where = f"{agency}: leaf {index}"
        try:
            stated = _leaf(leaf, where, agency, index)  # 3
        except NotVerified:
            if index < size:
                raise
            torn, leaves = True, leaves[:index]
            break
        if index >= len(lines):
            raise NotVerified(f"{where}: its content is missing")
        if files.salts[SLOT * (index + 1) : SLOT * (index + 2)] == bytes(SLOT):
            if stated["kind"] not in FORGETTABLE:
                raise NotVerified(f"{where}: its salt was destroyed, and it says something of what is allowed")
            entries.append((stated["kind"], None, hashes[index]))
            continue
        if secret is not None:
            _commits(stated, files.salts, secret, lines[index], where)  # 4
        content = _object(lines[index], f"{where}: its content")
        history.add(stated, content, where)  # 5, 6
        entries.append((stated["kind"], content["body"], hashes[index]))
    signatures = fsck_signed.check(entries, agency)  # 10
    count = len(leaves)
    if (files.salts and files.salts[:SLOT] != SALTS) or (count and len(files.salts) < SLOT * (count + 1)):
        raise NotVerified(f"{agency}: the salts are not all there")
    return Checked(
        agency, count, _root(hashes[:count]).hex(), tuple(h.hex() for h in hashes[:count]),
        tuple(history.certificates), tuple(history.chain), torn or len(lines) > count,
        tuple(history.anchors), signatures,
    )  # fmt: skip


class _Read:
    """What the contents say, one after the other, and the digests that version 1 would have given them."""

    def __init__(self, agency: str) -> None:
        header = b'{"agency":"' + agency.encode() + b'","format":"depositaire-ledger","version":1}'
        self.chain = [_sha(header)]
        self.certificates: list[tuple[str, int]] = []
        self.anchors: list[tuple[Mapping[str, Any], int]] = []
        self._ids: dict[str, set[int]] = {}

    def add(self, leaf: Mapping[str, Any], content: Mapping[str, Any], where: str) -> None:
        if set(content) != {"body", "key"} or not isinstance(content["body"], dict):
            raise NotVerified(f"{where}: its content is not a key and a body")
        body, kind = content["body"], leaf["kind"]
        if FIELDS.get(kind) != set(body):  # 5
            raise NotVerified(f"{where}: the body is not one of its kind")
        digest = _sha(_bytes(body))
        if not all(self._ids.get(i, set()) & kinds for i, kinds in _names(body)):  # 6
            raise NotVerified(f"{where} speaks of an instruction, an obligation or a notice that was never recorded")
        if kind in PREFIXES:
            self._ids.setdefault(f"{PREFIXES[kind]}-{digest[:10]}", set()).add(kind)
        if kind == 5:
            self.certificates.append((body["certificate_sha256"], len(self.chain) - 1))
        if kind == 19:
            self.anchors.append((body, len(self.chain) - 1))
        line = {"at": leaf["at"], "body": body, "body_sha256": digest, "key": content["key"], "kind": kind,
                "line": len(self.chain), "prev": self.chain[-1]}  # fmt: skip
        self.chain.append(_sha(_bytes(line)))


def _names(body: Mapping[str, Any]) -> list[tuple[str, set[int]]]:
    """The ids that a body names, and the kinds that each may be of."""
    told = [(str(body[f]), kinds) for f, kinds in NAMED.items() if f in body]
    return told + [(str(i), NAMED["instruction"]) for i in body.get("supersedes", ())]


def _leaves(entries: bytes) -> tuple[list[bytes], bool]:
    """The whole leaves, and whether something less than one follows."""
    found, at = [], 0
    while at + 2 <= len(entries):
        length = entries[at] * 256 + entries[at + 1]
        if at + 2 + length > len(entries):
            break
        found.append(entries[at + 2 : at + 2 + length])
        at += 2 + length
    return found, at < len(entries)


def _leaf(raw: bytes, where: str, agency: str, index: int) -> dict[str, Any]:
    leaf = _object(raw, where)
    if set(leaf) != LEAF or (leaf["format"], leaf["version"]) != ("depositaire-leaf", 1):
        raise NotVerified(f"{where} does not have the fields of a leaf")
    if (leaf["agency"], leaf["index"]) != (agency, index) or type(leaf["kind"]) is not int:
        raise NotVerified(f"{where} is not of this log in its place")
    if not INSTANT.fullmatch(str(leaf["at"])) or not HEX.fullmatch(str(leaf["commitment"])):
        raise NotVerified(f"{where} does not say when it was written, or commits to nothing")
    return leaf


def _commits(leaf: Mapping[str, Any], salts: bytes, secret: bytes, content: bytes, where: str) -> None:
    begin = SLOT * (leaf["index"] + 1)
    try:
        salt = aes_key_unwrap(secret, salts[begin : begin + SLOT])
    except (InvalidUnwrap, ValueError):
        raise NotVerified(f"{where}: its salt is missing or was changed") from None
    told = b"depositaire-commitment/1\n" + salt + leaf["index"].to_bytes(8, "big") + content
    if _sha(told) != leaf["commitment"]:
        raise NotVerified(f"{where} does not commit to its content")


def _checkpoint(raw: bytes | None, agency: str, keys: Keys | None) -> tuple[int, bytes]:
    """Size and root that the checkpoint states; those of no leaves when there is none."""
    if raw is None:
        return 0, _root([])
    name = f"depositaire/{agency}/instructions"
    form = re.fullmatch(
        rf"({name}\n(0|[1-9][0-9]{{0,19}})\n([A-Za-z0-9+/]{{43}}=)\n)\n— {name} ([A-Za-z0-9+/]{{91}}=)\n",
        raw.decode(errors="replace"),
    )
    if form is None:
        raise NotVerified(f"{agency}: the checkpoint is not one of this log")
    text, size, root, signature = form[1].encode(), int(form[2]), base64.b64decode(form[3]), base64.b64decode(form[4])
    if base64.b64encode(root).decode() != form[3] or base64.b64encode(signature).decode() != form[4]:
        raise NotVerified(f"{agency}: the checkpoint is not in its one spelling")
    if keys is not None:
        identity = hashlib.sha256(name.encode() + b"\n\x01" + keys.public).digest()[:4]
        try:
            Ed25519PublicKey.from_public_bytes(keys.public).verify(signature[4:], text)
        except InvalidSignature:
            raise NotVerified(f"{agency}: the signature of the checkpoint does not hold") from None
        if signature[:4] != identity:
            raise NotVerified(f"{agency}: the checkpoint is signed by another key")
    return size, root


def _root(hashes: Sequence[bytes]) -> bytes:
    """The definition of RFC 6962 §2.1: the left side has the greatest power of two that leaves something for the
    right."""
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    left = 1
    while left * 2 < len(hashes):
        left *= 2
    return hashlib.sha256(b"\x01" + _root(hashes[:left]) + _root(hashes[left:])).digest()


def _tiles(hashes: Sequence[bytes], tiles: Sequence[bytes], agency: str) -> None:
    """Level n holds the root over each 256**n leaves."""
    level = 0
    while len(hashes) >= 256**level:
        span = 256**level
        wanted = b"".join(_root(hashes[at : at + span]) for at in range(0, len(hashes) - span + 1, span))
        if level >= len(tiles) or tiles[level][: len(wanted)] != wanted:
            raise NotVerified(f"{agency}: the tiles of level {level} are not those of the leaves")
        level += 1


# -- anchors -----------------------------------------------------------------------------------------------------------


def _anchored(
    folder: Path, stated: Mapping[str, Any], before: Sequence[str], keys: Keys | None, authorities: bytes | None
) -> None:
    """`before`: the hashes of the leaves that stood before the entry."""
    agency, name = folder.parent.name, f"anchors/{stated['size']}"
    where = f"{folder.parent.name}: {name}"
    checkpoint, response = (_bytes_of(folder.parent / f"{name}.{e}") for e in ("checkpoint", "tsr"))
    if checkpoint is None or _sha(checkpoint) != stated["checkpoint_sha256"]:
        raise NotVerified(f"{where}.checkpoint is missing or was changed")
    if response is None or _sha(response) != stated["response_sha256"]:
        raise NotVerified(f"{where}.tsr is missing or was changed")
    size, root = _checkpoint(checkpoint, agency, keys)
    if size != stated["size"] or size > len(before) or _root([bytes.fromhex(h) for h in before[:size]]) != root:
        raise NotVerified(f"{where}.checkpoint is not a head that the log had before it was stamped")
    if _stamped_at(response, checkpoint, authorities, where) != stated["stamped_at"]:
        raise NotVerified(f"{where}.tsr states another instant than the log")


def _stamped_at(response: bytes, checkpoint: bytes, authorities: bytes | None, where: str) -> str:
    """The instant of a timestamp over these bytes (RFC 3161 §2.4.2), as the log writes instants."""
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        read = decode_timestamp_response(response)
        token, granted = read.tst_info, read.status == 0
    except ValueError:
        raise NotVerified(f"{where}.tsr is not a timestamp") from None
    imprint = (token.message_imprint.hash_algorithm.dotted_string, token.message_imprint.message.hex())
    if not granted or imprint != ("2.16.840.1.101.3.4.2.1", _sha(checkpoint)):
        raise NotVerified(f"{where}.tsr is not a timestamp over that head")
    if authorities is not None:
        try:
            VerifierBuilder(roots=load_pem_x509_certificates(authorities)).build().verify_message(read, checkpoint)
        except (VerificationError, ValueError):
            raise NotVerified(f"{where}.tsr is not signed by an authority that is trusted") from None
    at: datetime = token.gen_time
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


# -- version 1 ---------------------------------------------------------------------------------------------------------


def check_ledger(path: Path, agency: str | None = None) -> Checked:
    """One ledger of version 1, a file of chained lines. Raises NotVerified naming the line."""
    *lines, tail = path.read_bytes().split(b"\n")
    agency = agency or path.stem
    header = b'{"agency":"' + agency.encode() + b'","format":"depositaire-ledger","version":1}'
    if lines and lines[0] != header:
        raise NotVerified(f"{path.name}: line 0 is not the header of this agency's ledger")
    read = _Read(agency)
    for number, text in enumerate(lines[1:], start=1):
        where = f"{path.name}: line {number}"
        line = _line(text, where, number, read.chain[-1])
        read.add(line, {"body": line["body"], "key": line["key"]}, where)
        if line["hash"] != read.chain[-1]:
            raise NotVerified(f"{where} does not have the digest that it states")
    hashes = tuple(read.chain)
    return Checked(agency, len(hashes) - 1, hashes[-1], hashes, tuple(read.certificates), hashes, bool(tail))


def _line(text: bytes, where: str, number: int, before: str) -> dict[str, Any]:
    line = _object(text, where)
    if set(line) != LINE or not isinstance(line["body"], dict):
        raise NotVerified(f"{where} does not have the fields of a line")
    if (line["line"], line["prev"]) != (number, before):
        raise NotVerified(f"{where} does not follow the line before it")
    if line["body_sha256"] != _sha(_bytes(line["body"])):
        raise NotVerified(f"{where}: the body does not have the digest that the line states")
    if not INSTANT.fullmatch(str(line["at"])):
        raise NotVerified(f"{where} does not say when it was written")
    return line


# -- certificates ------------------------------------------------------------------------------------------------------


def _certificate(path: Path) -> dict[str, Any]:
    """What a certificate states. Its own signature is the business of `ledger.certificate`."""
    try:
        stated = json.loads(path.read_bytes())
        whole = isinstance(stated["agency"], str) and set(stated["ledger"]) in ({"line", "hash"}, {"size", "root"})
    except (ValueError, RecursionError, KeyError, TypeError):
        whole = False
    if not whole:
        raise NotVerified(f"{path.name} cannot be read")
    return dict(stated)


def _made_on(head: Mapping[str, Any], log: Checked, before: int, name: str) -> None:
    """The head that a certificate states was the log's when no more than `before` leaves stood."""
    if "line" in head:
        holds = head["hash"] in log.chain[: before + 1]
    else:
        size = head["size"]
        holds = type(size) is int and 0 <= size <= before
        holds = holds and _root([bytes.fromhex(h) for h in log.hashes[:size]]).hex() == head["root"]
    if not holds:
        raise NotVerified(f"{name}: it was made on another ledger than the one here")


# -- bytes -------------------------------------------------------------------------------------------------------------


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


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
