"""What a hostile source sends is refused with a reason of its contract, within limits of memory and time."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.sdgi.sending import CODE, HEADERS, SIRET, Export

ROOT = Path(__file__).parents[2]
MB, CPU = 900, 30  # beyond what the process takes by itself; seconds
MIB = 1 << 20
SDGI = f"SDGI_{CODE}_20260105_0210.zip"
LOGIN = f"LOGIN-{CODE}-20260105T010000Z.xml.gz"


def became(system: str, path: Path) -> str:
    command = [sys.executable, "-m", "tests.faults.hostile", system, str(path), CODE, SIRET]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["mb"] < MB, told
    assert told["cpu"] < CPU, told
    return str(told["reason"])


def noisy(size: int) -> bytes:
    """Text without line ends that compresses only a little."""
    return os.urandom(size // 2).hex().encode()


def with_landlords(folder: Path, raw: bytes) -> Path:
    """An archive that is right in all but what this file of it says."""
    file = "PROPRIETAIRES.CSV"
    header = HEADERS[file].encode("cp1252") + b"\r\n"
    export = Export(raw={file: header + raw}, counts={file: raw.count(b"\n") or 1})
    path = export.write(folder).path
    assert path is not None
    return path


def test_a_line_of_thirty_million_bytes_is_one_bad_line(tmp_path: Path) -> None:
    assert became("sdgi", with_landlords(tmp_path, noisy(30 * MIB) + b"\r\n")) == "read 2"


def test_a_line_of_a_gigabyte_is_more_than_an_archive_may_hold(tmp_path: Path) -> None:
    path = tmp_path / SDGI
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("PROPRIETAIRES.CSV", "w") as member,
    ):
        for _ in range(1024):
            member.write(bytes(MIB))
    assert became("sdgi", path) == "sdgi.zip_bomb"


def test_an_archive_that_says_ten_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / SDGI
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PROPRIETAIRES.CSV", b"x" * 1000)
    raw = bytearray(path.read_bytes())
    directory = raw.index(b"PK\x01\x02")
    for at in (22, directory + 24):  # the real size, in the member's own header and in the directory
        raw[at : at + 4] = (4 * 1024 * MIB - 2).to_bytes(4, "little")
    path.write_bytes(raw)
    assert became("sdgi", path) == "sdgi.zip_bomb"


def test_members_that_lie_on_top_of_each_other_cannot_add_up_to_a_bomb(tmp_path: Path) -> None:
    """Many directory entries of one compressed stream (as zipbomb's overlap): what they declare is added up."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PJ/a", noisy(8 * MIB))
    raw = body.getvalue()
    directory = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entry = raw[directory:end]
    many = b"".join(
        entry[:-1] + bytes([letter]) for letter in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" * 2
    )
    count = len(many) // len(entry)
    tail = b"PK\x05\x06" + bytes(4) + count.to_bytes(2, "little") * 2 + len(many).to_bytes(4, "little")
    (tmp_path / SDGI).write_bytes(raw[:directory] + many + tail + directory.to_bytes(4, "little") + bytes(2))
    assert became("sdgi", tmp_path / SDGI) == "sdgi.zip_bomb"


def test_twenty_million_tiny_rows_are_not_told_apart(tmp_path: Path) -> None:
    some = b"".join(bytes([33 + byte % 90]) + b"\r\n" for byte in os.urandom(MIB))
    assert became("sdgi", with_landlords(tmp_path, some * 20)) == "sdgi.zip_bomb"


def endless(pieces: Iterator[bytes]) -> bytes:
    packed = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packed.compress(piece) for piece in pieces) + packed.flush()


@pytest.mark.parametrize("piece", [b"<a/>" * 250_000, b" " * MIB])
def test_xml_without_an_end_is_refused_while_it_unfolds(piece: bytes, tmp_path: Path) -> None:
    (tmp_path / LOGIN).write_bytes(endless(piece for _ in range(1000)))
    assert became("login", tmp_path / LOGIN) == "login.bomb"


def test_elements_beyond_number_are_not_parsed(tmp_path: Path) -> None:
    """They compress too little to be a bomb by their bytes, and would take gigabytes as a tree."""
    some = b"".join(b"<a%x/>" % byte for byte in os.urandom(MIB))
    (tmp_path / LOGIN).write_bytes(gzip.compress(b"<r>" + some * 33 + b"</r>", 1))
    assert became("login", tmp_path / LOGIN) == "login.bomb"


def test_entities_are_refused_before_a_parser_sees_them(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    body = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e0 "ha">{levels}]><r>&e11;</r>'
    (tmp_path / LOGIN).write_bytes(gzip.compress(body.encode()))
    assert became("login", tmp_path / LOGIN) == "login.doctype"


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / f"GPI{CODE}.000001"
    with path.open("wb") as file:
        file.truncate(512 * 20 * MIB)
    assert became("gpi", path) == "gpi.record_length"
