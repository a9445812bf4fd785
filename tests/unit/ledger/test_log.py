"""The log: append only, one writer, compare-and-swap on its head, whole after any crash."""

import datetime as dt
import os
import random
import signal
import stat
import time
from pathlib import Path

import pytest

from ledger.canonical import parse
from ledger.checkpoint import read_checkpoint
from ledger.entry import KINDS, Head, Receipt, Window, Withdrawal, body_of
from ledger.fsck import check_log
from ledger.leaf import Leaf, origin
from ledger.log import Log
from ledger.salts import Salts
from ledger.stored import Stored, levels_of, split
from ledger.tree import EMPTY_ROOT, Tree, leaf_hash
from schemas.errors import Malformed, NotVerified, TryAgain
from schemas.ids import AgencyCode
from tests.unit.ledger.conftest import AT, instruction, one_of_each
from tests.unit.ledger.made import CODE, fsck_keys, home_at, keys_at, log_at


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


def test_what_is_appended_is_read_back_in_order_with_its_instant_and_its_key(filled: Log) -> None:
    history = filled.read()
    assert history.entries == one_of_each()
    assert [line.number for line in history.lines] == [1, 2, 3, 4, 5]
    assert [line.key for line in history.lines] == [f"key {n}" for n in range(5)]
    assert history.lines[2].at == AT + dt.timedelta(hours=2)
    tree = Tree(bytes.fromhex(line.hash) for line in history.lines)
    assert history.head == filled.head() == Head(5, tree.root())


def test_a_log_that_was_never_written_is_an_empty_history(log: Log) -> None:
    assert log.read().entries == ()
    assert log.read().head == log.head() == Head(0, EMPTY_ROOT)
    assert not log.exists
    assert not log.path.exists()


def test_what_is_returned_is_what_is_read(log: Log) -> None:
    made = log.append_all([(entry, None) for entry in one_of_each()], AT)
    assert log.read().lines == made


def test_every_kind_of_entry_has_a_number_that_is_never_given_twice() -> None:
    assert {k.__name__: n for k, n in KINDS.items() if n <= 5} == {
        "Instruction": 1, "Withdrawal": 2, "Receipt": 3, "Window": 4, "Erased": 5,
    }  # fmt: skip
    assert len(set(KINDS.values())) == len(KINDS)


def test_appending_twice_with_one_key_is_appending_once(log: Log) -> None:
    first = log.append(window(0), AT, key="a key")
    again = log.append(window(1), AT + dt.timedelta(days=1), key="a key")
    assert again == first
    assert len(log.read().lines) == 1


def test_a_key_is_found_whole_and_not_inside_another_text(log: Log) -> None:
    log.append(window(0), AT, key='a "key", with "kind":1')
    log.append(window(1), AT, key="a key that is longer")
    assert log.append(window(2), AT, key="a key").number == 3
    assert log.append(window(3), AT, key='a "key", with "kind":1').number == 1
    assert log.append(window(4), AT, key='x","key":"a key').number == 4
    assert log.append(window(5), AT, key='"a key"').number == 5


def test_several_entries_are_appended_at_once_and_keys_hold_among_them(log: Log) -> None:
    lines = log.append_all([(window(0), "a"), (window(1), None), (window(2), "a"), (window(3), None)], AT)
    assert [line.number for line in lines] == [1, 2, 1, 3]
    assert len(log.read().lines) == 3


def test_every_file_is_readable_by_its_owner_only(filled: Log, tmp_path: Path) -> None:
    files = [p for p in [*filled.path.rglob("*"), *home_at(tmp_path).keys.rglob("*")] if p.is_file()]
    assert len(files) == 7
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}


def test_each_leaf_and_each_content_is_in_canonical_bytes(filled: Log) -> None:
    stored = Stored.load(filled.path)
    contents = stored.contents.splitlines()
    assert [parse(c)["body"] for c in contents] == [body_of(e) for e in one_of_each()]
    assert [Leaf.parse(raw).kind for raw in split(stored.entries)] == [KINDS[type(e)] for e in one_of_each()]


def test_no_leaf_shows_anything_of_what_it_commits_to(filled: Log) -> None:
    entries = (filled.path / "entries").read_bytes()
    assert not [text for text in (b"ANNEXE", b"SDGI", b"key", b"sha256", b"COPRO") if text in entries]


def test_the_checkpoint_is_signed_over_the_head_under_the_name_of_the_log(filled: Log, tmp_path: Path) -> None:
    stated = read_checkpoint(filled.checkpoint(), origin(CODE), str(keys_at(tmp_path).verifier(CODE)))
    assert Head(stated.size, stated.root) == filled.head()


def test_the_tiles_are_those_of_the_tree_when_leaves_come_one_by_one_and_many_at_once(log: Log) -> None:
    count = 0
    for some in (1, 254, 1, 1, 300, 3):
        log.append_all([(window(n), None) for n in range(some)], AT)
        count += some
    stored = Stored.load(log.path)
    hashes = [leaf_hash(raw) for raw in split(stored.entries)]
    assert len(hashes) == count == 560
    assert list(stored.tiles) == [b"".join(row) for row in levels_of(hashes)]
    assert [len(raw) // 32 for raw in stored.tiles] == [560, 2]


def test_two_logs_of_a_home_have_one_signing_key_and_salts_of_their_own(log: Log, tmp_path: Path) -> None:
    other = log_at(tmp_path, AgencyCode("A0001"))
    log.append(window(0), AT)
    other.append(window(0), AT)
    keys = keys_at(tmp_path)
    assert keys.of_salts(CODE) != keys.of_salts(AgencyCode("A0001"))
    assert keys.verifier(CODE).public == keys.verifier(AgencyCode("A0001")).public
    assert log.head() != other.head()


def test_a_lost_key_is_told_and_never_replaced_by_a_new_one(filled: Log, tmp_path: Path) -> None:
    home = home_at(tmp_path)
    for path in (home.log_signing_key, home.log_key(CODE)):
        kept = path.read_bytes()
        path.unlink()
        for act in (log_at(tmp_path).read, log_at(tmp_path).head, lambda: log_at(tmp_path).append(window(0), AT)):
            with pytest.raises(NotVerified, match="is missing"):
                act()
        if path == home.log_signing_key:
            with pytest.raises(NotVerified, match="is missing"):
                log_at(tmp_path, AgencyCode("A0001")).append(window(0), AT)
        assert not path.exists()
        path.write_bytes(kept)
    assert log_at(tmp_path).append(window(0), AT).number == 6


# -- compare and swap --------------------------------------------------------------------------------------------------


def test_what_was_decided_on_an_older_head_is_not_written(filled: Log) -> None:
    head = filled.head()
    assert filled.append_all([(window(0), "mine")], AT, expected=head)[0].number == 6
    with pytest.raises(TryAgain, match="has grown"):
        filled.append_all([(window(1), "another")], AT, expected=head)
    assert len(filled.read().lines) == 6
    assert filled.append_all([(window(1), "another")], AT, expected=filled.head())[0].number == 7


def test_a_log_without_leaves_is_expected_as_the_empty_head(log: Log) -> None:
    assert log.append_all([(window(0), None)], AT, expected=Head(0, EMPTY_ROOT))[0].number == 1
    with pytest.raises(TryAgain):
        log.append_all([(window(0), None)], AT, expected=Head(0, EMPTY_ROOT))


def test_of_many_writers_who_decided_on_one_head_one_writes(log: Log) -> None:
    log.append(window(0), AT)
    head = log.head()
    children = []
    for n in range(6):
        child = os.fork()
        if child == 0:
            try:
                log.append_all([(window(n), None)], AT, expected=head)
            except TryAgain:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
    assert len(log.read().lines) == 2


# -- crashes: more in test_log_crash.py --------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_a_kill_at_any_moment(log: Log, tmp_path: Path) -> None:
    rng = random.Random("kills")
    for _ in range(25):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            while True:
                line = log.append(window(0), AT)
                os.write(writer, f"{line.number}\n".encode())
        os.close(writer)
        begun = os.read(reader, 1)  # it has acknowledged one, and is at the next
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as told:
            promised = max(int(n) for n in (begun + told.read()).splitlines())
        assert len(log.read().lines) >= promised
    assert promised >= 25
    head = log.read().head
    assert log.append(window(0), AT).number == head.size + 1
    assert check_log(log.path, fsck_keys(keys_at(tmp_path))).lines == head.size + 1


def test_two_writers_at_once_make_one_tree(log: Log) -> None:
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            for n in range(20):
                log.append(window(n), AT)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(c, 0)[1] for c in children] == [0, 0, 0]
    assert [line.number for line in log.read().lines] == list(range(1, 61))


# -- what is refused: more in test_log_tampering.py --------------------------------------------------------------------


def test_a_log_of_another_agency_does_not_fit(filled: Log, tmp_path: Path) -> None:
    other = log_at(tmp_path, AgencyCode("A0001"))
    other.append(window(0), AT)
    for path in filled.path.rglob("*"):
        if path.is_file():
            (other.path / path.relative_to(filled.path)).write_bytes(path.read_bytes())
    for act in (other.read, other.head, lambda: other.append(window(0), AT)):
        with pytest.raises(NotVerified):
            act()


@pytest.mark.parametrize("name", ["entries", "contents", "salts", "tiles/0", "checkpoint"])
def test_nothing_is_appended_to_a_log_whose_edge_does_not_hold(filled: Log, name: str) -> None:
    path = filled.path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-6] + bytes((whole[-6] ^ 1,)) + whole[-5:])
    before = {p: p.read_bytes() for p in filled.path.rglob("*") if p.is_file()}
    with pytest.raises(NotVerified):
        filled.append(window(0), AT)
    assert {p: p.read_bytes() for p in filled.path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["entries", "contents", "salts", "tiles/0", "checkpoint"])
def test_a_file_that_is_gone_is_told(filled: Log, name: str) -> None:
    (filled.path / name).unlink()
    for act in (filled.read, filled.head, lambda: filled.append(window(0), AT)):
        with pytest.raises(NotVerified):
            act()


def test_a_salt_that_was_destroyed_without_a_word_is_told(filled: Log, tmp_path: Path) -> None:
    Salts(filled.path / "salts", keys_at(tmp_path).of_salts(CODE)).destroy(3)
    with pytest.raises(NotVerified, match="leaf 3 is missing"):
        filled.read()


def test_the_message_names_the_leaf_and_quotes_nothing_of_it(filled: Log) -> None:
    path = filled.path / "contents"
    path.write_bytes(path.read_bytes().replace(b"COPROPRIETAIRES", b"COPROPRIETARIES"))
    with pytest.raises(NotVerified, match="leaf 1 ") as no:
        filled.read()
    assert "COPROPRI" not in str(no.value)
    entries = filled.path / "entries"
    entries.write_bytes(entries.read_bytes().replace(b'"index":2,', b'"index":7,'))
    with pytest.raises(NotVerified, match="leaf 2 was changed"):
        filled.read()


def test_an_entry_that_has_no_canonical_bytes_is_not_written(log: Log) -> None:
    with pytest.raises(Malformed):
        log.append(Withdrawal("INS-\ud800", AT, AT), AT)
    with pytest.raises(Malformed, match="time zone"):
        log.append(instruction(), dt.datetime(2026, 1, 1))
    assert log.read().lines == ()


def test_a_reading_without_receipts_stands_on_the_same_head_and_leaves_nothing_else_out(log: Log) -> None:
    for n, entry in enumerate(one_of_each()):
        log.append(entry, AT, key=f"key {n}")
    whole, rest = log.read(), log.read(receipts=False)
    assert rest.head == whole.head
    assert rest.lines == tuple(line for line in whole.lines if not isinstance(line.entry, Receipt))
    assert len(rest.lines) < len(whole.lines)
