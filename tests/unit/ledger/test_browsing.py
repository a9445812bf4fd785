"""A log as pages read it: the same as the whole log read at once, also after it has grown; and it believes no more."""

import datetime as dt
import secrets
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from ledger.browsing import RECEIPT, Browsed, Naming, _unwrapped
from ledger.entry import Entry, Receipt
from ledger.log import Log
from ledger.stored import Keys
from ledger.tree import Tree
from schemas.errors import NotVerified
from schemas.report import Counts
from tests.unit.ledger.conftest import AT, instruction, one_of_each
from tests.unit.ledger.made import CODE, keys_at

NAMING = Naming(lambda e: type(e).__name__, ("sdgi", "gpi"), lambda e: [getattr(e, "system", "")])


def receipt(n: int, system: str = "sdgi") -> Receipt:
    counts = {"LOTS.CSV": Counts(read=n, stored=n)}
    told = (instruction().id,)
    return Receipt(f"SDGI_A0003_{n:08}.zip", system, "ab" * 32, "accepted", None, counts, told, "1.4", "0.1.0", "r")


def empty(log: Log, home: Path) -> Browsed:
    keys = keys_at(home)
    return Browsed(CODE, log.path, Keys(str(keys.verifier(CODE)), keys.of_salts(CODE)))


def grown(log: Log, home: Path, since: Browsed | None = None) -> Browsed:
    return (since or empty(log, home)).grown(log.checkpoint(), NAMING)


@pytest.fixture
def long(log: Log) -> Log:
    """Three hundred leaves: more than a tile."""
    entries: list[Entry] = [*one_of_each(), *(receipt(n, ("sdgi", "gpi")[n % 2]) for n in range(295))]
    log.append_all([(e, f"key {n}") for n, e in enumerate(entries)], AT)
    return log


def test_it_is_the_log_that_is_read_at_once(long: Log, tmp_path: Path) -> None:
    whole, found = long.read(), grown(long, tmp_path)
    assert found.head == whole.head
    assert found.kept == tuple(line for line in whole.lines if not isinstance(line.entry, Receipt))
    assert [found.line(n) for n in range(1, 301)] == list(whole.lines)
    assert found.tree.root(300) == Tree(whole.leaves).root()
    kinds = ["receipt" if type(e) is Receipt else type(e).__name__ for e in whole.entries]
    assert [found.words[w] for w in found.named] == kinds
    assert (found.kinds == RECEIPT).sum() == 296
    assert set(found.days) == {20260105}
    assert list(found.systems[5:9]) == [1, 2, 1, 2]


def test_what_came_under_an_instruction_is_summed(long: Log, tmp_path: Path) -> None:
    found = grown(long, tmp_path).under[instruction().id]
    assert (found.deliveries, found.last) == (296, tuple(range(291, 301)))
    assert found.counts[:2] == (15 + sum(range(295)), 9 + sum(range(295)))


def test_grown_step_by_step_it_is_the_same_as_read_at_once(log: Log, tmp_path: Path) -> None:
    known = None
    for n, entry in enumerate([*one_of_each(), *(receipt(n) for n in range(20))]):
        log.append(entry, AT + dt.timedelta(minutes=n))
        known = grown(log, tmp_path, known)
    assert known is not None
    fresh = grown(log, tmp_path)
    for name in ("leaves_at", "contents_at", "kinds", "days", "named", "systems"):
        assert np.array_equal(getattr(known, name), getattr(fresh, name)), name
    for name in ("head", "checkpoint", "ends", "edge", "words", "kept", "under"):
        assert getattr(known, name) == getattr(fresh, name), name


def test_an_older_head_stays_what_it_was_when_the_log_grows(long: Log, tmp_path: Path) -> None:
    old = grown(long, tmp_path)
    before = old.line(300), old.tree.inclusion(4, old.size), old.tree.root(old.size)
    long.append(receipt(999), AT)
    assert grown(long, tmp_path, old).size == 301
    assert (old.line(300), old.tree.inclusion(4, old.size), old.tree.root(old.size)) == before


def _flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["entries", "contents", "salts"])
@pytest.mark.parametrize("at", [0.01, 0.3, 0.999])
def test_one_bit_that_was_changed_is_found(long: Log, tmp_path: Path, name: str, at: float) -> None:
    checkpoint, path = long.checkpoint(), long.path / name
    _flip(path, int(path.stat().st_size * at))
    with pytest.raises(NotVerified):
        empty(long, tmp_path).grown(checkpoint, NAMING)


@pytest.mark.parametrize("name", ["entries", "contents", "salts"])
def test_what_is_changed_after_it_was_read_is_not_shown(long: Log, tmp_path: Path, name: str) -> None:
    found, path = grown(long, tmp_path), long.path / name
    _flip(path, path.stat().st_size - 20)
    with pytest.raises(NotVerified):
        found.line(300)


@pytest.mark.parametrize("name", ["entries", "contents", "salts"])
def test_what_was_cut_off_is_missed(long: Log, tmp_path: Path, name: str) -> None:
    checkpoint, path = long.checkpoint(), long.path / name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(NotVerified):
        empty(long, tmp_path).grown(checkpoint, NAMING)


def test_a_log_that_does_not_extend_the_one_that_was_read_is_not_taken_for_it(log: Log, tmp_path: Path) -> None:
    log.append_all([(receipt(n), None) for n in range(9)], AT)
    known = grown(log, tmp_path)
    other = Log(tmp_path / "other" / CODE, CODE, keys_at(tmp_path))
    other.append_all([(receipt(n), None) for n in range(20)], AT)
    with pytest.raises(NotVerified):
        known.grown(other.checkpoint(), NAMING)
    for name in ("entries", "contents", "salts"):
        (log.path / name).write_bytes((other.path / name).read_bytes())
    with pytest.raises(NotVerified):
        known.grown(other.checkpoint(), NAMING)
    assert known.tree.size == 9  # nothing of the other one was taken


def test_what_was_forgotten_says_nothing_at_once_and_its_place_stays(long: Log, tmp_path: Path) -> None:
    found = grown(long, tmp_path)
    long.forget([7])
    assert found.line(7) is None
    assert found.content(7) is None
    fresh = grown(long, tmp_path)
    assert fresh.line(7) is None
    assert fresh.words[fresh.named[6]] == "forgotten"
    assert fresh.leaf(7) == found.leaf(7)


def test_an_instruction_that_lost_its_salt_is_a_loss(long: Log, tmp_path: Path) -> None:
    raw = bytearray((long.path / "salts").read_bytes())
    raw[40:80] = bytes(40)
    (long.path / "salts").write_bytes(raw)
    with pytest.raises(NotVerified):
        empty(long, tmp_path).grown((long.path / "checkpoint").read_bytes(), NAMING)


def test_salts_are_unwrapped_as_one_by_one() -> None:
    key, salts = secrets.token_bytes(32), [secrets.token_bytes(32) for _ in range(50)]
    slots = b"".join(aes_key_wrap(key, salt) for salt in salts)
    found, holds = _unwrapped(slots, key)
    assert [bytes(row) for row in found] == salts
    assert holds.all()
    assert not _unwrapped(slots, secrets.token_bytes(32))[1].any()


def test_receipts_that_name_a_secret_are_found(log: Log, tmp_path: Path) -> None:
    log.append_all([(receipt(n), f"about LEG-{n}" if n in (3, 250) else None) for n in range(300)], AT)
    found = grown(log, tmp_path)
    assert found.naming(frozenset({b"LEG-3", b"LEG-250"})) == {4, 251}
    assert found.naming(frozenset()) == frozenset()
