"""The section "Review a log" of the README, done as somebody does who has nothing but it: its commands as they stand,
from `make demo` to a log that the browser verified and a pack that a command did."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_door import DESK, PASSWORD, ROOT, TELEPHONE, chromium, opened, with_authenticator
from tests.functional.dagster.test_serve import free_port

__all__ = ["chromium"]  # a fixture

FIVE_MINUTES = 300.0
PORT = "8620"


def commands() -> list[str]:
    """What the section says to type, without its comments. At most 12 lines are its own."""
    section = re.search(r"^## Review a log\n(.*?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    assert len(section[1].strip().splitlines()) <= 12
    (block,) = re.findall(r"```bash\n(.*?)```", section[1], re.DOTALL)
    return [line.split(" #")[0].strip() for line in block.splitlines()]


@dataclass
class Clone:
    """A clone whose environment is there already. Its door has another port: several of these run at once."""

    root: Path
    begun: float
    port: int

    def surroundings(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.root), "LC_ALL": "C.UTF-8"}

    def run(self, command: str, within: float = FIVE_MINUTES) -> str:
        done = subprocess.run(
            self.words(command), cwd=self.root, env=self.surroundings(), capture_output=True, text=True, timeout=within
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def words(self, command: str) -> list[str]:
        """As a shell takes it apart: home and stars."""
        told = [w.replace("~", str(self.root), 1) if w.startswith("~/") else w for w in shlex.split(command)]
        return [found for w in told for found in (self.files(w) if "*" in w else [w])]

    def files(self, named: str) -> list[str]:
        folder = Path(named).parent
        return sorted(str(p) for p in folder.glob(Path(named).name))

    def demo(self) -> str:
        """What `make demo` does once the environment is there, and what it says."""
        *preparing, last = self.run("make --dry-run demo").splitlines()
        assert [shlex.split(line)[0] for line in preparing] == ["scripts/setup.sh", "scripts/system-packages.sh"]
        return self.run(last)

    @contextmanager
    def door(self, command: str) -> Iterator[str]:
        origin = f"http://localhost:{self.port}"
        told = [*self.words(command), "--origin", origin, "--listen", f"127.0.0.1:{self.port}"]
        with subprocess.Popen(told, cwd=self.root, env=self.surroundings(), stdout=subprocess.PIPE, text=True) as up:
            try:
                assert up.stdout is not None
                assert origin in up.stdout.readline(), "the door says where it is open"
                until = time.monotonic() + FIVE_MINUTES
                while not reached(origin) and time.monotonic() < until:
                    time.sleep(0.1)
                yield origin
            finally:
                up.send_signal(signal.SIGINT)
                assert up.wait(30) == 0


def reached(origin: str) -> bool:
    try:
        return httpx2.get(f"{origin}/sign-in").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def clone() -> Iterator[Clone]:
    root = Path(tempfile.mkdtemp(prefix="dep-walk-"))  # a short path: a socket's name has a limit
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "Makefile", root)
    for name in ("samples", ".venv"):
        (root / name).symlink_to((ROOT / name).resolve())
    (root / "Downloads").mkdir()
    yield Clone(root, time.monotonic(), free_port())
    shutil.rmtree(root)


def with_a_passkey(page: Page) -> None:
    page.get_by_role("button", name="Créer une clé d'accès").click()


def with_a_password(page: Page) -> None:
    page.locator("#password").fill(PASSWORD)
    page.locator("#again").fill(PASSWORD)
    page.locator("#code").fill(pyotp.TOTP(page.locator("#key").inner_text()).now())
    page.get_by_role("button", name="Set up and sign in").click()


# Language, size, how one comes in; then what one reads and clicks on.
WAYS: dict[str, tuple[str, dict[str, int], Callable[[Page], None], tuple[str, ...]]] = {
    "passkey": ("fr-FR", DESK, with_a_passkey, (
        "Registre des instructions", "Vérifié par votre navigateur", "Emporter les preuves", "Établir mon dossier",
        "L'emporter")),
    "password": ("en-GB", TELEPHONE, with_a_password, (
        "Instruction log", "Verified by your browser", "Take the evidence away", "Make my pack", "Take it away")),
}  # fmt: skip


def test_from_make_demo_to_a_log_that_is_reviewed_and_verified_in_under_five_minutes(
    clone: Clone, chromium: Browser
) -> None:
    demo, serve, verify = commands()
    assert demo == "make demo"
    said = clone.demo().splitlines()
    assert said[-1].strip() == serve, "the demo's last line is what to type next"
    (link,) = [line for line in said if "/invitation/" in line]
    assert f":{PORT}/" in link
    with clone.door(serve) as origin:
        review(clone, chromium, link.replace(f":{PORT}", f":{clone.port}"), "passkey")
        seconds = time.monotonic() - clone.begun
        assert "VERIFIED" in clone.run(verify).upper()
        again = "--agency A0001 --role reader --email autre@agence.example"
        other = clone.run(f".venv/bin/depositaire --home .demo/home door invite {again}").splitlines()[-1]
        assert other.startswith(origin)
        review(clone, chromium, other, "password")
        assert "VERIFIED" in clone.run(verify).upper()
    print(f"from make demo to a verified log: {seconds:.0f} s")
    assert seconds < FIVE_MINUTES


def review(clone: Clone, chromium: Browser, link: str, way: str) -> None:
    """Come in, read the log, have it verified, take the evidence away."""
    language, size, come_in, (log, verified, take, make, away) = WAYS[way]
    with opened(chromium, language, size) as context:
        page = context.new_page()
        with_authenticator(page)
        page.goto(link)
        come_in(page)
        page.wait_for_url("**/a/A0001")
        page.get_by_role("navigation").get_by_role("link", name=log).click()
        expect(page.locator("[data-verdict-of-all]")).to_contain_text(verified)
        worth_reviewing(page)
        picture(page, f"walk-log-{way}")
        page.get_by_role("link", name=take).click()
        page.get_by_role("button", name=make).click()
        with page.expect_download() as taken:
            page.get_by_role("link", name=away).click()
        for older in (clone.root / "Downloads").iterdir():
            older.unlink()
        taken.value.save_as(clone.root / "Downloads" / taken.value.suggested_filename)


def worth_reviewing(page: Page) -> None:
    """The log tells of runs, of lines put aside, of what was left out, and of an erasure."""
    kinds = set(page.locator(".timeline li").evaluate_all("(all) => all.map((e) => e.className)"))
    assert {"synchronise", "restrict", "erase", "fulfilled", "receipt"} <= kinds
    values = page.locator("[data-field=tables]").evaluate_all("(all) => all.map((e) => e.value)")
    assert any('"withheld":' in v for v in values)
    assert any('"quarantined":' in v for v in values)


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
