"""What a receipt says can be destroyed; that there was one, and every proof about it, stays."""

import os
from pathlib import Path

import pytest

from ledger.deeds import Exceeded, Handed
from ledger.entry import Receipt
from ledger.fsck import check_log
from ledger.log import Log
from ledger.proofs import verify_inclusion
from ledger.tree import Tree
from ledger.witness import verify_since
from schemas.errors import NotVerified, Refused
from tests.unit.ledger.conftest import AT, one_of_each
from tests.unit.ledger.made import CODE, fsck_keys, keys_at, log_at
from tests.unit.ledger.orders_made import every_deed


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = log_at(tmp_path)
    for n, entry in enumerate(one_of_each()):
        log.append(entry, AT, key=f"key {n}")
    return log


def number_of_a_receipt(log: Log) -> int:
    return next(line.number for line in log.read().lines if isinstance(line.entry, Receipt))


def test_what_is_forgotten_is_nowhere_and_the_log_holds_as_before(log: Log, tmp_path: Path) -> None:
    before, kept, n = log.read(), log.checkpoint(), number_of_a_receipt(log)
    (receipt,) = [line.entry for line in before.lines if line.number == n]
    assert isinstance(receipt, Receipt)
    assert log.forget([n]) == 1
    assert log.forget([n]) == 0
    after = log.read()
    assert after.head == before.head
    assert after.lines == tuple(line for line in before.lines if line.number != n)
    assert all(receipt.delivery.encode() not in p.read_bytes() for p in log.path.rglob("*") if p.is_file())
    tree = Tree(after.leaves)
    verify_inclusion(after.leaves[n - 1], n - 1, after.head.size, tree.inclusion(n - 1), after.head.root)
    verify_since(kept, after, str(keys_at(tmp_path).verifier(CODE)))
    assert check_log(log.path, fsck_keys(keys_at(tmp_path))).lines == after.head.size
    assert check_log(log.path).lines == after.head.size


def test_the_log_goes_on_after_its_last_line_was_forgotten(log: Log) -> None:
    last = log.append(next(e for e in one_of_each() if isinstance(e, Receipt)), AT, key="another")
    log.forget([last.number])
    line = log.append(one_of_each()[1], AT, key="after it")
    assert line.number == last.number + 1
    assert [v.number for v in log.read().lines][-1] == line.number


def test_what_says_something_of_what_is_allowed_is_not_forgotten(log: Log) -> None:
    kinds = {type(line.entry).__name__: line.number for line in log.read().lines}
    for name in ("Instruction", "Withdrawal", "Window", "Erased"):
        with pytest.raises(Refused, match="what was done"):
            log.forget([kinds[name]])
    for outside in (0, 99):
        with pytest.raises(Refused):
            log.forget([outside])
    assert len(log.read().lines) == len(one_of_each())


def test_a_withdrawal_whose_salt_was_overwritten_is_a_loss_for_every_reader(log: Log, tmp_path: Path) -> None:
    number = next(line.number for line in log.read().lines if type(line.entry).__name__ == "Withdrawal")
    with (log.path / "salts").open("r+b") as f:
        f.seek(40 * number)
        f.write(bytes(40))
    with pytest.raises(NotVerified, match="missing"):
        log.read()
    with pytest.raises(NotVerified, match="salt was destroyed"):
        check_log(log.path, fsck_keys(keys_at(tmp_path)))
    with pytest.raises(NotVerified, match="salt was destroyed"):
        check_log(log.path)


def test_nobody_writes_after_a_line_that_says_what_is_allowed_was_overwritten(log: Log) -> None:
    size = log.head().size
    with (log.path / "salts").open("r+b") as f:
        f.seek(40 * size)
        f.write(bytes(40))
    before = (log.path / "entries").read_bytes()
    with pytest.raises(NotVerified, match="missing"):
        log.head()
    with pytest.raises(NotVerified, match="missing"):
        log.append(one_of_each()[1], AT, key="after it")
    assert (log.path / "entries").read_bytes() == before


def test_an_interrupted_forgetting_is_no_damage_and_is_finished_by_the_next(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = number_of_a_receipt(log)
    real = os.fsync

    def stopped(handle: int) -> None:
        real(handle)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        log.forget([n])
    monkeypatch.undo()
    assert n not in [line.number for line in log.read().lines]
    raw = (log.path / "contents").read_bytes()
    assert raw.split(b"\n")[n - 1].strip(), "the salt goes first"
    log.forget([n])
    assert not (log.path / "contents").read_bytes().split(b"\n")[n - 1].strip()


def a_receipt() -> Receipt:
    return next(e for e in one_of_each() if isinstance(e, Receipt))


def test_of_what_was_done_receipts_handovers_and_excesses_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    told = [log.append(entry, AT) for entry in every_deed()]
    kinds = (Handed, Exceeded)
    for line in told:
        if not isinstance(line.entry, kinds):
            with pytest.raises(Refused, match="what was done"):
                log.forget([line.number])
    numbers = [line.number for line in told if isinstance(line.entry, kinds)]
    assert log.forget(numbers) == len(numbers) == 2
    assert [line.entry for line in log.read().lines] == [v.entry for v in told if v.number not in numbers]
    contents = (log.path / "contents").read_bytes().split(b"\n")
    assert all(not contents[n - 1].strip() for n in numbers)


def test_the_first_line_is_forgotten_like_any_other_and_there_is_none_before_it(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    for key in ("one", "two"):
        log.append(a_receipt(), AT, key=key)
    before = [p.read_bytes() for p in sorted(log.path.rglob("*")) if p.is_file()]
    with pytest.raises(Refused, match="what was done"):
        log.forget([0])
    assert [p.read_bytes() for p in sorted(log.path.rglob("*")) if p.is_file()] == before
    assert log.forget([1]) == 1
    assert [line.key for line in log.read().lines] == ["two"]
    first, second, _ = (log.path / "contents").read_bytes().split(b"\n")
    assert (first.strip(), bool(second.strip())) == (b"", True)
