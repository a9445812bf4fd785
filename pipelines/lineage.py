"""Which columns of the exports fill which columns of the model, and by which rule (R43).

The links are data, one file a contract version (`connectors/layouts/lineage-<system>-<version>.toml`), written from the
contracts: a section a source table and canonical table, a line a canonical column. `"*"` stands for every table that
the source table fills, `"**"` for every table that the system fills. `source_system` has no link: it names the system.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from schemas.errors import Malformed
from schemas.ids import System
from schemas.records import CANONICAL, RECORDS, exported_fields

OF_SECTION, OF_SYSTEM = "*", "**"
NO_SOURCE = frozenset({"source_system"})


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One column of an export that fills one column of the model. `rule`: which rules of the contracts make it so."""

    system: System
    source_table: str
    source_column: str
    table: str
    column: str
    rule: str

    def as_json(self) -> dict[str, str]:
        field = next(f for f in exported_fields(RECORDS[self.table]) if f.name == self.column)
        return {
            "system": str(self.system), "source_table": self.source_table, "source_column": self.source_column,
            "table": self.table, "column": self.column, "rule": self.rule,
            "scope": str(RECORDS[self.table].scope), "category": str(field.category),
        }  # fmt: skip


@cache
def edges() -> tuple[Edge, ...]:
    """Every link of every contract version, in the order of the model."""
    found = [f for f in (files("connectors") / "layouts").iterdir() if f.name.startswith("lineage-")]
    links = [e for f in sorted(found, key=lambda f: f.name) for e in _parsed(f.name, f.read_text("utf-8"))]
    tables = [r.name for r in CANONICAL]
    columns = {r.name: [f.name for f in exported_fields(r)] for r in CANONICAL}
    systems = list(System)
    return tuple(
        sorted(
            dict.fromkeys(links),
            key=lambda e: (tables.index(e.table), columns[e.table].index(e.column), systems.index(e.system)),
        )
    )


def edges_of(system: System, table: str, source: str) -> dict[str, tuple[Edge, ...]]:
    """The links, by column, of a row that a line of `source` owns.

    Other source tables count where they complete such a row (an end, a right, a building's syndicate). Those that have
    keys of their own for this table own other rows.
    """
    of_table = [e for e in edges() if (e.system, e.table) == (system, table)]
    owners = {e.source_table for e in of_table if e.column == "source_key"} - {source}
    found: dict[str, tuple[Edge, ...]] = {}
    for e in of_table:
        if e.source_table not in owners:
            found[e.column] = (*found.get(e.column, ()), e)
    return found


def _parsed(name: str, text: str) -> Iterator[Edge]:
    said = tomllib.loads(text)
    system = System(said.pop("system"))
    said.pop("version")
    own = {
        source: [table for table in targets if table not in (OF_SECTION, OF_SYSTEM)] for source, targets in said.items()
    }
    every = {OF_SYSTEM: sorted({table for tables in own.values() for table in tables})}
    for source, targets in said.items():
        meant = every | {OF_SECTION: own[source]}
        for table, columns in targets.items():
            for each in meant.get(table, [table]):
                yield from _links(name, system, source, each, columns)


def _links(name: str, system: System, source: str, table: str, columns: Mapping[str, Any]) -> Iterator[Edge]:
    record = RECORDS.get(table)
    known = {f.name for f in exported_fields(record)} if record and record.exported else set()
    for column, link in columns.items():
        if column not in known - NO_SOURCE:
            raise Malformed(f"{name}: {table}.{column} is no column of the model")
        if link["from"] == []:
            raise Malformed(f"{name}: {table}.{column} comes from nothing")
        for origin in link["from"]:
            yield Edge(system, source, origin, table, column, link["by"])
