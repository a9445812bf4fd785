"""Whatever is done to a log's files is found: by the reader, by the checker that shares no code with it, and, where the
files are in themselves a log as it was or as it might have been, by a checkpoint that somebody kept."""

import dataclasses
import datetime as dt
import itertools
import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from ledger import fsck
from ledger.entry import Head, Window
from ledger.keys import LogKeys
from ledger.leaf import Leaf
from ledger.log import Log
from ledger.salts import SLOT_BYTES
from ledger.stored import Keys, Stored, hold, split
from ledger.tiles import encode_leaf
from ledger.tree import HASH_BYTES
from ledger.witness import verify_since
from schemas.errors import NotVerified
from tests.unit.ledger.conftest import AT
from tests.unit.ledger.made import CODE, as_files, fsck_keys, keys_at, log_at, reading_keys, write_stored

FILES = ("checkpoint", "entries", "contents", "salts", "tiles")


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


@dataclasses.dataclass(frozen=True)
class Made:
    """A log, its bytes, and what each kind of reader needs to know."""

    log: Log
    stored: Stored
    keys: LogKeys
    reading: Keys
    checking: fsck.Keys

    @classmethod
    def of(cls, root: Path, count: int) -> "Made":
        log = log_at(root)
        log.append_all([(window(n), f"key {n}") for n in range(count)], AT)
        keys = keys_at(root)
        # The keys are read once: what is tried here is what the files show.
        checking = fsck_keys(keys)
        secret = checking.salts(CODE)
        checking = fsck.Keys(checking.public, lambda _: secret)
        return cls(log, Stored.load(log.path), keys, reading_keys(keys), checking)

    def is_read(self, stored: Stored) -> bool:
        try:
            hold(stored, CODE, self.reading)
        except NotVerified:
            return False
        return True

    def is_checked(self, stored: Stored) -> bool:
        try:
            fsck.check_files(as_files(stored), CODE, self.checking)
        except NotVerified:
            return False
        return True


@pytest.fixture(autouse=True)
def _spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves whose bytes are the same are taken apart once, not once for each of a hundred thousand changes."""
    monkeypatch.setattr("ledger.stored.Leaf.parse", lru_cache(4000)(Leaf.parse))


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made.of(tmp_path_factory.mktemp("sixty"), 60)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made.of(tmp_path_factory.mktemp("thousand"), 1000)


def with_file(stored: Stored, name: str, raw: bytes) -> Stored:
    if name == "tiles":  # all levels, one after the other
        sizes = [len(level) for level in stored.tiles]
        ends = list(itertools.accumulate(sizes))
        levels = tuple(raw[end - size : end] for size, end in zip(sizes, ends, strict=True))
        return dataclasses.replace(stored, tiles=(*levels[:-1], raw[ends[-1] - sizes[-1] :]))
    kept: dict[str, Any] = {name: raw}
    return dataclasses.replace(stored, **kept)


def file_of(stored: Stored, name: str) -> bytes:
    return b"".join(stored.tiles) if name == "tiles" else getattr(stored, name) or b""


def changed_bytes(stored: Stored, name: str, part: slice = slice(None)) -> Iterator[tuple[int, Stored]]:
    whole = file_of(stored, name)
    for n in range(len(whole))[part]:
        changed = bytearray(whole)
        changed[n] ^= (0x01, 0x20, 0x80)[n % 3]
        yield n, with_file(stored, name, bytes(changed))


def records(stored: Stored, name: str) -> list[bytes]:
    """A file as the things it is made of."""
    raw = file_of(stored, name)
    match name:
        case "entries":
            return [encode_leaf(leaf) for leaf in split(raw)]
        case "contents" | "checkpoint":
            return raw.splitlines(keepends=True)
        case _:
            width = SLOT_BYTES if name == "salts" else HASH_BYTES
            return [raw[at : at + width] for at in range(0, len(raw), width)]


def moved_records(stored: Stored, name: str) -> Iterator[tuple[str, Stored]]:
    """Each record deleted, swapped with the next, said twice, and put in the place of another."""
    parts = records(stored, name)
    for n in range(len(parts)):
        others = {
            "deleted": parts[:n] + parts[n + 1 :],
            "replayed": [*parts[:n], *parts[n - 1 :]],
            "replaced": [*parts[:n], parts[n - 3], *parts[n + 1 :]],
        }
        if n:
            others["swapped"] = [*parts[: n - 1], parts[n], parts[n - 1], *parts[n + 1 :]]
        for what, made in others.items():
            raw = b"".join(made)
            # A hash or a line that is the same as the other one is no change.
            if not raw.startswith(file_of(stored, name)):
                yield f"{what} {n}", with_file(stored, name, raw)


# -- one change to one file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_of_a_log_of_60_leaves_is_found_by_the_reader(sixty: Made, name: str) -> None:
    assert sixty.is_read(sixty.stored)
    assert [n for n, changed in changed_bytes(sixty.stored, name) if sixty.is_read(changed)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_third_changed_byte_of_a_log_of_60_leaves_is_found_by_the_checker(sixty: Made, name: str) -> None:
    assert sixty.is_checked(sixty.stored)
    changes = changed_bytes(sixty.stored, name, slice(None, None, 3))
    assert [n for n, changed in changes if sixty.is_checked(changed)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_record_deleted_swapped_replayed_or_replaced_is_found(sixty: Made, name: str) -> None:
    moved = list(moved_records(sixty.stored, name))
    assert len(moved) > 8
    assert [what for what, m in moved if sixty.is_read(m) or sixty.is_checked(m)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_of_every_file_is_found(sixty: Made, name: str) -> None:
    whole = file_of(sixty.stored, name)
    cut = [with_file(sixty.stored, name, whole[:size]) for size in range(0, len(whole), 7)]
    assert not any(sixty.is_read(c) or sixty.is_checked(c) for c in cut)
    gone = dataclasses.replace(sixty.stored, checkpoint=None)
    assert not sixty.is_read(gone)
    assert not sixty.is_checked(gone)


def test_what_is_added_at_an_end_is_left_out_by_the_reader_and_told_by_the_checker(sixty: Made) -> None:
    """It is what a writer leaves that was stopped. It says nothing: no head is signed over it."""
    for name in ("entries", "contents"):
        more = with_file(sixty.stored, name, file_of(sixty.stored, name) + b"\x00\xb9{\n")
        assert len(hold(more, CODE, sixty.reading).lines) == 60
        assert fsck.check_files(as_files(more), CODE, sixty.checking).torn


def test_a_checkpoint_of_another_key_of_another_log_or_of_another_size_is_found(sixty: Made, tmp_path: Path) -> None:
    other = Made.of(tmp_path, 60)
    mixed = dataclasses.replace(sixty.stored, checkpoint=other.stored.checkpoint)
    assert not sixty.is_read(mixed)
    assert not sixty.is_checked(mixed)
    assert not sixty.is_read(other.stored), "a whole log made by somebody else"
    assert not sixty.is_checked(other.stored)


# -- a whole log that is not this one ----------------------------------------------------------------------------------


class Witness:
    """Somebody who kept a checkpoint after each of some entries."""

    def __init__(self, root: Path, count: int, every: int = 1) -> None:
        self.root = root
        self.log = log_at(root)
        self.kept: dict[int, bytes] = {}
        self.seen: dict[int, Stored] = {}
        for n in range(0, count, every):
            self.log.append_all([(window(m), f"key {m}") for m in range(n, min(count, n + every))], AT)
            size = self.log.head().size
            self.kept[size], self.seen[size] = self.log.checkpoint(), Stored.load(self.log.path)

    def believes(self, size: int) -> bool:
        try:
            verify_since(self.kept[size], self.log.read(), str(keys_at(self.root).verifier(CODE)))
        except NotVerified:
            return False
        return True


def test_a_log_put_back_to_any_earlier_day_is_found_by_whoever_saw_a_later_head(tmp_path: Path) -> None:
    witness = Witness(tmp_path, 24)
    for size, stored in witness.seen.items():
        write_stored(witness.log.path, stored)
        assert {kept for kept in witness.kept if witness.believes(kept)} == set(range(1, size + 1))


def test_every_forked_head_is_found_by_whoever_saw_the_other_branch(tmp_path: Path) -> None:
    """A split view: the keeper goes back to an earlier day and writes something else, with the true keys."""
    witness = Witness(tmp_path, 24)
    last = witness.seen[24]
    for size in [0, *witness.seen][:-1]:
        write_stored(witness.log.path, witness.seen.get(size, Stored()))
        for n in range(24 - size + size % 3):
            witness.log.append(window(n + 100), AT, f"fork {n}")
        assert {kept for kept in witness.kept if witness.believes(kept)} == set(range(1, size + 1))
    write_stored(witness.log.path, last)
    assert all(witness.believes(kept) for kept in witness.kept)


def test_a_head_that_a_log_never_had_is_not_believed(sixty: Made) -> None:
    history = sixty.log.read()
    with pytest.raises(NotVerified, match="61 leaves and has 60"):
        verify_since(signed(sixty, Head(61, bytes(32))), history, sixty.reading.verifier)
    for size in (0, 1, 59, 60):
        with pytest.raises(NotVerified):
            verify_since(signed(sixty, Head(size, bytes(32))), history, sixty.reading.verifier)


def signed(made: Made, head: Head) -> bytes:
    from ledger.checkpoint import sign_checkpoint
    from ledger.stored import checkpoint_of

    return sign_checkpoint(checkpoint_of(CODE, head), made.keys.signer)


# -- a thousand leaves: `make soak` ------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_of_a_log_of_1000_leaves_is_found(thousand: Made, name: str) -> None:
    assert thousand.is_read(thousand.stored)
    assert [n for n, changed in changed_bytes(thousand.stored, name) if thousand.is_read(changed)] == []


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_changed_bytes_of_a_log_of_1000_leaves_are_found_by_the_checker(thousand: Made, name: str) -> None:
    """One in every leaf, content, salt and hash, at a place that chance chooses."""
    assert thousand.is_checked(thousand.stored)
    rng = random.Random(name)
    whole = file_of(thousand.stored, name)
    found = []
    at = 0
    for record in records(thousand.stored, name):
        n = at + rng.randrange(len(record))
        at += len(record)
        changed = bytearray(whole)
        changed[n] ^= 1 << rng.randrange(8)
        found.append(thousand.is_checked(with_file(thousand.stored, name, bytes(changed))))
    assert len(found) >= 5
    assert not any(found)


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_every_record_of_1000_deleted_swapped_replayed_or_replaced_is_found(thousand: Made, name: str) -> None:
    assert [what for what, m in moved_records(thousand.stored, name) if thousand.is_read(m)] == []


@pytest.mark.soak
def test_every_forked_head_of_1000_is_found(tmp_path: Path) -> None:
    witness = Witness(tmp_path, 1000, every=20)
    for size in list(witness.seen)[:-1]:
        write_stored(witness.log.path, witness.seen[size])
        assert {kept for kept in witness.kept if witness.believes(kept)} == set(range(20, size + 1, 20))
        witness.log.append_all([(window(n % 300), f"fork {n}") for n in range(1000 - size)], AT)
        assert {kept for kept in witness.kept if witness.believes(kept)} == set(range(20, size + 1, 20))
