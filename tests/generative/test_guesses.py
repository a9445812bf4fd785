"""A leaf whose salt is destroyed says nothing more: a million guesses confirm none, the true content among them.

The guesser has every file of the log and the key that wraps its salts, which is more than anybody keeps. What he does
not have is 32 bytes that are nowhere any more (`ledger.commitment`; GDPR 5(1)(e), 17; EDPB 02/2025).
"""

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, combinations, product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from ledger.canonical import canonical
from ledger.commitment import SALT_BYTES, TAG, commit_bytes
from ledger.entry import Instruction, body_of
from ledger.keys import LogKeys
from ledger.leaf import Leaf
from ledger.log import Log
from ledger.salts import SLOT_BYTES, Destroyed, Kept, Salts
from ledger.stored import split
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose
from store.keys import create_root, open_root

CODE = AgencyCode("A0001")
AT = dt.datetime(2026, 1, 5, 3, 30, tzinfo=dt.UTC)
GUESSES = 1_000_000
LEAVES = 60
TABLES = ("*", "person", "contact", "lot")


def _instruction(systems: tuple[System, ...], table: str, reference: str) -> Instruction:
    return Instruction(CODE, systems, (table,), (Purpose.EXTRANET,), AT, None, reference, "gérance", AT)


def candidates() -> list[bytes]:
    """Everything that a leaf of this log can say: so few that all of it can be tried."""
    some = chain.from_iterable(combinations(AGENCY_SYSTEMS, n) for n in range(1, 5))
    every = product(some, TABLES, ("ANNEXE-1", "ANNEXE-2"))
    return [canonical({"body": body_of(_instruction(*said)), "key": None}) for said in every]


@dataclass(frozen=True)
class Told:
    """A log, its leaves, and what only a test may remember: the true content and the true salt of each leaf."""

    log: Path
    key: bytes
    leaves: tuple[Leaf, ...]
    contents: tuple[bytes, ...]
    salts: tuple[bytes, ...]

    def kept(self) -> Salts:
        return Salts(self.log / "salts", self.key)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    home = Home.at(tmp_path / "home")
    create_root(home)
    keys = LogKeys(home, open_root(home))
    log = Log.at(home, CODE, keys)
    rng = random.Random(7)
    systems = [(s,) for s in AGENCY_SYSTEMS] + [AGENCY_SYSTEMS]
    said = [_instruction(rng.choice(systems), rng.choice(TABLES), "ANNEXE-1") for _ in range(LEAVES)]
    log.append_all([(entry, None) for entry in said], AT)
    leaves = tuple(Leaf.parse(raw) for raw in split((log.path / "entries").read_bytes()))
    salts = Salts(log.path / "salts", keys.of_salts(CODE))
    found = [salts.find(leaf.index) for leaf in leaves]
    contents = tuple(canonical({"body": body_of(entry), "key": None}) for entry in said)
    kept = tuple(salt.salt for salt in found if isinstance(salt, Kept))
    return Told(log.path, keys.of_salts(CODE), leaves, contents, kept)


def confirmed(told: Told, indices: list[int], salt: bytes, content: bytes) -> list[int]:
    """The leaves that this salt and this content would explain."""
    return [n for n in indices if _commitment(salt, n, content) == told.leaves[n].commitment]


def _commitment(salt: bytes, index: int, content: bytes) -> bytes:
    """As `commit_bytes` makes it; salts that it would refuse to make one with are tried all the same."""
    return (
        commit_bytes(salt, index, content) if any(salt) else sha256(TAG + salt + index.to_bytes(8) + content).digest()
    )


def left_on_disk(told: Told) -> Iterator[bytes]:
    """Every 32 bytes in a row of every file, and what every 40 in a row are once the key has unwrapped them."""
    for path in sorted(p for p in told.log.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        yield from (raw[n : n + SALT_BYTES] for n in range(len(raw) - SALT_BYTES + 1))
        for n in range(len(raw) - SLOT_BYTES + 1):
            try:
                yield aes_key_unwrap(told.key, raw[n : n + SLOT_BYTES])
            except InvalidUnwrap:
                continue


def unlike_any(told: Told, gone: list[int], rng: random.Random) -> Iterator[bytes]:
    """Salts without end: those of other leaves, what lies near them, and chance."""
    yield from (bytes(SALT_BYTES), b"\xff" * SALT_BYTES, told.key)
    yield from (told.salts[n] for n in range(LEAVES) if n not in gone)
    yield from (leaf.commitment for leaf in told.leaves)
    yield from (sha256(leaf.raw).digest() for leaf in told.leaves)
    while True:
        yield rng.randbytes(SALT_BYTES)


def test_before_its_salt_is_destroyed_a_leaf_is_confirmed_by_the_true_content_and_salt_alone(told: Told) -> None:
    every = list(range(LEAVES))
    for n in every:
        assert confirmed(told, every, told.salts[n], told.contents[n]) == [n]
        assert sum(bool(confirmed(told, [n], told.salts[n], content)) for content in candidates()) == 1
    found = {salt for salt in left_on_disk(told) if salt in told.salts}
    assert found == set(told.salts), "the search of the files finds what is there"


def test_of_a_million_guesses_after_the_salts_are_destroyed_none_is_confirmed(told: Told) -> None:
    gone = list(range(0, LEAVES, 3))
    for n in gone:
        assert isinstance(told.kept().destroy(n), Destroyed)
        assert isinstance(told.kept().find(n), Destroyed)
    contents, rng, tried = candidates(), random.Random(11), 0
    assert {told.contents[n] for n in gone} <= set(contents), "the truth is among what is tried"
    for salt in left_on_disk(told):
        for n in gone:
            assert _commitment(salt, n, told.contents[n]) != told.leaves[n].commitment
            tried += 1
    for salt in unlike_any(told, gone, rng):
        for content in contents:
            assert not confirmed(told, [gone[tried % len(gone)]], salt, content)
            tried += 1
        for n in gone:
            assert not confirmed(told, [n], salt, told.contents[n])
            tried += 1
        if tried >= GUESSES:
            break
    assert tried >= GUESSES


def test_the_leaves_that_keep_their_salts_are_confirmed_after_the_others_cannot_be(told: Told) -> None:
    for n in range(0, LEAVES, 2):
        told.kept().destroy(n)
    for n in range(1, LEAVES, 2):
        assert told.kept().find(n) == Kept(told.salts[n])
        assert confirmed(told, [n], told.salts[n], told.contents[n]) == [n]
