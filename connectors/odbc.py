"""ODBC connections to an agency's database: checked connection strings, a stable snapshot, errors without a value.

A connection string is a secret, and so is whatever a driver says (it may quote a row). Both stay inside this file: what
leaves it in an exception is the name of a key or an SQLSTATE.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyodbc

from schemas.errors import Malformed, Say, TryAgain

T = TypeVar("T")
Row = tuple[object, ...]

# The driver manager would keep a connection, and the file behind it, open after the reading.
pyodbc.pooling = False

LOGIN_SECONDS = 15

# Keys that a connection string may hold, in the spelling that is sent to the driver. Left out on purpose: whatever
# loads code, runs statements, opens or writes other files (LoadExt, ConnSettings, InitStmt, FileDSN, SaveFile …).
ALLOWED = {
    key.casefold(): key
    for key in (
        "Driver", "DSN", "Server", "Servername", "Port", "Socket", "Database", "UID", "User", "Username", "PWD",
        "Password", "ReadOnly", "NoCreat", "StepAPI", "Timeout", "Encrypt", "TrustServerCertificate",
        "HostnameInCertificate", "ServerCertificate", "ApplicationIntent", "MultiSubnetFailover", "Trusted_Connection",
        "LoginTimeout", "APP", "SSLmode", "SSLVerify", "SSLCA", "ForceTLS", "Charset", "ClientCharset", "TDS_Version",
        "UseDeclareFetch", "Fetch", "BoolsAsChar", "KeepaliveTime", "KeepaliveInterval",
    )
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Where drivers are installed.
LIBRARIES = (Path("/usr/lib"), Path("/usr/local/lib"), Path("/opt"))

# What every driver takes as it stands. psqlODBC would decode `%` and `+` outside braces.
_PLAIN = re.compile(r"[\w./:\\-]+(?: +[\w./:\\-]+)*")
# `{…}` with `}}` for `}`, or anything without a semicolon or a brace; then the end of the part.
_PART = re.compile(r"\s*([^=;{}]*?)\s*=\s*(?:\{((?:[^}]|\}\})*)\}\s*|([^;{}]*))(?:;|$)")


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """A parsed connection string: allowed keys only, each once, values without their braces. It never shows itself."""

    attributes: tuple[tuple[str, str], ...] = field(repr=False)

    def get(self, key: str) -> str | None:
        return next((value for name, value in self.attributes if name == key), None)

    @property
    def sqlite(self) -> bool:
        """Whether it leads to a SQLite file; for a DSN, the driver manager knows."""
        driver = self.get("Driver") or pyodbc.dataSources().get(self.get("DSN") or "", "")
        return "sqlite" in driver.casefold()

    def text(self) -> str:
        """What the driver is given: values braced where a driver could read them otherwise."""
        if not self.sqlite:
            return ";".join(f"{key}={_braced(value)}" for key, value in self.attributes)
        # SQLite's driver knows no braces, loses its way behind accents, and creates a file that is not there.
        given = {**dict(self.attributes), "NoCreat": "1"}
        return ";".join(f"{key}={_unbraced(key, value)}" for key, value in given.items())


def _braced(value: str) -> str:
    return value if not value or _PLAIN.fullmatch(value) else "{" + value.replace("}", "}}") + "}"


def _unbraced(key: str, value: str) -> str:
    if not value.isascii() or re.search(r"[;{}]|^\s|\s$", value):
        raise Malformed(
            f"connection string: SQLite's driver cannot read the value of {key}",
            "Use a path of ASCII characters without semicolons, braces and blanks at its ends",
        )
    return value


def _parts(raw: str) -> Iterator[tuple[str, str]]:
    """Key and value of each part, in order. Nothing of a part that cannot be read is repeated."""
    at, place = 0, 0
    while raw[at:].strip(" ;"):
        place += 1
        at += len(raw[at:]) - len(raw[at:].lstrip(" ;"))
        part = _PART.match(raw, at)
        if part is None:
            raise Malformed(
                f"connection string: part {place} is not key=value",
                "A value that holds ; { or } stands between braces, and } is doubled there",
            )
        key, braced, plain = part.groups()
        yield key, plain.strip() if braced is None else braced.replace("}}", "}")
        at = part.end()


def _installed(driver: str) -> bool:
    """A driver given as a file is code that will run here: only what the administrator installed is loaded."""
    path = Path(driver).resolve()
    return path.is_file() and path.suffix == ".so" and any(path.is_relative_to(folder) for folder in LIBRARIES)


def parse(raw: str) -> ConnectionString:
    """The connection string, checked (Malformed names a key or a position, never a value)."""
    if _CONTROL.search(raw):
        raise Malformed("connection string: it holds a control character")
    found: dict[str, str] = {}
    for place, (written, value) in enumerate(_parts(raw), 1):
        key = ALLOWED.get(written.casefold())
        if key is None:
            # A key that is not known may be the tail of a password: only a word that looks like a key is repeated.
            name = written if re.fullmatch(r"[A-Za-z_]{1,32}", written) else f"of part {place}"
            raise Malformed(f"connection string: the key {name} is not allowed", "Remove it")
        if key in found:
            raise Malformed(f"connection string: {key} is given twice")
        found[key] = value
    if bool(found.get("Driver")) == bool(found.get("DSN")):
        raise Malformed("connection string: either Driver or DSN is needed")
    if ("/" in found.get("Driver", "") or "\\" in found.get("Driver", "")) and not _installed(found["Driver"]):
        raise Malformed(
            "connection string: Driver is no library of the system",
            "Name a driver of odbcinst.ini, or a library in a folder where only the administrator installs",
        )
    return ConnectionString(tuple(found.items()))


def sqlite(path: Path) -> str:
    """The connection string of a SQLite file."""
    return ConnectionString((("Driver", "SQLite3"), ("Database", str(path)))).text()


# ---------------------------------------------------------------- what a driver answers


class NoSuchViewError(LookupError):
    """The source has no table or view of that name (SQLSTATE 42S02)."""


# SQLite's driver says HY000 for everything; these are its own words, before any name it quotes.
_SQLITE_SAYS = (
    ("no such table", "42S02"),
    ("connect failed", "08001"),
    ("unable to open", "08001"),
    ("locked", "HYT00"),
    ("busy", "HYT00"),
)
_NO_VIEW = ("42S02", "42P01", "3F000")
# Connection lost, resources, operator intervention, timeouts, deadlocks: the same call may succeed later.
_WORLD = ("08", "53", "57", "HYT", "40", "55P03", "58")
_CONFIGURATION = ("IM", "01000", "28", "3D", "HYC00")


def _state(error: pyodbc.Error) -> str:
    """The SQLSTATE of an error."""
    state, said = (str(a) for a in (*error.args, "", "")[:2])
    if state == "HY000" and "[SQLite]" in said:
        words = said.partition("[SQLite]")[2]
        return next((code for phrase, code in _SQLITE_SAYS if phrase in words[:40]), state)
    return state if re.fullmatch(r"[0-9A-Z]{5}", state) else "HY000"


def _refusal(state: str, doing: str) -> Exception:
    if state.startswith(_NO_VIEW):
        return NoSuchViewError(doing)
    if state.startswith(_WORLD):
        return TryAgain(f"{doing}: the database did not answer (SQLSTATE {state})", "The next reading tries again")
    return Malformed(f"{doing}: the database refused (SQLSTATE {state})", "Check account, rights and driver")


def _answer(doing: str, call: Callable[[], T]) -> T:
    """The answer of a driver. Its errors are replaced outside of their handler: no traceback leads back to them."""
    refusal: Exception
    try:
        return call()
    except pyodbc.Error as error:
        refusal = _refusal(_state(error), doing)
    except UnicodeError:
        refusal = not_unicode(doing)
    raise refusal


def not_unicode(doing: str) -> Malformed:
    """spilasuite.md, "Transport": a driver that cannot deliver Unicode is a configuration error."""
    return Malformed(f"{doing}: the driver does not deliver Unicode", "Use the Unicode driver and LC_ALL=C.UTF-8")


# ---------------------------------------------------------------- one connection, one snapshot


@dataclass(frozen=True, slots=True)
class Engine:
    """How one kind of database opens a snapshot, and how it gives a date as the text that is stored.

    `begin`: statements in autocommit mode; `implicit`: the driver then opens the transaction, whose first statement is
    `first`. `schemas`: whether tables live in a schema. `raw`: the driver hands every value out as the bytes it stores.
    """

    begin: tuple[str, ...] = ()
    implicit: bool = True
    first: str | None = None
    date: str = "{}"
    schemas: bool = True
    raw: bool = False


ENGINES = {
    # The driver turns an impossible date into NULL and reads 05/01/2026 as 1 May: so every value is taken as bytes.
    "SQLite": Engine(begin=("BEGIN",), implicit=False, schemas=False, raw=True),
    # psqlODBC gives today for the date `infinity`: so dates are asked for as text.
    "PostgreSQL": Engine(
        first="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", date="CAST({} AS VARCHAR(32))"
    ),
    "MariaDB": Engine(
        begin=(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ),
        implicit=False,
        date="CAST({} AS CHAR(32))",
    ),
    "Microsoft SQL Server": Engine(begin=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",)),
}
ENGINES["MySQL"] = ENGINES["MariaDB"]

_NOT_TEXT = (
    pyodbc.SQL_TYPE_DATE, pyodbc.SQL_TYPE_TIMESTAMP, pyodbc.SQL_TYPE_TIME, pyodbc.SQL_BIGINT, pyodbc.SQL_INTEGER,
    pyodbc.SQL_SMALLINT, pyodbc.SQL_TINYINT, pyodbc.SQL_BIT, pyodbc.SQL_NUMERIC, pyodbc.SQL_DECIMAL, pyodbc.SQL_DOUBLE,
    pyodbc.SQL_FLOAT, pyodbc.SQL_REAL,
)  # fmt: skip
# What a driver or its locale could damage: an accent, a letter of no Latin-1, the euro sign.
_UNICODE = "Éœ€"


@dataclass(frozen=True, slots=True)
class Connection:
    """A read-only connection inside its snapshot."""

    engine: Engine
    _raw: pyodbc.Connection = field(repr=False)

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table or view; NoSuchViewError when there is none."""

        def ask() -> tuple[str, ...]:
            # Not `with`: pyodbc's cursor commits when it leaves one, and the snapshot would be gone.
            cursor = self._raw.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 — the layout's own name
            names = tuple(str(column[0]) for column in cursor.description)
            cursor.close()
            return names

        return _answer(f"looking at {table}", ask)

    def batches(self, doing: str, statement: str, *values: object, size: int = 5_000) -> Iterator[Sequence[Row]]:
        """The rows of a SELECT, at most `size` at a time."""
        cursor = _answer(doing, lambda: self._raw.execute(statement, *values))
        try:
            while rows := _answer(doing, lambda: cursor.fetchmany(size)):
                yield rows
        finally:
            cursor.close()

    def rows(self, doing: str, statement: str, *values: object) -> list[Row]:
        """All rows of a short SELECT."""
        return [tuple(row) for batch in self.batches(doing, statement, *values) for row in batch]


def _snapshot(raw: pyodbc.Connection) -> Connection:
    """Open the transaction of one reading (spilasuite.md, "One reading", 1)."""
    engine = ENGINES.get(str(raw.getinfo(pyodbc.SQL_DBMS_NAME)))
    if engine is None:
        raise Malformed("no snapshot is known for this kind of database", f"Known: {', '.join(ENGINES)}")
    if engine.raw:
        for kind in _NOT_TEXT:
            raw.add_output_converter(kind, bytes.decode)  # never asked about NULL
    for statement in engine.begin:
        raw.execute(statement).close()
    if engine.implicit:
        raw.autocommit = False
    if engine.first:
        raw.execute(engine.first).close()
    return Connection(engine, raw)


def _check_unicode(connection: Connection) -> None:
    if connection.rows("reading", "SELECT ?", _UNICODE) != [(_UNICODE,)]:
        raise not_unicode("connecting")


def _connecting(string: ConnectionString) -> pyodbc.Connection:
    refusal: Say
    try:
        return pyodbc.connect(string.text(), autocommit=True, readonly=True, timeout=LOGIN_SECONDS)
    except pyodbc.Error as error:
        state = _state(error)
        if state.startswith(_CONFIGURATION):
            refusal = Malformed(f"connecting: refused (SQLSTATE {state})", "Check driver, DSN, database and account")
        else:
            refusal = TryAgain(
                f"connecting: no database there (SQLSTATE {state})", "Check server, port, path and password"
            )
    raise refusal


@contextmanager
def connect(source: str) -> Iterator[Connection]:
    """A snapshot of the database behind a connection string, closed at the end; nothing is ever written."""
    raw = _connecting(parse(source))
    try:
        connection = _answer("opening a snapshot", lambda: _snapshot(raw))
        _check_unicode(connection)
        yield connection
    finally:
        _close(raw)


def _close(raw: pyodbc.Connection) -> None:
    """Nothing was written, so a connection that is already gone loses nothing."""
    for step in (raw.rollback, raw.close):
        try:
            step()
        except pyodbc.Error:
            continue
