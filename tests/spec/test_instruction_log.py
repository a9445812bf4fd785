"""The instruction log, from the examples of the standards it keeps: RFC 6962, RFC 9162, RFC 8032, and the C2SP
specifications of signed notes, checkpoints and tiles; and timestamps of RFC 3161. Each file of vectors names its
source."""

import json
import re
from base64 import b64decode
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.canonical import canonical, instant, parse, read_instant
from ledger.checkpoint import Checkpoint, ed25519_holds, read_checkpoint, verify_note
from ledger.commitment import verify_commitment
from ledger.deeds import Anchored
from ledger.entry import KINDS, Withdrawal
from ledger.leaf import Leaf, origin
from ledger.note import parse_note
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tiles import Bundle, Tile, decode_bundle, encode_bundle, grow, parse_path, tiles
from ledger.timestamp import stamped_digest, trusted, verify
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode

VECTORS = Path(__file__).parent.parent / "vectors"
PAGE = Path(__file__).parent.parent.parent / "docs" / "specs" / "instruction-log.md"
FOLDERS = ("rfc3161", "rfc6962", "rfc8032", "rfc9162", "signed_note", "tlog_checkpoint", "tlog_tiles")


def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return found


def cases(name: str, part: str = "cases") -> list[Any]:
    """The cases of a file, each under the name it has there."""
    named = vectors(name)[part]
    assert len({c["name"] for c in named}) == len(named)
    return [pytest.param(c, id=c["name"]) for c in named]


def hashes(proof: list[str] | None) -> list[bytes] | None:
    return None if proof is None else [bytes.fromhex(p) for p in proof]


def test_every_file_of_vectors_names_its_source() -> None:
    for folder in FOLDERS:
        names = [file.name for file in (VECTORS / folder).iterdir()]
        assert names
        for name in names:
            assert vectors(f"{folder}/{name}")["source"].split()[0] in {"RFC", "C2SP"}


def test_hashes_and_roots_are_those_that_certificate_transparency_publishes() -> None:
    known = vectors("rfc6962/roots.json")
    tree = Tree()
    roots = [tree.root().hex()]
    for leaf in known["leaves"]:
        tree.append(leaf_hash(bytes.fromhex(leaf)))
        roots.append(tree.root().hex())
    assert [tree.node(0, n).hex() for n in range(tree.size)] == known["leaf_hashes"]
    assert roots == known["roots"]
    assert roots[0] == EMPTY_ROOT.hex() == sha256(b"").hexdigest()


def test_the_tree_of_seven_leaves_in_the_rfc_has_the_proofs_that_the_rfc_lists() -> None:
    known = vectors("rfc6962/example.json")
    node = {letter: bytes.fromhex(h) for letter, h in known["nodes"].items()}
    tree = Tree(leaf_hash(leaf.encode()) for leaf in known["leaves"])
    for size, root in known["roots"].items():
        assert tree.root(int(size)).hex() == root
    for index, letters in known["inclusion"].items():
        proof = tree.inclusion(int(index))
        assert proof == [node[letter] for letter in letters.split()]
        verify_inclusion(tree.node(0, int(index)), int(index), 7, proof, tree.root())
    for size, letters in known["consistency"].items():
        proof = tree.consistency(int(size))
        assert proof == [node[letter] for letter in letters.split()]
        verify_consistency(int(size), 7, proof, tree.root(int(size)), tree.root())


@pytest.mark.parametrize("case", cases("rfc9162/inclusion.json"))
def test_an_inclusion_proof_holds_or_is_refused(case: dict[str, Any]) -> None:
    claim = (
        bytes.fromhex(case["leaf_hash"]), case["index"], case["size"], hashes(case["proof"]),
        bytes.fromhex(case["root"]),
    )  # fmt: skip
    if case["holds"]:
        verify_inclusion(*claim)
    else:
        with pytest.raises(NotVerified):
            verify_inclusion(*claim)


@pytest.mark.parametrize("case", cases("rfc9162/consistency.json"))
def test_a_consistency_proof_holds_or_is_refused(case: dict[str, Any]) -> None:
    claim = (
        case["size1"], case["size2"], hashes(case["proof"]), bytes.fromhex(case["root1"]),
        bytes.fromhex(case["root2"]),
    )  # fmt: skip
    if case["holds"]:
        verify_consistency(*claim)
    else:
        with pytest.raises(NotVerified):
            verify_consistency(*claim)


@pytest.mark.parametrize("case", cases("rfc8032/ed25519.json", "signed"))
def test_signing_gives_the_signatures_of_the_rfc(case: dict[str, Any]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["secret"]))
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert key.public_key().public_bytes_raw().hex() == case["public"]
    assert key.sign(message) == signature
    assert ed25519_holds(bytes.fromhex(case["public"]), message, signature)


@pytest.mark.parametrize("case", cases("rfc8032/ed25519.json"))
def test_a_signature_holds_or_is_refused(case: dict[str, Any]) -> None:
    public, message, signature = (bytes.fromhex(case[part]) for part in ("public", "message", "signature"))
    assert ed25519_holds(public, message, signature) is case["holds"]


@pytest.mark.parametrize("form", ["bytes", "text"])
@pytest.mark.parametrize("case", cases("signed_note/notes.json") + cases("tlog_checkpoint/checkpoints.json", "notes"))
def test_a_note_is_verified_or_refused(case: dict[str, Any], form: str) -> None:
    raw = bytes.fromhex(case["note_hex"]) if "note_hex" in case else case["note"].encode()
    # Bytes that are no text are given as the text that they would be taken for.
    note = raw if form == "bytes" else raw.decode("utf-8", "surrogateescape")
    if case["holds"]:
        verify_note(note, case["keys"])
    else:
        with pytest.raises(NotVerified):
            verify_note(note, case["keys"])


@pytest.mark.parametrize("case", cases("tlog_checkpoint/checkpoints.json"))
def test_a_checkpoint_states_three_things_or_is_refused(case: dict[str, Any]) -> None:
    text, states = case["text"].encode(), case["states"]
    if states is None:
        with pytest.raises(Malformed):
            Checkpoint.parse(text)
        return
    read = Checkpoint.parse(text)
    assert (read.origin, read.size, read.root.hex(), list(read.extension)) == tuple(states.values())
    assert read.text == text


def test_the_example_of_a_cosigned_checkpoint_reads_back_as_it_is_printed() -> None:
    printed = vectors("tlog_checkpoint/checkpoints.json")["notes"][-1]["note"].encode()
    note = parse_note(printed)
    assert note.raw == printed
    assert [s.name for s in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert int.from_bytes(note.signatures[1].raw[:8], "big") == 1679315147  # the instant in the specification


def test_tiles_have_the_paths_of_the_specification() -> None:
    for path, level, index, width in vectors("tlog_tiles/tiles.json")["paths"]:
        place = Bundle(index, width) if level is None else Tile(level, index, width)
        assert place.path == path
        assert parse_path(path) == place


@pytest.mark.parametrize("path", vectors("tlog_tiles/tiles.json")["not_paths"])
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(Malformed):
        parse_path(path)


@pytest.mark.parametrize("tree", vectors("tlog_tiles/tiles.json")["sizes"], ids=lambda tree: tree["size"])
def test_a_tree_has_the_full_and_partial_tiles_of_the_specification(tree: dict[str, Any]) -> None:
    found: dict[int, list[Tile]] = {}
    for tile in tiles(tree["size"]):
        found.setdefault(tile.level, []).append(tile)
    levels = []
    for level, row in found.items():
        assert [t.index for t in row] == list(range(len(row)))
        assert all(t.width == 256 for t in row[:-1])
        partial = row[-1].width % 256
        levels.append([level, len(row) - bool(partial), partial])
    assert levels == tree["levels"]


def test_a_bundle_is_its_leaves_each_after_its_length() -> None:
    for bundle in vectors("tlog_tiles/tiles.json")["bundles"]:
        leaves = tuple(bytes.fromhex(leaf) for leaf in bundle["leaves"])
        assert encode_bundle(leaves).hex() == bundle["raw"]
        assert decode_bundle(bytes.fromhex(bundle["raw"]), len(leaves)) == leaves


@pytest.mark.parametrize("bundle", cases("tlog_tiles/tiles.json", "not_bundles"))
def test_a_bundle_that_is_not_its_leaves_is_refused(bundle: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_bundle(bytes.fromhex(bundle["raw"]), bundle["width"])


def test_tiles_hold_the_hashes_of_the_leaves_and_of_full_tiles_below() -> None:
    known = vectors("tlog_tiles/tiles.json")["tree"]
    leaves = [leaf_hash(f"leaf {n}".encode()) for n in range(known["size"])]
    written = grow(0, leaves, lambda tile: b"")
    assert {tile.path: sha256(raw).hexdigest() for tile, raw in written.items()} == known["tiles"]
    assert Tree(leaves).root().hex() == known["root"]


def page() -> dict[str, str]:
    """The examples of docs/specs/instruction-log.md by their names, without the last newline of each."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"```text (\S+)\n(.*?)\n```", text, re.DOTALL))


def decoded(proof: str) -> list[bytes]:
    return [b64decode(line) for line in proof.split("\n")]


def four_leaves() -> list[bytes]:
    return [page()[f"leaf-{n}"].encode() for n in range(4)]


def test_the_leaf_on_the_page_commits_to_the_content_beside_it() -> None:
    example = page()
    content = parse(example["content-2"].encode())
    commitment = bytes.fromhex(example["commitment-2"])
    verify_commitment(commitment, bytes.fromhex(example["salt-2"]), 2, content)
    at = read_instant(content["body"]["recorded_at"])
    assert Leaf(AgencyCode("A0003"), 2, at, KINDS[Withdrawal], commitment).raw == four_leaves()[2]
    assert [Leaf.parse(leaf).index for leaf in four_leaves()] == [0, 1, 2, 3]


def test_the_tree_on_the_page_is_that_of_its_leaves() -> None:
    tree = Tree(map(leaf_hash, four_leaves()[:3]))
    drawn = [line.split()[-1] for line in page()["tree"].split("\n")]
    assert drawn == [h.hex() for h in (tree.root(), tree.node(1, 0), *(tree.node(0, n) for n in range(3)))]


def test_the_checkpoints_on_the_page_are_signed_by_the_key_beside_them() -> None:
    example = page()
    tree = Tree(map(leaf_hash, four_leaves()))
    for size in (3, 4):
        head = read_checkpoint(example[f"checkpoint-{size}"] + "\n", origin(AgencyCode("A0003")), example["key"])
        assert (head.size, head.root) == (size, tree.root(size))


def test_the_cosignature_on_the_page_is_made_by_the_witness_beside_it() -> None:
    example = page()
    witnessed = f"{example['checkpoint-3']}\n{example['cosignature']}\n"
    verify_note(witnessed, example["witness-key"])
    verify_note(witnessed, [example["key"], example["witness-key"]])
    assert int.from_bytes(parse_note(witnessed).signatures[1].raw[:8], "big") == 1770033600
    with pytest.raises(NotVerified):
        verify_note(f"{example['checkpoint-4']}\n{example['cosignature']}\n", example["witness-key"])


def test_the_proofs_on_the_page_hold() -> None:
    example = page()
    tree = Tree(map(leaf_hash, four_leaves()))
    for index in (0, 2):
        proof = decoded(example[f"inclusion-{index}"])
        assert proof == tree.inclusion(index, 3)
        verify_inclusion(leaf_hash(four_leaves()[index]), index, 3, proof, tree.root(3))
    proof = decoded(example["consistency-3-4"])
    assert proof == tree.consistency(3, 4)
    verify_consistency(3, 4, proof, tree.root(3), tree.root(4))


def test_the_bundle_on_the_page_begins_with_the_length_of_its_first_leaf() -> None:
    assert encode_bundle(four_leaves()[:3]).hex().startswith(page()["bundle-begins"])


@pytest.mark.parametrize("case", cases("rfc3161/timestamps.json"))
def test_a_timestamp_states_an_instant_or_is_refused(case: dict[str, Any]) -> None:
    nonce = None if case["nonce"] is None else int(case["nonce"])
    claim = (b64decode(case["response"]), case["checkpoint"].encode(), trusted(case["trust"].encode()))
    if case["states"] is None:
        with pytest.raises(NotVerified):
            verify(*claim, nonce, case["policy"])
        return
    told = asdict(verify(*claim, nonce, case["policy"]))
    assert told | {"stamped_at": instant(told["stamped_at"])} == case["states"]


def test_the_anchor_on_the_page_is_that_of_the_checkpoint_and_the_timestamp_of_the_vectors() -> None:
    example, case = page(), vectors("rfc3161/timestamps.json")["cases"][0]
    checkpoint, response = f"{example['checkpoint-3']}\n".encode(), b64decode(case["response"])
    assert checkpoint == case["checkpoint"].encode()
    assert sha256(checkpoint).hexdigest() == example["stamped-digest-3"] == stamped_digest(response).hex()
    stamp = verify(response, checkpoint, trusted(case["trust"].encode()))
    anchored = Anchored(
        size=3, checkpoint_sha256=sha256(checkpoint).hexdigest(), response_sha256=stamp.response_sha256,
        authority="autorite-exemple", stamped_at=stamp.stamped_at,
    )  # fmt: skip
    assert canonical({"body": anchored.body(), "key": "anchor:3"}).decode() == example["anchor-3"]
    assert f"The answer, {len(response)} bytes of DER" in PAGE.read_text(encoding="utf-8")
