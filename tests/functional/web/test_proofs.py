"""What a browser checks a log with, checked here by the same rules."""

from base64 import b64decode
from typing import Any

import pytest

from ledger.canonical import parse
from ledger.checkpoint import read_checkpoint
from ledger.commitment import verify_commitment
from ledger.leaf import Leaf
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import Tree, leaf_hash
from schemas.access import Role
from tests.functional.web.conftest import Browser, Door


@pytest.fixture(scope="module")
def auditor(standing: Door) -> Browser:
    return standing.person(Role.AUDITOR, "A0001", "proofs@agence.example").browser


def get(browser: Browser, path: str) -> Any:
    answer = browser.get(f"/a/A0001/log/{path}")
    assert answer.status_code == 200, path
    return answer.json()


def test_every_entry_is_proved_to_be_in_the_signed_tree_and_opens_its_leaf(auditor: Browser, door: Door) -> None:
    given = get(auditor, "checkpoint")
    head = read_checkpoint(given["note"].encode(), "depositaire/A0001/instructions", [given["key"]])
    assert (given["origin"], given["size"]) == ("depositaire/A0001/instructions", head.size)
    proved = get(auditor, f"entries?first=0&count={head.size}&size={head.size}")["entries"]
    assert [p["index"] for p in proved] == list(range(head.size))
    for p in proved:
        raw = p["leaf"].encode()
        verify_inclusion(leaf_hash(raw), p["index"], head.size, [b64decode(h) for h in p["proof"]], head.root)
        leaf = Leaf.parse(raw)
        verify_commitment(leaf.commitment, bytes.fromhex(p["salt"]), leaf.index, parse(p["content"].encode()))


def test_today_is_proved_to_begin_with_any_day_before(auditor: Browser, door: Door) -> None:
    size = get(auditor, "checkpoint")["size"]
    tree = Tree(leaf_hash(p["leaf"].encode()) for p in get(auditor, f"entries?first=0&count={size}")["entries"])
    for first in range(1, size + 1):
        c = get(auditor, f"consistency?first={first}")
        proof = [b64decode(h) for h in c["proof"]]
        verify_consistency(first, c["second"], proof, tree.root(first), tree.root(size))
        assert c["second"] == size


@pytest.mark.parametrize(
    "path",
    ["entries?first=999", "entries?first=2&size=2", "entries?first=0&size=999", "entries", "entries?first=0&count=0",
     "entries?first=0&count=201", "consistency?first=999", "consistency?first=3&second=2", "consistency?first=x"],
)  # fmt: skip
def test_what_the_log_does_not_have_is_not_there(auditor: Browser, door: Door, path: str) -> None:
    assert auditor.get(f"/a/A0001/log/{path}").status_code == 404
