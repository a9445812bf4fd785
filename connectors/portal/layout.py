"""The layout of the portal's two files as data (connectors/layouts/portal-1.0.toml)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.records import RECORDS

OWN = Path(__file__).parent.parent / "layouts" / "portal-1.0.toml"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, the rule that makes a value of its text, and the column of the record it goes to."""

    name: str
    rule: str
    to: str
    required: bool


@dataclass(frozen=True, slots=True)
class File:
    """One of the two files. `key`: parts of the row's key; `codes`: columns where a spreadsheet's number is damage."""

    name: str
    record: str
    key: tuple[str, ...]
    codes: tuple[str, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The contract: `last` begins the last line of a file, `systems` are the words of the closed list."""

    name: str
    version: str
    separator: str
    last: str
    systems: Mapping[str, str]
    files: tuple[File, ...]

    def header(self, file: File) -> bytes:
        """The only first line that is accepted: exactly these names in this order."""
        return self.separator.join(c.name for c in file.columns).encode()


def _column(spec: Mapping[str, str], record: str) -> Column:
    return Column(spec["name"], spec["rule"], spec["to"], not RECORDS[record].field(spec["to"]).nullable)


@cache
def load(path: Path = OWN) -> Layout:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    files = tuple(
        File(
            f["name"],
            f["record"],
            tuple(f["key"]),
            tuple(f["codes"]),
            tuple(_column(c, f["record"]) for c in f["columns"]),
        )
        for f in data["file"]
    )
    systems = {system: system for system in data["systems"]}
    return Layout(data["name"], data["version"], data["separator"], data["last"], systems, files)
