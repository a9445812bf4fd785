"""Ledgers of version 1: read for ever, and moved into a log's tree once, wherever the move is stopped."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from ledger.chain import chain, read_chain
from ledger.entry import Line, Receipt, Window
from ledger.fsck import check_home
from schemas.errors import NotVerified, Refused
from tests.unit.ledger.conftest import AT, one_of_each
from tests.unit.ledger.made import CODE, fsck_keys, home_at, keys_at, log_at
from tests.unit.ledger.test_log_crash import DONE, stopped_at


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A home as version 1 left it. The entry that names a certificate is not there: neither is a certificate."""
    root = tmp_path / "made"
    path = home_at(root).ledgers / f"{CODE}.jsonl"
    path.parent.mkdir(parents=True)
    lines = [Line(n, AT, entry, "", f"key {n}") for n, entry in enumerate(one_of_each()[:-1], start=1)]
    path.write_bytes(b"".join(raw + b"\n" for _, raw in chain(CODE, lines)))
    return root


def chained(root: Path) -> Path:
    return home_at(root).ledgers / f"{CODE}.jsonl"


def test_every_changed_byte_of_a_chain_is_found(old: Path) -> None:
    path = chained(old)
    whole = path.read_bytes()
    for n in range(len(whole)):
        changed = bytearray(whole)
        changed[n] ^= (0x01, 0x20, 0x80)[n % 3]
        path.write_bytes(bytes(changed))
        with pytest.raises(NotVerified):
            read_chain(path, CODE)


def test_every_deleted_or_swapped_line_is_found_but_the_last_ones(old: Path) -> None:
    path = chained(old)
    lines = path.read_bytes().splitlines(keepends=True)
    for n in range(len(lines) - 1):
        swapped = lines.copy()
        swapped[n], swapped[n + 1] = swapped[n + 1], swapped[n]
        for made in (lines[:n] + lines[n + 1 :], swapped):
            path.write_bytes(b"".join(made))
            with pytest.raises(NotVerified):
                read_chain(path, CODE)


def test_a_ledger_of_version_1_is_moved_into_the_tree_when_it_is_first_opened(old: Path) -> None:
    before = read_chain(chained(old), CODE)
    log = log_at(old)
    assert log.exists
    history = log.read()
    assert [(v.number, v.at, v.entry, v.key) for v in history.lines] == [
        (v.number, v.at, v.entry, v.key) for v in before
    ]
    assert not chained(old).exists()
    assert read_chain(log.path / "version-1.jsonl", CODE) == before
    assert log.append(Window(dt.date(2023, 7, 20), None, AT.date()), AT, "key 2").number == 2, "keys hold on"
    (checked,) = check_home(home_at(old).root, fsck_keys(keys_at(old)))
    assert checked.lines == 4


def test_a_move_that_is_stopped_anywhere_is_finished_by_the_next_reader(old: Path, tmp_path: Path) -> None:
    for step in range(1, 100):
        root = tmp_path / "stopped"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(old, root)
        ended = stopped_at(log_at(root).read, step, False, tmp_path / "told")
        assert log_at(root).read().entries == one_of_each()[:-1]
        assert not chained(root).exists()
        assert check_home(home_at(root).root, fsck_keys(keys_at(root)))[0].lines == 4
        if ended == DONE:
            break
    assert step > 12


def test_a_ledger_that_does_not_hold_is_not_moved(old: Path) -> None:
    whole = chained(old).read_bytes()
    chained(old).write_bytes(whole.replace(b"2023-07-20", b"2023-07-21"))
    with pytest.raises(NotVerified, match="line 3 does not have the digest"):
        log_at(old).read()
    assert chained(old).exists()


def test_another_ledger_beside_a_log_is_found(old: Path) -> None:
    log = log_at(old)
    kept = chained(old).read_bytes()
    chained(old).unlink()
    log.append(one_of_each()[0], AT, "another")
    chained(old).write_bytes(kept)
    with pytest.raises(NotVerified, match="do not begin alike"):
        log.read()


def test_a_ledger_that_was_moved_and_is_changed_since_is_found_by_the_checker(old: Path) -> None:
    path = log_at(old).path / "version-1.jsonl"
    log_at(old).read()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert check_home(home_at(old).root)[0].lines == 4, "a ledger that is shorter is a beginning of this log too"
    lines = [Line(1, AT, one_of_each()[2], "", "another")]
    path.write_bytes(b"".join(raw + b"\n" for _, raw in chain(CODE, lines)))
    with pytest.raises(NotVerified, match="took in"):
        check_home(home_at(old).root)


def test_a_log_that_began_as_version_1_forgets_nothing(old: Path) -> None:
    log = log_at(old)
    number = next(line.number for line in log.read().lines if isinstance(line.entry, Receipt))
    with pytest.raises(Refused, match="began as version 1"):
        log.forget([number])
    assert number in [line.number for line in log.read().lines]
