"""Whatever is done to an evidence pack is found by both verifiers; what its own signer could do later is found by
the log, or by a checkpoint that somebody kept."""

import ast
import dataclasses
import datetime as dt
import io
import json
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import evidence
from ledger.canonical import canonical, sha256
from ledger.checkpoint import sign_checkpoint, sign_note
from ledger.commitment import commit_bytes
from ledger.deeds import Anchored, Handed
from ledger.entry import KINDS, Entry, Erased, Head, History, Line, Window, body_of
from ledger.evidence import Anchor, Opened, Papers, sealed, withheld, zipped
from ledger.examine import examine
from ledger.leaf import Leaf
from ledger.orders import LegalNotice
from ledger.standalone import verify as standalone
from ledger.standalone.verify import Broken, check
from ledger.stored import checkpoint_of, split
from ledger.tiles import encode_leaf
from ledger.tree import Tree, leaf_hash
from schemas.errors import NotVerified
from tests.functional.cli.test_evidence import members
from tests.unit.ledger.conftest import AT, instruction
from tests.unit.ledger.made import CODE
from tests.unit.ledger.orders_made import every_deed, every_order, notice_of, obligation, sealed_notice_of

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHERS = {name: f"{name} of a test\n".encode() for name in evidence.PAPERS}
OF_THE_LOG = ("log/entries", "log/contents.jsonl", "log/salts.jsonl", "log/checkpoint")
VERIFIER = Path(standalone.__file__)


def opened(entries: list[Entry], key: Ed25519PrivateKey = KEY) -> Opened:
    """A log of these entries, laid open, without the disk."""
    salts = tuple(sha256(b"salt %d" % n).encode()[:32] for n in range(len(entries)))
    contents = tuple(canonical({"body": body_of(e), "key": f"key {n}"}) for n, e in enumerate(entries))
    leaves = tuple(
        Leaf(CODE, n, AT, KINDS[type(e)], commit_bytes(salts[n], n, contents[n])).raw for n, e in enumerate(entries)
    )
    tree = Tree(leaf_hash(leaf) for leaf in leaves)
    head = Head(tree.size, tree.root())
    lines = tuple(Line(n + 1, AT, e, leaf_hash(leaves[n]).hex(), f"key {n}") for n, e in enumerate(entries))
    return Opened(sign_checkpoint(checkpoint_of(CODE, head), key), leaves, contents, salts, History(CODE, head, lines))


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


def entries(count: int) -> list[Entry]:
    """Orders of every kind first, the rest windows."""
    orders = list(every_order())
    return [*orders, *(window(n) for n in range(count - len(orders)))]


def pack(count: int = 40, anchored: bool = True) -> bytes:
    made: list[Entry] = entries(count - anchored)
    papers = Papers(OTHERS)
    if anchored:
        kept = opened(made[:17])
        anchor = Anchor(kept.checkpoint, b"a response of an authority")
        made.append(
            Anchored(
                size=17, checkpoint_sha256=sha256(anchor.checkpoint), response_sha256=sha256(anchor.response),
                authority="autorite-exemple", stamped_at=AT,
            )
        )  # fmt: skip
        papers = Papers(OTHERS, {17: anchor})
    return evidence.pack(opened(made), (), papers, AT, KEY)


def refused(raw: bytes, key: str | None = None) -> tuple[bool, bool]:
    """Whether our own code and the stand-alone verifier refuse it."""
    ours = theirs = False
    try:
        examine(raw, key)
    except NotVerified:
        ours = True
    try:
        check(raw, key or "")
    except Broken:
        theirs = True
    return ours, theirs


def forged(files: dict[str, bytes], key: Ed25519PrivateKey = KEY) -> bytes:
    """The files with a manifest made anew, and signed: what only the processor itself could do."""
    manifest = json.loads(files["manifest.json"])
    head = {f: manifest[f] for f in ("agency", "made_at", "size", "root", "key")}
    return sealed(head, {n: raw for n, raw in files.items() if not n.startswith("manifest.")}, key)


def changed(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes((raw[at] ^ (1, 0x20, 0x80)[at % 3],)) + raw[at + 1 :]


@pytest.fixture(scope="module")
def whole() -> bytes:
    return pack()


def test_a_pack_as_it_is_made_holds_by_both(whole: bytes) -> None:
    assert refused(whole) == (False, False)
    assert (examine(whole).stamps, examine(whole).hidden, examine(whole).history.head.size) == (1, 0, 40)


def test_any_key_can_sign_whatever_its_base64_looks_like() -> None:
    for seed in range(40):
        key = Ed25519PrivateKey.from_private_bytes(bytes((seed,)) * 32)
        assert refused(evidence.pack(opened([instruction()], key), (), Papers(OTHERS), AT, key)) == (False, False)


def test_an_empty_log_can_be_packed() -> None:
    assert refused(evidence.pack(opened([]), (), Papers(OTHERS), AT, KEY)) == (False, False)


def test_a_changed_byte_anywhere_in_the_file_is_found_by_both(whole: bytes) -> None:
    for at in random.Random(1).sample(range(len(whole)), 1_500):
        assert refused(changed(whole, at)) == (True, True), at


@pytest.mark.parametrize("name", [*OF_THE_LOG, "log/key.txt", "log/kept/17.checkpoint", "anchors/17.tsr"])
def test_a_changed_byte_is_found_by_both_though_the_manifest_was_made_and_signed_anew(whole: bytes, name: str) -> None:
    files = members(whole)
    places = range(len(files[name]))
    for at in random.Random(2).sample(places, min(len(places), 150)):
        assert refused(forged({**files, name: changed(files[name], at)})) == (True, True), (name, at)


def test_a_changed_proof_is_found_by_our_own_code_though_the_manifest_was_made_anew(whole: bytes) -> None:
    files = members(whole)
    assert files["log/kept/17.proof"]
    assert refused(forged({**files, "log/kept/17.proof": changed(files["log/kept/17.proof"], 3)}))[0]


def leaves_of(files: dict[str, bytes]) -> list[bytes]:
    return split(files["log/entries"])


def rearranged(files: dict[str, bytes], order: Callable[[list[int]], list[int]]) -> bytes:
    """The leaves, contents and salts in another order, the manifest signed anew."""
    leaves = leaves_of(files)
    places = order(list(range(len(leaves))))
    lines = {n: files[f"log/{n}.jsonl"].splitlines(keepends=True) for n in ("contents", "salts")}
    moved = {f"log/{n}.jsonl": b"".join(of[p] for p in places) for n, of in lines.items()}
    return forged({**files, **moved, "log/entries": b"".join(encode_leaf(leaves[p]) for p in places)})


REARRANGED: dict[str, Callable[[list[int]], list[int]]] = {
    "the last leaf is taken out": lambda n: n[:-1],
    "a leaf in the middle is taken out": lambda n: n[:20] + n[21:],
    "two leaves are swapped": lambda n: [*n[:5], n[6], n[5], *n[7:]],
    "a leaf is there twice": lambda n: [*n, n[-1]],
    "the log is cut in half": lambda n: n[:20],
    "all is gone": lambda n: [],
}


@pytest.mark.parametrize("order", REARRANGED.values(), ids=REARRANGED.keys())
def test_leaves_taken_out_swapped_or_replayed_are_found_by_both(
    whole: bytes, order: Callable[[list[int]], list[int]]
) -> None:
    assert refused(rearranged(members(whole), order)) == (True, True)


def test_files_taken_out_added_or_doubled_and_a_torn_file_are_found_by_both(whole: bytes) -> None:
    files = members(whole)
    for name in files:
        fewer = {n: raw for n, raw in files.items() if n != name}
        assert refused(zipped(fewer)) == (True, True), name
    for name in OF_THE_LOG:
        assert refused(forged({n: raw for n, raw in files.items() if n != name})) == (True, True), name
    assert refused(zipped({**files, "more.txt": b"more"})) == (True, True)
    assert refused(forged({**files, "certificates/A0003-20260114.json": b"{}"})) == (True, True)
    assert refused(forged({**files, "anchors/18.tsr": b"stamp"})) == (True, True)
    for raw in (b"", b"PK", whole[:-1], whole + b" ", b" " + whole, whole + whole, whole[: len(whole) // 2]):
        assert refused(raw) == (True, True)
    assert refused(twice(files, "summary.json")) == (True, True)


def twice(files: dict[str, bytes], name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in [*sorted(files), name]:
            member = zipfile.ZipInfo(each, (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, files[each])
    return out.getvalue()


def test_a_head_that_another_key_signed_anew_is_found_when_the_key_is_known_and_by_a_checkpoint_that_was_kept(
    whole: bytes,
) -> None:
    key = examine(whole).key
    kept = members(whole)["log/checkpoint"]
    foreign = evidence.pack(opened(entries(40), FOREIGN), (), Papers(OTHERS), AT, FOREIGN)
    assert refused(foreign) == (False, False), "without the key, only that nothing was changed since"
    assert refused(foreign, key) == (True, True)
    assert refused(forged(members(foreign), KEY)) == (True, True)
    fork = evidence.pack(opened([*entries(39), window(99)]), (), Papers(OTHERS), AT, KEY)
    assert refused(fork, key) == (False, False), "signed by the log's own key: one head shows no fork"
    with pytest.raises(Broken, match="prolonge"):
        check(fork, key, since=kept)


def test_what_is_withheld_can_be_proved_and_not_read() -> None:
    owed = obligation()
    made: list[Entry] = [instruction(), owed, sealed_notice_of(owed.id), window(1)]
    log = opened(made)
    hidden = withheld(log.history.lines, AT)
    assert hidden == {1, 2}
    raw = evidence.pack(log, hidden, Papers(OTHERS), AT, KEY)
    assert refused(raw) == (False, False)
    assert examine(raw).hidden == 2
    assert "2 contents are withheld by law or destroyed" in check(raw, lang="en")
    assert owed.law.encode() not in raw
    released = next(e for e in made if isinstance(e, LegalNotice)).released_from
    assert released is not None
    assert withheld(log.history.lines, released) == frozenset()
    assert withheld(log.history.lines, released - dt.timedelta(seconds=1)) == {1, 2}


def test_an_obligation_waits_for_its_notice_before_it_is_shown_and_whatever_names_a_sealed_one_stays_closed() -> None:
    owed = obligation()
    assert withheld(opened([owed]).history.lines, AT) == {0}
    assert withheld(opened([owed, notice_of(owed.id)]).history.lines, AT) == frozenset()
    handed = every_deed()[1]
    assert isinstance(handed, Handed)
    handed = dataclasses.replace(handed, instructions=(owed.id,))
    assert withheld(opened([owed, sealed_notice_of(owed.id), handed]).history.lines, AT) == {0, 1, 2}


def test_a_content_that_names_what_is_not_there_is_found_by_both() -> None:
    first = every_order()[0]
    orders = [e for e in every_order() if e is not first]
    raw = evidence.pack(opened([*orders[1:]]), (), Papers(OTHERS), AT, KEY)
    assert refused(raw) == (True, True)


def test_a_last_leaf_that_says_it_is_longer_than_the_file_is_found_by_both(whole: bytes) -> None:
    files = members(whole)
    entries, at = files["log/entries"], 0
    while (after := at + 2 + int.from_bytes(entries[at : at + 2], "big")) < len(entries):
        at = after
    longer = entries[:at] + b"\x7f" + entries[at + 1 :]
    assert refused(forged({**files, "log/entries": longer})) == (True, True)


@pytest.mark.soak
def test_every_changed_byte_of_the_log_of_a_thousand_leaves_is_found_by_both() -> None:
    raw = pack(1_000)
    for name in OF_THE_LOG:
        begin = raw.index(members(raw)[name])
        for at in range(begin, begin + len(members(raw)[name])):
            assert refused(changed(raw, at)) == (True, True), (name, at)


@pytest.mark.soak
def test_every_changed_byte_of_the_log_is_found_by_both_though_the_manifest_was_made_anew(whole: bytes) -> None:
    files = members(whole)
    for name in OF_THE_LOG:
        for at in range(len(files[name])):
            assert refused(forged({**files, name: changed(files[name], at)})) == (True, True), (name, at)


def test_the_stand_alone_verifier_is_one_page_of_the_standard_library_of_python_3_9() -> None:
    text = VERIFIER.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 370  # it was 300 before it checked signatures of passkeys
    tree = ast.parse(text, feature_version=(3, 9))
    assert set(imports(tree)) <= sys.stdlib_module_names
    assert len(list(imports(tree))) > 10


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]


AUTHORITY = """\
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
crypto_device = builtin
[ca]
basicConstraints = critical,CA:TRUE
[stamping]
extendedKeyUsage = critical,timeStamping
"""


def authority(folder: Path, message: bytes) -> tuple[bytes, bytes]:
    """A response over a message, by an authority of time made for the test, and its certificate."""
    (folder / "conf").write_text(AUTHORITY.format(folder=folder))
    (folder / "message").write_bytes(message)

    def run(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True).stdout

    run("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650",
        "-subj", "/CN=ca.example")  # fmt: skip
    run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj",
        "/CN=tsa.example")  # fmt: skip
    run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem",
        "-days", "3650", "-extfile", "conf", "-extensions", "stamping")  # fmt: skip
    run("ts", "-query", "-data", "message", "-sha256", "-cert", "-out", "query")
    run("ts", "-reply", "-config", "conf", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-chain",
        "ca.pem", "-out", "reply")  # fmt: skip
    return (folder / "reply").read_bytes(), (folder / "ca.pem").read_bytes()


def test_a_timestamp_holds_with_the_certificates_of_its_authority_and_with_no_other(tmp_path: Path) -> None:
    made: list[Entry] = entries(20)
    kept = opened(made).checkpoint
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    reply, ca = authority(tmp_path / "one", kept)
    _, foreign = authority(tmp_path / "other", kept)
    text = subprocess.run(["openssl", "ts", "-reply", "-in", "reply", "-text"], cwd=tmp_path / "one",
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    stated = next(v.split(": ", 1)[1] for v in text.splitlines() if v.startswith("Time stamp:"))
    at = dt.datetime.strptime(stated, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=dt.UTC)

    def stamped(instant: dt.datetime) -> bytes:
        deed = Anchored(size=20, checkpoint_sha256=sha256(kept), response_sha256=sha256(reply), authority="exemple",
                        stamped_at=instant)  # fmt: skip
        return evidence.pack(opened([*made, deed]), (), Papers(OTHERS, {20: Anchor(kept, reply)}), AT, KEY)

    assert "1 timestamps, verified if --tsa-ca" in check(stamped(at), tsa_ca=ca, lang="en")
    for raw, given in ((stamped(at), foreign), (stamped(at + dt.timedelta(seconds=1)), ca), (stamped(at), b"nothing")):
        with pytest.raises(Broken, match="does not hold with --tsa-ca"):
            check(raw, tsa_ca=given, lang="en")


def resigned(files: dict[str, bytes], leaves: list[bytes]) -> bytes:
    """These leaves under a head and a manifest that the log's own key signed: what only the processor could do."""
    tree = Tree(leaf_hash(leaf) for leaf in leaves)
    checkpoint = sign_checkpoint(checkpoint_of(CODE, Head(tree.size, tree.root())), KEY)
    head = {"agency": CODE, "made_at": "2026-01-05T03:30:00Z", "size": tree.size, "root": tree.root().hex(),
            "key": files["log/key.txt"].decode().strip()}  # fmt: skip
    others = {n: raw for n, raw in files.items() if not n.startswith("manifest.")}
    written = {"log/entries": b"".join(encode_leaf(leaf) for leaf in leaves), "log/checkpoint": checkpoint}
    return sealed(head, others | written, KEY)


LEAVES: dict[str, Callable[[bytes], bytes]] = {
    "of another agency": lambda leaf: leaf.replace(b"A0003", b"A0002"),
    "in another place": lambda leaf: leaf.replace(b'"index":3,', b'"index":4,'),
    "in another spelling": lambda leaf: leaf.replace(b'"index":3,', b'"index": 3,'),
    "of another version": lambda leaf: leaf.replace(b'"version":1', b'"version":2'),
    "of no instant": lambda leaf: leaf.replace(b"2026-01-05T03", b"2026-01-05 03"),
}


@pytest.mark.parametrize("change", LEAVES.values(), ids=LEAVES.keys())
def test_a_leaf_that_is_none_of_this_log_is_found_by_both_though_the_logs_own_key_signed_it(
    change: Callable[[bytes], bytes],
) -> None:
    files = members(pack(20, anchored=False))
    leaves = leaves_of(files)
    assert refused(resigned(files, leaves)) == (False, False)
    leaves[3] = change(leaves[3])
    assert refused(resigned(files, leaves)) == (True, True)


def test_a_manifest_in_another_spelling_or_signed_for_another_is_found_by_both(whole: bytes) -> None:
    files = members(whole)
    other = members(pack(20, anchored=False))
    assert refused(zipped({**files, "manifest.note": other["manifest.note"]})) == (True, True)
    name = evidence.vouched(CODE)
    spelled = files["manifest.json"].replace(b'"version": 1', b'"version":  1')
    note = sign_note(f"{name}\n{sha256(spelled)}\n".encode(), name, KEY)
    assert refused(zipped({**files, "manifest.json": spelled, "manifest.note": note})) == (True, True)


def test_a_stamped_head_of_another_log_is_found_by_both_though_the_log_names_it() -> None:
    kept = opened([window(n) for n in range(17)]).checkpoint
    deed = Anchored(size=17, checkpoint_sha256=sha256(kept), response_sha256=sha256(b"r"), authority="exemple",
                    stamped_at=AT)  # fmt: skip
    raw = evidence.pack(opened([*entries(20), deed]), (), Papers(OTHERS, {17: Anchor(kept, b"r")}), AT, KEY)
    assert refused(raw) == (True, True)


VECTOR = Path(__file__).parents[1] / "vectors" / "certificate-2" / "A0003-20260114.json"


@pytest.mark.parametrize(
    "old", [b"", b'"found": 0', b'"agency": "A0003"'], ids=["other log", "changed", "other agency"]
)
def test_a_certificate_that_was_changed_or_made_on_another_log_is_found_by_both(old: bytes) -> None:
    raw = VECTOR.read_bytes()
    raw = raw.replace(old, old.replace(b"0", b"1"), 1) if old else raw
    erased = Erased(dt.date(2026, 1, 6), AT, sha256(raw))
    papers = Papers(OTHERS, certificates={VECTOR.name: raw})
    assert refused(evidence.pack(opened([*entries(20), erased]), (), papers, AT, KEY)) == (True, True)
