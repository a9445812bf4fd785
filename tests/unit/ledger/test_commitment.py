"""A leaf commits to what it does not show; its salt can be destroyed, and then nobody can confirm a guess."""

import datetime as dt
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ledger.canonical import canonical
from ledger.commitment import commit, fresh_salt, verify_commitment
from ledger.leaf import Leaf, origin
from ledger.salts import Destroyed, Kept, NeverKept, Salts
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode

CODE = AgencyCode("A0003")
CONTENT = {"body": {"instruction": "INS-0123456789"}, "key": "withdrawal:INS-0123456789"}
SALT = bytes(range(32))
KEY = bytes(range(32, 64))
LEAF = Leaf(CODE, 2, dt.datetime(2026, 1, 5, 3, 30, tzinfo=dt.UTC), 2, commit(SALT, 2, CONTENT))


@pytest.fixture
def salts(tmp_path: Path) -> Salts:
    return Salts(tmp_path / "log" / "salts", KEY)


def salt(n: int) -> bytes:
    return sha256(b"salt %d" % n).digest()


def test_a_commitment_is_the_digest_that_is_written_down() -> None:
    spelled = b"depositaire-commitment/1\n" + SALT + (2).to_bytes(8, "big") + canonical(CONTENT)
    assert commit(SALT, 2, CONTENT) == sha256(spelled).digest()
    verify_commitment(commit(SALT, 2, CONTENT), SALT, 2, CONTENT)


@pytest.mark.parametrize(
    ("other_salt", "index", "content"),
    [(SALT[::-1], 2, CONTENT), (SALT, 3, CONTENT), (SALT, 2, {**CONTENT, "key": None}), (SALT[:31], 2, CONTENT),
     (bytes(32), 2, CONTENT), (SALT, -1, CONTENT), (SALT, 2**64, CONTENT), (SALT, 2, {"body": 1.5})],
)  # fmt: skip
def test_another_salt_place_or_content_is_refused(other_salt: bytes, index: int, content: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        verify_commitment(commit(SALT, 2, CONTENT), other_salt, index, content)


@pytest.mark.parametrize("no_salt", [b"", bytes(31), bytes(32), bytes(33)])
def test_nothing_is_committed_to_without_a_salt(no_salt: bytes) -> None:
    with pytest.raises(Malformed):
        commit(no_salt, 2, CONTENT)


@given(st.binary(min_size=32, max_size=32).filter(lambda s: s != bytes(32)), st.integers(0, 2**64 - 1))
def test_a_commitment_holds_for_its_own_opening(some_salt: bytes, index: int) -> None:
    verify_commitment(commit(some_salt, index, CONTENT), some_salt, index, CONTENT)


def test_the_same_content_in_two_leaves_cannot_be_seen_to_be_the_same() -> None:
    assert commit(fresh_salt(), 0, CONTENT) != commit(fresh_salt(), 0, CONTENT)


def test_a_leaf_reads_back_from_its_bytes_and_shows_nothing_of_its_content() -> None:
    assert Leaf.parse(LEAF.raw) == LEAF
    assert b"INS-" not in LEAF.raw
    assert sha256(canonical(CONTENT)).hexdigest().encode() not in LEAF.raw


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"format": "x"}, {"index": -1}, {"index": True}, {"index": "2"}, {"kind": 0}, {"kind": None},
     {"commitment": "ab"}, {"commitment": "AB" * 32}, {"commitment": 5}, {"agency": "a0003"}, {"agency": 5},
     {"at": "2026-01-05"}, {"at": None}, {"more": 1}],
    ids=repr,
)  # fmt: skip
def test_a_leaf_in_any_other_form_is_refused(change: dict[str, Any]) -> None:
    fields = {
        "agency": CODE, "at": "2026-01-05T03:30:00Z", "commitment": LEAF.commitment.hex(), "format": "depositaire-leaf",
        "index": 2, "kind": 2, "version": 1,
    }  # fmt: skip
    assert Leaf.parse(canonical(fields)) == LEAF
    with pytest.raises(Malformed):
        Leaf.parse(canonical(fields | change))


def test_the_name_of_a_log_can_stand_in_a_signature_line() -> None:
    assert origin(CODE) == "depositaire/A0003/instructions"


def test_salts_are_found_again(salts: Salts) -> None:
    assert salts.find(0) == NeverKept()
    salts.keep(0, [salt(0), salt(1)])
    salts.keep(2, [salt(2)])
    assert [salts.find(n) for n in range(4)] == [Kept(salt(0)), Kept(salt(1)), Kept(salt(2)), NeverKept()]


def test_a_destroyed_salt_is_gone_from_the_file_and_the_others_stay(salts: Salts) -> None:
    salts.keep(0, [salt(n) for n in range(5)])
    before = salts.path.read_bytes()
    assert salts.destroy(2) == Destroyed()
    assert [salts.find(n) for n in range(5)] == [
        Kept(salt(0)),
        Kept(salt(1)),
        Destroyed(),
        Kept(salt(3)),
        Kept(salt(4)),
    ]
    assert salts.path.read_bytes() == before[:120] + bytes(40) + before[160:]


def test_destroying_twice_is_destroying_once(salts: Salts) -> None:
    salts.keep(0, [salt(0)])
    salts.destroy(0)
    once = salts.path.read_bytes()
    assert salts.destroy(0) == Destroyed()
    assert salts.path.read_bytes() == once


def test_what_was_never_kept_is_not_said_to_be_destroyed(salts: Salts) -> None:
    assert salts.destroy(0) == NeverKept()
    assert not salts.path.exists()
    salts.keep(0, [salt(0)])
    assert salts.destroy(1) == NeverKept()
    assert salts.find(0) == Kept(salt(0))


def test_no_salt_is_on_disk_in_clear_and_another_key_finds_none(salts: Salts) -> None:
    salts.keep(0, [salt(0)])
    assert salt(0) not in salts.path.read_bytes()
    with pytest.raises(NotVerified):
        Salts(salts.path, KEY[::-1]).find(0)


def test_every_byte_of_a_wrapped_salt_counts(salts: Salts) -> None:
    salts.keep(0, [salt(0)])
    whole = salts.path.read_bytes()
    for at in range(len(whole)):
        salts.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(NotVerified):
            salts.find(0)


def test_half_a_slot_was_never_kept_and_is_written_again(salts: Salts) -> None:
    salts.keep(0, [salt(0), salt(1)])
    for cut in range(1, 40):
        with salts.path.open("r+b") as file:
            file.truncate(120 - cut)
        assert (salts.find(0), salts.find(1)) == (Kept(salt(0)), NeverKept())
        salts.keep(1, [salt(1)])
        assert salts.find(1) == Kept(salt(1))


def test_half_a_header_is_written_again(salts: Salts) -> None:
    salts.path.parent.mkdir()
    salts.path.write_bytes(b"depositaire-sal")
    salts.keep(0, [salt(0)])
    assert salts.find(0) == Kept(salt(0))


def test_salts_of_leaves_that_were_not_acknowledged_are_replaced(salts: Salts) -> None:
    salts.keep(0, [salt(0), salt(1), salt(2)])
    salts.keep(1, [salt(7)])
    assert [salts.find(n) for n in range(3)] == [Kept(salt(0)), Kept(salt(7)), NeverKept()]


def test_a_salt_is_not_kept_beyond_a_gap(salts: Salts) -> None:
    salts.keep(0, [salt(0)])
    with pytest.raises(Malformed):
        salts.keep(2, [salt(2)])
    assert salts.find(0) == Kept(salt(0))


def test_a_file_that_is_none_of_salts_is_refused(salts: Salts) -> None:
    salts.path.parent.mkdir()
    salts.path.write_bytes(b"x" * 80)
    for attempt in (lambda: salts.find(0), lambda: salts.keep(0, [salt(0)]), lambda: salts.destroy(0)):
        with pytest.raises(NotVerified):
            attempt()


def test_a_destroyed_salt_confirms_no_guess(salts: Salts) -> None:
    guesses = [{"name": f"{n:04d}"} for n in range(2_000)]
    salts.keep(0, [salt(0)])
    committed = commit(salt(0), 0, guesses[1_234])
    assert [g for g in guesses if commit(salt(0), 0, g) == committed] == [guesses[1_234]]
    wrapped = salts.path.read_bytes()[40:]
    salts.destroy(0)
    # What is left are the file and its key; what was wrapped is no salt without the key either.
    left = {salts.path.read_bytes()[n : n + 32] for n in range(80 - 31)} | {KEY, wrapped[:32], wrapped[8:]} - {
        bytes(32)
    }
    assert not [g for g in guesses for s in left if any(s) and commit(s, 0, g) == committed]


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(33)])
def test_salts_are_wrapped_under_a_key_of_32_bytes(key: bytes, tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        Salts(tmp_path / "salts", key)
