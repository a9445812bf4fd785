"""Instants that are kept as ISO texts, each with the offset of whoever wrote it, put in their order."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def not_after(column: ColumnElement[Any], at: datetime) -> ColumnElement[bool]:
    """Whether the instant of a text column is `at`, or before it."""
    return _Moment(column) <= _Moment(literal(at.isoformat()))


class _Moment(FunctionElement[Any]):
    """A number or an instant, as the database compares it."""

    type = Float()
    inherit_cache = True


@compiles(_Moment, "sqlite")
def _day_number(element: _Moment, compiler: SQLCompiler, **more: Any) -> str:
    return f"julianday({compiler.process(element.clauses, **more)})"


@compiles(_Moment, "postgresql")
def _instant(element: _Moment, compiler: SQLCompiler, **more: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **more)} AS timestamptz)"
