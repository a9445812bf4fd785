"""The SDGI contract as data (`connectors/layouts/sdgi-*.toml`): files, headers, aliases, code lists, limits."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from connectors.normalise.text import SPACES
from schemas.errors import Malformed

_LAYOUTS = files("connectors") / "layouts"
_SPACES = re.compile(f"[{SPACES}]+")
_SIGNS = str.maketrans({"’": "'", "°": "o", "º": "o"})
Version = tuple[int, ...]


@lru_cache(4096)
def normal(header: str) -> str:
    """A header as it is compared: `’` is `'`, `°` and `º` are `o`, no accents, capitals, single spaces (sdgi.md)."""
    marks = unicodedata.normalize("NFD", header.translate(_SIGNS))
    plain = "".join(c for c in marks if unicodedata.category(c) != "Mn")
    return _SPACES.sub(" ", plain).strip(" ").upper()


def version_of(text: str) -> Version:
    """`1.4` as (1, 4); nothing at all for a text that is no version."""
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", text) else ()


@dataclass(frozen=True, slots=True)
class Header:
    """The first record of a file, bound: normalised names, and what the house calls each column (`""`: not read)."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    reordered: bool

    def at(self, column: str) -> int:
        return self.columns.index(column)


@dataclass(frozen=True, slots=True)
class FileLayout:
    """One member of the archive: its headers in the order of the contract, and the house's name of each."""

    name: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    aliases: Mapping[str, str]

    def named(self, field: str) -> str:
        name = normal(field)
        return self.aliases.get(name, name)

    def bind(self, fields: Sequence[str]) -> Header | None:
        """The header bound by name; None when a column is unknown, missing, unnamed or double (`sdgi.header_drift`)."""
        names = tuple(self.named(field) for field in fields)
        if sorted(names) != sorted(self.names):
            return None
        meaning = dict(zip(self.names, self.columns, strict=True))
        return Header(names, tuple(meaning[name] for name in names), names != self.names)

    def spellings(self, name: str) -> tuple[str, ...]:
        """Every normalised text that `named` reads as this name."""
        return (name, *(alias for alias, target in self.aliases.items() if target == name))

    def rank(self, column: str) -> int:
        """The place of a column in the contract, whatever the order of a delivery."""
        return self.columns.index(column)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an archive may unfold: `total` bytes and `lines` in all, and `ratio` times a member's size once over
    `ratio_from`."""

    total: int
    ratio: int
    ratio_from: int
    lines: int

    def of_member(self, compressed: int) -> int:
        """The most bytes that a member of this compressed size may give."""
        return max(self.ratio_from, self.ratio * compressed)


@dataclass(frozen=True, slots=True)
class Layout:
    """One version of the contract."""

    version: str
    encoding: str
    delimiter: str
    files: Mapping[str, FileLayout]
    dates: Mapping[str, str]
    countries: Mapping[str, str]
    parties: Mapping[str, str]
    audiences: Mapping[str, str]
    limits: Limits

    @property
    def name(self) -> str:
        return f"sdgi-{self.version}"

    def date_form(self, file: str, column: str) -> str:
        return self.dates.get(f"{file} {column}", self.dates["usual"])


def parse(text: str) -> Layout:
    """A layout from its TOML text. Raises Malformed when one file gives two columns the same name."""
    said: dict[str, Any] = tomllib.loads(text)
    aliases: dict[str, str] = said.pop("aliases")
    described: dict[str, dict[str, str]] = said.pop("files")
    limits = Limits(**said.pop("limits"))
    return Layout(
        **said, files={name: _file(name, columns, aliases) for name, columns in described.items()}, limits=limits
    )


def _file(name: str, columns: Mapping[str, str], aliases: Mapping[str, str]) -> FileLayout:
    read = [column for column in columns.values() if column]
    names = tuple(normal(header) for header in columns)
    if len(set(read)) != len(read) or len(set(names)) != len(names):
        raise Malformed(f"SDGI layout, {name}: two columns share a name", "Give each column of the layout its own.")
    return FileLayout(name, names, tuple(columns.values()), {a: t for a, t in aliases.items() if t in names})


@cache
def layouts() -> Mapping[Version, Layout]:
    """Every SDGI layout that lies beside the connectors, oldest first."""
    texts = [f.read_text("utf-8") for f in _LAYOUTS.iterdir() if re.fullmatch(r"sdgi-[0-9.]+\.toml", f.name)]
    found = sorted(map(parse, texts), key=lambda layout: version_of(layout.version))
    if any(layout.files.keys() != found[-1].files.keys() for layout in found):
        raise Malformed("SDGI layouts: they do not list the same files", "A new file needs code that reads it.")
    return {version_of(layout.version): layout for layout in found}


def newest() -> Layout:
    """The newest layout: its files and limits hold before the version of a delivery is known."""
    return list(layouts().values())[-1]


def layout_for(declared: str, known: Mapping[Version, Layout] | None = None) -> Layout | None:
    """The layout that reads this version: the newest of its major version that is not newer, else the oldest of it.

    None when no layout has that major version (`sdgi.version`).
    """
    asked = version_of(declared)
    of_major = {v: layout for v, layout in (known or layouts()).items() if asked and v[0] == asked[0]}
    if not of_major:
        return None
    return of_major[max((v for v in of_major if v <= asked), default=min(of_major))]
