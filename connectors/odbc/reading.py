"""A reading of one source: its snapshot, asked from here and held by a child process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import sleep
from typing import TypeVar

import pyarrow as pa

from connectors.odbc import children
from connectors.odbc.children import Pool, Talk
from connectors.odbc.engines import ENGINES, Engine
from connectors.odbc.refusals import Hung, Lost, TooWide
from connectors.odbc.strings import parse
from schemas.errors import TryAgain

T = TypeVar("T")
FEW = 64  # rows of a short SELECT
# Seconds before a reading whose connection was lost is begun again. A server that was restarted is back by then.
PAUSES = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Connection:
    """A read-only connection inside its snapshot. Every value is the text that its column holds."""

    engine: Engine
    _talk: Talk = field(repr=False)

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table or view; NoSuchViewError when there is none."""
        return tuple(self._talk.columns(table))

    def batches(self, doing: str, statement: str, expected: int) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT, block by block; columns are named by their position. `expected`: about how many."""
        return self._talk.read(doing, statement, expected)

    def rows(self, doing: str, statement: str) -> list[tuple[str | None, ...]]:
        """All rows of a short SELECT."""
        batches = self._talk.read(doing, statement, FEW)
        return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


@contextmanager
def connect(source: str, *, exact: bool = False, pool: Pool | None = None) -> Iterator[Connection]:
    """A snapshot of the database behind a connection string, closed at the end; nothing is ever written.

    `exact`: row by row, whatever the engine. Raises Malformed (configuration), TryAgain (no answer), Lost (the
    connection ended), TooWide (only the exact way can hold a value).
    """
    pool = pool or children.POOL
    with pool.child(parse(source).server) as child:
        talk = Talk(child, pool.limits)
        try:
            yield Connection(ENGINES[talk.open(source, exact=exact)], talk)
        finally:
            talk.close()


def in_one_snapshot(source: str, call: Callable[[Connection], T], *, pool: Pool | None = None) -> T:
    """What `call` makes of a snapshot. Where the connection is lost in between, everything is read again from the
    start, twice at most: a snapshot ends with its connection, and nothing that was read of it is kept. Where a value is
    wider than its column declares, once more by the exact way."""
    exact, begun = False, False
    pauses = list(PAUSES)
    while True:
        try:
            with connect(source, exact=exact, pool=pool) as connection:
                return call(connection)
        except TooWide:
            exact = True
            continue
        except Hung:
            raise
        except TryAgain as error:
            begun = begun or isinstance(error, Lost)
            if not (begun and pauses):
                raise
        sleep(pauses.pop(0))
