"""One connection and its snapshot, by either of two libraries. This runs in the child process that holds the driver.

`ArrowSession` fetches blocks of rows straight into columns (arrow-odbc): the way of the engines that it was proved to
read alike. `ExactSession` takes every value by itself (pyodbc), and so reads what the other cannot hold. Both give
text: nothing is left to a type that a library makes up.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from connectors.odbc.engines import BULK, COUNTED, ENGINES, Engine
from connectors.odbc.refusals import (
    NoSuchViewError,
    no_connection,
    not_unicode,
    refusal,
    state_of,
    too_wide,
    without_words,
)
from connectors.odbc.strings import ConnectionString
from connectors.odbc.texts import texts
from schemas.errors import Malformed

if TYPE_CHECKING:
    import pyodbc
    from arrow_odbc import Connection as ArrowConnection

# Rows of a block, and bytes that a block may take whatever the columns declare.
BLOCK = 5_000
BLOCK_BYTES = 32 * 1024 * 1024
FEW = 64


def _block(expected: int) -> int:
    """Rows of a block. Its buffers are as large as the declared widths say: for few rows they would cost more than the
    rows."""
    return min(max(expected, 1), BLOCK)


class Session(Protocol):
    """A read-only connection inside its snapshot."""

    @property
    def engine(self) -> Engine: ...

    def columns(self, table: str) -> list[str]:
        """The columns of a table or view; NoSuchViewError when there is none."""

    def read(self, doing: str, statement: str, expected: int = FEW) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT as columns of text. `expected`: about how many, for the size of a block."""

    def close(self) -> None:
        """Nothing was written, so a connection that is already gone loses nothing."""


def opened(string: ConnectionString, *, exact: bool, login: int) -> Session:
    """A snapshot of the database behind a connection string. `login`: seconds that the driver may try to connect."""
    session: Session
    if string.kind in BULK and not exact:
        session = ArrowSession.connect(string, login)
    else:
        session = ExactSession.connect(string, login)
    try:
        _check_unicode(session)
    except BaseException:
        session.close()
        raise
    return session


def _check_unicode(session: Session) -> None:
    """Text arrives whole, and the server counts its letters as we do."""
    rows = [row for batch in session.read("connecting", session.engine.unicode) for row in batch.to_pylist()]
    if [list(row.values()) for row in rows] != [[COUNTED]]:
        raise not_unicode("connecting")


# ---------------------------------------------------------------- arrow-odbc


@dataclass(slots=True)
class ArrowSession:
    """Blocks of rows, bound column by column as text of the declared width."""

    engine: Engine
    _raw: "ArrowConnection" = field(repr=False)

    @classmethod
    def connect(cls, string: ConnectionString, login: int) -> "ArrowSession":
        import arrow_odbc

        engine, question, expected = BULK[string.kind]
        raw = without_words(
            _no_connection,
            lambda: arrow_odbc.connect(string.text(), login_timeout_sec=login, autocommit=not engine.implicit),
        )
        session = cls(engine, raw)
        session._recognise(question, expected)
        session._begin()
        return session

    def _recognise(self, question: str, expected: str) -> None:
        said = [row for batch in self.read("connecting", question) for row in batch.to_pylist()]
        answer = str(next(iter(said[0].values()))) if said else ""
        if not re.match(expected, answer):
            raise unknown_engine()

    def _begin(self) -> None:
        def begin() -> None:
            if self.engine.implicit:
                self._raw.rollback()  # the question above opened a transaction
            for statement in (*self.engine.begin, *filter(None, [self.engine.first])):
                self._raw.execute(statement)

        without_words(lambda error: _bulk_error(error, "opening a snapshot"), begin)

    def columns(self, table: str) -> list[str]:
        doing = f"looking at {table}"
        reader = self._reader(doing, f"SELECT * FROM {table} WHERE 1 = 0", 0)  # noqa: S608 — the layout's own name
        return [str(name) for name in reader.schema.names]

    def read(self, doing: str, statement: str, expected: int = FEW) -> Iterator[pa.RecordBatch]:
        batches = iter(self._reader(doing, statement, expected))
        while True:
            batch = without_words(lambda error: _bulk_error(error, doing), lambda: next(batches, None))
            if batch is None:
                return
            yield batch

    def _reader(self, doing: str, statement: str, expected: int) -> Any:
        return without_words(
            lambda error: _bulk_error(error, doing),
            lambda: self._raw.read_arrow_batches(
                statement,
                batch_size=_block(expected),
                max_bytes_per_batch=BLOCK_BYTES,
                map_schema=_all_text,
                fetch_concurrently=expected > BLOCK,
            ),
        )

    def close(self) -> None:
        import arrow_odbc

        with suppress(arrow_odbc.Error):
            self._raw.rollback()
        del self._raw  # there is no other way to disconnect


def _all_text(inferred: pa.Schema) -> pa.Schema:
    """Every column as text, whatever the driver says it is: explicit, so that no type is made up on the way."""
    return pa.schema([pa.field(name, pa.string()) for name in inferred.names])


def _no_connection(error: Exception) -> Exception | None:
    import arrow_odbc

    return no_connection(state_of(str(error))) if isinstance(error, arrow_odbc.Error) else None


def _bulk_error(error: Exception, doing: str) -> Exception | None:
    import arrow_odbc

    if isinstance(error, UnicodeError):
        return not_unicode(doing)
    if not isinstance(error, arrow_odbc.Error):
        return None
    said = str(error)
    if "without truncation" in said:
        return too_wide(doing)
    if "invalid UTF-8" in said:
        return not_unicode(doing)
    return refusal(state_of(said), doing)


# ---------------------------------------------------------------- pyodbc


@dataclass(slots=True)
class ExactSession:
    """Row by row, each value as long as it is."""

    engine: Engine
    _raw: "pyodbc.Connection" = field(repr=False)

    @classmethod
    def connect(cls, string: ConnectionString, login: int) -> "ExactSession":
        import pyodbc

        # The driver manager would keep a connection, and the file behind it, open after the reading.
        pyodbc.pooling = False

        def read(error: Exception) -> Exception | None:
            return no_connection(_state(error)) if isinstance(error, pyodbc.Error) else None

        raw = without_words(read, lambda: pyodbc.connect(string.text(), autocommit=True, readonly=True, timeout=login))
        try:
            return cls(without_words(lambda error: _exact_error(error, "opening a snapshot"), lambda: _begun(raw)), raw)
        except BaseException:
            _ended(raw)
            raise

    def columns(self, table: str) -> list[str]:
        def ask() -> list[str]:
            # Not `with`: pyodbc's cursor commits when it leaves one, and the snapshot would be gone.
            cursor = self._raw.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 — the layout's own name
            names = [str(column[0]) for column in cursor.description]
            cursor.close()
            return names

        return without_words(lambda error: _exact_error(error, f"looking at {table}"), ask)

    def read(self, doing: str, statement: str, expected: int = FEW) -> Iterator[pa.RecordBatch]:
        def read(error: Exception) -> Exception | None:
            return _exact_error(error, doing)

        cursor = without_words(read, lambda: self._raw.execute(statement))
        names = [f"{n}" for n in range(len(cursor.description))]
        try:
            while rows := without_words(read, lambda: cursor.fetchmany(_block(expected))):
                yield _columns(rows, names)
        finally:
            cursor.close()

    def close(self) -> None:
        _ended(self._raw)


def _columns(rows: Sequence[Sequence[object]], names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([texts(cells) for cells in zip(*rows, strict=True)], names)


def _state(error: Exception) -> str:
    """The SQLSTATE of an error of pyodbc: it tells it apart from the driver's words."""
    state, said = (str(a) for a in (*error.args, "", "")[:2])
    return state_of(said, state)


def _exact_error(error: Exception, doing: str) -> Exception | None:
    import pyodbc

    if isinstance(error, pyodbc.Error):
        return refusal(_state(error), doing)
    return not_unicode(doing) if isinstance(error, UnicodeError) else None


def _begun(raw: "pyodbc.Connection") -> Engine:
    """Open the transaction of one reading (spilasuite.md, "One reading", 1)."""
    import pyodbc

    engine = ENGINES.get(str(raw.getinfo(pyodbc.SQL_DBMS_NAME)))
    if engine is None:
        raise unknown_engine()
    if engine.raw:
        for kind in _not_text():
            raw.add_output_converter(kind, bytes.decode)  # never asked about NULL
    for statement in engine.begin:
        raw.execute(statement).close()
    if engine.implicit:
        raw.autocommit = False
    if engine.first:
        raw.execute(engine.first).close()
    return engine


def _not_text() -> tuple[int, ...]:
    import pyodbc

    return (
        pyodbc.SQL_TYPE_DATE, pyodbc.SQL_TYPE_TIMESTAMP, pyodbc.SQL_TYPE_TIME, pyodbc.SQL_BIGINT, pyodbc.SQL_INTEGER,
        pyodbc.SQL_SMALLINT, pyodbc.SQL_TINYINT, pyodbc.SQL_BIT, pyodbc.SQL_NUMERIC, pyodbc.SQL_DECIMAL,
        pyodbc.SQL_DOUBLE, pyodbc.SQL_FLOAT, pyodbc.SQL_REAL,
    )  # fmt: skip


def _ended(raw: "pyodbc.Connection") -> None:
    import pyodbc

    for step in (raw.rollback, raw.close):
        try:
            step()
        except pyodbc.Error:
            continue


def unknown_engine() -> Malformed:
    return Malformed("no snapshot is known for this kind of database", f"Known: {', '.join(ENGINES)}")


__all__ = ["ArrowSession", "ExactSession", "NoSuchViewError", "Session", "opened"]
