"""Values of a driver as text: decimals as written, dates ISO, booleans 0 and 1 (spilasuite.md, "Transport")."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from connectors.odbc.refusals import not_unicode


def texts(cells: Iterable[object]) -> pa.Array:
    """A column of a driver as text."""
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
    return values if values.type == pa.string() else values.cast(pa.string())


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
