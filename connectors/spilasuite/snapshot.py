"""One reading of the views: the proofs in the order of the contract, then what is new as Arrow text (spilasuite.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Delivery
from connectors.normalise import text
from connectors.normalise.octets import truth
from connectors.odbc import Connection, NoSuchViewError
from connectors.spilasuite.layout import AGENCY, HORIZON, PROOF, VERSION, Column, Layout, View
from schemas.errors import DeliveryRefused, Malformed

Words = dict[str | None, int | None]


@dataclass(frozen=True, slots=True)
class Proved:
    """A snapshot whose views are whole up to the horizon. By view: `rows` up to there, and how many of them are `new`
    (above the cursor)."""

    horizon: int
    rows: dict[str, int]
    new: dict[str, int]


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
        return self._check_counts(cursor, horizon)

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
        said, _ = text.n1(pa.array([row[0] for row in rows], pa.string()))
        if len(rows) != 1 or said[0].as_py() != agency:
            raise DeliveryRefused("agency.mismatch", AGENCY, "This is the database of another agency, or of none")

    def _horizon(self) -> int | None:
        view = self.layout.views[HORIZON]
        version = view.column(VERSION).installed
        rows = self.connection.rows("reading v_horizon", f"SELECT {version} FROM {self.table(view)}")  # noqa: S608 — see `table`
        return _whole(rows[0][0]) if len(rows) == 1 else None

    def _check_counts(self, cursor: int, horizon: int) -> Proved:
        """Every view against v_controle, in the same snapshot."""
        promised = self._promised()
        proved = self._counted(cursor, horizon)
        for view in self.layout.incremental:
            if promised.get(view.name) != proved.rows[view.name]:
                raise DeliveryRefused(
                    "spilasuite.count_mismatch", view.name, "v_controle and the view do not agree: nothing is read"
                )
        return proved

    def _promised(self) -> Words:
        """What v_controle says of each view; a view that it counts twice, differently, is counted by neither."""
        view = self.layout.views[PROOF]
        name, count = (view.column(c).installed for c in ("nom_vue", "nb_lignes"))
        rows = self.connection.rows("reading v_controle", f"SELECT {name}, {count} FROM {self.table(view)}")  # noqa: S608 — see `table`
        names, _ = text.n1(pa.array([row[0] for row in rows], pa.string()))
        promised: Words = {}
        for said, row in zip(names.to_pylist(), rows, strict=True):
            known, number = self.layout.view_named(said), _whole(row[1])
            promised[known] = number if promised.get(known, number) == number else None
        return promised

    def _counted(self, cursor: int, horizon: int) -> Proved:
        """The rows of each view up to the horizon, and how many are above the cursor, in one statement."""
        parts = []
        for view in self.layout.incremental:
            rv = view.column(VERSION).installed
            new = f"COUNT(CASE WHEN {rv} > {cursor:d} THEN 1 END)"
            parts.append(f"SELECT '{view.name}', COUNT(*), {new} FROM {self.table(view)} WHERE {rv} <= {horizon:d}")  # noqa: S608
        rows = self.connection.rows("counting", " UNION ALL ".join(parts))
        counts = {str(name): (_whole(count) or 0, _whole(new) or 0) for name, count, new in rows}
        return Proved(horizon, {v: n for v, (n, _) in counts.items()}, {v: n for v, (_, n) in counts.items()})

    # ---- rows

    def since(self, cursor: int, proved: Proved) -> dict[str, pa.Table]:
        """The lines of each view with cursor < rv <= horizon, by rv: text as it came, and `rv`. No empty views."""
        news = [v for v in self.layout.incremental if proved.new[v.name]]
        return {view.name: self._lines(view, cursor, proved) for view in news}

    def _lines(self, view: View, cursor: int, proved: Proved) -> pa.Table:
        rv = view.column(VERSION).installed
        statement = (
            f"SELECT {', '.join(map(self._expression, view.read))}, {rv} FROM {self.table(view)}"  # noqa: S608 — see `table`
            f" WHERE {rv} > {cursor:d} AND {rv} <= {proved.horizon:d} ORDER BY {rv}"
        )
        return self._collected(view.name, (*view.read, view.column(VERSION)), statement, proved.new[view.name])

    def keys(self, view: View, proved: Proved) -> pa.Table:
        """The key columns of every row up to the horizon."""
        columns = tuple(view.column(name) for name in view.key)
        rv = view.column(VERSION).installed
        names = ", ".join(map(self._expression, columns))
        statement = f"SELECT {names} FROM {self.table(view)} WHERE {rv} <= {proved.horizon:d}"  # noqa: S608 — see `table`
        return self._collected(view.name, columns, statement, proved.rows[view.name])

    def _expression(self, column: Column) -> str:
        return self.connection.engine.date.format(column.installed) if column.is_date else column.installed

    def _collected(self, name: str, columns: Sequence[Column], statement: str, expected: int) -> pa.Table:
        plain = pa.schema([pa.field(str(n), pa.string()) for n in range(len(columns))])
        read = pa.Table.from_batches(self.connection.batches(f"reading {name}", statement, expected), plain)
        settled = [_settled(column, values) for column, values in zip(columns, read.columns, strict=True)]
        return pa.table(settled, names=[c.name for c in columns])


def _whole(value: object) -> int | None:
    """A whole number, however a driver writes it."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and number == number.to_integral_value() else None


def _settled(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as the contract writes it, whatever the engine: numbers by their shortest text, no padding, `rv` as a
    number."""
    if column.name == VERSION:
        return _version(values)
    if column.is_number:
        return _shortest(values)
    return pc.ascii_rtrim(values, " ") if column.is_padded else values


def _version(values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        found = values.cast(pa.int64())
    except pa.ArrowInvalid:  # its words quote the value
        found = None
    if found is None or found.null_count:
        raise Malformed("a row version is no whole number", "Restore the column rv of the views")
    return found


def _shortest(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """812.40 as 812.4, 1004.0 as 1004: engines differ in the zeros that they write behind."""
    pointed = pc.match_substring(values, ".")
    if not truth(pointed).any():
        return values
    if _plain(values):
        trimmed = pc.ascii_rtrim(pc.ascii_rtrim(values, "0"), ".")
        return pc.if_else(pointed, trimmed, values)
    return pc.replace_substring_regex(values, r"^(-?[0-9]+)(?:\.0*|(\.[0-9]*[1-9])0*)$", r"\1\2")


def _plain(values: pa.ChunkedArray) -> bool:
    """Whether all are numbers that begin with a digit, without an exponent: then what stands behind can be cut off."""
    try:
        values.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    odd = pc.or_kleene(pc.match_substring(values, "e", ignore_case=True), pc.starts_with(values, "."))
    return not truth(pc.or_kleene(odd, pc.starts_with(values, "-."))).any()


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
