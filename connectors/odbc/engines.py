"""What each kind of database needs for a snapshot, and how it is asked for the text that it stores."""

from dataclasses import dataclass

# What a driver or its locale could damage: an accent, a letter of no Latin-1, the euro sign. Nothing that cp1252 lacks:
# a database may be stored in it.
UNICODE = "Éœ€"
COUNTED = f"{UNICODE} {len(UNICODE)}"


@dataclass(frozen=True, slots=True)
class Engine:
    """How one kind of database opens a snapshot, and how it gives a date as the text that is stored.

    `begin`: statements in autocommit mode; `implicit`: the driver then opens the transaction, whose first statement is
    `first`. `schemas`: whether tables live in a schema. `raw`: the driver hands every value out as the bytes it stores.
    `bulk`: whether the fast way reads what the exact one does (docs/decisions/0012-odbc.md). `unicode`: what answers
    `COUNTED` when text arrives whole and is understood by the server.
    """

    name: str
    begin: tuple[str, ...] = ()
    implicit: bool = True
    first: str | None = None
    date: str = "{}"
    schemas: bool = True
    raw: bool = False
    bulk: bool = False
    unicode: str = f"SELECT CONCAT('{UNICODE} ', CHAR_LENGTH('{UNICODE}'))"


SQLITE = Engine(
    "SQLite",
    begin=("PRAGMA query_only = 1", "BEGIN"),
    implicit=False,
    schemas=False,
    # The driver turns an impossible date into NULL and reads 05/01/2026 as 1 May: so every value is taken as bytes, and
    # dates are asked for as text, since a column of dates is declared ten characters wide whatever it holds.
    raw=True,
    date="CAST({} AS TEXT)",
    bulk=True,
    unicode=f"SELECT '{UNICODE} ' || LENGTH('{UNICODE}')",
)
POSTGRESQL = Engine(
    "PostgreSQL",
    first="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # psqlODBC gives today for the date `infinity`: so dates are asked for as text.
    date="CAST({} AS VARCHAR(32))",
    bulk=True,
)
MARIADB = Engine(
    "MariaDB",
    begin=(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    implicit=False,
    date="CAST({} AS CHAR(32))",
    bulk=True,
)
SQL_SERVER = Engine(
    "Microsoft SQL Server",
    begin=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",),
    # ISO 8601, whatever the language of the login; 126 of a date is ten characters, of a datetimeoffset it ends in the
    # offset.
    date="CONVERT(VARCHAR(33), {}, 126)",
    unicode=f"SELECT CONCAT(N'{UNICODE} ', LEN(N'{UNICODE}'))",
)

# By the name that a driver gives its database (SQL_DBMS_NAME).
ENGINES = {engine.name: engine for engine in (SQLITE, POSTGRESQL, MARIADB, SQL_SERVER)} | {"MySQL": MARIADB}
# Where the kind of a connection string leads, as far as the fast way is concerned: the answer is checked.
BULK = {
    "sqlite": (SQLITE, "SELECT sqlite_version()", r"3\."),
    "postgresql": (POSTGRESQL, "SELECT version()", "PostgreSQL "),
    "mariadb": (MARIADB, "SELECT version()", r"\d+\..*MariaDB"),
}
