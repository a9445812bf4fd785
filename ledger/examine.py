"""Whether an evidence pack holds, decided with our own code. `ledger.standalone.verify` decides it without.

To believe a pack we must know that
1. it is a zip in its one spelling, and its manifest, in its one spelling too, names each file with its digest;
2. each leaf is in its one spelling, of this agency and in its place;
3. each content and salt that is shown is what its leaf commits to, and is a whole entry of the leaf's kind;
4. what a content names stands before it, unless something there is not shown;
5. the leaves have the root that the checkpoint states, and the proof of each older checkpoint leads to it;
6. each erasure has its certificate, each certificate its erasure; it was made on a head that the log had before;
7. checkpoints and manifest are signed by the log's key, which is the one expected when the reader knows which;
8. each timestamp is one that the log names;
9. each signature of a passkey holds for the leaf before it.
"""

import io
import json
import zipfile
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ledger import certificate
from ledger.canonical import canonical, parse, sha256
from ledger.chain import LineHead, chain
from ledger.checkpoint import read_checkpoint, verify_note
from ledger.commitment import commit_bytes
from ledger.deeds import Anchored, Fulfilled, Handed
from ledger.entry import KINDS, Entry, Erased, Head, History, Instruction, Line, Receipt, Withdrawal, entry_of
from ledger.evidence import FORMAT, MANIFEST, NOTE, PAPERS, VERSION, proof, spelled, vouched, zipped
from ledger.leaf import Leaf, origin
from ledger.note import ED25519, Key, parse_note
from ledger.orders import Acknowledgement, Answer, Given, InfringementNotice, LegalNotice, LegalObligation
from ledger.passkeys import Passkeys
from ledger.proofs import verify_consistency
from ledger.stored import split
from ledger.tiles import encode_leaf
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code

ASK = "Ask for the pack again, and keep this one as evidence."
OF_THE_LOG = ("log/checkpoint", "log/contents.jsonl", "log/entries", "log/key.txt", "log/salts.jsonl")
_HEAD = ("format", "version", "agency", "made_at", "size", "root", "key", "files")
_GIVEN: tuple[type, ...] = (Instruction, Given)
_KINDS = {number: kind for kind, number in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Examined:
    """A pack that holds. `history`: what is shown of it; `hidden`: how many contents are withheld or destroyed;
    `stamps`: timestamps that the log names, whose authority was not asked; `key`: what signed it;
    `signed`: how many entries a passkey signed."""

    history: History
    hidden: int
    certificates: int
    stamps: int
    made_at: str
    key: str
    files: Mapping[str, bytes]
    signed: int = 0


def examine(raw: bytes, key: str | None = None) -> Examined:
    """The pack, once all of it holds. Raises NotVerified and nothing else, whatever it is given.

    `key`: the verifier key expected; None: that of the pack itself, which shows that nothing was changed since somebody
    signed it.
    """
    try:
        files, manifest = _opened(raw)  # 1
        return _examined(files, manifest, key)
    except Malformed as no:
        raise NotVerified(no.what, ASK) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotVerified("this is not a whole evidence pack", ASK) from None


def _opened(raw: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files = {i.filename: archive.read(i) for i in archive.infolist() if i.compress_type == zipfile.ZIP_STORED}
    except Exception:  # noqa: BLE001 - the library has many words for one thing
        raise NotVerified("the zip is damaged", ASK) from None
    if zipped(files) != raw:
        raise NotVerified("the zip holds more than its files, or one twice", ASK)
    missing = {MANIFEST, NOTE, *PAPERS, *OF_THE_LOG} - set(files)
    if missing:
        raise NotVerified(f"{min(missing)} is missing", ASK)
    manifest = json.loads(files[MANIFEST])
    if spelled(manifest) != files[MANIFEST] or tuple(manifest) != _HEAD:
        raise NotVerified("the manifest is not written as one", ASK)
    if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
        raise NotVerified("this is not a pack of a known version", "Use the version that made it.")
    digests = {name: sha256(files[name]) for name in sorted(files) if name not in (MANIFEST, NOTE)}
    if list(manifest["files"].items()) != list(digests.items()):
        raise NotVerified("a file was changed, added or taken out", ASK)
    return files, manifest


def _examined(files: Mapping[str, bytes], manifest: Mapping[str, Any], key: str | None) -> Examined:
    agency = agency_code(manifest["agency"])
    raws = split(files["log/entries"])
    if b"".join(encode_leaf(r) for r in raws) != files["log/entries"]:
        raise NotVerified("the leaves do not end with a whole one", ASK)
    leaves = [_leaf(raw, agency, n) for n, raw in enumerate(raws)]  # 2
    lines = _lines(leaves, raws, files)  # 3
    _references(leaves, lines)  # 4
    tree = Tree(leaf_hash(raw) for raw in raws)
    history = History(agency, Head(tree.size, tree.root()), tuple(lines.values()))
    if canonical({"size": manifest["size"], "root": manifest["root"]}) != canonical(
        {"size": tree.size, "root": tree.root().hex()}
    ):
        raise NotVerified("the leaves do not have the root of the manifest", ASK)
    signing = Passkeys.of(history)  # 9
    if signing.broken:
        number, why = min(signing.broken.items())
        raise NotVerified(f"leaf {number - 1}: {why}", ASK)
    certificates = _certificates(files, history, tree)  # 6
    verifier = str(Key.parse(manifest["key"]))
    if files["log/key.txt"] != f"{verifier}\n".encode() or (key is not None and key != verifier):  # 7
        raise NotVerified("the pack is signed by another key than the one expected", "Keep it as evidence.")
    stated = read_checkpoint(files["log/checkpoint"], origin(agency), verifier)  # 5
    if Head(stated.size, stated.root) != history.head:
        raise NotVerified("the leaves do not have the root that was signed", ASK)
    _vouched(files, agency, Key.parse(verifier).public)
    stamps = _anchors(files, history, tree, verifier)  # 5, 8
    hidden = len(leaves) - len(lines)
    return Examined(
        history, hidden, certificates, stamps, manifest["made_at"], verifier, files, len(signing.signers)
    )  # fmt: skip


def _leaf(raw: bytes, agency: AgencyCode, index: int) -> Leaf:
    leaf = Leaf.parse(raw)
    if (leaf.agency, leaf.index) != (agency, index):
        raise NotVerified(f"leaf {index} is not a leaf of this log in its place", ASK)
    return leaf


def _lines(leaves: Sequence[Leaf], raws: Sequence[bytes], files: Mapping[str, bytes]) -> dict[int, Line]:
    """By place, the entries whose content is shown."""
    contents, salts = (files[f"log/{name}.jsonl"].split(b"\n") for name in ("contents", "salts"))
    if contents.pop() or salts.pop() or not len(contents) == len(salts) == len(leaves):
        raise NotVerified("a content or a salt is missing or too many", ASK)
    found = {}
    for n, leaf in enumerate(leaves):
        if contents[n] == salts[n] == b"null":
            continue
        salt = bytes.fromhex(json.loads(salts[n]))
        if salts[n] != f'"{salt.hex()}"'.encode() or commit_bytes(salt, n, contents[n]) != leaf.commitment:
            raise NotVerified(f"leaf {n} does not commit to the content that stands for it", ASK)
        said = parse(contents[n])
        if set(said) != {"body", "key"} or not isinstance(said["key"], str | None):
            raise NotVerified(f"the content of leaf {n} is not a body and a key", ASK)
        found[n] = Line(n + 1, leaf.at, entry_of(leaf.kind, said["body"]), leaf_hash(raws[n]).hex(), said["key"])
    return found


def _names(entry: Entry) -> list[tuple[str, tuple[type, ...]]]:
    """The ids that an entry names, and what each may be."""
    match entry:
        case Withdrawal() | Acknowledgement() | InfringementNotice() | Fulfilled():
            return [(entry.instruction, _GIVEN)]
        case LegalNotice():
            return [(entry.obligation, (LegalObligation,))]
        case Answer():
            return [(entry.notice, (InfringementNotice,))]
        case Receipt() | Handed():
            return [(i, (*_GIVEN, LegalObligation)) for i in entry.instructions]
        case Given():
            return [(i, _GIVEN) for i in entry.supersedes]
        case _:
            return []


def _references(leaves: Sequence[Leaf], lines: Mapping[int, Line]) -> None:
    seen: dict[str, Entry] = {}
    unread: set[type] = set()
    for n, leaf in enumerate(leaves):
        if n not in lines:
            unread.add(_KINDS[leaf.kind])
            continue
        entry = lines[n].entry
        for named, kinds in _names(entry):
            there = named in seen and isinstance(seen[named], kinds)
            if not there and not any(issubclass(kind, kinds) for kind in unread):
                raise NotVerified(f"leaf {n} names an entry that does not stand before it", ASK)
        if identity := getattr(entry, "id", None):
            seen[identity] = entry


def _certificates(files: Mapping[str, bytes], history: History, tree: Tree) -> int:
    there = {sha256(raw): raw for name, raw in files.items() if name.startswith("certificates/")}
    erased = [(v.number - 1, v.entry.certificate_sha256) for v in history.lines if isinstance(v.entry, Erased)]
    if {digest for _, digest in erased} != set(there):
        raise NotVerified("an erasure has no certificate, or a certificate no erasure", ASK)
    for index, digest in erased:
        certificate.verify(there[digest])
        stated = certificate.parse(there[digest])
        if stated.agency != history.agency or not _was_head(stated.ledger, history, tree, index):
            raise NotVerified("a certificate was made on another log than this one", ASK)
    return len(erased)


def _was_head(head: Head | LineHead, history: History, tree: Tree, before: int) -> bool:
    """Whether this was the log's head when it had no more than `before` leaves."""
    if isinstance(head, Head):
        return head.size <= before and tree.root(head.size) == head.root
    first = history.lines[:before]
    if any(line.number != n + 1 for n, line in enumerate(first)):
        return True  # a digest of version 1 is over all contents, and one of them is not shown
    return head in {found for found, _ in chain(history.agency, first)}


def _vouched(files: Mapping[str, bytes], agency: AgencyCode, public: bytes) -> None:
    name = vouched(agency)
    verify_note(files[NOTE], str(Key.of(name, ED25519, public)))
    if parse_note(files[NOTE]).text != f"{name}\n{sha256(files[MANIFEST])}\n".encode():
        raise NotVerified("the signature is over another manifest", ASK)


def _anchors(files: Mapping[str, bytes], history: History, tree: Tree, verifier: str) -> int:
    told = {(e.size, e.checkpoint_sha256, e.response_sha256) for e in history.entries if isinstance(e, Anchored)}
    stems = {PurePath(f).stem for f in files if f.startswith(("anchors/", "log/kept/"))}
    for stem in stems:
        note, response = files[f"log/kept/{stem}.checkpoint"], files[f"anchors/{stem}.tsr"]
        if (int(stem), sha256(note), sha256(response)) not in told:
            raise NotVerified(f"the log does not name timestamp {stem}", ASK)
        kept = read_checkpoint(note, origin(history.agency), verifier)
        hashes = [_hash(line) for line in files[f"log/kept/{stem}.proof"].split(b"\n")[:-1]]
        if files[f"log/kept/{stem}.proof"] != proof(tree, kept.size) or kept.size != int(stem):
            raise NotVerified(f"the proof of checkpoint {stem} is not that of this log", ASK)
        if kept.size:
            verify_consistency(kept.size, tree.size, hashes, kept.root, tree.root())
        elif kept.root != EMPTY_ROOT:
            raise NotVerified("the head of an empty log states a root of something", ASK)
    return len(stems)


def _hash(line: bytes) -> bytes:
    return b64decode(line, validate=True)
