"""The LOGIN contract as data: which elements are read, as what, and the schema that a document must satisfy."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

from lxml import etree

_LAYOUTS = files("connectors") / "layouts"


@dataclass(frozen=True, slots=True)
class Column:
    """One value of an object: `source` is where it stands (`@x`, `X` or `X/Y`), `form` how its text becomes a value."""

    to: str
    source: str
    form: str
    required: bool = False
    mojibake: bool = False
    via: bool = False


@dataclass(frozen=True, slots=True)
class ListSpec:
    """A container: the items in it and what is read of each. Without items, what is read of the container itself."""

    items: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SheetSpec:
    """Elements that are read as one frame, and the record that each of them yields one row of (none: an end)."""

    name: str
    record: str
    columns: tuple[Column, ...]
    elements: Mapping[str, frozenset[str]]
    lists: Mapping[str, ListSpec]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file may unfold: `decompressed` bytes; `ratio` times its size, once it is over `ratio_from` bytes; and
    how many tags it may hold."""

    decompressed: int
    ratio: int
    ratio_from: int
    tags: int

    def of(self, compressed: int) -> int:
        """The most bytes that a file of this size may hold."""
        return min(self.decompressed, max(self.ratio_from, self.ratio * compressed))


@dataclass(frozen=True, slots=True)
class Layout:
    """One version of the contract."""

    name: str
    version: str
    namespace: str
    schema: str
    limits: Limits
    encodings: Mapping[str, str]
    totals: Mapping[str, str]
    kinds: Mapping[str, str]
    codes: Mapping[str, Mapping[str, str]]
    countries: Mapping[str, str]
    sheets: Mapping[str, SheetSpec]

    @property
    def accepts(self) -> str:
        """The number that the namespace ends with and the version begins with."""
        return self.version.partition(".")[0]


def _column(raw: Mapping[str, object]) -> Column:
    return Column(
        to=str(raw["to"]),
        source=str(raw["from"]),
        form=str(raw["as"]),
        required=bool(raw.get("required", False)),
        mojibake=bool(raw.get("mojibake", False)),
        via=bool(raw.get("via", False)),
    )


@cache
def layout() -> Layout:
    """LOGIN 2.3, which reads every 2.x (contracts README, "Versions")."""
    raw = tomllib.loads((_LAYOUTS / "login-2.3.toml").read_text("utf-8"))
    sheets = {
        sheet["name"]: SheetSpec(
            name=sheet["name"],
            record=sheet["record"],
            columns=tuple(_column(column) for column in sheet["columns"]),
            elements={element: frozenset(records) for element, records in sheet["elements"].items()},
            lists={
                name: ListSpec(tuple(spec["items"]), tuple(spec["values"]))
                for name, spec in sheet.get("lists", {}).items()
            },
        )
        for sheet in raw["sheet"]
    }
    return Layout(
        name=raw["name"],
        version=raw["version"],
        namespace=raw["namespace"],
        schema=raw["schema"],
        limits=Limits(**raw["limits"]),
        encodings=raw["encodings"],
        totals=raw["totals"],
        kinds=raw["kinds"],
        codes=raw["codes"],
        countries={code: code for code in raw["countries"]["codes"].split()},
        sheets=sheets,
    )


@cache
def schema() -> etree.XMLSchema:
    """The compiled schema. It imports nothing, and nothing is fetched for it."""
    with as_file(_LAYOUTS / layout().schema) as path:
        return etree.XMLSchema(etree.parse(str(path), etree.XMLParser(no_network=True, resolve_entities=False)))
