"""Requests that do not say how large they are, or that never end: over a real socket, to the server that serves the
pages."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from portal.web import guard
from portal.web.app import app
from portal.web.guard import LARGEST_REQUEST, Guard
from portal.web.reception import Socket
from portal.web.site import Site
from tests.functional.dagster.test_serve import free_port

CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
TOO_MANY = 20 * LARGEST_REQUEST // 0x4000


@contextmanager
def served(made: ASGIApp, port: int) -> Iterator[int]:
    """As `python -m portal.web` serves them."""
    how = uvicorn.Config(made, host="127.0.0.1", port=port, access_log=False, log_level="critical", lifespan="off")
    server = uvicorn.Server(how)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def _reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads what it is sent, to the end, and says how much that was."""
    read = len(await Request(scope, receive).body())
    await PlainTextResponse(str(read))(scope, receive, send)


@pytest.fixture
def reading() -> Iterator[int]:
    port = free_port()
    with served(Guard(_reading, Site(f"http://localhost:{port}")), port):
        yield port


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[int]:
    """With no reception: nothing that is tried here gets as far as asking it."""
    port = free_port()
    with served(app(Socket(tmp_path / "none"), Site(f"http://localhost:{port}")), port):
        yield port


def asking(port: int, line: str, *headers: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    told = (f"{line} HTTP/1.1", f"Host: localhost:{port}", *headers, "", "")
    made.sendall("\r\n".join(told).encode())
    return made


def sent(to: socket.socket, piece: bytes, most: int) -> int:
    """How many bytes were taken before the other side hung up."""
    for n in range(most):
        try:
            to.sendall(piece)
        except OSError:
            return n * len(piece)
    return most * len(piece)


def answer(of: socket.socket) -> bytes:
    """Everything until the other side hangs up."""
    parts = []
    while True:
        try:
            part = of.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def status(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def test_a_body_without_a_length_is_counted_as_it_comes(reading: int) -> None:
    with closing(asking(reading, "POST /", "Transfer-Encoding: chunked")) as there:
        taken = sent(there, CHUNK, TOO_MANY)
        said = answer(there)
    assert status(said) == 413
    assert b"connection: close" in said
    assert b"content-security-policy" in said
    assert taken < TOO_MANY * len(CHUNK)


def test_a_body_of_the_largest_size_is_read_whole(reading: int) -> None:
    whole = LARGEST_REQUEST // 0x4000
    with closing(asking(reading, "POST /", "Transfer-Encoding: chunked", "Connection: close")) as there:
        there.sendall(CHUNK * whole + b"0\r\n\r\n")
        said = answer(there)
    assert (status(said), said.endswith(str(LARGEST_REQUEST).encode())) == (200, True)


@pytest.mark.parametrize("header", ["Transfer-Encoding: chunked", "Content-Length: 100"])
def test_a_body_that_does_not_come_is_waited_for_for_a_time(
    reading: int, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    """The time is the whole body's: a byte now and then does not prolong it."""
    monkeypatch.setattr(guard, "LONGEST_REQUEST_SECONDS", 1.0)
    begun = time.monotonic()
    piece = b"1\r\nx\r\n" if "chunked" in header else b"x"
    with closing(asking(reading, "POST /", header)) as there:
        there.settimeout(0.2)
        said = b""
        while time.monotonic() - begun < 10 and not said:
            there.sendall(piece)
            try:
                said = there.recv(65536)
            except TimeoutError:
                continue
    assert status(said) == 408
    assert b"connection: close" in said


def test_a_connection_that_goes_on_sending_after_the_answer_is_closed(pages: int) -> None:
    for line, wanted in (("POST /sign-in", 400), ("GET /sign-in", 200), ("POST /nothing", 404)):
        with closing(asking(pages, line, "Transfer-Encoding: chunked")) as there:
            taken = sent(there, CHUNK, TOO_MANY)
            assert taken < TOO_MANY * len(CHUNK), line
            assert status(answer(there)) == wanted, line


def test_a_request_without_a_body_keeps_its_connection(pages: int) -> None:
    with closing(asking(pages, "GET /sign-in")) as there:
        first = there.recv(65536)
        there.sendall(f"GET /sign-in HTTP/1.1\r\nHost: localhost:{pages}\r\nConnection: close\r\n\r\n".encode())
        second = answer(there)
    assert status(first) == 200
    assert b"connection: close" not in first
    assert b"HTTP/1.1 200" in second
