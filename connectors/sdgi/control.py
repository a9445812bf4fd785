"""CONTROLE.TXT: what the sender says it sent (sdgi.md "Transport and completeness")."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from connectors.sdgi.archive import CONTROL
from schemas.errors import DeliveryRefused

_STAMP = re.compile(r"[0-9]{12}")
_COUNT = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One CSV file as listed: number of records after the header, MD5 of its bytes in lower-case hexadecimal."""

    records: int
    md5: str


@dataclass(frozen=True, slots=True)
class Control:
    """The whole of CONTROLE.TXT. `stamp` is `AAAAMMJJHHMM`, the cursor of the flow."""

    version: str
    agency: str
    siret: str
    stamp: str
    files: Mapping[str, Listed]


def read_control(raw: bytes, expected: Collection[str]) -> Control:
    """Raises `sdgi.control_unreadable` unless it is a first line, one line for each expected file, and FIN."""
    try:
        lines = [line.decode("cp1252") for line in raw.splitlines()]
    except UnicodeDecodeError:
        raise _unreadable("encoding") from None
    if len(lines) < 2:
        raise _unreadable("no FIN")
    first, last = lines[0].split(";"), lines[-1].split(";")
    if len(first) != 5 or first[0] != "SDGI" or not _STAMP.fullmatch(first[4]):
        raise _unreadable("line 1")
    files = _listed(lines[1:-1])
    if len(last) != 2 or last[0] != "FIN" or not _COUNT.fullmatch(last[1]) or int(last[1]) != len(lines) - 2:
        raise _unreadable("FIN")
    if len(files) != len(lines) - 2 or files.keys() != set(expected):
        raise _unreadable("list of files")
    _, version, agency, siret, stamp = first
    return Control(version, agency, siret, stamp, files)


def _listed(lines: Collection[str]) -> dict[str, Listed]:
    files = {}
    for number, line in enumerate(lines, 2):
        fields = line.split(";")
        if len(fields) != 3 or not _COUNT.fullmatch(fields[1]):
            raise _unreadable(f"line {number}")
        files[fields[0]] = Listed(int(fields[1]), fields[2])
    return files


def _unreadable(where: str) -> DeliveryRefused:
    return DeliveryRefused("sdgi.control_unreadable", f"{CONTROL}, {where}")
