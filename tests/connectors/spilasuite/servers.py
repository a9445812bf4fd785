"""Databases for tests, started here and stopped at the end: PostgreSQL, MariaDB and SQLite behind one set of words.

A SQL Server of an operator joins them when DEPOSITAIRE_TEST_SQLSERVER holds a connection string of an account that may
create tables in a schema `extranet` of a database kept for this.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from connectors import odbc
from tests import postgres

SQL_SERVER = os.environ.get("DEPOSITAIRE_TEST_SQLSERVER", "")
ENGINES = ("sqlite", "postgresql", "mariadb", *(["sqlserver"] if SQL_SERVER else []))


class Database(ABC):
    """An agency's database. Statements are run as its owner, in the schema of the views."""

    timestamp = "TIMESTAMP(6)"
    double = "DOUBLE PRECISION"
    boolean = "BOOLEAN"

    @abstractmethod
    def source(self, **more: str) -> str: ...

    @abstractmethod
    def run(self, statements: Sequence[str]) -> None:
        """Run statements, each committed."""

    @abstractmethod
    def clear(self) -> None:
        """Nothing is left in the schema."""

    def load(self, statements: Sequence[str]) -> None:
        self.clear()
        self.run(statements)

    def load_script(self, script: Path) -> None:
        self.load([s for s in script.read_text(encoding="utf-8").split(";\n") if s.strip()])

    def table(self, name: str) -> str:
        return f"extranet.{name}"

    def stop(self) -> None:  # noqa: B027 — where there is no server, nothing is to be ended
        """End the server."""


class Sqlite(Database):
    def __init__(self, folder: Path, encoding: str = "UTF-8") -> None:
        self.path, self.encoding = folder / "views.sqlite", encoding

    def source(self, **more: str) -> str:
        return ";".join([odbc.sqlite(self.path), *(f"{key}={value}" for key, value in more.items())])

    def run(self, statements: Sequence[str]) -> None:
        base = sqlite3.connect(self.path)
        with base:
            for statement in statements:
                base.execute(statement)
        base.close()

    def clear(self) -> None:
        for path in self.path.parent.glob("views.sqlite*"):
            path.unlink()
        base = sqlite3.connect(self.path)
        base.execute(f"PRAGMA encoding = '{self.encoding}'")
        base.execute("PRAGMA journal_mode = WAL")
        base.close()

    def table(self, name: str) -> str:
        return name


class PostgreSql(Database):
    """A PostgreSQL of its own, reached by a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, "postgres"
        self.own = postgres.started(folder)

    def source(self, **more: str) -> str:
        given = {"Server": str(self.folder), "Database": self.base, "UID": "postgres", **more}
        return odbc.ConnectionString((("Driver", "PostgreSQL Unicode"), *given.items())).text()

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.own.get_uri(self.base), autocommit=True) as connection:
            connection.execute("SET client_min_messages = warning; SET client_encoding = 'UTF8'")
            yield connection

    def run(self, statements: Sequence[str]) -> None:
        with self.admin() as admin:
            admin.execute("SET search_path = extranet")
            admin.execute(";\n".join(statements).encode())

    def clear(self) -> None:
        with self.admin() as admin:
            admin.execute("DROP SCHEMA IF EXISTS extranet CASCADE")
            admin.execute("CREATE SCHEMA extranet")

    def stop(self) -> None:
        self.own.cleanup()


class MariaDb(Database):
    """A MariaDB of its own: its own data folder, reached by a Unix socket only."""

    timestamp = "DATETIME(6)"
    charset = "utf8mb4"

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "s"
        self.user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--user={self.user}", f"--datadir={folder / 'data'}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [server, "--no-defaults", f"--user={self.user}", f"--datadir={self.folder / 'data'}",
                 f"--socket={self.socket}", f"--pid-file={self.folder / 'pid'}", "--skip-networking",
                 "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M"],
                stdout=log, stderr=log,
            )  # fmt: skip
        for _ in range(600):
            if self._answers():
                return
            time.sleep(0.1)
        raise AssertionError("MariaDB did not start")

    def _answers(self) -> bool:
        asked = subprocess.run([*self._client(), "-e", "SELECT 1"], capture_output=True, check=False)
        return asked.returncode == 0

    def _client(self) -> list[str]:
        return ["mariadb", "--no-defaults", "--default-character-set=utf8mb4", "-uroot", f"--socket={self.socket}"]

    def source(self, **more: str) -> str:
        given = {"Socket": str(self.socket), "Database": "extranet", "UID": "root", **more}
        return odbc.ConnectionString((("Driver", "MariaDB Unicode"), *given.items())).text()

    def run(self, statements: Sequence[str]) -> None:
        mode = "SET sql_mode = 'ALLOW_INVALID_DATES,NO_BACKSLASH_ESCAPES'"
        self.say(";\n".join([mode, *statements]), "extranet")

    def say(self, text: str, base: str = "") -> str:
        said = subprocess.run([*self._client(), "-N", *filter(None, [base])], input=text.encode(), capture_output=True)
        assert said.returncode == 0, said.stderr.decode()
        return said.stdout.decode()

    def clear(self) -> None:
        self.say(f"DROP DATABASE IF EXISTS extranet; CREATE DATABASE extranet CHARACTER SET {self.charset}")

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


class SqlServer(Database):
    """An operator's own; nothing of it is started or stopped here."""

    timestamp = "DATETIME2(6)"
    double = "FLOAT"
    boolean = "BIT"

    def source(self, **more: str) -> str:
        return ";".join([SQL_SERVER, *(f"{key}={value}" for key, value in more.items())])

    def run(self, statements: Sequence[str]) -> None:
        import pyodbc

        base = pyodbc.connect(odbc.parse(SQL_SERVER).text(), autocommit=True)
        for statement in statements:
            found = statement.replace(" TABLE ", " TABLE extranet.", 1).replace(" INTO ", " INTO extranet.", 1)
            base.execute(found.replace("VARCHAR", "NVARCHAR").replace(" CHAR(", " NCHAR(").replace(", '", ", N'"))
        base.close()

    def clear(self) -> None:
        import pyodbc

        base = pyodbc.connect(odbc.parse(SQL_SERVER).text(), autocommit=True)
        tables = base.execute("SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID('extranet')").fetchall()
        for (name,) in tables:
            base.execute(f"DROP TABLE extranet.{name}")
        base.close()


def started(engine: str, folder: Path) -> Database:
    match engine:
        case "sqlite":
            return Sqlite(folder)
        case "postgresql":
            return PostgreSql(folder)
        case "mariadb":
            return MariaDb(folder)
        case _:
            return SqlServer()
