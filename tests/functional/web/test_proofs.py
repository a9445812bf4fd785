"""What a browser checks a log with, checked here by the same rules."""

from base64 import b64decode
from typing import Any

import pytest

from ledger.canonical import parse
from ledger.checkpoint import read_checkpoint
from ledger.commitment import verify_commitment
from ledger.leaf import Leaf
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import leaf_hash
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
    numbers = "&".join(f"number={n}" for n in range(1, head.size + 1))
    proved = get(auditor, f"proofs?{numbers}&size={head.size}")["entries"]
    assert [p["number"] for p in proved] == list(range(1, head.size + 1))
    for p in proved:
        raw = b64decode(p["leaf"])
        verify_inclusion(leaf_hash(raw), p["index"], head.size, [b64decode(h) for h in p["proof"]], head.root)
        leaf = Leaf.parse(raw)
        verify_commitment(leaf.commitment, b64decode(p["salt"]), leaf.index, parse(b64decode(p["content"])))


def test_today_is_proved_to_begin_with_any_day_before(auditor: Browser, door: Door) -> None:
    size = get(auditor, "checkpoint")["size"]
    for first in range(1, size + 1):
        c = get(auditor, f"consistency?first={first}")
        roots = b64decode(c["first_root"]), b64decode(c["second_root"])
        verify_consistency(first, c["second"], [b64decode(h) for h in c["proof"]], *roots)
        assert c["second"] == size


@pytest.mark.parametrize(
    "path",
    ["proofs?number=0", "proofs?number=999", "proofs?number=2&size=1", "proofs?number=1&size=999", "proofs",
     "consistency?first=0", "consistency?first=999", "consistency?first=3&second=2", "consistency?first=x"],
)  # fmt: skip
def test_what_the_log_does_not_have_is_not_there(auditor: Browser, door: Door, path: str) -> None:
    assert auditor.get(f"/a/A0001/log/{path}").status_code == 404


def test_fifty_proofs_at_once_and_no_more(auditor: Browser, door: Door) -> None:
    numbers = "&".join("number=1" for _ in range(51))
    assert auditor.get(f"/a/A0001/log/proofs?{numbers}").status_code == 404
