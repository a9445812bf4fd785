"""The evidence pack of one agency: its whole log, and all that is needed to check it on a laptop without a network.

A zip of files that are stored, sorted and undated, so that the same facts give the same bytes. docs/specs/evidence.md
shows one. Pure: a log's files go in, a pack's bytes come out. `ledger.standalone.verify` checks it and shares no code
with this; `ledger.examine` checks it with ours. Sources: GDPR 28(3)(h), 5(2); R46, R50.
"""

import io
import json
import re
import zipfile
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.canonical import canonical, instant, sha256
from ledger.checkpoint import sign_note, verifier_key
from ledger.deeds import Anchored
from ledger.entry import Erased, History, Line, body_of
from ledger.leaf import origin
from ledger.orders import LegalNotice, LegalObligation
from ledger.salts import Kept, in_bytes
from ledger.stored import Keys, Stored, hold, split
from ledger.tiles import encode_leaf
from ledger.tree import Tree, leaf_hash
from schemas.errors import NotVerified
from schemas.ids import AgencyCode

FORMAT = "depositaire-evidence"
VERSION = 1
MANIFEST, NOTE = "manifest.json", "manifest.note"
# What every pack has beside the log: (name in the pack) whoever makes it brings these.
PAPERS = ("README.txt", "lineage.json", "resume.pdf", "summary.json", "verify.py")
# What packs have since they say their provenance; one that was made before has none, and holds.
ADDED = ("prov.json",)

_UNDATED = (1980, 1, 1, 0, 0, 0)
_CERTIFICATE = re.compile(r"[A-Z0-9]{5}-\d{8}(-\d+)?\.json")


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that holds, laid open: a salt and a content for each leaf."""

    checkpoint: bytes
    leaves: tuple[bytes, ...]
    contents: tuple[bytes, ...]
    salts: tuple[bytes, ...]
    history: History

    @classmethod
    def of(cls, stored: Stored, agency: AgencyCode, keys: Keys) -> "Opened":
        """Raises NotVerified for a log that does not hold, or whose checkpoint does not cover all its leaves."""
        held = hold(stored, agency, keys)
        if stored.checkpoint is None or held.stated != held.head:
            raise NotVerified("the log has leaves that no checkpoint covers", "Write or read the log, then try again.")
        size = held.head.size
        found = [in_bytes(stored.salts, keys.salts, n) for n in range(size)]
        # `hold` has found every one of them, but those that may be destroyed and are.
        salts = tuple(s.salt if isinstance(s, Kept) else b"" for s in found)
        lines = stored.contents.split(b"\n")[:size]
        contents = tuple(line if salt else b"" for line, salt in zip(lines, salts, strict=True))
        leaves = tuple(split(stored.entries)[:size])
        return cls(
            stored.checkpoint, leaves, contents, salts, History(agency, held.head, held.lines, held.hashes)
        )  # fmt: skip

    @property
    def destroyed(self) -> frozenset[int]:
        """Leaves of which nobody can tell any more what they say."""
        return frozenset(n for n, salt in enumerate(self.salts) if not salt)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint as it was stamped, and the whole response of the authority of time (RFC 3161, DER)."""

    checkpoint: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Papers:
    """What goes into a pack beside the log. `anchors` by the size of the stamped head, `certificates` by file name,
    `others`: the files of `PAPERS`
    and `ADDED`."""

    others: Mapping[str, bytes]
    anchors: Mapping[int, Anchor] = field(default_factory=dict)
    certificates: Mapping[str, bytes] = field(default_factory=dict)


def withheld(lines: Sequence[Line], before: datetime) -> frozenset[int]:
    """Places of the entries that the agency may not be shown yet (R50): a sealed notice until it is released, the
    obligation that it is about, and whatever names one of them.

    An obligation of which no notice stands yet is withheld too: it may still have to be sealed, and what was shown once
    cannot be taken back. Nothing else in the log tells what they say; that there is one, the kind of the leaf does.
    """
    return secrets(lines, before)[0]


def secrets(lines: Sequence[Line], before: datetime) -> tuple[frozenset[int], frozenset[bytes]]:
    """The places that are `withheld`, and the ids that nothing that is shown may name."""
    entries = [line.entry for line in lines]
    notices = [e for e in entries if isinstance(e, LegalNotice)]
    sealed = {n.id: n.obligation for n in notices if n.sealed and (n.released_from is None or before < n.released_from)}
    told = {n.obligation for n in notices if n.id not in sealed} - set(sealed.values())
    waiting = {e.id for e in entries if isinstance(e, LegalObligation) and e.id not in told}
    secret = {i.encode() for i in (*sealed, *sealed.values(), *waiting)}
    bodies = {line.number - 1: canonical({"body": body_of(line.entry), "key": line.key}) for line in lines}
    ids = {line.number - 1: getattr(line.entry, "id", "").encode() for line in lines}
    hidden: set[int] = set()
    while True:
        found = {n for n, body in bodies.items() if ids[n] in secret or any(i in body for i in secret)}
        if found == hidden:
            return frozenset(hidden), frozenset(secret)
        hidden = found
        secret |= {ids[n] for n in found if ids[n]}


def shown(history: History, hidden: Collection[int]) -> History:
    """The history as far as the agency may read it: what is withheld is left out."""
    lines = tuple(v for v in history.lines if v.number - 1 not in hidden)
    return History(history.agency, history.head, lines, history.leaves)


def named_anchors(history: History, found: Mapping[int, Anchor]) -> dict[int, Anchor]:
    """Those of the anchors found that the log names, byte for byte. Another may be half written, or not of this log."""
    told = {(e.size, e.checkpoint_sha256, e.response_sha256) for e in history.entries if isinstance(e, Anchored)}
    return {n: a for n, a in sorted(found.items()) if (n, sha256(a.checkpoint), sha256(a.response)) in told}


def named_certificates(history: History, found: Mapping[str, bytes]) -> dict[str, bytes]:
    """The certificates that the log names. Raises NotVerified when one of them is not there."""
    told = {e.certificate_sha256 for e in history.entries if isinstance(e, Erased)}
    kept = {sha256(raw): name for name, raw in sorted(found.items()) if _CERTIFICATE.fullmatch(name)}
    if not told <= set(kept):
        raise NotVerified("a certificate that the log names is missing", "Restore HOME/certificates from a copy.")
    return {kept[digest]: found[kept[digest]] for digest in told}


def pack(opened: Opened, hidden: Collection[int], papers: Papers, at: datetime, key: Ed25519PrivateKey) -> bytes:
    """The bytes of a pack. `hidden`: leaves whose content and salt are left out; `at`: as of when; `key`: the logs'."""
    agency = opened.history.agency
    verifier = str(verifier_key(origin(agency), key))
    files = {name: papers.others[name] for name in (*PAPERS, *ADDED) if name in papers.others} | {
        "log/checkpoint": opened.checkpoint,
        "log/entries": b"".join(encode_leaf(leaf) for leaf in opened.leaves),
        "log/contents.jsonl": _lines(b"null" if n in hidden else c for n, c in enumerate(opened.contents)),
        "log/salts.jsonl": _lines(
            b"null" if n in hidden else f'"{s.hex()}"'.encode() for n, s in enumerate(opened.salts)
        ),
        "log/key.txt": f"{verifier}\n".encode(),
    }
    files |= {f"certificates/{name}": raw for name, raw in papers.certificates.items()}
    tree = Tree(leaf_hash(leaf) for leaf in opened.leaves)
    for size, anchor in papers.anchors.items():
        files[f"anchors/{size}.tsr"] = anchor.response
        files[f"log/kept/{size}.checkpoint"] = anchor.checkpoint
        files[f"log/kept/{size}.proof"] = proof(tree, size)
    head = {"agency": agency, "made_at": instant(at), "size": tree.size, "root": tree.root().hex(), "key": verifier}
    return sealed(head, files, key)


def sealed(head: Mapping[str, object], files: Mapping[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """The zip of these files with a manifest that names them, signed."""
    digests = {name: sha256(files[name]) for name in sorted(files)}
    manifest = spelled({"format": FORMAT, "version": VERSION, **head, "files": digests})
    name = vouched(AgencyCode(str(head["agency"])))
    note = sign_note(f"{name}\n{sha256(manifest)}\n".encode(), name, key)
    return zipped({**files, MANIFEST: manifest, NOTE: note})


def spelled(content: Mapping[str, object]) -> bytes:
    """The one spelling of a pack's own JSON files: for people, in the order given."""
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def vouched(agency: AgencyCode) -> str:
    """The name under which a manifest is signed: that of no log, so that it passes for no checkpoint."""
    return f"depositaire/{agency}/evidence"


def proof(tree: Tree, size: int) -> bytes:
    """That the log only grew since it had `size` leaves, a hash a line in base64. Every log extends the empty one."""
    return b"".join(b64encode(h) + b"\n" for h in (tree.consistency(size) if size else ()))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The one zip of these files: stored, sorted, undated, readable by everyone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _UNDATED)
            member.create_system, member.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is made
            archive.writestr(member, files[name])
    return out.getvalue()


def _lines(texts: Iterable[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in texts)
