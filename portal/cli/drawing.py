"""The lineage as a drawing: a block a table of the model, a row a column; the systems' columns flow in from the left.

Read a row from left to right: each system has its lane, each chip is one column of its export; at the right stands the
column of the model that they fill, coloured by category, with its scope as the bar at its side.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from portal.cli.words import Language
from schemas.fields import Category, Field, Record, Scope
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.records import CANONICAL, exported_fields

if TYPE_CHECKING:
    from pipelines.lineage import Edge

LANE, LANES, MODEL, MARGIN = 285, 4, 300, 24
WIDTH = MARGIN * 2 + LANE * LANES + 40 + MODEL
CHIP, LINE, SMALL = 17, 20, 9 / 11
TITLE, LEGEND, GAP = 34, 92, 26

COLOURS: dict[Category, str] = {
    Category.IDENTITY: "#cfe3f7",
    Category.CONTACT: "#d9d3f2",
    Category.LOCATION: "#cdeee6",
    Category.PROPERTY: "#e3ecc6",
    Category.CONTRACT: "#fbe6c2",
    Category.FINANCIAL: "#f8d3cd",
    Category.PROFESSIONAL: "#ead9c8",
    Category.TECHNICAL: "#e4e6e9",
}
SCOPES: dict[Scope, str] = {Scope.PROCESSOR: "#2b6cb0", Scope.CONTROLLER: "#c05621"}
CATEGORIES: dict[Category, tuple[str, str]] = {
    Category.IDENTITY: ("identité", "identity"), Category.CONTACT: ("contact", "contact"),
    Category.LOCATION: ("adresse", "location"), Category.PROPERTY: ("bien", "property"),
    Category.CONTRACT: ("contrat", "contract"), Category.FINANCIAL: ("finances", "financial"),
    Category.PROFESSIONAL: ("gestionnaires", "professional"), Category.TECHNICAL: ("technique", "technical"),
}  # fmt: skip
WORDS: dict[str, tuple[str, str]] = {
    "title": ("D'où vient chaque colonne", "Where each column comes from"),
    "how": (
        "À gauche les colonnes des exports, à droite celle du modèle. En gris : la table source s'il y en a plusieurs.",
        "Left: columns of the exports; right: the model's. In grey: the source table, where there are several.",
    ),
    "processor": ("sous-traitant : données d'une agence", "processor: an agency's data"),
    "controller": ("responsable : comptes du portail", "controller: the portal's accounts"),
}


def draw(links: Sequence["Edge"], language: Language) -> str:
    """The whole drawing, as SVG."""
    by_cell: dict[tuple[str, str, System], list[Edge]] = {}
    for e in links:
        by_cell.setdefault((e.table, e.column, e.system), []).append(e)
    parts: list[str] = []
    y = LEGEND + MARGIN
    for record in CANONICAL:
        block = _Block(record, by_cell, language)
        parts += block.draw(y)
        y += block.height + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="11">'
    )
    return "\n".join(
        [head, f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>', *_legend(language), *parts, "</svg>", ""]
    )


def _pick(words: tuple[str, str], language: Language) -> str:
    return words[0] if language == "fr" else words[1]


def wide(text: str) -> float:
    """About how wide a text is at 11 px, in the widths of DejaVu Sans."""
    return sum(7.6 if c.isupper() else 3.6 if c in "ijlft.,:;|'() /" else 10.5 if c in "mw@" else 6.9 for c in text)


def _named(x: float, y: float, name: str, note: str, style: str = "") -> str:
    """A name, and in grey what there is to say of it, one after the other however wide the letters are."""
    more = f'<tspan dx="7" fill="#777" font-size="9" font-weight="normal">{escape(note)}</tspan>' if note else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(name)}{more}</text>'


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str, style: str = "") -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" fill="{fill}" {style}/>'


def _legend(language: Language) -> Iterator[str]:
    yield _text(MARGIN, 36, _pick(WORDS["title"], language), 'font-size="20" font-weight="bold"')
    yield _text(MARGIN, 58, _pick(WORDS["how"], language), 'fill="#555"')
    x: float = MARGIN
    for category, colour in COLOURS.items():
        word = _pick(CATEGORIES[category], language)
        yield _rect(x, 72, 16, 16, colour, 'rx="3" stroke="#bbb"')
        yield _text(x + 22, 84, word)
        x += 22 + wide(word) + 22
    for scope, colour in SCOPES.items():
        word = _pick(WORDS[str(scope)], language)
        yield _rect(x, 72, 5, 16, colour)
        yield _text(x + 12, 84, word)
        x += 12 + wide(word) + 22


@dataclass(frozen=True, slots=True)
class _Chip:
    """One column of an export, and (where the block has several) the source tables that have it."""

    column: str
    sources: str

    @property
    def width(self) -> float:
        return 14 + wide(self.column) + (7 + wide(self.sources) * SMALL if self.sources else 0)


class _Block:
    """One table of the model."""

    def __init__(
        self, record: Record, cells: "Mapping[tuple[str, str, System], list[Edge]]", language: Language
    ) -> None:
        self.record = record
        self.language = language
        self.fields = [f for f in exported_fields(record) if any((record.name, f.name, s) in cells for s in System)]
        self.systems = [
            s for s in (*AGENCY_SYSTEMS, System.PORTAL) if any((record.name, f.name, s) in cells for f in self.fields)
        ]
        mine = {
            s: {e.source_table for f in self.fields for e in cells.get((record.name, f.name, s), ())}
            for s in self.systems
        }
        self.sources = mine
        self.rows = [
            {s: _chips(cells.get((record.name, f.name, s), ()), len(mine[s]) > 1) for s in self.systems}
            for f in self.fields
        ]

    @property
    def height(self) -> int:
        return TITLE + sum(map(self._row_height, self.rows))

    @staticmethod
    def _row_height(row: "Mapping[System, list[list[_Chip]]]") -> int:
        return max([1, *(len(lines) for lines in row.values())]) * LINE + 6

    def draw(self, y: float) -> Iterator[str]:
        right = MARGIN + LANE * LANES + 40
        yield _rect(MARGIN - 8, y, WIDTH - 2 * MARGIN + 16, self.height, "none", 'stroke="#ccc" rx="6"')
        yield _text(right, y + 21, self.record.name, 'font-size="14" font-weight="bold"')
        for n, system in enumerate(self.systems):
            only = next(iter(self.sources[system])) if len(self.sources[system]) == 1 else ""
            x = MARGIN + n * LANE
            yield _named(x, y + 21, str(system), only, 'font-size="12" font-weight="bold" fill="#333"')
        y += TITLE
        for n, (field, row) in enumerate(zip(self.fields, self.rows, strict=True)):
            height = self._row_height(row)
            if n % 2 == 0:
                yield _rect(MARGIN - 7, y, WIDTH - 2 * MARGIN + 14, height, "#f8f9fa")
            for lane, system in enumerate(self.systems):
                yield from _lane(MARGIN + lane * LANE, y + 3, row[system])
            yield _text(right - 24, y + 15, "→", 'fill="#888"')
            yield from self._field(field, right, y + 2)
            y += height

    def _field(self, field: Field, x: float, y: float) -> Iterator[str]:
        yield _rect(x, y, MODEL, 19, COLOURS[field.category], 'rx="3"')
        yield _rect(x, y, 5, 19, SCOPES[self.record.scope])
        label = field.label_fr if self.language == "fr" else field.label_en
        room = (MODEL - 12 - wide(field.name) * 1.12 - 14) / SMALL
        yield _named(x + 12, y + 13, field.name, _short(label, room), 'font-weight="bold"')


def _chips(links: "Iterable[Edge]", several: bool) -> list[list[_Chip]]:
    """The chips of one cell, in as many lines as they need."""
    tables: dict[str, list[str]] = {}
    for e in links:
        tables.setdefault(e.source_column, []).append(e.source_table.removesuffix(".CSV"))
    lines: list[list[_Chip]] = [[]]
    used = 0.0
    for column, sources in tables.items():
        room = (LANE - 36 - wide(column)) / SMALL
        chip = _Chip(column, _short(" ".join(sources), room) if several else "")
        if lines[-1] and used + chip.width > LANE - 10:
            lines.append([])
            used = 0.0
        lines[-1].append(chip)
        used += chip.width + 5
    return lines if lines[0] else []


def _short(text: str, room: float) -> str:
    """As much of a text as fits."""
    if wide(text) <= room:
        return text
    kept = text
    while kept and wide(kept) > room - 10:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _lane(x: float, y: float, lines: list[list[_Chip]]) -> Iterator[str]:
    for n, chips in enumerate(lines):
        at = x
        for chip in chips:
            top = y + n * LINE
            yield _rect(at, top, chip.width, CHIP, "#ffffff", 'rx="8" stroke="#9aa5b1"')
            yield _named(at + 7, top + 12.5, chip.column, chip.sources)
            at += chip.width + 5
