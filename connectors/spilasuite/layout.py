"""The layout of SpiLaSuite's views as data (connectors/layouts/spilasuite-*.toml), checked when it is loaded."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from schemas.errors import Malformed
from schemas.fields import Field
from schemas.records import RECORDS

OWN = Path(__file__).parent.parent / "layouts" / "spilasuite-1.0.toml"
VERSION = "rv"  # the column that tells which rows are new; the views of proof have none, or nothing else
ENDS, AGENCY, PROOF, HORIZON = "v_suppression", "v_agence", "v_controle", "v_horizon"
RULES = frozenset({
    "key", "ref", "via", "text", "code", "title", "siren", "siret", "country", "postal_code", "date", "decimal",
    "integer", "iban", "email", "phone", "choice", "bool", "unread",
})  # fmt: skip
# Names of views and columns are written into statements as they are: nothing but a plain identifier may get there.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
# An empty value in a column that may not be null (canonical §4); everything else: row.missing_key.
_WHEN_EMPTY = {"choice": "row.bad_enum", "bool": "row.bad_enum", "decimal": "row.bad_amount", "date": "row.bad_date"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: where it is read, how its text becomes a value, and the column of the record it goes to.

    `to` maps values of the view's `by` column to record columns; the key None stands for every row.
    """

    name: str
    type: str
    rule: str
    installed: str
    to: Mapping[str | None, str] = field(default_factory=dict)
    list: str = ""
    required: bool = False

    @property
    def is_date(self) -> bool:
        return self.type == "DATE"

    @property
    def is_number(self) -> bool:
        return self.type.startswith(("BIGINT", "INTEGER", "SMALLINT", "NUMERIC"))

    @property
    def is_padded(self) -> bool:
        """Whether blanks at the end are the engine's, not the value's."""
        return self.type.startswith("CHAR(")

    @property
    def when_empty(self) -> str:
        return _WHEN_EMPTY.get(self.rule, "row.missing_key")


@dataclass(frozen=True, slots=True)
class View:
    """One view. With a `record` it yields rows; `only`, `by`, `replaced_by`, `emails` and `phones` name its columns."""

    name: str
    installed: str
    columns: tuple[Column, ...]
    record: str = ""
    key: tuple[str, ...] = ()
    by: str = ""
    only: str = ""
    replaced_by: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    @property
    def incremental(self) -> bool:
        """Whether rows are read by version: everything but the three views of proof (spilasuite.md, "Views")."""
        return bool(self.key)

    @property
    def read(self) -> tuple[Column, ...]:
        """The columns of a source line: all but its version."""
        return tuple(c for c in self.columns if c.name != VERSION)

    @property
    def yields(self) -> frozenset[str]:
        return frozenset({self.record} if self.record else ()) | frozenset({"contact"} if self.emails else ())

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything an installation may change without code: schema, names, code lists."""

    name: str
    version: str
    schema: str
    views: Mapping[str, View]
    lists: Mapping[str, Mapping[str, str]]
    empty: Mapping[str, str]
    countries: Mapping[str, str]

    @property
    def incremental(self) -> tuple[View, ...]:
        return tuple(v for v in self.views.values() if v.incremental)

    def view_named(self, name: str | None) -> str | None:
        """The contract's name of a view, whichever of its two names an installation writes."""
        return next((v.name for v in self.views.values() if name in (v.name, v.installed)), None)


def _identifier(name: str, what: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise Malformed(f"layout: {what} is not a plain identifier")
    return name


def _column(spec: Mapping[str, Any], view: str) -> Column:
    where = f"{view}.{spec['name']}"
    to = spec.get("to", {})
    column = Column(
        name=_identifier(spec["name"], where),
        type=spec["type"],
        rule=spec.get("rule", "unread"),
        installed=_identifier(spec.get("installed", spec["name"]), f"the installed name of {where}"),
        to={None: to} if isinstance(to, str) else dict(to),
        list=spec.get("list", ""),
        required=spec.get("required", False),
    )
    if column.rule not in RULES:
        raise Malformed(f"layout: {where} has no known rule")
    return column


def _goes_to(column: Column, record: str) -> list[Field]:
    """The fields of a record that a column fills."""
    fields = {f.name: f for f in RECORDS[record].fields} if record else {}
    unknown = set(column.to.values()) - fields.keys()
    if unknown:
        raise Malformed(f"layout: {record or 'no record'} has no column {', '.join(sorted(unknown))}")
    return [fields[name] for name in column.to.values()]


def _settled(column: Column, view: Mapping[str, Any]) -> Column:
    """The column with `required` filled in: a key part, or a value that its record cannot do without."""
    fields = _goes_to(column, view.get("record", ""))
    always = None in column.to and any(f.required or not f.nullable for f in fields)
    # A date may be missing from a key (`-`); a word of a closed list may not, but then the list says so.
    part = column.name in view.get("key", ()) and not column.is_date and column.rule not in ("choice", "bool")
    required = column.required or always or part or column.name == view.get("only")
    return Column(column.name, column.type, column.rule, column.installed, column.to, column.list, required)


def _view(spec: Mapping[str, Any]) -> View:
    name = _identifier(spec["name"], "the name of a view")
    view = View(
        name=name,
        installed=_identifier(spec.get("installed", name), f"the installed name of {name}"),
        columns=tuple(_settled(_column(c, name), spec) for c in spec["columns"]),
        key=tuple(spec.get("key", ())),
        emails=tuple(spec.get("emails", ())),
        phones=tuple(spec.get("phones", ())),
        **{key: str(spec.get(key, "")) for key in ("record", "by", "only", "replaced_by")},
    )
    names = {c.name for c in view.columns}
    named = {*view.key, *view.emails, *view.phones, *filter(None, (view.by, view.only, view.replaced_by))}
    versioned = VERSION in names or not view.key
    if len(names) != len(view.columns) or not named <= names or not versioned:
        raise Malformed(f"layout: the columns of {name} do not fit together")
    return view


@cache
def load(path: Path = OWN) -> Layout:
    """A layout file, checked (Malformed says what does not fit)."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    views = {v.name: v for v in map(_view, data["view"])}
    ending = {name: v.name for v in views.values() if v.record for name in (v.name, v.installed)}
    lists = {**data["lists"], "views": ending}
    used = {c.list for v in views.values() for c in v.columns if c.rule in ("choice", "bool")}
    if not used <= lists.keys():
        raise Malformed(f"layout: no list {', '.join(sorted(used - lists.keys()))}")
    missing = {ENDS, AGENCY, PROOF, HORIZON} - views.keys()
    if missing:
        raise Malformed(f"layout: no view {', '.join(sorted(missing))}")
    return Layout(
        name=data["name"],
        version=data["version"],
        schema=_identifier(data["schema"], "the schema") if data["schema"] else "",
        views=views,
        lists=lists,
        empty=data.get("empty", {}),
        countries={code: code for code in data["countries"]["codes"].split()},
    )
