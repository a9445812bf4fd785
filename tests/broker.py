"""A real Redis server for tests: on loopback, on a free port, in a folder of its own, told apart by its process."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


class Broker:
    """A server that writes everything to its folder, so that it can be killed and started again."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self._folder, self._address = folder, address
        with socket.socket() as free:
            free.bind((address, 0))
            self._port = int(free.getsockname()[1])
        name = "localhost" if address == "127.0.0.1" else address
        self.url = f"redis://:fabriqu%C3%A9@{name}:{self._port}/0"
        self._child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        settings = {
            "port": str(self._port), "bind": self._address, "dir": str(self._folder), "appendonly": "yes",
            "appendfsync": "always", "requirepass": "fabriqué", "save": "", "daemonize": "no",
        }  # fmt: skip
        told = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._child = subprocess.Popen(["redis-server", *told], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with redis.Redis.from_url(self.url) as server:
                    server.ping()
                return
            except redis.RedisError:
                time.sleep(0.1)
        raise TimeoutError("the broker does not answer")

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait(30)

    def waiting(self, queue: str) -> int:
        with redis.Redis.from_url(self.url) as server:
            return int(str(server.llen(queue)))

    def everything(self) -> bytes:
        """Every message that waits or was not heard of again."""
        with redis.Redis.from_url(self.url) as server:
            out = []
            for key in server.scan_iter():
                kind = server.type(key)
                out.append(bytes(key))
                if kind == b"list":
                    out += server.lrange(key, 0, -1)
                elif kind == b"hash":
                    out += [part for pair in server.hgetall(key).items() for part in pair]
            return b"\n".join(bytes(part) for part in out)


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A broker in a folder of its own, until the end of the block."""
    folder.mkdir()
    made = Broker(folder)
    try:
        yield made
    finally:
        made.stop()
