"""Dagster's files are looked through while it writes them: nothing is missed, and nobody dies of a file cut shorter."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.defs import trace

# A file is filled and cut by turns beside the look: what a map of it shows then is no memory any more.
_RACE = """
import os, sys, threading
from pathlib import Path
from pipelines.defs.trace import _in_bytes
path = Path(sys.argv[1])
over = threading.Event()
def cut():
    while not over.is_set():
        os.truncate(path, 0)
        os.truncate(path, 2**24)
path.write_bytes(b"")
beside = threading.Thread(target=cut, daemon=True)
beside.start()
for _ in range(60):
    assert not _in_bytes(path, b"A0001")
over.set()
beside.join()
"""


@pytest.mark.parametrize("chunk", [1, 3, 5, 6, 64])
def test_a_code_is_found_wherever_a_chunk_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(trace, "_CHUNK", chunk)
    path = tmp_path / "index.db"
    for at in range(12):
        path.write_bytes(b"." * at + b"A0001" + b"." * (12 - at))
        assert trace._in_bytes(path, b"A0001")
        assert not trace._in_bytes(path, b"A0002")
    path.write_bytes(b"A000")
    assert not trace._in_bytes(path, b"A0001")
    assert not trace._in_bytes(tmp_path / "missing", b"A0001")


def test_a_file_that_is_cut_meanwhile_ends_nobody(tmp_path: Path) -> None:
    root = Path(trace.__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", _RACE, str(tmp_path / "x.db-wal")], cwd=root, capture_output=True)
    assert ended.returncode == 0, ended.stderr[-300:]
