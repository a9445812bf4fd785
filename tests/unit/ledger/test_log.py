"""The ledger: append only, chained, one writer, whole after any crash."""

import datetime as dt
import os
import random
import signal
import time
from pathlib import Path

import pytest

from ledger.canonical import parse
from ledger.entry import KINDS, Head, Window, Withdrawal, body_of
from ledger.fsck import check_ledger
from ledger.log import Log
from schemas.errors import Malformed, NotVerified
from tests.unit.ledger.conftest import AT, CODE, instruction, one_of_each


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


def test_what_is_appended_is_read_back_in_order_with_its_instant_and_its_key(filled: Log) -> None:
    history = filled.read()
    assert history.entries == one_of_each()
    assert [line.number for line in history.lines] == [1, 2, 3, 4, 5]
    assert [line.key for line in history.lines] == [f"key {n}" for n in range(5)]
    assert history.lines[2].at == AT + dt.timedelta(hours=2)
    assert history.head == filled.head() == Head(5, history.lines[-1].hash)


def test_a_ledger_that_was_never_written_is_an_empty_history(log: Log) -> None:
    assert log.read().entries == ()
    assert log.read().head == log.head()
    assert log.head().line == 0
    assert not log.path.exists()


def test_every_kind_of_entry_has_a_number_that_is_never_given_twice() -> None:
    assert {k.__name__: n for k, n in KINDS.items()} == {
        "Instruction": 1, "Withdrawal": 2, "Receipt": 3, "Window": 4, "Erased": 5,
    }  # fmt: skip
    assert {type(e) for e in one_of_each()} == set(KINDS)


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


def test_several_entries_are_appended_with_one_write_and_keys_hold_among_them(log: Log) -> None:
    lines = log.append_all([(window(0), "a"), (window(1), None), (window(2), "a"), (window(3), None)], AT)
    assert [line.number for line in lines] == [1, 2, 1, 3]
    assert len(log.read().lines) == 3


def test_the_ledger_is_readable_by_its_owner_only(filled: Log) -> None:
    assert filled.path.stat().st_mode & 0o777 == 0o600


def test_each_line_is_in_canonical_bytes_and_shows_its_body(filled: Log) -> None:
    lines = filled.path.read_bytes().splitlines()
    assert [parse(line)["body"] for line in lines[1:]] == [parse_back(e) for e in one_of_each()]


def parse_back(entry: object) -> object:
    return body_of(entry)  # type: ignore[arg-type]


# -- crashes -----------------------------------------------------------------------------------------------------------


def test_a_line_torn_at_any_byte_is_cut_and_nothing_before_it_is_lost(filled: Log) -> None:
    whole = filled.path.read_bytes()
    last = whole.rfind(b"\n", 0, -1) + 1
    for size in range(last, len(whole)):
        filled.path.write_bytes(whole[:size])
        kept = 5 if size == len(whole) - 1 else 4  # a line that lacks its newline only is a line
        assert len(filled.read().lines) == kept, size
        assert filled.append(window(0), AT).number == kept + 1
        assert len(filled.read().lines) == kept + 1


def test_a_header_torn_at_any_byte_is_written_again(log: Log) -> None:
    log.append(window(0), AT)
    header = log.path.read_bytes().split(b"\n")[0]
    for size in range(len(header) + 1):
        log.path.write_bytes(header[:size])
        assert log.read().lines == ()
        assert log.append(window(0), AT).number == 1
        assert len(log.read().lines) == 1


def test_blocks_of_zeros_after_a_power_cut_are_cut(filled: Log) -> None:
    with filled.path.open("ab") as f:
        f.write(bytes(4096))
    assert len(filled.read().lines) == 5
    assert filled.append(window(0), AT).number == 6


def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    rng = random.Random("kills")
    log = Log(tmp_path / f"{CODE}.jsonl", CODE)
    promised = 0
    for _ in range(25):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            while True:
                line = log.append(window(0), AT)
                os.write(writer, f"{line.number}\n".encode())
        os.close(writer)
        time.sleep(rng.uniform(0.002, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader) as told:
            promised = max([promised, *(int(n) for n in told.read().splitlines())])
        assert len(log.read().lines) >= promised
    assert promised > 25, "children must have had the time to write"
    assert check_ledger(log.path).lines == len(log.read().lines)


def test_two_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    log = Log(tmp_path / f"{CODE}.jsonl", CODE)
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


# -- tampering ---------------------------------------------------------------------------------------------------------


def test_every_changed_byte_is_found(filled: Log) -> None:
    whole = filled.path.read_bytes()
    for n in range(len(whole)):
        changed = bytearray(whole)
        changed[n] ^= (0x01, 0x20, 0x80)[n % 3]
        filled.path.write_bytes(bytes(changed))
        with pytest.raises(NotVerified):
            filled.read()


def test_every_deleted_or_swapped_line_is_found_but_the_last_ones(filled: Log) -> None:
    lines = filled.path.read_bytes().splitlines(keepends=True)
    for n in range(len(lines) - 1):
        filled.path.write_bytes(b"".join(lines[:n] + lines[n + 1 :]))
        with pytest.raises(NotVerified):
            filled.read()
        swapped = lines.copy()
        swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
        filled.path.write_bytes(b"".join(swapped))
        with pytest.raises(NotVerified):
            filled.read()
    filled.path.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(NotVerified, match="line 6 does not follow"):
        filled.read()


def test_a_line_of_another_agency_does_not_fit(filled: Log, tmp_path: Path) -> None:
    other = Log(tmp_path / "A0001.jsonl", type(CODE)("A0001"))
    other.append(window(0), AT)
    other.path.write_bytes(filled.path.read_bytes())
    with pytest.raises(NotVerified, match="header"):
        other.read()
    with pytest.raises(NotVerified, match="header"):
        other.append(window(0), AT)


def test_nothing_is_appended_to_a_ledger_whose_last_line_does_not_hold(filled: Log) -> None:
    whole = filled.path.read_bytes()
    filled.path.write_bytes(whole[:-20] + b"x" + whole[-19:])
    with pytest.raises(NotVerified):
        filled.append(window(0), AT)
    assert len(filled.path.read_bytes()) == len(whole)


def test_the_message_names_the_line_and_quotes_nothing_of_it(filled: Log) -> None:
    lines = filled.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"COPROPRIETAIRES", b"COPROPRIETARIES")
    filled.path.write_bytes(b"".join(lines))
    with pytest.raises(NotVerified, match="line 2 ") as no:
        filled.read()
    assert "COPROPRI" not in str(no.value)


def test_an_entry_that_has_no_canonical_bytes_is_not_written(log: Log) -> None:
    with pytest.raises(Malformed):
        log.append(Withdrawal("INS-\ud800", AT, AT), AT)
    with pytest.raises(Malformed, match="time zone"):
        log.append(instruction(), dt.datetime(2026, 1, 1))
    assert log.read().lines == ()
