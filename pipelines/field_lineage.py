"""One column of the model from its sources to its end: which columns of each system fill it by which rule, what it is,
where it may leave to, and what an erasure does to it. As data, as rows of a table, and as a drawing.

Nothing here knows an agency or a value: it says what the code and the layouts say (R43, R44).
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Literal

from pipelines.lineage import edges
from pipelines.lineage_rules import rule
from pipelines.processing_register import words
from schemas.errors import Malformed
from schemas.fields import JUSTIFIED_BY, Field, Scope
from schemas.ids import System, system_name
from schemas.records import CANONICAL, RECORDS, exported_fields
from store.tables import ROWS

Language = Literal["fr", "en"]


@dataclass(frozen=True, slots=True)
class Origin:
    """One column of an export that fills the field. `code`: the rule as the layouts write it, then in words."""

    system: System
    layout: str
    table: str
    column: str
    code: str
    kind: str
    subtype: str
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Held:
    """How a shelf keeps it: `sealed` (inside the sealed row), `clear` (a key, a reference, an end), `derived` (nobody's
    column: the store knows it); `searchable`: equal values can be found by a keyed digest."""

    state: str
    searchable: bool


@dataclass(frozen=True, slots=True)
class Exit:
    """One way out of the shelf, on which ground of the GDPR, into which file or to whom."""

    way: str
    ground: str
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class FieldLineage:
    """All that is known of one column of the model. `erasure`: in which order it ends, in French and English."""

    name: str
    table: str
    column: str
    label_fr: str
    label_en: str
    scope: str
    category: str
    personal: bool
    justified_by: str
    held: Held
    origins: tuple[Origin, ...]
    exits: tuple[Exit, ...]
    erasure: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "field": self.name, "table": self.table, "column": self.column,
            "label": {"fr": self.label_fr, "en": self.label_en}, "scope": self.scope, "category": self.category,
            "personal": self.personal, "justified_by": self.justified_by,
            "held": {"state": self.held.state, "searchable": self.held.searchable},
            "origins": [
                {"system": str(o.system), "layout": o.layout, "table": o.table, "column": o.column,
                 "rule": o.code, "type": o.kind, "subtype": o.subtype, "words": {"fr": o.fr, "en": o.en}}
                for o in self.origins
            ],
            "exits": [{"way": e.way, "ground": e.ground, "words": {"fr": e.fr, "en": e.en}} for e in self.exits],
            "erasure": [{"fr": fr, "en": en} for fr, en in self.erasure],
        }  # fmt: skip


EXITS = {
    Scope.PROCESSOR: (
        Exit("return", "28(3)(g)", "rendu à l'agence : {0}.jsonl", "given back to the agency: {0}.jsonl"),
        Exit("disclose", "28(3)(a)", "communiqué, si une instruction le dit",
             "disclosed, where an instruction says so"),
        Exit("transfer", "28(3)(a), 44", "transféré hors UE, si une instruction le dit",
             "transferred to a third country, where an instruction says so"),
    ),
    Scope.CONTROLLER: (
        Exit("return", "15, 20", "écrit pour le responsable : {0}.jsonl", "written for the controller: {0}.jsonl"),
    ),
}  # fmt: skip
ERASURE = {
    Scope.PROCESSOR: (
        ("les clés de l'agence sont détruites", "the agency's keys are destroyed"),
        ("son rayonnage est supprimé", "its shelf is dropped"),
        ("on cherche ce qui resterait, puis le certificat est signé",
         "what may be left is searched for, then the certificate is signed"),
    ),
    Scope.CONTROLLER: (
        ("détaché de l'agence effacée ; un compte sans agence est supprimé",
         "detached from the agency that is erased; an account without any agency is deleted"),
    ),
}  # fmt: skip


@cache
def fields() -> tuple[str, ...]:
    """Every column of the model, written `table.column`, in the order of the model."""
    return tuple(f"{r.name}.{f.name}" for r in CANONICAL for f in exported_fields(r))


@cache
def of(name: str) -> FieldLineage:
    """The lineage of a column written `table.column`. Raises Malformed when the model has none of this name."""
    table, _, column = name.partition(".")
    record = RECORDS.get(table)
    if record is None or name not in fields():
        near = [f for f in fields() if f.endswith(f".{column or table}")] or list(
            dict.fromkeys(r.name for r in CANONICAL)
        )
        raise Malformed("the model has no such column", f"Written table.column; known: {', '.join(near[:18])}.")
    field = next(f for f in exported_fields(record) if f.name == column)
    links = [e for e in edges() if (e.table, e.column) == (table, column)]
    origins = [(e, rule(e.rule)) for e in links]
    return FieldLineage(
        name, table, column, field.label_fr, field.label_en, str(record.scope), str(field.category), field.personal,
        JUSTIFIED_BY[field.category], _held(table, field),
        tuple(Origin(e.system, _layouts()[e.system], e.source_table, e.source_column, r.code, r.kind, r.subtype, r.fr,
                     r.en) for e, r in origins),
        tuple(Exit(x.way, x.ground, x.fr.format(table), x.en.format(table)) for x in EXITS[record.scope]),
        ERASURE[record.scope],
    )  # fmt: skip


def _held(table: str, field: Field) -> Held:
    clear = field.name in ROWS[table].c or field.name == "source_system"
    return Held("clear" if clear else "sealed", field.searchable)


@cache
def _layouts() -> dict[System, str]:
    """The version of the contract whose links are known, by system."""
    found = {}
    for file in (files("connectors") / "layouts").iterdir():
        if file.name.startswith("lineage-"):
            said = tomllib.loads(file.read_text("utf-8"))
            found[System(said["system"])] = str(said["version"])
    return found


# -- rows --------------------------------------------------------------------------------------------------------------

HEADS = {
    "fr": ("Étape", "Où", "Quoi", "Comment"),
    "en": ("Step", "Where", "What", "How"),
}
STEPS = {
    "origin": ("source", "source"),
    "field": ("modèle", "model"),
    "exit": ("sortie", "exit"),
    "erasure": ("effacement", "erasure"),
}
WAYS = {
    "return": ("restitution", "return"),
    "disclose": ("communication", "disclosure"),
    "transfer": ("transfert", "transfer"),
}
HELD = {
    "sealed": ("scellé dans la ligne", "sealed inside the row"),
    "clear": ("en clair : clé, référence ou fin", "in clear: a key, a reference or an end"),
}


def rows(lineage: FieldLineage, language: Language) -> list[tuple[str, str, str, str]]:
    """The same as the drawing, as the rows of a table under `HEADS`."""
    n = 0 if language == "fr" else 1
    label = lineage.label_fr if language == "fr" else lineage.label_en
    found = [
        (STEPS["origin"][n], f"{_layout(o, language)}, {o.table}", o.column, f"{o.code}: {o.fr if n == 0 else o.en}")
        for o in lineage.origins
    ]
    said = [scope_word(lineage.scope, language), category_word(lineage.category, language), HELD[lineage.held.state][n]]
    found.append((STEPS["field"][n], lineage.table, lineage.column, f"{label}; {', '.join(said)}"))
    law = ("RGPD", "GDPR")[n]
    found += [
        (STEPS["exit"][n], WAYS[e.way][n], f"{law} {e.ground}", e.fr if n == 0 else e.en) for e in lineage.exits
    ]  # fmt: skip
    return found + [(STEPS["erasure"][n], str(k), "", pair[n]) for k, pair in enumerate(lineage.erasure, 1)]


def _layout(origin: Origin, language: Language) -> str:
    """A system and the version of its contract, as people know them."""
    return f"{system_name(origin.system, language)} {origin.layout}"


def scope_word(scope: str, language: Language) -> str:
    fr, en = {"processor": ("sous-traitant", "processor"), "controller": ("responsable", "controller")}[scope]
    return fr if language == "fr" else en


def category_word(category: str, language: Language) -> str:
    fr, en = words()["category"][category]
    return fr if language == "fr" else en


# -- the drawing -------------------------------------------------------------------------------------------------------

BOX, HIGH, GAP, LANE, PAD = 250, 44, 10, 70, 12
TITLES = {
    "fr": (
        "D'où vient {0}, où il va, comment il finit",
        "{0} colonnes d'export ; {1} sorties ; {2} étapes d'effacement",
    ),
    "en": (
        "Where {0} comes from, where it goes, how it ends",
        "{0} columns of exports; {1} exits; {2} steps of erasure",
    ),
}
COLUMNS = {"fr": ("Exports", "Modèle", "Sorties et fin"), "en": ("Exports", "Model", "Exits and end")}


def svg(lineage: FieldLineage, language: Language = "fr") -> str:
    """A drawing from left to right: exports, the column, its exits and its end. Without script, style or colour of its
    own: classes say scope and category (`scope-…`, `category-…`), and the page's stylesheet draws them, light or dark;
    `currentColor` where it has none."""
    n = 0 if language == "fr" else 1
    left = [
        (_layout(o, language), f"{o.table} {o.column}", o.fr if n == 0 else o.en, o.kind.lower())
        for o in lineage.origins
    ]
    right = [(WAYS[e.way][n], e.fr if n == 0 else e.en, "exit") for e in lineage.exits]
    right += [(f"{STEPS['erasure'][n]} {k}", pair[n], "erasure") for k, pair in enumerate(lineage.erasure, 1)]
    tall = max(len(left), len(right), 2) * (HIGH + GAP) + GAP
    width, height = 3 * BOX + 2 * LANE + 2 * PAD, tall + 2 * PAD + 24
    middle = PAD + 24 + tall / 2
    title, told = TITLES[language]
    head = title.format(lineage.name)
    desc = told.format(len(left), len(lineage.exits), len(lineage.erasure))
    key = lineage.name.replace(".", "-")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" role="img" viewBox="0 0 {width} {height}"',
        f' aria-labelledby="t-{key} d-{key}" fill="none" stroke="currentColor" font-size="12">',
        f'<title id="t-{key}">{escape(head)}</title>',
        f'<desc id="d-{key}">{escape(desc)}</desc>',
    ]
    xs = (PAD, PAD + BOX + LANE, PAD + 2 * (BOX + LANE))
    parts += [_text(x, PAD + 12, word, "head") for x, word in zip(xs, COLUMNS[language], strict=True)]
    for k, (where, what, how, kind) in enumerate(left):
        y = _top(k, len(left), tall)
        parts.append(_link(xs[0] + BOX, y + HIGH / 2, xs[1], middle, f"link {kind}"))
        parts += _box(xs[0], y, where, what, f"box origin {kind}", how)
    for k, (what, said, kind) in enumerate(right):
        y = _top(k, len(right), tall)
        parts.append(_link(xs[1] + BOX, middle, xs[2], y + HIGH / 2, f"link {kind}"))
        parts += _box(xs[2], y, what, said, f"box {kind}", said)
    label = lineage.label_fr if n == 0 else lineage.label_en
    classes = f"box field scope-{lineage.scope} category-{lineage.category}"
    said = f"{scope_word(lineage.scope, language)}, {category_word(lineage.category, language)}"
    parts += _box(xs[1], middle - HIGH / 2, lineage.name, said, classes, label)
    return "\n".join([*parts, "</svg>", ""])


def _top(k: int, count: int, tall: int) -> float:
    return PAD + 24 + (tall - count * (HIGH + GAP) + GAP) / 2 + k * (HIGH + GAP)


def _box(x: float, y: float, first: str, second: str, classes: str, hint: str) -> Sequence[str]:
    return (
        f'<g class="{classes}"><title>{escape(f"{first}, {second}: {hint}")}</title>',
        f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{HIGH}" rx="6"/>',
        _text(x + 10, y + 18, _short(first), "first"),
        _text(x + 10, y + 35, _short(second), "second"),
        "</g>",
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" fill="currentColor" stroke="none">{escape(words)}</text>'


def _link(x: float, y: float, to_x: float, to_y: float, classes: str) -> str:
    half = (x + to_x) / 2
    dashed = ' stroke-dasharray="5 4"' if "indirect" in classes or "erasure" in classes else ""
    return f'<path class="{classes}" d="M{x:g} {y:g}C{half:g} {y:g} {half:g} {to_y:g} {to_x:g} {to_y:g}"{dashed}/>'


def _short(words: str) -> str:
    """As much as fits a box; the whole stands in its title."""
    return words if len(words) <= 37 else f"{words[:36].rstrip()}…"
