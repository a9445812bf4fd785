"""Dagster's page as `depositaire up` serves it, read in the system's own browser.

The browser reaches nothing but this machine, and every byte that it is sent is kept to be searched.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, Route, WebSocket, sync_playwright

from tests.functional.cli.conftest import SAMPLES, Desk, plainly
from tests.functional.dagster.test_serve import answers, free_port, session_of

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
HERE = "127.0.0.1"
DAY = "2026-01-05"
START_SECONDS, STOP_SECONDS, PATIENCE_SECONDS = 180, 60, 90


@dataclass
class Browsing:
    """Somebody at a browser: one tab a page, which machines it asked, and what it was sent."""

    context: BrowserContext
    address: str
    hosts: set[str] = field(default_factory=set)
    received: set[bytes] = field(default_factory=set)
    tabs: dict[str, Page] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.context.on("request", self._asked)
        self.context.route("**/*", self._answer)

    def open(self, path: str) -> Page:
        """The tab of a page; loaded once."""
        if path not in self.tabs:
            page = self.tabs[path] = self.context.new_page()
            page.on("websocket", self._connected)
            page.goto(self.address + path)
        self.tabs[path].bring_to_front()
        return self.tabs[path]

    def reading(self, page: Page, read: Callable[[Page], T], wanted: T) -> T:
        """What one reads once it is what one waits for, or at the end of one's patience."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := read(page)) != wanted and time.monotonic() < deadline:
            page.wait_for_timeout(250)
        return found

    def _asked(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname or HERE)  # data: and blob: go nowhere

    def _answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.hostname != HERE:
            route.abort()
            return
        if url.path in self.files:
            route.continue_()
            return
        with suppress(Error):  # the tab was closed meanwhile: nobody received it
            answer = route.fetch(max_redirects=0)
            self.received.add(answer.body())
            route.fulfill(response=answer)
            if url.path.startswith("/_next/static/"):  # named by its content: another tab is sent the same
                self.files.add(url.path)

    def _connected(self, socket: WebSocket) -> None:
        self.hosts.add(str(urlsplit(socket.url).hostname))
        socket.on("framereceived", lambda told: self.received.add(told if isinstance(told, bytes) else told.encode()))


def after_a_night(root: Path) -> Desk:
    """Three agencies that stay, and their first night by the command line. The GPI file of A0002 lost its end."""
    desk = Desk(root)
    register = root / "AGENCES_20260105.csv"
    text = (SAMPLES / "agencies" / register.name).read_text(encoding="utf-8")
    # `up` lives by the real clock: a window of the samples would close while one reads.
    register.write_text(text.replace("2026-01-06;RESILIATION", ";"), encoding="utf-8")
    assert desk("init").code == 0
    assert desk("agencies", "load", register, "--at", DAY).code == 0
    assert desk("instruct", "--all", "--file", desk.instruction(), "--at", DAY).code == 0
    desk.place_day(DAY)
    (gpi,) = (desk.inbox / "A0002" / "gpi").iterdir()
    gpi.write_bytes(gpi.read_bytes()[:-514])
    refused = 3
    assert desk("sync", "--inbox", desk.inbox, "--at", f"{DAY}T06:30").code == refused
    return desk


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """The address of the page, while `depositaire up` runs; afterwards nothing of it may be left."""
    port, pages = free_port(), free_port()
    command = [
        str(Path(sys.executable).with_name("depositaire")), "up", "--home", str(desk.home), "--port", str(port),
        "--listen", f"{HERE}:{pages}", "--origin", f"http://localhost:{pages}",
    ]  # fmt: skip
    # The code beside these tests, wherever the environment was made.
    told = os.environ | {"PYTHONPATH": str(ROOT)}
    log = desk.root / "up.log"
    with log.open("wb") as out, subprocess.Popen(command, env=told, cwd=desk.root, stdout=out, stderr=out) as up:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(port) and up.poll() is None and time.monotonic() < deadline:
                time.sleep(0.3)
            assert answers(port), log.read_text(encoding="utf-8", errors="replace")[-4000:]
            of_session = session_of(up.pid)
            yield f"http://{HERE}:{port}"
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                ended = up.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                up.kill()
                raise
    left = still_there(of_session)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "a process outlived `depositaire up`"
    assert ended == 0
    assert not answers(port)


def still_there(of_session: list[str]) -> list[int]:
    """Processes of a session that have not ended by themselves."""
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        left = subprocess.run(of_session, capture_output=True, text=True).stdout.split()
        if not left or time.monotonic() > deadline:
            return [int(pid) for pid in left]
        time.sleep(0.3)


def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("Chromium is missing. Install it with: scripts/system-packages.sh test")
    return found


@pytest.fixture(scope="module")
def browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsing]:
    program = chromium()
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        desk = after_a_night(tmp_path_factory.mktemp("page"))
        with served(desk) as address, sync_playwright() as playwright:
            # Even what is not a request of the page finds no other machine.
            alone = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}"
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", alone])
            # So tall that lists which draw only what is seen draw everything.
            context = browser.new_context(
                viewport={"width": 1600, "height": 3000}, locale="en-GB", service_workers="block"
            )
            context.set_default_timeout(PATIENCE_SECONDS * 1000)
            try:
                yield Browsing(context, address)
            finally:
                context.unroute_all(behavior="ignoreErrors")
                browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that finds no other machine. Pages are served as `localhost`: passkeys need a name."""
    alone = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE {HERE}"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", alone])
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody at a browser that has not been here before."""
    fresh = browser.new_context(locale="fr-FR", service_workers="block")
    fresh.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield fresh
    fresh.close()
