"""One condition that every other file of the shelves uses."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.sql import ColumnElement


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """column IN (values), as one bound parameter whatever their number."""
    listed = func.json_each(bindparam(None, json.dumps(list(values)))).table_valued("value")
    return column.in_(select(listed.c.value))
