"""The web door behind the proxy of docs/operations.md, as it stands there: a real one, and a certificate of its own."""

import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.browser.test_door import DEPOSITAIRE, ROOT
from tests.functional.conftest import Installation
from tests.functional.dagster.test_serve import free_port
from tests.functional.web.conftest import token_of

HOST = "localhost"
START_SECONDS = 60
# No certificate of an authority, no port but one, nothing kept outside its folder.
OPTIONS = "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n storage file_system {folder}\n}}\n"


@dataclass
class Proxied:
    port: int
    door: int
    folder: Path

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.port}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "pki/authorities/local/root.crt"))

    def visitor(self, direct: bool = False) -> httpx2.Client:
        """Somebody with a browser of their own; `direct`: on the machine itself, past the proxy."""
        base = f"http://127.0.0.1:{self.door}" if direct else self.origin
        headers = {"host": f"{HOST}:{self.port}", "sec-fetch-site": "same-origin"}
        return httpx2.Client(base_url=base, verify=self.trusting(), headers=headers, timeout=30)

    def says(self, told: bytes) -> bytes:
        """All that comes back on one connection through the proxy."""
        with (
            socket.create_connection((HOST, self.port), timeout=10) as bare,
            self.trusting().wrap_socket(bare, server_hostname=HOST) as line,
        ):
            return _exchanged(line, told)

    def says_itself(self, told: bytes) -> bytes:
        """The same past the proxy."""
        with socket.create_connection(("127.0.0.1", self.door), timeout=10) as line:
            return _exchanged(line, told)


def _exchanged(line: socket.socket, told: bytes) -> bytes:
    line.sendall(told)
    line.settimeout(3)
    found = b""
    try:
        while part := line.recv(65536):
            found += part
    except TimeoutError:
        pass
    return found


def configuration(port: int, door: int, folder: Path) -> str:
    """What the manual says, for this host and these ports."""
    manual = (ROOT / "docs/operations.md").read_text()
    (block,) = re.findall(r"^    depositaire\.example \{\n.*?^    \}\n", manual, re.DOTALL | re.MULTILINE)
    assert "127.0.0.1:8620" in block
    here = block.replace("depositaire.example", f"https://{HOST}:{port}").replace("8620", str(door))
    return f"{OPTIONS.format(folder=folder)}{here}"


@contextmanager
def running(command: Sequence[str], folder: Path, answers: Callable[[], bool]) -> Iterator[None]:
    told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=told, stdout=file, stderr=file, cwd=folder)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def proxied() -> Iterator[Proxied]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dep-proxy-")))
        home = Installation(folder).home.root
        made = Proxied(free_port(), free_port(), folder / "proxy")
        made.folder.mkdir()
        config = made.folder / "Caddyfile"
        config.write_text(configuration(made.port, made.door, made.folder))
        listen = ["--origin", made.origin, "--listen", f"127.0.0.1:{made.door}"]

        def there(direct: bool) -> Callable[[], bool]:
            def asked() -> bool:
                try:
                    with made.visitor(direct) as visitor:
                        return visitor.get("/sign-in").status_code == 200
                except (httpx2.TransportError, OSError):
                    return False

            return asked

        proxy = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
        stack.enter_context(running(proxy, made.folder, (made.folder / "pki/authorities/local/root.crt").exists))
        door = [str(DEPOSITAIRE), "--home", str(home), "door", "serve", *listen]
        stack.enter_context(running(door, folder, there(direct=True)))
        assert there(direct=False)()
        yield made


def wrong_tries(proxied: Proxied, named: str, direct: bool) -> list[int]:
    """Twenty-one, each for another account and each under another forged address."""
    found = []
    with proxied.visitor(direct) as visitor:
        page = visitor.get("/sign-in")
        cookies = "; ".join(f"{c.name}={c.value}" for c in visitor.cookies.jar)
        for n in range(21):
            forged = f"198.51.100.{n + 1}"
            told = {"x-forwarded-for": forged, "x-real-ip": forged, "forwarded": f"for={forged}", "cookie": cookies}
            form = {"form": token_of(page.text), "email": f"{named}.{n}@agence.example", "password": "x" * 20,
                    "code": "000000"}  # fmt: skip
            found.append(visitor.post("/sign-in", data=form, headers=told).status_code)
    return found


def test_who_tries_is_who_the_proxy_says_and_not_what_they_say_of_themselves(proxied: Proxied) -> None:
    assert wrong_tries(proxied, "beyond", direct=False) == [403] * 20 + [429]


def test_what_the_proxy_says_counts(proxied: Proxied) -> None:
    """Past the proxy the same twenty-one are of twenty-one machines: on the machine itself the header is believed."""
    assert wrong_tries(proxied, "beside", direct=True) == [403] * 21


def test_the_session_is_for_tls_alone_and_the_page_says_so(proxied: Proxied) -> None:
    with proxied.visitor() as visitor:
        page = visitor.get("/sign-in")
    assert page.status_code == 200
    assert page.headers["strict-transport-security"].startswith("max-age=")
    (cookie,) = page.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-form=")
    assert "secure" in cookie.casefold()


def connected(proxied: Proxied, version: ssl.TLSVersion, ciphers: str | None = None) -> str:
    """The version and the cipher that were agreed on. Raises SSLError with what the other side says."""
    context = proxied.trusting()
    context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((HOST, proxied.port), timeout=10) as bare,
        context.wrap_socket(bare, server_hostname=HOST) as line,
    ):
        agreed = line.cipher()
        assert agreed is not None
        return f"{line.version()} {agreed[0]}"


def test_tls_is_of_the_versions_of_today(proxied: Proxied) -> None:
    assert connected(proxied, ssl.TLSVersion.TLSv1_3).startswith("TLSv1.3 ")
    assert connected(proxied, ssl.TLSVersion.TLSv1_2).startswith("TLSv1.2 ECDHE-")
    for old in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        with (
            pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"),
            pytest.warns(DeprecationWarning, match="TLSVersion.TLSv1"),
        ):
            connected(proxied, old)


def offered() -> list[str]:
    """Every cipher of TLS 1.2 that this side knows and that authenticates by a certificate, by name."""
    context = ssl.create_default_context()
    context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    named = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    return [n for n in named if "PSK" not in n and "SRP" not in n]  # a shared secret, and there is none


def takes(proxied: Proxied, cipher: str) -> bool:
    """Whether the proxy takes this one cipher of TLS 1.2. Raises SSLError unless it says so itself."""
    try:
        connected(proxied, ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0")
    except ssl.SSLError as no:
        if "handshake failure" in str(no):
            return False
        raise
    return True


def test_its_ciphers_are_forward_secret_and_authenticated(proxied: Proxied) -> None:
    taken = {name for name in offered() if takes(proxied, name)}
    assert taken
    assert all(re.fullmatch(r"ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA\d+|CHACHA20-POLY1305)", c) for c in taken)
    assert {"AES128-SHA", "ECDHE-ECDSA-AES128-SHA"} <= set(offered()) - taken


# Each says two lengths, or one that is none: two that read it differently would take its end for another's request.
TWO_LENGTHS = (
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 60",
    b"Content-Length: +5",
    b"Content-Length: 5, 60",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding : chunked",
)


@pytest.mark.parametrize("lengths", TWO_LENGTHS)
def test_a_request_of_two_lengths_is_nobody_elses(proxied: Proxied, lengths: bytes) -> None:
    """The door refuses it alone; behind the proxy, whoever asks next gets what they asked for."""
    host = f"Host: {HOST}:{proxied.port}\r\n".encode()
    hidden = b"0\r\n\r\nGET /static/mark.svg HTTP/1.1\r\n" + host + b"\r\n"
    told = b"POST /sign-in HTTP/1.1\r\n" + host + b"Content-Type: text/plain\r\n" + lengths + b"\r\n\r\n" + hidden
    itself = proxied.says_itself(told)
    assert itself.startswith(b"HTTP/1.1 400 ")
    assert itself.count(b"HTTP/1.1 ") == 1
    before = proxied.says(told)
    assert b"<svg" not in before.split(b"HTTP/1.1 ")[1]
    with proxied.visitor() as visitor:
        for _ in range(5):
            assert 'action="/sign-in"' in visitor.get("/sign-in").text
