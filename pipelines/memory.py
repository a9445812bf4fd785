"""How much memory a night may take: `depositaire sync --memory 2GiB`, or for schedules, in `depositaire.toml`
(`pipelines.nightly`)."""

import re

from pipelines import nightly
from schemas.errors import Malformed
from schemas.home import Home

# 1.5 GiB, unless somebody says otherwise.
USUAL = 3 << 29
# What the process itself takes before it has read a line, and a little to work with.
LEAST = 1 << 29
_UNITS = {"MIB": 1 << 20, "GIB": 1 << 30, "MB": 10**6, "GB": 10**9}
_SAID = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([MG]I?B)", re.IGNORECASE | re.ASCII)
_HINT = "Write it like 1.5GiB or 900MB; 512MiB is the least."


def in_bytes(said: str) -> int:
    """`1.5GiB`, `900 MB` as a number of bytes. Raises Malformed for anything else, and for less than 512 MiB."""
    found = _SAID.fullmatch(said.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise Malformed("the memory is no number with a unit", _HINT)
    size = int(float(found[1]) * unit)
    if size < LEAST:
        raise Malformed("the memory is too little", _HINT)
    return size


def of_home(home: Home) -> int:
    """What the settings of a home say, else 1.5 GiB."""
    memory = nightly.said(home).get("memory")
    if memory is None:
        return USUAL
    if not isinstance(memory, str):
        raise Malformed(f"{home.settings.name}: night.memory is no text", _HINT)
    return in_bytes(memory)
