"""Dagster's files are looked through while it writes them: nothing is missed, and nobody dies of a file cut shorter."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.defs import trace_files as trace

# Fills a file and cuts it, by turns, until it is ended.
_CUTTING = """
import os, sys
while True:
    os.truncate(sys.argv[1], 0)
    os.truncate(sys.argv[1], 2**26)
"""
_LOOKING = """
import sys
from pathlib import Path
from pipelines.defs.trace_files import _in_bytes
for _ in range(100):
    assert not _in_bytes(Path(sys.argv[1]), b"A0001")
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
    path, root = tmp_path / "x.db-wal", Path(trace.__file__).parents[2]
    path.write_bytes(b"")
    beside = subprocess.Popen([sys.executable, "-c", _CUTTING, str(path)])
    try:
        ended = subprocess.run([sys.executable, "-c", _LOOKING, str(path)], cwd=root, capture_output=True, timeout=60)
    finally:
        beside.kill()
        beside.wait()
    assert ended.returncode == 0, ended.stderr[-300:]
