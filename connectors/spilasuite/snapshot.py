"""One reading of the views: the proofs in the order of the contract, then what is new as Arrow text (spilasuite.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Delivery
from connectors.normalise import text
from connectors.odbc import Connection, NoSuchViewError, not_unicode
from connectors.spilasuite.layout import AGENCY, HORIZON, PROOF, VERSION, Column, Layout, View
from schemas.errors import DeliveryRefused, Malformed

Words = dict[str | None, int | None]


@dataclass(frozen=True, slots=True)
class Proved:
    """A snapshot whose views are whole up to the horizon. `latest`: the highest version a view holds up to there."""

    horizon: int
    latest: dict[str, int]


@dataclass(frozen=True, slots=True)
class Views:
    """The views of one installation, seen through one connection."""

    connection: Connection
    layout: Layout

    def table(self, view: View) -> str:
        """The name of a view in a statement. Its parts come from a checked layout: nothing of a delivery gets here."""
        schema = self.layout.schema if self.connection.engine.schemas else ""
        return f"{schema}.{view.installed}" if schema else view.installed

    # ---- proofs

    def prove(self, agency: str | None, cursor: int) -> Proved:
        """The checks of one reading. DeliveryRefused carries the first reason of the contract's table that holds."""
        self._check_columns()
        self._check_agency(agency)
        horizon = self._horizon()
        if horizon is not None and horizon < cursor:
            raise DeliveryRefused(
                "spilasuite.horizon_regression", HORIZON, "The database went back: a person decides what is believed"
            )
        if horizon is None:
            # Nothing says up to where rows may be read, so no count can prove anything.
            raise DeliveryRefused("spilasuite.count_mismatch", HORIZON, "v_horizon must hold one version")
        return Proved(horizon, self._check_counts(horizon))

    def _check_columns(self) -> None:
        found = {view.name: self._columns(view) for view in self.layout.views.values()}
        for view in self.layout.views.values():
            missing = [c.name for c in view.columns if c.installed.casefold() not in found[view.name]]
            if missing:
                where, hint = f"{view.name}.{missing[0]}", "Restore the column or write a layout for it"
                raise DeliveryRefused("spilasuite.column_missing", where, hint)

    def _columns(self, view: View) -> frozenset[str]:
        """The columns a view really has; SQL does not tell their case apart."""
        try:
            return frozenset(name.casefold() for name in self.connection.columns(self.table(view)))
        except NoSuchViewError:
            refusal = DeliveryRefused("spilasuite.view_missing", view.name, "Restore the view or write a layout for it")
        raise refusal

    def _check_agency(self, agency: str | None) -> None:
        view = self.layout.views[AGENCY]
        code = view.column("code_agence").installed
        rows = self.connection.rows("reading v_agence", f"SELECT {code} FROM {self.table(view)}")  # noqa: S608 — see `table`
        said, _ = text.n1(texts([row[0] for row in rows]))
        if len(rows) != 1 or said[0].as_py() != agency:
            raise DeliveryRefused("agency.mismatch", AGENCY, "This is the database of another agency, or of none")

    def _horizon(self) -> int | None:
        view = self.layout.views[HORIZON]
        version = view.column(VERSION).installed
        rows = self.connection.rows("reading v_horizon", f"SELECT {version} FROM {self.table(view)}")  # noqa: S608 — see `table`
        return _whole(rows[0][0]) if len(rows) == 1 else None

    def _check_counts(self, horizon: int) -> dict[str, int]:
        """Every view against v_controle, in the same snapshot. Returns the highest version of each view."""
        promised = self._promised()
        counted = self._counted(horizon)
        for view in self.layout.incremental:
            count, _ = counted[view.name]
            if promised.get(view.name) != count:
                raise DeliveryRefused(
                    "spilasuite.count_mismatch", view.name, "v_controle and the view do not agree: nothing is read"
                )
        return {name: latest for name, (_, latest) in counted.items()}

    def _promised(self) -> Words:
        """What v_controle says of each view; a view that it counts twice, differently, is counted by neither."""
        view = self.layout.views[PROOF]
        name, count = (view.column(c).installed for c in ("nom_vue", "nb_lignes"))
        rows = self.connection.rows("reading v_controle", f"SELECT {name}, {count} FROM {self.table(view)}")  # noqa: S608 — see `table`
        names, _ = text.n1(texts([row[0] for row in rows]))
        promised: Words = {}
        for said, row in zip(names.to_pylist(), rows, strict=True):
            known, number = self.layout.view_named(said), _whole(row[1])
            promised[known] = number if promised.get(known, number) == number else None
        return promised

    def _counted(self, horizon: int) -> dict[str, tuple[int, int]]:
        """Rows and highest version of each view up to the horizon, in one statement."""
        parts = []
        for view in self.layout.incremental:
            rv = view.column(VERSION).installed
            parts.append(f"SELECT '{view.name}', COUNT(*), MAX({rv}) FROM {self.table(view)} WHERE {rv} <= ?")  # noqa: S608
        rows = self.connection.rows("counting", " UNION ALL ".join(parts), *[horizon] * len(parts))
        return {str(name): (_whole(count) or 0, _whole(latest) or 0) for name, count, latest in rows}

    # ---- rows

    def since(self, cursor: int, proved: Proved) -> dict[str, pa.Table]:
        """The lines of each view with cursor < rv <= horizon, by rv: text as it came, and `rv`. No empty views."""
        news = [v for v in self.layout.incremental if proved.latest[v.name] > cursor]
        return {view.name: self._lines(view, cursor, proved.horizon) for view in news}

    def _lines(self, view: View, cursor: int, horizon: int) -> pa.Table:
        rv = view.column(VERSION).installed
        statement = (
            f"SELECT {', '.join(map(self._expression, view.read))}, {rv} FROM {self.table(view)}"  # noqa: S608 — see `table`
            f" WHERE {rv} > ? AND {rv} <= ? ORDER BY {rv}"
        )
        return self._collected(view.name, (*view.read, view.column(VERSION)), statement, cursor, horizon)

    def keys(self, view: View, horizon: int) -> pa.Table:
        """The key columns of every row up to the horizon."""
        columns = tuple(view.column(name) for name in view.key)
        rv = view.column(VERSION).installed
        statement = f"SELECT {', '.join(map(self._expression, columns))} FROM {self.table(view)} WHERE {rv} <= ?"  # noqa: S608 — see `table`
        return self._collected(view.name, columns, statement, horizon)

    def _expression(self, column: Column) -> str:
        return self.connection.engine.date.format(column.installed) if column.is_date else column.installed

    def _collected(self, name: str, columns: Sequence[Column], statement: str, *values: int) -> pa.Table:
        schema = pa.schema([(c.name, pa.int64() if c.name == VERSION else pa.string()) for c in columns])
        batches = [
            pa.table(list(map(_arrow, columns, zip(*rows, strict=True))), schema=schema)
            for rows in self.connection.batches(f"reading {name}", statement, *values)
        ]
        return pa.concat_tables(batches).combine_chunks() if batches else schema.empty_table()


def _whole(value: object) -> int | None:
    """A whole number, however a driver writes it."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and number == number.to_integral_value() else None


def _arrow(column: Column, cells: Iterable[object]) -> pa.Array:
    values = texts(cells, whole=column.is_whole)
    return values.cast(pa.int64()) if column.name == VERSION else values


def texts(cells: Iterable[object], *, whole: bool = False) -> pa.Array:
    """A column of a driver as text: decimals by their shortest text, dates ISO, booleans 0 and 1 (spilasuite.md)."""
    given = cells if isinstance(cells, tuple) else tuple(cells)
    try:
        values = pa.array(given)
    except UnicodeError:
        values = None
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # one column, several types
        return pa.array([_text(cell) for cell in given], pa.string())
    if values is None or pa.types.is_binary(values.type):
        raise not_unicode("reading")
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "1", "0")
    if whole and (pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        values = _without_fraction(values)
    return values if values.type == pa.string() else values.cast(pa.string())


def _without_fraction(values: pa.Array) -> pa.Array:
    """Whole numbers that a driver gives as 1004.0; left alone where one of them is not whole."""
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        return values


def _text(cell: object) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        raise not_unicode("reading")
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return format(cell, "f")
    return str(cell)


def cursor_of(known: str | None) -> int:
    """The cursor of a flow; none yet is 0."""
    if known is None:
        return 0
    if not known.isdigit():
        raise Malformed("the cursor of this flow is not a row version", "Check where cursors are kept")
    return int(known)


def source_of(delivery: Delivery) -> str:
    """The connection string of a delivery: SpiLaSuite has no file."""
    if delivery.source is None:
        raise Malformed("SpiLaSuite is read by ODBC: this delivery has no connection string", "Set it for the agency")
    return delivery.source
