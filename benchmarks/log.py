"""What the instruction log costs: appending, proving, verifying, and asking what is allowed.

    python -m benchmarks.log [LEAVES …]        by default 1000, 10000, 100000 and 1000000

Proofs are made from tiles, as the log keeps them, held in memory; they are compared with the logarithm of the size.
Appending is compared with a floor: the same bytes written to one file, on disk before they count.
"""

import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger.entry import Entry, Instruction, Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.minting import mint
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tiles import WIDTH, Tile, TiledTree, perfect_root
from ledger.tree import HASH_BYTES, consistency_proof, inclusion_proof, leaf_hash, root_of
from schemas.capability import Act
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose
from schemas.report import Counts
from store.keys import create_root, open_root

CODE = AgencyCode("A0003")
AT = datetime(2026, 1, 5, tzinfo=UTC)
PROOFS = 200


def levels(count: int) -> list[bytes]:
    """The tiles of a tree of so many leaves, level by level."""
    row = [leaf_hash(b"%d" % n) for n in range(count)]
    found = [b"".join(row)]
    while len(row) >= WIDTH:
        row = [perfect_root(row[at : at + WIDTH]) for at in range(0, len(row) - WIDTH + 1, WIDTH)]
        found.append(b"".join(row))
    return found


def proofs(count: int) -> tuple[float, float, float]:
    """Microseconds to make an inclusion and a consistency proof, and to verify both; and how many hashes they have."""
    stored = levels(count)

    def read(tile: Tile) -> bytes:
        at = tile.index * WIDTH * HASH_BYTES
        return stored[tile.level][at : at + tile.width * HASH_BYTES]

    chosen = random.Random(count).sample(range(1, count), PROOFS)
    root = root_of(TiledTree(count, read).node, count)
    begin = time.perf_counter()
    made = []
    for n in chosen:
        nodes = TiledTree(count, read).node  # each proof finds its tiles anew
        made.append((n, inclusion_proof(nodes, n, count), consistency_proof(nodes, n, count), root_of(nodes, n)))
    making = time.perf_counter() - begin
    begin = time.perf_counter()
    for n, inclusion, consistency, old in made:
        verify_inclusion(stored[0][n * HASH_BYTES : (n + 1) * HASH_BYTES], n, count, inclusion, root)
        verify_consistency(n, count, consistency, old, root)
    verifying = time.perf_counter() - begin
    hashes = sum(len(i) + len(c) for _, i, c, _ in made) / PROOFS
    return making / PROOFS * 1e6, verifying / PROOFS * 1e6, hashes


def receipt(n: int) -> Receipt:
    counts = {"COPROPRIETAIRES.CSV": Counts(read=12, stored=9, unchanged=3)}
    return Receipt(f"SDGI_A0003_{n:08}.zip", "sdgi", "ab" * 32, "accepted", None, counts, (), "sdgi 1.4", "0.1.0", "r")


def begun(folder: str) -> Log:
    home = Home.at(Path(folder))
    create_root(home)
    log = Log.at(home, CODE, LogKeys(home, open_root(home)))
    everything = Instruction(CODE, AGENCY_SYSTEMS, ("*",), (Purpose.EXTRANET,), AT, None, "ANNEXE-2026", "gerance", AT)
    log.append(everything, AT)
    return log


def appending() -> None:
    """Leaves a second: alone, 250 at a time, and the floor."""
    with tempfile.TemporaryDirectory() as folder:
        log = begun(folder)
        alone = 300 / timed(lambda: [log.append(receipt(n), AT) for n in range(300)])
        batch: list[tuple[Entry, str | None]] = [(receipt(n), f"receipt:{n}") for n in range(250)]
        together = 250 / timed(lambda: log.append_all(batch, AT))
        raw = b"x" * (sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) // 551)
        with (Path(folder) / "floor").open("ab", buffering=0) as file:

            def write() -> None:
                for _ in range(300):
                    file.write(raw)
                    os.fsync(file.fileno())

            floor = 300 / timed(write)
    print(f"appends a second: alone {alone:,.0f} · 250 at a time {together:,.0f} · floor, one fsync each {floor:,.0f}")


def asking(count: int) -> tuple[float, float, float]:
    """Milliseconds to mint a capability from a log of receipts, to confirm it, and to read everything."""
    with tempfile.TemporaryDirectory() as folder:
        log = begun(folder)
        for first in range(0, count, 1000):
            log.append_all([(receipt(n), None) for n in range(first, min(first + 1000, count))], AT)
        later = AT + timedelta(days=1)
        minting = timed(lambda: mint(log.read(receipts=False), Act.SYNCHRONISE, later))
        return minting * 1e3, timed(log.head) * 1e3, timed(log.read) * 1e3


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main(sizes: list[int]) -> None:
    appending()
    print(f"{'leaves':>10} {'prove µs':>9} {'verify µs':>10} {'hashes':>7} {'µs a log2':>10}")
    for size in sizes:
        making, verifying, hashes = proofs(size)
        print(f"{size:>10,} {making:>9.0f} {verifying:>10.0f} {hashes:>7.1f} {verifying / math.log2(size):>10.2f}")
    print(f"{'leaves':>10} {'mint ms':>9} {'confirm ms':>11} {'read all ms':>12}")
    for size in (s for s in sizes if s <= 10_000):
        minting, confirming, reading = asking(size)
        print(f"{size:>10,} {minting:>9.1f} {confirming:>11.2f} {reading:>12.0f}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000, 1_000_000])
