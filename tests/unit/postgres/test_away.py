"""A database that goes away, or has no room, is told as that: never as a fault of ours, and never with a value."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, text

from schemas.errors import StoreAway, TryAgain
from schemas.home import Home
from store import engine, keys
from store.postgres.sessions import Sessions
from store.postgres.settings import Login, Settings
from store.tables import ROWS
from tests.postgres import Cluster
from tests.unit.postgres.conftest import A

MARKED = "MARQUÉE-71"


def ended(cluster: Cluster) -> int:
    """End every connection but the one that does so."""
    with cluster.admin() as db:
        found = db.execute(
            """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""
        ).fetchone()
    assert found is not None
    return int(found[0])


def as_agency(home: Home) -> tuple[Sessions, Connection]:
    settings = Settings.read(home)
    sessions = Sessions(settings)
    return sessions, sessions.agency(Login(settings.agency(A), keys.login(home, A)))


def asked(home: Home, db: Connection) -> None:
    db.execute(text("SELECT :said"), {"said": MARKED})


def staged(home: Home, db: Connection) -> None:
    """As rows of a large delivery are written."""
    one = {"source_key": [MARKED], "system": ["sdgi"]}
    store: Any = engine.of(home)
    store._stage(db, ROWS["person"], list(one), one, "source_key")


def committed(home: Home, db: Connection) -> None:
    db.commit()


@pytest.mark.parametrize("doing", [asked, staged, committed])
def test_a_connection_that_is_lost_says_to_try_again(
    furnished: Home, cluster: Cluster, doing: Callable[[Home, Connection], None]
) -> None:
    sessions, db = as_agency(furnished)
    with closing(sessions), db:
        asked(furnished, db)
        assert ended(cluster) > 0
        with pytest.raises(StoreAway, match="does not answer") as no:
            doing(furnished, db)
        assert MARKED not in repr(no.value)
        assert no.value.__cause__ is None or MARKED not in repr(no.value.__cause__)


@pytest.mark.parametrize("number", ["53100", "53200"])
def test_a_database_without_room_says_so(furnished: Home, number: str) -> None:
    sessions, db = as_agency(furnished)
    with closing(sessions), db, pytest.raises(StoreAway, match="no room") as no:
        db.execute(text(f"DO $$ BEGIN RAISE EXCEPTION '{MARKED}' USING ERRCODE = '{number}'; END $$"))
    assert MARKED not in str(no.value)
    assert isinstance(no.value, TryAgain)


def test_a_connection_that_was_lost_while_nothing_was_asked_of_it_is_made_anew(
    furnished: Home, cluster: Cluster
) -> None:
    sessions = Sessions(Settings.read(furnished))
    with closing(sessions):
        with sessions.clerk() as db:
            before = db.scalar(text("SELECT pg_backend_pid()"))
        assert ended(cluster) > 0
        with sessions.clerk() as db:
            assert db.scalar(text("SELECT pg_backend_pid()")) not in (None, before)
