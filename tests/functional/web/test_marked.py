"""Marked values through the web: nothing that somebody types, holds or is shown lies open anywhere afterwards.

`depositaire up` as it is run: Dagster, the reception and the pages, each in its process, with one stream for what they
all say. Somebody is invited, sets up a password and an authenticator, mistypes both, and asks for what there is and
what there is not, with marked words in every place that a request has. Then every byte of the home and of the stream is
searched: for those words, for the secrets that were handed out, and for personal values of the agency's own records.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pyotp
import pytest

from tests.browser.conftest import after_a_night
from tests.functional.dagster.test_serve import free_port
from tests.functional.test_canary import hits, marks

ROOT = Path(__file__).parents[3]
EMAIL, PASSWORD, WRONG = "marquee.personne@agence.example", "CANARI-phrase secrète 7141", "CANARI-autre phrase 9352"
TYPED = "CANARI-tape-4263"
START_SECONDS, STOP_SECONDS = 180, 60


@dataclass
class Visitor:
    """Keeps cookies as a browser does for localhost, and notes each secret that it was handed."""

    client: httpx2.Client
    jar: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def get(self, path: str) -> httpx2.Response:
        return self._kept(self.client.get(path, headers=self._told()))

    def post(self, path: str, page: str, **form: str) -> httpx2.Response:
        token = re.search(r'name="form" (?:content|value)="([0-9a-f]{64})"', self.get(page).text)
        assert token is not None
        self.secrets.add(token[1])
        return self._kept(self.client.post(path, data={"form": token[1], **form}, headers=self._told()))

    def _told(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{k}={v}" for k, v in self.jar.items()), "user-agent": TYPED, "referer": TYPED}

    def _kept(self, answer: httpx2.Response) -> httpx2.Response:
        for told in answer.headers.get_list("set-cookie"):
            name, _, value = told.partition(";")[0].partition("=")
            self.jar[name] = value
            if name != "__Host-language" and len(value) > 20:
                self.secrets.add(value)
        return answer


@dataclass
class Left:
    """What is there when everybody is gone."""

    root: Path
    said: str
    secrets: set[str]
    served: list[int]


@pytest.fixture(scope="module")
def left() -> Iterator[Left]:
    with tempfile.TemporaryDirectory(prefix="dep-marked-") as folder:
        root = Path(folder)
        desk = after_a_night(root)
        port, door, log = free_port(), free_port(), root / "up.log"
        origin = f"http://localhost:{door}"
        link = desk("door", "invite", "--role", "reader", "--email", EMAIL, "--agency", "A0001", "--origin", origin)
        token = re.search(r"/invitation/([\w-]{43})", link.out)
        assert token is not None
        (root / "stderr").mkdir()
        command = [
            str(Path(sys.executable).with_name("depositaire")),
            "up",
            "--home",
            str(desk.home),
            "--port",
            str(port),
        ]
        command += ["--origin", origin, "--listen", f"127.0.0.1:{door}"]
        with (
            log.open("wb") as out,
            subprocess.Popen(
                command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=root, stdout=out, stderr=out
            ) as up,
        ):
            visitor = Visitor(httpx2.Client(base_url=origin, timeout=60))
            try:
                _answers(visitor, up, log)
                served = visited(visitor, token[1])
                deadline = time.monotonic() + START_SECONDS
                while not _dagster(port) and time.monotonic() < deadline:
                    time.sleep(0.5)  # its storage too is there before it is searched
            finally:
                visitor.client.close()
                up.send_signal(signal.SIGTERM)
                up.wait(STOP_SECONDS)
        yield Left(root, log.read_text(errors="replace"), visitor.secrets | {token[1]}, served)


def _answers(visitor: Visitor, up: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and up.poll() is None:
        try:
            visitor.client.get("/sign-in")
            return
        except httpx2.TransportError:
            time.sleep(0.3)
    pytest.fail(log.read_text(errors="replace")[-3000:])


def _dagster(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/server_info").status_code == 200
    except httpx2.TransportError:
        return False


def visited(visitor: Visitor, token: str) -> list[int]:
    """Everything that somebody may do, rightly and wrongly. Returns the statuses."""
    page, statuses = f"/invitation/{token}", []
    secret = re.search(r'id="key">([A-Z2-7]+)<', visitor.get(page).text)
    assert secret is not None
    visitor.secrets.add(secret[1])
    form = {"password": PASSWORD, "again": PASSWORD, "code": "000000"}
    statuses.append(visitor.post(page, page, **form).status_code)
    statuses.append(visitor.post(page, page, **form | {"code": pyotp.TOTP(secret[1]).now()}).status_code)
    own = ("/", "/a/A0001", "/a/A0001/log", "/a/A0001/log/1", "/a/A0001/log/checkpoint", "/sessions")
    statuses += [visitor.get(path).status_code for path in own]
    odd = (
        f"/{TYPED}",
        f"/a/{TYPED}",
        f"/a/A0001/log/{TYPED}",
        f"/a/A0001/log?sort={TYPED}",
        f"/a/A0002?{TYPED}",
    )
    statuses += [visitor.get(path).status_code for path in odd]
    statuses.append(visitor.post("/language", "/sessions", language=TYPED, back=TYPED).status_code)
    statuses.append(visitor.post(f"/sessions/{TYPED}/end", "/sessions").status_code)
    statuses.append(visitor.post("/sign-out", "/sessions").status_code)
    statuses.append(visitor.post("/sign-in", "/sign-in", email=EMAIL, password=WRONG, code="123456").status_code)
    statuses.append(visitor.post("/sign-in", "/sign-in", email=TYPED, password=TYPED, code=TYPED).status_code)
    statuses.append(visitor.client.post("/sign-in/passkey", content=TYPED, headers={"content-type": TYPED}).status_code)
    statuses.append(visitor.client.get("/sign-in", headers={"host": TYPED}).status_code)
    return statuses


def test_the_visit_went_as_it_was_meant_to(left: Left) -> None:
    assert left.served[1] == 303
    assert left.served[3:8] == [200] * 5, left.served
    assert set(left.served[8:]) <= {200, 303, 400, 403, 404}, left.served
    assert len(left.secrets) >= 6


def test_nothing_that_was_typed_or_handed_out_is_anywhere(left: Left) -> None:
    """Whoever set up a password, and with which, can be told from neither database, and from no log."""
    searched = [p for p in left.root.rglob("*") if p.is_file()]
    names = {p.name for p in searched}
    assert {"access.db", "accounts.db", "up.log"} <= names, "the search must look where it could be"
    assert any("dagster" in str(p) for p in searched)
    assert hits([left.root], {"sign_in.password"}), "the search must find what is there"
    assert hits([left.root], {EMAIL, PASSWORD, WRONG, TYPED, *left.secrets}) == {}


def test_no_personal_value_of_the_agencys_records_is_in_what_the_web_leaves(left: Left) -> None:
    home = left.root / "home"
    folders = [p for p in home.iterdir() if p.is_dir() and p.name in ("reception", "dagster", "ledger")]
    assert {p.name for p in folders} >= {"reception"}
    assert hits(folders, marks("A0001")) == {}
    assert not [mark for mark in marks("A0001") if mark in left.said]


def test_the_stream_says_no_address_and_no_traceback(left: Left) -> None:
    assert "Traceback" not in left.said
    assert "/invitation/" not in left.said
    assert "@agence.example" not in left.said
