"""Machines for tests: network namespaces on one bridge, each with a cable that can be pulled, and without the disks of
the others. They need root, and exist until the end of the block that made them. Whoever makes them is moved to a
network of its own too, at `HERE`, with every process that it starts meanwhile.

Addresses are those of documentation (RFC 5737): nothing beyond this machine has them.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = "192.0.2.1"
_BRIDGE = "depbr0"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of sched.h
_C = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Machine:
    """One of them. Its disk is `folder`; `hidden` are folders of others, which it finds empty."""

    name: str
    folder: Path
    hidden: Sequence[Path]

    def command(self, *words: str) -> list[str]:
        """The command, run there. It keeps its number as a process."""
        hide = "".join(f"mount -t tmpfs none '{folder}' && " for folder in self.hidden)
        return ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", f'{hide} exec "$@"', "sh", *words]

    def pull(self) -> None:
        """The cable: what is sent is lost, and nobody is told."""
        _ip("link", "set", f"{self.name}-b", "down")

    def plug(self) -> None:
        _ip("link", "set", f"{self.name}-b", "up")


@contextmanager
def machines(folder: Path, hidden: Sequence[Path], count: int) -> Iterator[list[Machine]]:
    """So many machines that reach this one at `HERE`."""
    if os.geteuid() != 0:
        raise PermissionError("network namespaces are made by root: run this as root")
    made: list[Machine] = []
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    _done(_C.unshare(_NEW_NETWORK))
    try:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HERE}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for number in range(1, count + 1):
            name = f"depw{number}"
            own = folder / name
            own.mkdir(parents=True)
            _ip("netns", "add", name)
            made.append(Machine(name, own, tuple(hidden)))
            _ip("link", "add", f"{name}-b", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}-b", "master", _BRIDGE)
            _ip("link", "set", f"{name}-b", "up")
            _ip("-n", name, "addr", "add", f"192.0.2.{10 + number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        for machine in made:
            _ip("netns", "del", machine.name)
        _done(_C.setns(before, _NEW_NETWORK))
        os.close(before)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _done(code: int) -> None:
    if code != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a network of one's own")
