"""The web door of a home while it is open: the reception in this process, the pages in one of their own.

The process of the pages is told a socket, an address and nothing of the home: not its folder, not a key, no passphrase.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime

from ledger.lines import write_whole
from pipelines.reception.packs import Meaning
from pipelines.reception.service import Service, site_of, socket_of
from schemas.errors import Malformed
from schemas.home import Home
from store.keys import Root

PORT = 8620
_PATIENCE_SECONDS = 10.0
# What a process needs to run at all. Everything else of this one's surroundings stays here.
_NEEDED = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONDONTWRITEBYTECODE")


def origin_of(home: Home, told: str | None = None, port: int = PORT) -> str:
    """Where the pages are: what is told, and noted for the invitations; else what was noted, else this machine."""
    path = home.reception / "origin"
    if told is not None:
        site_of(told)
        home.reception.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, told.encode())
        return told
    return path.read_text() if path.exists() else f"http://localhost:{port}"


def listening(text: str) -> str:
    """HOST:PORT. Raises Malformed."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise Malformed("the address to listen on is not HOST:PORT", "Write 127.0.0.1:8620, for instance.")
    return text


@contextmanager
def door(
    home: Home,
    root: Root,
    origin: str,
    listen: str,
    clock: Callable[[], datetime],
    environment: Mapping[str, str] = os.environ,
    meaning: Meaning = str,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Open the door; gives the process of the pages. What it started ends with it. `meaning`: a reason code in French,
    for the summary of an evidence pack."""
    service = Service(home, root, origin, clock, meaning)
    told = ["--socket", str(socket_of(home)), "--origin", origin, "--listen", listening(listen)]
    pages = subprocess.Popen(
        [sys.executable, "-m", "portal.web", *told],
        env={name: environment[name] for name in _NEEDED if name in environment},
        cwd="/",
        start_new_session=True,  # a signal from the keyboard reaches it once, from here
    )
    try:
        # gRPC does not survive a fork: the other process is there before it begins.
        with service:
            yield pages
    finally:
        pages.terminate()
        with suppress(subprocess.TimeoutExpired):
            pages.wait(_PATIENCE_SECONDS)
        if pages.poll() is None:
            pages.kill()
            pages.wait()
