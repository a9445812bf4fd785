"""A writer is stopped before every single thing that it asks of the disk: nothing acknowledged is lost, nothing is
torn, and the next writer goes on."""

import datetime as dt
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ledger.entry import Window
from ledger.fsck import check_log
from ledger.log import Log
from ledger.stored import Stored
from schemas.errors import NotVerified
from tests.unit.ledger.conftest import AT
from tests.unit.ledger.made import CODE, fsck_keys, home_at, keys_at, log_at

# All that changes what is on a disk. `write` is also stopped half-way.
CHANGES = ("fsync", "ftruncate", "link", "mkdir", "open", "rename", "replace", "unlink", "write")
HALF = ("write",)
STOPPED, DONE = 7, 0


def window(n: int) -> Window:
    return Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 1) + dt.timedelta(days=n))


def stopped_at(act: Callable[[], object], step: int, half: bool, acknowledged: Path) -> int:
    """Run `act` in a process that ends before its `step`-th change to the disk (or in its middle)."""
    child = os.fork()
    if child == 0:
        left = [step]
        for name in CHANGES:
            setattr(os, name, _counting(name, getattr(os, name), left, half))
        made = act()
        left[0] = 10**6
        acknowledged.write_text(str(made))
        os._exit(DONE)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _counting(name: str, real: Callable[..., Any], left: list[int], half: bool) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            if half and name in HALF:
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os._exit(STOPPED)
        return real(*args, **kwargs)

    return counted


@pytest.mark.parametrize(
    ("before", "half"),
    [
        pytest.param(0, False, id="0-before"),
        pytest.param(255, True, id="255-half-way"),
        pytest.param(0, True, id="0-half-way", marks=pytest.mark.soak),
        pytest.param(255, False, id="255-before", marks=pytest.mark.soak),
    ],
)
def test_an_append_that_is_stopped_anywhere_is_adopted_whole_or_leaves_nothing(
    tmp_path: Path, before: int, half: bool
) -> None:
    made = tmp_path / "made"
    if before:
        log_at(made).append_all([(window(n), f"before {n}") for n in range(before)], AT)
    else:
        made.mkdir()
    outcomes = set()
    for step in range(1, 200):
        root = tmp_path / "stopped"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(made, root)
        log = log_at(root)
        ended = stopped_at(partial(log.append_all, TWO, AT), step, half, tmp_path / "acknowledged")
        found = log.read()
        assert found.head.size in (range(before, before + 3) if half else (before, before + 2)), step
        assert found.head == log.head()
        assert found.head.size == before + 2 or ended == STOPPED
        outcomes.add(found.head.size)
        # The same again is the same as once, and the next one goes on.
        lines = log_at(root).append_all([*TWO, (window(3), "c")], AT)
        assert [line.number for line in lines] == [before + 1, before + 2, before + 3]
        history = log.read()
        assert [line.key for line in history.lines[before:]] == ["a", "b", "c"]
        assert Stored.load(log.path).checkpoint == log.checkpoint()
        checked = check_log(log.path, fsck_keys(keys_at(root)))
        assert (checked.lines, checked.torn) == (before + 3, False)
        if ended == DONE:
            break
    else:
        raise AssertionError("the append never came to its end")
    assert {before, before + 2} <= outcomes
    assert step > 12, "each change to the disk was a place to stop at"


TWO = [(window(1), "a"), (window(2), "b")]


def test_a_mending_that_is_stopped_anywhere_is_begun_again(tmp_path: Path) -> None:
    """A leaf beyond the checkpoint, then half a leaf: what a writer finds after two crashes."""
    made = tmp_path / "made"
    log = log_at(made)
    log.append(window(0), AT, "a")
    checkpoint = (log.path / "checkpoint").read_bytes()
    log.append(window(1), AT, "b")
    (log.path / "checkpoint").write_bytes(checkpoint)
    (log.path / "tiles" / "0").write_bytes((log.path / "tiles" / "0").read_bytes()[:40])
    entries = (log.path / "entries").read_bytes()
    (log.path / "entries").write_bytes(entries + entries[:50])
    (log.path / "contents").write_bytes((log.path / "contents").read_bytes() + b'{"body":')
    for step in range(1, 100):
        root = tmp_path / "stopped"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(made, root)
        ended = stopped_at(log_at(root).checkpoint, step, False, tmp_path / "acknowledged")
        assert log_at(root).read().head.size == 2
        assert log_at(root).append(window(2), AT, "c").number == 3
        assert check_log(log_at(root).path, fsck_keys(keys_at(root))).lines == 3
        if ended == DONE:
            break
    assert step > 8


def test_the_entries_torn_at_any_byte_are_cut_only_beyond_the_checkpoint(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.append(window(0), AT)
    older = (log.path / "checkpoint").read_bytes()
    kept = (log.path / "entries").stat().st_size
    log.append_all([(window(1), None), (window(2), None)], AT)
    newer = (log.path / "checkpoint").read_bytes()
    whole = Stored.load(log.path).entries
    second = kept + (len(whole) - kept) // 2
    for size in range(len(whole)):
        (log.path / "entries").write_bytes(whole[:size])
        (log.path / "checkpoint").write_bytes(newer)
        with pytest.raises(NotVerified, match="its checkpoint counts 3"):
            log.read()
        (log.path / "checkpoint").write_bytes(older)
        if size < kept:
            with pytest.raises(NotVerified, match="its checkpoint counts 1"):
                log.read()
        else:
            assert len(log.read().lines) == 1 + (size >= second)


def test_blocks_of_zeros_after_a_power_cut_are_cut(filled: Log) -> None:
    for name in ("entries", "contents", "tiles/0", "salts"):
        with (filled.path / name).open("ab") as f:
            f.write(bytes(4096))
    assert len(filled.read().lines) == 5
    assert filled.append(window(0), AT).number == 6
    assert len(filled.read().lines) == 6


def test_a_whole_leaf_beyond_the_checkpoint_that_commits_to_something_else_is_not_cut(filled: Log) -> None:
    """No crash makes one: its salt and its content were on disk before it."""
    checkpoint = (filled.path / "checkpoint").read_bytes()
    filled.append(window(0), AT)
    (filled.path / "checkpoint").write_bytes(checkpoint)
    contents = (filled.path / "contents").read_bytes()
    (filled.path / "contents").write_bytes(contents[:-30] + b"x" + contents[-29:])
    size = (filled.path / "entries").stat().st_size
    with pytest.raises(NotVerified, match="leaf 5 does not commit"):
        filled.append(window(1), AT)
    assert (filled.path / "entries").stat().st_size == size


def test_an_error_of_the_disk_after_the_acknowledgement_is_made_good_by_the_next_writer(
    filled: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        filled.append(window(0), AT, "reported lost")
    monkeypatch.setattr(os, "replace", real)
    assert filled.append(window(0), AT, "reported lost").number == 6
    assert len(filled.read().lines) == 6


def test_the_keys_of_a_log_are_made_once_wherever_the_first_append_is_stopped(tmp_path: Path) -> None:
    seen = set()
    for step in range(1, 60):
        root = tmp_path / str(step)
        ended = stopped_at(partial(log_at(root).append, window(0), AT), step, False, tmp_path / "told")
        log_at(root).append(window(1), AT)
        keys = home_at(root).keys
        assert {p.name for p in keys.rglob("*") if p.is_file() and not p.name.startswith(".")} == {
            "log.key", f"{CODE}.key",
        }  # fmt: skip
        seen.add(keys_at(root).of_salts(CODE))
        if ended == DONE:
            break
    assert len(seen) == step, "each home has keys of its own"
