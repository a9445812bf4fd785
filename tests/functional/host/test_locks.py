"""One writer an agency on PostgreSQL: on all machines, until its machine is gone, and never one that lost its hold."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import insert, select, text

from pipelines.locks import sole
from schemas.capability import Act
from schemas.errors import TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode
from store import engine
from store.agency import OpenShelf, Shelf
from store.keys import Keyring, open_root
from store.postgres.engine import PostgresEngine
from store.postgres.settings import Settings
from store.tables import FLOW
from tests.functional.host.conftest import Site
from tests.leave import capability, warrant
from tests.postgres import Cluster

A, B = AgencyCode("A0001"), AgencyCode("A0002")
PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture
def home(site: Site) -> Iterator[Home]:
    yield site.home
    engine.close_all()


def hold(root: Path, told: Pipe) -> None:
    with sole(Home.at(root), A):
        told.send("held")
        time.sleep(60)


@pytest.fixture
def elsewhere(home: Home) -> Iterator[int]:
    """A process that holds the agency's lock."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold, args=(home.root, there))
    process.start()
    assert here.recv() == "held"
    yield int(process.pid or 0)
    process.kill()
    process.join()


def test_what_one_process_holds_no_other_gets_until_it_dies_however_it_dies(home: Home, elsewhere: int) -> None:
    with pytest.raises(TryAgain, match="another run is at work"), sole(home, A, patience=0.2):
        pass
    with sole(home, B, patience=0), sole(home, None, patience=0):
        pass
    os.kill(elsewhere, signal.SIGKILL)
    with sole(home, A, patience=10):
        pass
    assert not home.locks.exists(), "no file is locked where the database is"


def test_two_threads_of_one_process_are_two(home: Home) -> None:
    order: list[str] = []

    def wait() -> None:
        with sole(home, A):
            order.append("second")

    with sole(home, A):
        waiting = threading.Thread(target=wait)
        waiting.start()
        with pytest.raises(TryAgain), sole(home, A, patience=0.3):
            pass
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_many_agencies_are_held_by_one_connection(home: Home, cluster: Cluster) -> None:
    with ExitStack() as locks:
        for n in range(250):
            locks.enter_context(sole(home, AgencyCode(f"B{n:04d}"), patience=0))
        assert counted(cluster, "pg_locks WHERE locktype = 'advisory'") == 250
        mine = f"pg_stat_activity WHERE usename = '{clerk(home)}'"
        assert counted(cluster, mine) <= 2, "one for the locks, and one in the pool"
    assert counted(cluster, "pg_locks WHERE locktype = 'advisory'") == 0


def counted(cluster: Cluster, rows: str) -> int:
    with cluster.admin() as db:
        row = db.execute(f"SELECT count(*) FROM {rows}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def clerk(home: Home) -> str:
    return Settings.read(home).clerk.role


def cut_off(home: Home, cluster: Cluster) -> None:
    """What the server does to a machine that it hears nothing of any more."""
    with cluster.admin() as db:
        db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (clerk(home),))


@pytest.fixture
def shelf(home: Home) -> Iterator[OpenShelf]:
    root = open_root(home)
    with (
        Keyring.open(home, root, capability(A), create=True) as keyring,
        OpenShelf.open(home, keyring, warrant(A, Act.SYNCHRONISE), create=True) as opened,
    ):
        yield opened


def write(shelf: OpenShelf, cursor: str) -> None:
    with shelf.writing() as db:
        engine.put(db, FLOW, {"system": "sdgi", "cursor": cursor}, replacing=["cursor"])


def cursor(shelf: Shelf) -> str | None:
    shelf.db.rollback()
    return shelf.db.scalar(select(FLOW.c.cursor))


def test_who_lost_the_lock_writes_nothing_and_does_not_have_to_have_noticed(
    home: Home, shelf: OpenShelf, cluster: Cluster
) -> None:
    with sole(home, A):
        write(shelf, "held")
        cut_off(home, cluster)
        with pytest.raises(TryAgain, match="lost its hold"):
            write(shelf, "lost")
        with pytest.raises(TryAgain, match="lost its hold"), shelf.noting() as db:
            db.execute(text("DELETE FROM doomed_key"))
        # In a new session, what was lost stays lost.
        with sole(home, B), pytest.raises(TryAgain, match="lost its hold"):
            write(shelf, "lost")
    assert cursor(shelf) == "held"
    with sole(home, A):
        write(shelf, "again")
    assert cursor(shelf) == "again"


def test_the_next_holder_waits_for_a_transaction_that_had_asked_before_the_lock_was_lost(
    home: Home, shelf: OpenShelf, cluster: Cluster
) -> None:
    other = Home.at(home.root, home.keys / ".." / "keys")  # the same home, as another process would open it
    seen: list[str | None] = []

    def follow() -> None:
        with sole(other, A), Shelf.known(other, A) as known:
            seen.append(cursor(known))

    assert engine.of(other) is not engine.of(home)
    with sole(home, A), shelf.writing() as db:
        db.execute(insert(FLOW).values(system="sdgi", cursor="in flight"))
        cut_off(home, cluster)
        follower = threading.Thread(target=follow)
        follower.start()
        time.sleep(1)
        assert seen == []
        assert follower.is_alive()
    follower.join(20)
    assert seen == ["in flight"]


def test_who_takes_no_lock_depends_on_none(shelf: OpenShelf) -> None:
    write(shelf, "free")
    assert cursor(shelf) == "free"


def test_a_server_gives_up_a_machine_that_was_cut_off_within_half_a_minute(home: Home, cluster: Cluster) -> None:
    """What each session asks for; on a socket of the same machine there is nothing to keep alive."""
    store = engine.of(home)
    assert isinstance(store, PostgresEngine)
    with store._sessions.apart() as db:
        own = cast("psycopg.Connection", db.connection.driver_connection)
        given = own.info.get_parameters()
        asked = own.info.options
    for name, value in (("idle", "10"), ("interval", "5"), ("count", "3")):
        assert given[f"keepalives_{name}"] == value
        assert f"-c tcp_keepalives_{name}={value}" in asked
    assert given["tcp_user_timeout"] == "25000"
    assert "-c tcp_user_timeout=25s" in asked
    assert 10 + 3 * 5 <= 30


def test_without_the_database_there_is_no_lock(home: Home, tmp_path: Path) -> None:
    settings = Settings.read(home)
    away = Settings(**{**vars_of(settings), "address": "postgresql:///nothing?host=/nonexistent"})
    (tmp_path / "away" / "keys").mkdir(parents=True)
    lost = Home.at(tmp_path / "away")
    lost.store.write_bytes(away.as_bytes())
    lost.settings.write_text(engine.POSTGRESQL)
    with pytest.raises(TryAgain, match="does not answer"), sole(lost, A, patience=0):
        pass


def vars_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}
