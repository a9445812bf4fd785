"""An agency's installation for tests: its views, filled row by row, as a SQLite file.

The proofs (v_controle, v_horizon) are counted here, not by the connector, and can be made to lie.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors import odbc
from connectors.base import Delivery, Known, Opened, Permitted, Recalled
from connectors.spilasuite import Spilasuite
from connectors.spilasuite.layout import Layout, View, load
from schemas.frames import BIT, FLAGS, Reading
from schemas.ids import System, agency_code
from tests.leave import may_read

AGENCY = agency_code("A0001")
AT = datetime(2026, 1, 6, 5, 0, tzinfo=UTC)
Cell = str | int | float | None

# One good row of each view: the key alone, and what may not be empty.
GOOD: dict[str, dict[str, Cell]] = {
    "v_tiers": {"id_tiers": 1004, "type_tiers": "P"},
    "v_tiers_role": {
        "id_role": 20,
        "id_tiers": 1004,
        "code_role": "CSYND",
        "type_objet": "COPROPRIETE",
        "id_objet": 81,
    },
    "v_tiers_lien": {"id_tiers_groupe": 1011, "id_tiers_membre": 1004, "type_lien": "INDIVISAIRE"},
    "v_immeuble": {"id_immeuble": 11, "code_immeuble": "IM1"},
    "v_copropriete": {"id_copropriete": 81, "id_immeuble": 11},
    "v_lot": {"id_lot": 500, "id_immeuble": 11, "numero_lot": "1"},
    "v_lot_cle": {"id_lot": 500, "code_cle": "GEN"},
    "v_lot_proprietaire": {"id_lot": 500, "id_tiers": 1004},
    "v_mandat": {"id_mandat": 600},
    "v_mandat_lot": {"id_mandat": 600, "id_lot": 500},
    "v_bail": {"id_bail": 700, "id_lot": 500},
    "v_bail_tiers": {"id_bail": 700, "id_tiers": 1004, "qualite": "PRINCIPAL"},
    "v_utilisateur": {"id_utilisateur": 4},
    "v_compte": {"id_compte": 9000, "id_tiers": 1004, "numero_compte": "C1", "solde": "0.00"},
    "v_coordonnees_bancaires": {"id_coordonnees": 5000, "id_tiers": 1004},
    "v_document": {"id_document": 40000, "audience": "TOUS"},
    "v_suppression": {"nom_vue": "v_lot", "cle": "500", "motif": "SORTIE", "date_suppression": "2026-01-06"},
}
KEYS = {
    "v_tiers": "1004", "v_tiers_role": "20", "v_tiers_lien": "1011:1004:INDIVISAIRE", "v_immeuble": "11",
    "v_copropriete": "81", "v_lot": "500", "v_lot_cle": "500:GEN", "v_lot_proprietaire": "500:1004:-",
    "v_mandat": "600", "v_mandat_lot": "600:500", "v_bail": "700", "v_bail_tiers": "700:1004:PRINCIPAL",
    "v_utilisateur": "4", "v_compte": "9000", "v_coordonnees_bancaires": "5000", "v_document": "40000",
    "v_suppression": "v_lot:500",
}  # fmt: skip


@dataclass
class Installation:
    """What an agency's database holds. Rows take the next version unless `rv` is given."""

    code: str | None = AGENCY
    layout: Layout = field(default_factory=load)
    rows: dict[str, list[dict[str, Cell]]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)  # views, or view.column
    types: dict[str, str] = field(default_factory=dict)  # view.column → its type, where it is not the contract's
    counted: dict[str, int | None] = field(default_factory=dict)  # what v_controle says, where it lies; None: nothing
    horizons: Sequence[Cell] | None = None  # what v_horizon says, where it is not the highest version
    agencies: int = 1
    _last: int = 0

    def add(self, view: str, given: Mapping[str, Cell] | None = None, *, rv: int | None = None, **cells: Cell) -> int:
        """A good row of a view with some cells changed; its version is returned."""
        self._last = max(self._last + 1, rv or 0)
        version = self._last if rv is None else rv
        self.rows.setdefault(view, []).append({**GOOD[view], **(given or {}), **cells, "rv": version})
        return version

    def horizon(self) -> Sequence[Cell]:
        return [self._last] if self.horizons is None else self.horizons

    def _proofs(self) -> dict[str, list[dict[str, Cell]]]:
        (at, *_) = [*self.horizon(), 0]
        limit = at if isinstance(at, int) else 0
        counts: dict[str, int | None] = {
            view.name: sum(int(row["rv"] or 0) <= limit for row in self.rows.get(view.name, []))
            for view in self.layout.incremental
        }
        counts |= self.counted
        return {
            "v_agence": [{"code_agence": self.code}] * self.agencies,
            "v_controle": [{"nom_vue": name, "nb_lignes": n} for name, n in counts.items() if n is not None],
            "v_horizon": [{"rv": at} for at in self.horizon()],
        }

    def _names(self, view: View) -> dict[str, str]:
        """Column of the contract → its name and type here."""
        kept = [c for c in view.columns if f"{view.name}.{c.name}" not in self.without]
        types = {c.name: self.types.get(f"{view.name}.{c.name}", c.type) for c in kept}
        return {c.name: f"{c.installed} {types[c.name]}" for c in kept} or {"other": "other INTEGER"}

    def tables(self) -> list[tuple[str, list[tuple[Cell, ...]]]]:
        """For each view the statement that makes it, and its rows."""
        found = []
        for view in self.layout.views.values():
            if view.name in self.without:
                continue
            names = self._names(view)
            rows = {**self.rows, **self._proofs()}.get(view.name, [])
            found.append((
                f"CREATE TABLE {view.installed} ({', '.join(names.values())})",
                [tuple(row.get(name) for name in names) for row in rows],
            ))  # fmt: skip
        return found

    def statements(self, after: str = "") -> list[str]:
        """A portable script: one statement a table, one a row. `after`: what stands behind each table."""
        found = []
        for statement, rows in self.tables():
            found.append(f"{statement} {after}".strip())
            table = statement.split()[2]
            found += [f"INSERT INTO {table} VALUES ({', '.join(map(_literal, row))})" for row in rows]
        return found

    def write(self, path: Path) -> Path:
        path.unlink(missing_ok=True)
        base = sqlite3.connect(path)
        with base:
            for statement, rows in self.tables():
                base.execute(statement)
                table = statement.split()[2]
                for row in rows:
                    base.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        base.close()
        return path


def _literal(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    return "'" + cell.replace("'", "''") + "'" if isinstance(cell, str) else str(cell)


@dataclass(frozen=True)
class Answer:
    """A reading, easy to ask about."""

    reading: Reading

    def lines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.reading.lines.to_pylist()
        return found

    def line(self, source: str, loc: str | None = None) -> dict[str, Any]:
        (found,) = [line for line in self.lines() if line["source"] == source and loc in (None, line["loc"])]
        return found

    def verdict(self, source: str, loc: str | None = None) -> str:
        """`ok`, `ignored`, or the reason of a quarantined line."""
        line = self.line(source, loc)
        return str(line["reason"] or line["outcome"])

    def flags(self, source: str, loc: str | None = None) -> set[str]:
        return {name for name in FLAGS if self.line(source, loc)["flags"] & BIT[name]}

    def rows(self, record: str) -> list[dict[str, Any]]:
        table = self.reading.rows.get(record)
        return [] if table is None else table.to_pylist()

    def row(self, record: str) -> dict[str, Any]:
        """The only row of a record."""
        (row,) = self.rows(record)
        return row

    def endings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.reading.endings.to_pylist()
        return found


def delivery(source: str, at: datetime = AT, agency: str = AGENCY) -> Permitted:
    return may_read(Delivery(agency_code(agency), System.SPILASUITE, "SPILASUITE_A0001_20260106", at, source=source))


def opened(source: Installation, folder: Path, cursor: str | None = None, at: datetime = AT) -> Opened:
    path = source.write(folder / "views.sqlite")
    return Spilasuite(source.layout).open(delivery(odbc.sqlite(path), at), Known(cursor=cursor))


def heard(source: Installation, folder: Path, cursor: str | None = None, at: datetime = AT) -> Answer:
    return Answer(Spilasuite(source.layout).read([opened(source, folder, cursor, at)], Recalled()))


def heard_row(folder: Path, view: str, cells: Mapping[str, Cell]) -> Answer:
    """A reading of one row of one view."""
    source = Installation()
    source.add(view, cells)
    return heard(source, folder)


def from_script(script: Path, path: Path) -> Path:
    """The SQLite file of a portable script."""
    base = sqlite3.connect(path)
    base.executescript(script.read_text(encoding="utf-8"))
    base.close()
    return path
