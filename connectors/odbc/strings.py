"""Connection strings: allowed keys only, each once, and what each driver is really sent.

A connection string is a secret: what leaves this file in an exception is the name of a key or a position.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from schemas.errors import Malformed

# Keys that a connection string may hold, in the spelling that is sent to the driver. Left out on purpose: whatever
# loads code, runs statements, opens or writes other files (LoadExt, ConnSettings, InitStmt, FileDSN, SaveFile …).
ALLOWED = {
    key.casefold(): key
    for key in (
        "Driver", "DSN", "Server", "Servername", "Port", "Socket", "Database", "UID", "User", "Username", "PWD",
        "Password", "ReadOnly", "NoCreat", "StepAPI", "Timeout", "Encrypt", "TrustServerCertificate",
        "HostnameInCertificate", "ServerCertificate", "ApplicationIntent", "MultiSubnetFailover", "Trusted_Connection",
        "LoginTimeout", "APP", "SSLmode", "SSLVerify", "SSLCA", "ForceTLS", "Charset", "ClientCharset", "TDS_Version",
        "Encryption", "UseDeclareFetch", "Fetch", "BoolsAsChar", "KeepaliveTime", "KeepaliveInterval",
    )
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Where drivers are installed.
LIBRARIES = (Path("/usr/lib"), Path("/usr/local/lib"), Path("/opt"))

# What every driver takes as it stands. psqlODBC would decode `%` and `+` outside braces.
_PLAIN = re.compile(r"[\w./:\\-]+(?: +[\w./:\\-]+)*")
# `{…}` with `}}` for `}`, or anything without a semicolon or a brace; then the end of the part.
_PART = re.compile(r"\s*([^=;{}]*?)\s*=\s*(?:\{((?:[^}]|\}\})*)\}\s*|([^;{}]*))(?:;|$)")

# Words in the name of a driver, in odbcinst.ini or of its library, by kind of database. psqlODBC's ANSI driver is not
# among them: it delivers no Unicode.
_NAMED = {
    "sqlite": re.compile(r"sqlite"),
    "postgresql": re.compile(r"psqlodbcw|postgres(?!.*ansi)"),
    "mariadb": re.compile(r"maria|maodbc"),
    "tds": re.compile(r"freetds|tdsodbc"),
}


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """A parsed connection string: allowed keys only, each once, values without their braces. It never shows itself."""

    attributes: tuple[tuple[str, str], ...] = field(repr=False)

    def get(self, key: str) -> str | None:
        return next((value for name, value in self.attributes if name == key), None)

    @property
    def kind(self) -> str:
        """Which driver it names (`sqlite`, `postgresql`, `mariadb`, `tds`), or "" for any other."""
        driver = (self.get("Driver") or _driver_of(self.get("DSN") or "")).casefold()
        return next((kind for kind, words in _NAMED.items() if words.search(driver)), "")

    @property
    def server(self) -> str:
        """Tells servers apart without telling them: the digest of what leads to one, whoever the account is."""
        keys = ("DSN", "Server", "Servername", "Socket", "Port")
        found = [f"{key}={value}" for key in keys if (value := self.get(key)) is not None]
        return sha256("\0".join(found or [f"Database={self.get('Database')}"]).encode()).hexdigest()

    def text(self) -> str:
        """What the driver is given: values braced where a driver could read them otherwise."""
        kind = self.kind
        given = _settled(kind, dict(self.attributes))
        # SQLite's driver knows no braces and loses its way behind accents.
        write = _unbraced if kind == "sqlite" else _braced
        return ";".join(f"{key}={write(key, value)}" for key, value in given.items())


def _settled(kind: str, given: dict[str, str]) -> dict[str, str]:
    """What a driver has to be told besides: nothing is created, text is Unicode, rows are not all held at once."""
    match kind:
        case "sqlite":
            return {"StepAPI": "1", **given, "NoCreat": "1"}
        case "postgresql":
            return {"UseDeclareFetch": "1", "Fetch": "5000", **given}
        case "mariadb":
            return {**given, "Charset": "utf8mb4"}
        case "tds":
            return {"TDS_Version": "7.4", **given, "ClientCharset": "UTF-8"}
        case _:
            return given


def _driver_of(dsn: str) -> str:
    """The driver behind a DSN, as the driver manager names it; "" when there is none."""
    if not dsn:
        return ""
    import pyodbc  # loads the driver manager: only where a DSN asks for it

    return next((driver for name, driver in pyodbc.dataSources().items() if name.casefold() == dsn.casefold()), "")


def _braced(_: str, value: str) -> str:
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
