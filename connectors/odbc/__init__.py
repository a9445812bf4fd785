"""ODBC connections to an agency's database: checked connection strings, a stable snapshot, errors without a value.

A driver is foreign code, and what it says may quote a row: it runs in a child process (`children`, `child`), where one
of two libraries reads (`sessions`), and only SQLSTATEs leave it (`refusals`). docs/decisions/0012-odbc.md says why.
"""

from connectors.odbc.children import LIMITS, Limits, Pool
from connectors.odbc.engines import ENGINES, Engine
from connectors.odbc.reading import Connection, connect, in_one_snapshot
from connectors.odbc.refusals import Lost, NoSuchViewError, TooWide
from connectors.odbc.strings import ConnectionString, parse, sqlite

__all__ = [
    "ENGINES", "LIMITS", "Connection", "ConnectionString", "Engine", "Limits", "Lost", "NoSuchViewError", "Pool",
    "TooWide", "connect", "in_one_snapshot", "parse", "sqlite",
]  # fmt: skip
