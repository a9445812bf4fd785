"""What nothing that looks at a delivery can do without: its bytes are read, hashed, unfolded, and its lines counted.

Each reader returns how many. The libraries are Python's own, and whatever a check needs is left out.
"""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from schemas.ids import System

CHUNK = 1 << 18


def sdgi(path: Path) -> int:
    """SHA-256 of the archive; every member unfolded, its MD5, its lines."""
    lines = 0
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
        with ZipFile(file) as archive:
            for member in archive.infolist():
                told = hashlib.md5(usedforsecurity=False)
                with archive.open(member) as stream:
                    while chunk := stream.read(CHUNK):
                        told.update(chunk)
                        lines += chunk.count(b"\n")
                told.hexdigest()
    return lines


def gpi(path: Path) -> int:
    """SHA-256 of the file, its records."""
    data = path.read_bytes()
    hashlib.sha256(data).hexdigest()
    return data.count(b"\n")


def login(path: Path) -> int:
    """SHA-256 of the file; the document unfolded, its lines."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
    with gzip.open(path) as stream:
        lines = 0
        while chunk := stream.read(CHUNK):
            lines += chunk.count(b"\n")
    return lines


READERS: dict[System, Callable[[Path], int]] = {System.SDGI: sdgi, System.GPI: gpi, System.LOGIN: login}
