"""How long an evidence pack takes: to make, and to check with either verifier.

    python -m benchmarks.evidence [LEAVES …]        by default 1000 and 10000

Each leaf is the receipt of a delivery, as most leaves of a real log are. The disk is left out.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import evidence
from ledger.canonical import canonical, sha256
from ledger.checkpoint import sign_checkpoint
from ledger.commitment import commit_bytes
from ledger.entry import KINDS, Head, History, Line, Receipt, body_of
from ledger.evidence import PAPERS, Opened, Papers
from ledger.examine import examine
from ledger.leaf import Leaf
from ledger.standalone.verify import check
from ledger.stored import checkpoint_of
from ledger.tree import Tree, leaf_hash
from schemas.ids import AgencyCode
from schemas.report import Counts

CODE = AgencyCode("A0003")
AT = datetime(2026, 1, 5, 3, 30, tzinfo=UTC)


def opened(count: int, key: Ed25519PrivateKey) -> Opened:
    """A log of so many receipts, laid open."""
    tables = {"COPROPRIETAIRES.CSV": Counts(read=12, stored=9, unchanged=3), "LOTS.CSV": Counts(read=40, unchanged=40)}
    entries = [
        Receipt(f"SDGI_A0003_{n:08}.zip", "sdgi", "ab" * 32, "accepted", None, tables, (), "sdgi 1.4", "0.1.0", f"r{n}")
        for n in range(count)
    ]
    salts = tuple(bytes.fromhex(sha256(b"%d" % n)) for n in range(count))
    contents = tuple(canonical({"body": body_of(e), "key": f"receipt:{n}"}) for n, e in enumerate(entries))
    leaves = tuple(
        Leaf(CODE, n, AT + timedelta(hours=n), KINDS[Receipt], commit_bytes(salts[n], n, contents[n])).raw
        for n in range(count)
    )
    tree = Tree(leaf_hash(leaf) for leaf in leaves)
    head = Head(count, tree.root())
    lines = tuple(Line(n + 1, AT, e, leaf_hash(leaves[n]).hex(), f"receipt:{n}") for n, e in enumerate(entries))
    checkpoint = sign_checkpoint(checkpoint_of(CODE, head), key)
    return Opened(checkpoint, leaves, contents, salts, History(CODE, head, lines))


def timed(work: Callable[[], object]) -> float:
    """The fastest of three, in seconds."""
    spent = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begin)
    return min(spent)


def main(sizes: list[int]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    papers = Papers(dict.fromkeys(PAPERS, b"-\n"))
    print(f"{'leaves':>8} {'MB':>7} {'pack s':>8} {'ours s':>8} {'verify.py s':>12}")
    for size in sizes:
        log = opened(size, key)
        raw = evidence.pack(log, (), papers, AT, key)
        packing = timed(partial(evidence.pack, log, (), papers, AT, key))
        ours = timed(partial(examine, raw))
        theirs = timed(partial(check, raw))
        print(f"{size:>8,} {len(raw) / 1e6:>7.1f} {packing:>8.2f} {ours:>8.2f} {theirs:>12.2f}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000, 10_000])
