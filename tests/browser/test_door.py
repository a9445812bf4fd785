"""The web door in the system's own browser: somebody is invited, makes a passkey, reads their log; both languages, on a
desk and on a telephone. Against the real command, in a process of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.functional.cli.conftest import SAMPLES
from tests.functional.conftest import Installation, noon
from tests.functional.dagster.test_serve import free_port

ROOT = Path(__file__).parents[2]
DEPOSITAIRE = Path(sys.executable).parent / "depositaire"
DESK, TELEPHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
PASSWORD, ANOTHER = "marée basse, quatre mouettes", "rivage gris, neuf cormorans"
START_SECONDS = 60


@dataclass
class Served:
    """`depositaire door serve` on a home made from the samples."""

    home: Path
    origin: str
    errors: Path
    environment: dict[str, str]

    def invite(self, email: str, role: str = "reader", agency: str | None = "A0001") -> str:
        named = ["--agency", agency] if agency else []
        said = self.run("door", "invite", "--role", role, "--email", email, *named)
        link: str = json.loads(said)["link"]
        return link

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [str(DEPOSITAIRE), "--home", str(self.home), "--json", *words],
            env=self.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    folder = Path(tempfile.mkdtemp(prefix="dep-door-"))  # a short path: a socket's name has a limit
    site = Installation(folder)
    site.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in ("A0001", "A0002"):
        site.instruct(agency)
    site.place_day("2026-01-05")
    site.sync(noon("2026-01-05"), portal=False)
    port, errors = free_port(), folder / "door.log"
    origin = f"http://localhost:{port}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "CANARY": "CANARY-ENV"}
    made = Served(site.home.root, origin, errors, environment)
    command = [str(DEPOSITAIRE), "--home", str(site.home.root), "door", "serve", "--origin", origin]
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--listen", f"127.0.0.1:{port}"], env=environment, stdout=log, stderr=log, cwd=folder
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"{origin}/sign-in").status_code == 200:
                    break
            except httpx2.TransportError:
                time.sleep(0.2)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(chromium: Browser, language: str = "fr-FR", size: dict[str, int] | None = None) -> BrowserContext:
    return chromium.new_context(locale=language, viewport=size or DESK)  # type: ignore[arg-type]


def with_authenticator(page: Page) -> None:
    """A device that keeps passkeys and says that its user was there (WebAuthn Level 3 §11.3)."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest.mark.parametrize(
    ("language", "size", "words"),
    [
        (
            "fr-FR",
            DESK,
            ("Créer une clé d'accès", "Registre des instructions", "Se déconnecter", "avec une clé d'accès"),
        ),
        ("en-GB", TELEPHONE, ("Make a passkey", "Instruction log", "Sign out", "with a passkey")),
    ],
)
def test_somebody_is_invited_makes_a_passkey_and_comes_back_with_it(
    served: Served, chromium: Browser, language: str, size: dict[str, int], words: tuple[str, ...]
) -> None:
    make, log, out, again = words
    with opened(chromium, language, size) as context:
        page = context.new_page()
        with_authenticator(page)
        link = served.invite(f"cle.{language[:2]}@agence.example")
        page.goto(link)
        page.get_by_role("button", name=make).click()
        page.wait_for_url("**/a/A0001")
        page.get_by_role("link", name=log).first.click()
        page.locator(".timeline a").first.click()
        assert page.locator("h1").inner_text()
        page.get_by_role("button", name=out).click()
        page.wait_for_url("**/sign-in")
        page.get_by_role("button", name=again).click()
        page.wait_for_url("**/a/A0001")
        page.goto(link)
        assert page.title().startswith(("Cette page n'existe pas", "There is no such page"))


def test_a_password_and_a_code_do_without_javascript(served: Served, chromium: Browser) -> None:
    context = chromium.new_context(locale="fr-FR", viewport=TELEPHONE, java_script_enabled=False)  # type: ignore[arg-type]
    with context:
        page = context.new_page()
        page.goto(served.invite("sans.script@agence.example", "signatory"))
        secret = page.locator("#key").inner_text()
        page.locator("#password").fill(PASSWORD)
        page.locator("#again").fill(PASSWORD)
        page.locator("#code").fill(pyotp.TOTP(secret).now())
        page.get_by_role("button", name="Enregistrer et se connecter").click()
        page.wait_for_url("**/a/A0001")
        page.goto(f"{served.origin}/a/A0001/log")
        page.locator("select[name=sort]").select_option("instructions")
        page.get_by_role("button", name="Filtrer").click()
        page.wait_for_url("**sort=instructions**")
        assert page.locator(".timeline li").count() == 1
        page.get_by_role("link", name="Mes sessions").click()
        page.get_by_role("link", name="Changer mon mot de passe").click()
        page.get_by_label("Mot de passe actuel").fill(PASSWORD)
        page.locator("#code").fill(pyotp.TOTP(secret).at(time.time() + 30))  # the one of now was used above
        page.get_by_label("Nouveau mot de passe").fill(ANOTHER)
        page.get_by_label("Le même à nouveau").fill(ANOTHER)
        shown(page, "mot-de-passe")
        page.get_by_role("button", name="Changer mon mot de passe").click()
        expect(page.get_by_role("status")).to_contain_text("Votre mot de passe est changé.")
        shown(page, "mot-de-passe-change")


def shown(page: Page, name: str) -> None:
    """Kept for looking at."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture(scope="module")
def reader(served: Served, chromium: Browser) -> Iterator[BrowserContext]:
    context = opened(chromium)
    page = context.new_page()
    with_authenticator(page)
    page.goto(served.invite("lecteur@agence.example"))
    page.get_by_role("button", name="Créer une clé d'accès").click()
    page.wait_for_url("**/a/A0001")
    yield context
    context.close()


PAGES = ("/a/A0001", "/a/A0001/log", "/a/A0001/log/1", "/sessions", "/a/A0002")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("size", [DESK, TELEPHONE], ids=["desk", "telephone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_and_breaks_no_policy(
    served: Served, reader: BrowserContext, path: str, size: dict[str, int], scheme: str
) -> None:
    page = reader.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.set_viewport_size(size)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    status = page.goto(served.origin + path)
    assert status is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert contrasts(page) == []
    assert [text for text in said if "404" not in text or status.status != 404] == []
    shown(page, f"{path.strip('/').replace('/', '-')}-{size['width']}-{scheme}")
    page.close()


def contrasts(page: Page) -> list[str]:
    """Texts with less than 4.5:1 on what is behind them (WCAG 2.2, 1.4.3)."""
    found: list[str] = page.evaluate("""() => {
      const channels = (c) => c.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => {
        const f = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
      };
      const behind = (e) => {
        for (; e; e = e.parentElement) {
          const c = channels(getComputedStyle(e).backgroundColor);
          if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
      };
      return [...document.querySelectorAll("main *, header *, footer *")].filter((e) =>
        [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).filter((e) => {
        const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
      }).map((e) => e.textContent.trim().slice(0, 40));
    }""")
    return found


def test_a_filter_acts_at_once_where_there_is_javascript(served: Served, reader: BrowserContext) -> None:
    page = reader.new_page()
    page.goto(f"{served.origin}/a/A0001/log")
    before = page.locator(".timeline li").count()
    page.locator("select[name=sort]").select_option("instructions")
    expect(page.locator(".timeline li")).to_have_count(1)
    assert before > 1
    assert "sort=instructions" in page.url
    page.close()


def test_the_keyboard_alone_reaches_everything(served: Served, reader: BrowserContext) -> None:
    page = reader.new_page()
    page.goto(f"{served.origin}/a/A0001")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # past the last of them
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached[0] == "Aller au contenu"
    assert {"Registre des instructions", "Mes sessions", "Se déconnecter"} <= set(reached)
    page.close()


def test_the_process_of_the_pages_knows_nothing_of_the_home_and_no_log_names_anybody(
    served: Served, reader: BrowserContext
) -> None:
    """Last: what all the visits above have left behind."""
    pages = [
        int(p.name) for p in Path("/proc").iterdir()
        if p.name.isdigit() and served.origin.encode() in _of(p, "cmdline") and b"portal.web" in _of(p, "cmdline")
    ]  # fmt: skip
    assert len(pages) == 1
    environment = _of(Path(f"/proc/{pages[0]}"), "environ")
    assert b"PATH=" in environment
    assert b"CANARY" not in environment
    assert b"DEPOSITAIRE" not in environment
    text = served.errors.read_text()
    assert re.search(r"http://localhost:\d+", text)
    assert "@agence.example" not in text
    assert "invitation" not in text
    assert "Traceback" not in text


def _of(process: Path, name: str) -> bytes:
    try:
        return (process / name).read_bytes()
    except OSError:
        return b""
