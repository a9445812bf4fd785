"""ODBC: connection strings that cannot be misread, snapshots that hold still, errors that say nothing of a value."""

import re
import sqlite3
import traceback
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from connectors import odbc
from schemas.errors import Malformed, TryAgain

SECRET = "Tr0ub4dor"


# ---------------------------------------------------------------- connection strings


def _attributes(raw: str) -> dict[str, str]:
    return dict(odbc.parse(raw).attributes)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Driver=SQLite3;Database=/data/a.sqlite", {"Driver": "SQLite3", "Database": "/data/a.sqlite"}),
        ("driver = {PostgreSQL Unicode} ; SERVER=db ;", {"Driver": "PostgreSQL Unicode", "Server": "db"}),
        ("DSN=agence;uid=u;pwd=a=b", {"DSN": "agence", "UID": "u", "PWD": "a=b"}),
        ("DSN=agence;PWD={a;b}}c{d}", {"DSN": "agence", "PWD": "a;b}c{d"}),
        (";;DSN=agence;;PWD=;", {"DSN": "agence", "PWD": ""}),
        ("DSN=agence;PWD={ }", {"DSN": "agence", "PWD": " "}),
    ],
)
def test_a_connection_string_is_taken_apart(raw: str, expected: dict[str, str]) -> None:
    assert _attributes(raw) == expected


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("DSN=a;LoadExt=/tmp/x.so", "LoadExt"),
        ("DSN=a;ConnSettings=DROP TABLE t", "ConnSettings"),
        ("DSN=a;InitStmt=DROP TABLE t", "InitStmt"),
        ("FILEDSN=/tmp/x", "FILEDSN"),
        ("DSN=a;SaveFile=/tmp/x", "SaveFile"),
        ("DSN=a;TraceFile=/tmp/x", "TraceFile"),
        ("DSN=a;12=/tmp/x", "part 2"),
        ("DSN=a;dsn=b", "DSN is given twice"),
        ("DSN=a;UID", "part 2"),
        ("DSN=a;PWD=x;y", "part 3"),
        ("DSN=a;PWD={x", "part 2"),
        ("DSN=a;PWD={x}y", "part 2"),
        ("DSN=a;PWD=x}y", "part 2"),
        ("DSN=a;PWD=x\nUID=y", "control character"),
        ("DSN=a;PWD=x\0", "control character"),
        ("Server=a", "Driver or DSN"),
        ("DSN=a;Driver=b", "Driver or DSN"),
        ("Driver=/tmp/evil.so;Server=a", "Driver is no library of the system"),
        ("", "Driver or DSN"),
    ],
)
def test_a_connection_string_that_could_mean_something_else_is_refused(raw: str, named: str) -> None:
    with pytest.raises(Malformed, match=named) as refused:
        odbc.parse(raw)
    assert "/tmp" not in str(refused.value)
    assert "DROP" not in str(refused.value)


VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(VALUES)
def test_no_value_can_add_a_key_or_change_another(value: str) -> None:
    """What is sent to the driver is read again by the rules of ODBC: the same keys, the same values."""
    sent = odbc.ConnectionString((("Driver", "PostgreSQL Unicode"), ("PWD", value), ("Server", "db"))).text()
    read = _attributes(sent)
    assert {k: read[k] for k in ("Driver", "PWD", "Server")} == {
        "Driver": "PostgreSQL Unicode", "PWD": value, "Server": "db"
    }  # fmt: skip
    assert read.keys() == {"Driver", "PWD", "Server", "UseDeclareFetch", "Fetch"}


@given(VALUES)
def test_a_path_reaches_sqlite_as_it_is_or_not_at_all(path: str) -> None:
    string = odbc.ConnectionString((("Driver", "SQLite3"), ("Database", path), ("StepAPI", "1")))
    if not path.isascii() or set(path) & set(";{}") or path != path.strip():
        with pytest.raises(Malformed, match="Database") as refused:
            string.text()
        assert len(path) < 3 or path not in str(refused.value)
    else:
        assert string.text() == f"StepAPI=1;Driver=SQLite3;Database={path};NoCreat=1"


def test_what_was_asked_of_sqlite_about_creating_files_is_overruled() -> None:
    sent = odbc.parse("Driver={SQLite3};NoCreat=0;Database=x").text()
    assert "NoCreat=1" in sent.split(";")
    assert "NoCreat=0" not in sent


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("PostgreSQL Unicode", "UseDeclareFetch=1;Fetch=5000"),
        ("MariaDB Unicode", "Charset=utf8mb4"),
        ("FreeTDS", "ClientCharset=UTF-8"),
        ("ODBC Driver 18 for SQL Server", ""),
    ],
)
def test_each_driver_is_told_to_give_unicode_and_not_to_hold_all_rows(driver: str, told: str) -> None:
    sent = odbc.parse(f"Driver={{{driver}}};Server=db;Charset=latin1;ClientCharset=latin1").text()
    assert set(filter(None, told.split(";"))) <= set(sent.split(";"))
    assert ("Charset=latin1" in sent.split(";")) == (not driver.startswith("MariaDB"))


def test_servers_are_told_apart_and_not_shown() -> None:
    first, second, other = (
        odbc.parse(raw).server
        for raw in ("Driver=a;Server=db;UID=u", "Driver=a;Server=db;UID=v;Database=x", "Driver=a;Server=dc;UID=u")
    )
    assert first == second != other
    assert re.fullmatch("[0-9a-f]{64}", first)


def test_a_connection_string_never_shows_itself() -> None:
    string = odbc.parse(f"DSN=a;PWD={SECRET}")
    assert SECRET not in repr(string) + str(string)
    assert string.get("PWD") == SECRET


# ---------------------------------------------------------------- connecting


def test_a_missing_file_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    with pytest.raises(TryAgain, match="SQLSTATE 08001"), odbc.connect(odbc.sqlite(path)):
        pass
    assert not path.exists()


def test_paths_with_blanks_and_odd_characters_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "a 'b' (1) [x] = 100% + , @ ! ? * #.sqlite"
    path.touch()
    with odbc.connect(odbc.sqlite(path)) as connection:
        assert connection.rows("reading", "SELECT 1") == [("1",)]


@pytest.mark.parametrize("source", [f"Driver=None Such;PWD={SECRET}", f"DSN=none_such;PWD={SECRET}"])
def test_a_driver_that_is_not_installed_is_a_matter_of_configuration(source: str) -> None:
    with pytest.raises(Malformed) as refused, odbc.connect(source):
        pass
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_file_that_is_no_database_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(Malformed, match="SQLSTATE HY000"), odbc.connect(odbc.sqlite(path)) as connection:
        connection.rows("reading", "SELECT * FROM v_tiers")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "views.sqlite"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    with writer:
        writer.execute("CREATE TABLE v (id BIGINT, nom VARCHAR(5), d DATE, n NUMERIC(9,2), b BOOLEAN)")
        writer.execute("INSERT INTO v VALUES (1, 'Élœ€😀 and longer than declared', '2026-02-31', 12.345, 't')")
    writer.close()
    return path


def test_every_value_of_sqlite_comes_as_it_is_stored(base: Path) -> None:
    with odbc.connect(odbc.sqlite(base), exact=True) as connection:
        assert connection.rows("reading", "SELECT * FROM v") == [
            ("1", "Élœ€😀 and longer than declared", "2026-02-31", "12.345", "t")
        ]


def test_what_is_written_during_a_reading_is_not_seen_by_it(base: Path) -> None:
    with odbc.connect(odbc.sqlite(base)) as connection:
        assert connection.rows("counting", "SELECT COUNT(*) FROM v") == [("1",)]
        writer = sqlite3.connect(base)
        with writer:
            writer.execute("INSERT INTO v (id) VALUES (2)")
        writer.close()
        assert connection.columns("v") == ("id", "nom", "d", "n", "b")
        assert connection.rows("counting", "SELECT COUNT(*) FROM v") == [("1",)]
    with odbc.connect(odbc.sqlite(base)) as connection:
        assert connection.rows("counting", "SELECT COUNT(*) FROM v") == [("2",)]


def test_a_view_that_is_not_there_is_told_apart_from_other_errors(base: Path) -> None:
    with odbc.connect(odbc.sqlite(base)) as connection:
        with pytest.raises(odbc.NoSuchViewError):
            connection.columns("v_tiers")
        with pytest.raises(Malformed, match="HY000"):
            connection.rows("reading", "SELECT nothing FROM v")


def test_a_locked_database_may_answer_later(base: Path) -> None:
    writer = sqlite3.connect(base, isolation_level=None)
    writer.execute("PRAGMA journal_mode=DELETE")
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TryAgain), odbc.connect(f"{odbc.sqlite(base)};Timeout=50") as connection:
        connection.rows("reading", "SELECT * FROM v")
    writer.close()


def test_an_error_of_a_driver_leaves_no_trace_of_what_it_said(base: Path) -> None:
    with odbc.connect(odbc.sqlite(base)) as connection, pytest.raises(Malformed) as refused:
        connection.rows("reading", f"SELECT '{SECRET}' FROM v WHERE {SECRET}")
    error: BaseException = refused.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert SECRET not in "".join(traceback.format_exception(error, limit=0))


def test_text_that_is_not_unicode_is_a_matter_of_configuration(base: Path) -> None:
    writer = sqlite3.connect(base)
    with writer:
        writer.execute("INSERT INTO v (id, d) VALUES (2, CAST(X'E9E8' AS TEXT))")
    writer.close()
    with odbc.connect(odbc.sqlite(base)) as connection, pytest.raises(Malformed, match="Unicode") as refused:
        connection.rows("reading", "SELECT d FROM v")
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)


@pytest.mark.parametrize("exact", [False, True], ids=["bulk", "exact"])
def test_a_closed_connection_holds_no_lock_and_no_pool_keeps_it(exact: bool, base: Path) -> None:
    with odbc.connect(odbc.sqlite(base), exact=exact) as connection:
        connection.rows("reading", "SELECT id FROM v")
    _write_alone(base)


@pytest.mark.parametrize("exact", [False, True], ids=["bulk", "exact"])
def test_a_connection_that_failed_is_closed_too(exact: bool, base: Path) -> None:
    with odbc.connect(odbc.sqlite(base), exact=exact) as connection:
        connection.rows("reading", "SELECT id FROM v")
        with pytest.raises(Malformed):
            connection.rows("reading", "SELECT nothing FROM v")
    _write_alone(base)


def _write_alone(base: Path) -> None:
    writer = sqlite3.connect(base, timeout=0)
    writer.execute("PRAGMA journal_mode=DELETE")
    with writer:
        writer.execute("DELETE FROM v")
    writer.close()


def test_a_driver_may_be_named_by_the_library_that_the_administrator_installed() -> None:
    library = "/usr/lib/x86_64-linux-gnu/odbc/libsqlite3odbc.so"
    assert odbc.parse(f"Driver={library};Database=/srv/a.sqlite").get("Driver") == library


def test_an_ansi_driver_is_not_taken_for_one_that_gives_unicode() -> None:
    assert [odbc.parse(f"Driver={{{name}}}").kind for name in ("PostgreSQL Unicode", "PostgreSQL ANSI")] == [
        "postgresql", ""
    ]  # fmt: skip


def test_a_library_that_only_seems_to_lie_there_is_refused() -> None:
    with pytest.raises(Malformed, match="no library of the system"):
        odbc.parse("Driver=/usr/lib/../../tmp/evil.so;Server=a")
