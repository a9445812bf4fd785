"""The web door of a home while it is open: the reception in this process, the pages in one of their own.

The process of the pages is told a socket, an address and nothing of the home: not its folder, not a key, no passphrase.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from ledger.lines import write_whole
from pipelines.notices import post_office
from pipelines.reception.packs import Meaning
from pipelines.reception.service import Service, site_of, socket_of
from schemas.errors import Malformed
from schemas.home import Home
from store.keys import Root

PORT = 8620
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_AGAIN, _PEACE_SECONDS = 3, 600.0
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


class Pages:
    """The process of the pages, started again when it ends by itself: three times in ten minutes.

    `told` hears of it: True when it was started again, False when it was left alone.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], told: Callable[[bool], None]) -> None:
        self._command, self._environment, self._told = list(command), dict(environment), told
        self._ends: list[float] = []
        self._stopping = threading.Event()
        self.process = self._started()
        self._watch = threading.Thread(target=self._watching, name="pages", daemon=True)

    @property
    def returncode(self) -> int | None:
        """None while it runs, or is about to."""
        return self.process.returncode if self._given_up else None

    @property
    def _given_up(self) -> bool:
        return len(self._ends) > _AGAIN

    def poll(self) -> int | None:
        return self.returncode

    def watch(self) -> None:
        self._watch.start()

    def _started(self) -> "subprocess.Popen[bytes]":
        # A session of its own: a signal from the keyboard reaches it once, from here.
        return subprocess.Popen(self._command, env=self._environment, cwd="/", start_new_session=True)

    def _watching(self) -> None:
        while not self._stopping.is_set():
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_LOOK_SECONDS)
            if self.process.poll() is None or self._stopping.is_set():
                continue
            now = time.monotonic()
            self._ends = [at for at in self._ends if now - at < _PEACE_SECONDS] + [now]
            self._told(not self._given_up)
            if self._given_up:
                return
            self._stopping.wait(len(self._ends))
            if not self._stopping.is_set():
                self.process = self._started()

    def stop(self) -> None:
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def door(
    home: Home,
    root: Root,
    origin: str,
    listen: str,
    clock: Callable[[], datetime],
    environment: Mapping[str, str] = os.environ,
    told: Callable[[bool], None] = lambda _: None,
    meaning: Meaning = str,
) -> Iterator[Pages]:
    """Open the door; gives the pages. What it started ends with it. `meaning`: a reason code in French, for the summary
    of an evidence pack."""
    service = Service(home, root, origin, clock, meaning)
    command = [sys.executable, "-m", "portal.web", "--socket", str(socket_of(home)), "--origin", origin]
    kept = {name: environment[name] for name in _NEEDED if name in environment}
    pages = Pages([*command, "--listen", listening(listen)], kept, told)
    try:
        # gRPC does not survive a fork, and does a process that is started with another programme at once (`exec`).
        with service, post_office.beside(home, root, origin, clock):
            pages.watch()
            yield pages
    finally:
        pages.stop()
