"""Addresses as several rooms need them: of a socket in a folder, and whether a host is this machine."""

import os
from ipaddress import ip_address
from pathlib import Path

_LONGEST_PATH = 100


def of_socket(path: Path) -> str:
    """A Unix socket as gRPC wants it. Its path has 107 bytes at most (unix(7)): a longer one goes through its folder,
    which then stays open."""
    if len(os.fsencode(path)) < _LONGEST_PATH:
        return f"unix:{path}"
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"unix:/proc/self/fd/{folder}/{path.name}"


def is_here(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
