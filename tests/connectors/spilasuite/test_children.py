"""Drivers that hang, crash, lose their connection or want all memory: each costs its own reading, and nobody else's."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from connectors import odbc
from connectors.base import Known, Recalled
from connectors.odbc import children, reading
from connectors.odbc.children import MIB
from connectors.odbc.refusals import Hung
from connectors.spilasuite import Spilasuite
from schemas.errors import Malformed, TryAgain
from tests.connectors.spilasuite.installation import Answer, Installation, delivery
from tests.connectors.spilasuite.servers import MariaDb, PostgreSql

QUICK = odbc.Limits(login=1, connect=2.0, silence=2.0, reading=30.0)


@pytest.fixture
def pool() -> Iterator[odbc.Pool]:
    found = odbc.Pool(QUICK)
    yield found
    found.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    source = Installation()
    source.add("v_lot")
    return odbc.sqlite(source.write(tmp_path / "views.sqlite"))


@contextmanager
def silent_server() -> Iterator[int]:
    """A TCP server that takes every call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _silent(port: int) -> str:
    return f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={port};Database=x;UID=u;PWD=Tr0ub4dor;SSLmode=disable"


def _one(source: str, pool: odbc.Pool) -> list[tuple[str | None, ...]]:
    with odbc.connect(source, pool=pool) as connection:
        return connection.rows("reading", "SELECT 1")


def _pid(pool: odbc.Pool) -> int:
    (child,) = pool._idle
    return child._process.pid


# ---------------------------------------------------------------- hanging


@pytest.mark.parametrize("exact", [False, True], ids=["bulk", "exact"])
def test_a_source_that_never_answers_is_given_up_at_its_limit(exact: bool, pool: odbc.Pool) -> None:
    with silent_server() as port:
        began = time.monotonic()
        with (
            pytest.raises(TryAgain, match="connecting") as refused,
            odbc.connect(_silent(port), exact=exact, pool=pool),
        ):
            pass
    assert time.monotonic() - began < QUICK.connect + 3
    assert "Tr0ub4dor" not in str(refused.value)


def test_others_are_read_while_one_hangs(pool: odbc.Pool, sqlite: str) -> None:
    with silent_server() as port, ThreadPoolExecutor(8) as threads:
        # Four agencies of one server that hangs: two at once wait for it, no more.
        hanging = [threads.submit(_one, _silent(port), pool) for _ in range(4)]
        began = time.monotonic()
        for _ in range(5):
            assert _one(sqlite, pool) == [("1",)]
        took = time.monotonic() - began
        assert not any(h.done() for h in hanging)
        assert took < QUICK.connect
        for h in hanging:
            with pytest.raises(TryAgain):
                h.result()


def test_a_statement_that_hangs_is_given_up_and_its_connection_ends(pool: odbc.Pool, postgresql: PostgreSql) -> None:
    with pytest.raises(Hung, match="within 2 s"), odbc.connect(postgresql.source(), pool=pool) as connection:
        list(connection.batches("reading v_tiers", "SELECT pg_sleep(600)", 1))
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
    with postgresql.admin() as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
                      " AND pid <> pg_backend_pid()")  # fmt: skip
        for _ in range(100):
            if admin.execute(busy).fetchone() == (0,):
                return
            time.sleep(0.1)
    raise AssertionError("the connection is still there")


def test_a_reading_ends_at_its_limit_even_if_rows_keep_coming(postgresql: PostgreSql) -> None:
    pool = odbc.Pool(odbc.Limits(silence=2.0, reading=3.0))
    began = time.monotonic()

    def on_and_on(connection: odbc.Connection) -> None:
        for n in range(1000):
            connection.rows("reading", f"SELECT {n} + 0 * LENGTH(pg_sleep(0.2)::text)")

    with pytest.raises(Hung):
        odbc.in_one_snapshot(postgresql.source(), on_and_on, pool=pool)
    assert time.monotonic() - began < 6
    pool.close()


# ---------------------------------------------------------------- lost


MANY = "SELECT repeat('x', 100) FROM generate_series(1, 300000)"
OURS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"


def _hang_up(postgresql: PostgreSql) -> None:
    with postgresql.admin() as admin:
        admin.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {OURS}")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAUSES", (0.0, 0.0))


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_reading_that_was_lost_begins_anew_twice_and_no_more(
    losses: int, no_pauses: None, pool: odbc.Pool, postgresql: PostgreSql
) -> None:
    begun: list[int] = []

    def read(connection: odbc.Connection) -> int:
        begun.append(0)
        batches = connection.batches("reading", MANY, 300_000)
        for batch in batches:
            begun[-1] += batch.num_rows
            if len(begun) <= losses and begun[-1] == batch.num_rows:
                _hang_up(postgresql)
        return begun[-1]

    if losses < 3:
        assert odbc.in_one_snapshot(postgresql.source(), read, pool=pool) == 300_000
    else:
        with pytest.raises(TryAgain, match="lost") as refused:
            odbc.in_one_snapshot(postgresql.source(), read, pool=pool)
        assert "SQLSTATE" in str(refused.value)
    assert len(begun) == min(losses, 2) + 1
    assert all(0 < rows < 300_000 for rows in begun[:losses])


@pytest.mark.parametrize("exact", [False, True], ids=["bulk", "exact"])
def test_a_server_that_is_killed_in_mid_read_is_read_again_when_it_is_back(
    exact: bool, monkeypatch: pytest.MonkeyPatch, pool: odbc.Pool, mariadb: MariaDb
) -> None:
    monkeypatch.setattr(reading, "PAUSES", (0.0, 20.0))
    monkeypatch.setattr(reading, "sleep", lambda seconds: mariadb.start() if seconds else None)
    mariadb.load(["CREATE TABLE t (n BIGINT)", "INSERT INTO t VALUES (1), (2)"])
    begun: list[object] = []

    def read(connection: odbc.Connection) -> list[tuple[str | None, ...]]:
        begun.append(connection.rows("reading", "SELECT n FROM extranet.t"))
        if len(begun) == 1:
            mariadb.kill()
        return connection.rows("reading", "SELECT n FROM extranet.t")

    if exact:
        with pytest.raises(odbc.Lost), odbc.connect(mariadb.source(), exact=True, pool=pool) as connection:
            read(connection)
        mariadb.start()
    else:
        assert odbc.in_one_snapshot(mariadb.source(), read, pool=pool) == [("1",), ("2",)]
        assert len(begun) == 2


def test_a_source_that_was_never_there_is_not_asked_twice(pool: odbc.Pool, tmp_path: Path) -> None:
    asked: list[int] = []
    with pytest.raises(TryAgain, match="no database there"):
        odbc.in_one_snapshot(odbc.sqlite(tmp_path / "none.sqlite"), lambda _: asked.append(1), pool=pool)
    assert asked == []


def test_nothing_of_a_lost_reading_is_kept(no_pauses: None, postgresql: PostgreSql) -> None:
    """The whole of a reading is of its last snapshot, though the first one was half read before the line went dead."""
    source = Installation()
    for n in range(5):
        source.add("v_lot", id_lot=n)
    postgresql.load(source.statements())
    # Each row of the view takes its time, so that there is a middle of the reading.
    slow = "id_lot + 0 * LENGTH(CASE WHEN id_lot < 3 THEN pg_sleep(0.5)::text ELSE '' END)"
    others = "id_immeuble, numero_lot, nature, batiment, escalier, etage, porte, surface, rv"
    postgresql.run(
        ["ALTER TABLE v_lot RENAME TO lots", f"CREATE VIEW v_lot AS SELECT {slow} AS id_lot, {others} FROM lots"]
    )

    def cut() -> None:
        with postgresql.admin() as admin:
            for _ in range(600):
                reading_it = f"{OURS} AND state = 'active' AND query LIKE '%id_lot%ORDER BY%'"
                found = admin.execute(f"SELECT pid FROM pg_stat_activity WHERE {reading_it}").fetchall()
                if found:
                    admin.execute("UPDATE extranet.lots SET numero_lot = '2'")
                    admin.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {reading_it}")
                    cuts.append(1)
                    return
                time.sleep(0.02)

    cuts: list[int] = []
    cutting = Thread(target=cut)
    cutting.start()
    opened = Spilasuite().open(delivery(postgresql.source()), Known())
    cutting.join()
    answer = Answer(Spilasuite().read([opened], Recalled()))
    assert cuts == [1]
    assert [(row["source_key"], row["number"]) for row in answer.rows("lot")] == [(str(n), "2") for n in range(5)]


# ---------------------------------------------------------------- children


def test_a_child_serves_many_readings_and_refusals_and_is_replaced_when_it_dies(pool: odbc.Pool, sqlite: str) -> None:
    _one(sqlite, pool)
    first = _pid(pool)
    with pytest.raises(odbc.NoSuchViewError), odbc.connect(sqlite, pool=pool) as connection:
        connection.rows("reading", "SELECT * FROM nowhere")
    _one(sqlite, pool)
    assert _pid(pool) == first
    pool._idle[0]._process.kill()
    pool._idle[0]._process.wait()
    assert _one(sqlite, pool) == [("1",)]
    assert _pid(pool) != first


def test_a_driver_that_crashes_costs_a_restart(no_pauses: None, pool: odbc.Pool, sqlite: str) -> None:
    begun: list[int] = []

    def read(connection: odbc.Connection) -> list[tuple[str | None, ...]]:
        begun.append(1)
        if len(begun) == 1:
            connection._talk.child._process.kill()
        return connection.rows("reading", "SELECT 1")

    assert odbc.in_one_snapshot(sqlite, read, pool=pool) == [("1",)]
    assert len(begun) == 2


def test_a_reading_that_is_left_in_the_middle_leaves_no_rows_to_the_next(
    pool: odbc.Pool, postgresql: PostgreSql, sqlite: str
) -> None:
    with odbc.connect(postgresql.source(), pool=pool) as connection:
        next(connection.batches("reading", MANY, 300_000))
    assert pool._idle == []
    assert _one(sqlite, pool) == [("1",)]


def test_a_reading_that_wants_too_much_memory_ends_alone(no_pauses: None, postgresql: PostgreSql, sqlite: str) -> None:
    pool = odbc.Pool(odbc.Limits(memory=512 * MIB))
    held_at_once = postgresql.source(UseDeclareFetch="0")
    huge = "SELECT repeat('x', 8000)::varchar(8000) FROM generate_series(1, 60000)"
    with pytest.raises((TryAgain, Malformed)) as refused, odbc.connect(held_at_once, pool=pool) as connection:
        list(connection.batches("reading", huge, 60_000))
    assert "memory" in str(refused.value) or "process ended" in str(refused.value)
    assert _one(sqlite, pool) == [("1",)]
    pool.close()


def test_a_child_whose_driver_hangs_ends_with_the_process_that_started_it() -> None:
    program = """if True:
        import os, sys, threading, time
        from pathlib import Path
        from connectors.odbc import connect
        threading.Thread(target=lambda: connect(sys.argv[1]).__enter__(), daemon=True).start()
        ours = f") S {os.getpid()} "
        found = []
        while not found:  # the child, once it is inside its driver
            found = [p.parent for p in Path("/proc").glob("[0-9]*/stat") if ours in p.read_text()]
            found = [p for p in found if sum("socket" in os.readlink(f) for f in (p / "fd").iterdir()) > 1]
            time.sleep(0.2)
        time.sleep(2)
        print(found[0].name, flush=True)
        os.kill(os.getpid(), 9)
    """
    with silent_server() as port:
        run = [sys.executable, "-W", "ignore", "-c", program, _silent(port)]
        ended = subprocess.run(run, capture_output=True, text=True, check=False)
        child = Path(f"/proc/{int(ended.stdout)}")
        for _ in range(50):
            if not child.exists() or "\nState:\tZ" in (child / "status").read_text():
                return
            time.sleep(0.1)
    raise AssertionError("the child outlived its parent")


def test_nothing_of_ours_reaches_a_driver_but_its_connection_string(
    pool: odbc.Pool, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPOSITAIRE_PASSPHRASE", "Tr0ub4dor")
    monkeypatch.setenv("LC_ALL", "C")
    _one(sqlite, pool)
    proc = Path(f"/proc/{_pid(pool)}")
    environment = dict(p.split("=", 1) for p in (proc / "environ").read_text().split("\0") if p)
    assert (environment["LC_ALL"], "DEPOSITAIRE_PASSPHRASE" in environment) == ("C.UTF-8", False)
    assert "views.sqlite" not in (proc / "cmdline").read_text()
    assert {str((proc / "fd" / fd).resolve()) for fd in "012"} == {"/dev/null"}
    assert "Max core file size        0 " in (proc / "limits").read_text()


def test_readings_of_one_server_wait_for_each_other_and_those_of_others_do_not(sqlite: str, tmp_path: Path) -> None:
    pool = odbc.Pool(QUICK, at_once=4, of_a_server=1)
    other = odbc.sqlite(Installation().write(tmp_path / "other.sqlite"))
    with ThreadPoolExecutor(2) as threads, odbc.connect(sqlite, pool=pool):
        second = threads.submit(_one, sqlite, pool)
        assert _one(other, pool) == [("1",)]
        assert not second.done()
    assert second.result() == [("1",)]
    pool.close()


def test_a_fork_takes_no_child_with_it(sqlite: str) -> None:
    program = (
        "import os, sys; from connectors.odbc import children, connect\n"
        "with connect(sys.argv[1]): pass\n"
        "pid = os.fork()\n"
        "before = len(children.POOL._idle)\n"
        "with connect(sys.argv[1]) as c: assert c.rows('reading', 'SELECT 1') == [('1',)]\n"
        "os.write(1, b'%d ' % before)\n"
        "os._exit(0) if pid == 0 else os.waitpid(pid, 0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program, sqlite], capture_output=True, check=True)
    assert sorted(done.stdout.split()) == [b"0", b"1"]


def test_limits_are_those_that_the_manual_gives() -> None:
    limits = children.LIMITS
    assert (limits.login, limits.connect, limits.silence, limits.reading) == (15, 20.0, 180.0, 3600.0)
