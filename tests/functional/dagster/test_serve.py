"""`depositaire up` serves the home and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.functional.conftest import Installation

UP = (
    "import sys; from pathlib import Path; from pipelines.defs.serve import up;"
    "from tests.functional.conftest import Installation;"
    "sys.exit(up(Installation.on(Path(sys.argv[1])).home, int(sys.argv[2])))"
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def session_of(pid: int) -> list[str]:
    """Processes that children of ours started (Dagster's, and the pages'), by their sessions."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    sessions = ",".join(sorted({str(os.getsid(int(child))) for child in children} - {str(os.getsid(pid))}))
    assert len(subprocess.run(["pgrep", "-s", sessions], capture_output=True, text=True).stdout.split()) > 2
    return ["pgrep", "-s", sessions]


@pytest.mark.soak
@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_page_and_daemon_start_and_stop_together(after: Installation, wish: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", UP, str(after.home.root.parent), str(port)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL) as served:
        try:
            deadline = time.monotonic() + 120
            while not answers(port) and time.monotonic() < deadline:
                time.sleep(0.5)
            assert answers(port)
            of_session = session_of(served.pid)
        finally:
            served.send_signal(wish)
        assert served.wait(60) == 0
    deadline = time.monotonic() + 30
    while subprocess.run(of_session, capture_output=True).returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert subprocess.run(of_session, capture_output=True).returncode == 1, "a process outlived it"
    assert not answers(port)
