"""The database logins that the web door's reception uses, in raw SQL: of twenty agencies, none reads a row of another,
and the house's own reads no row of any."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from pipelines import opening
from schemas.capability import Act
from schemas.home import Home
from schemas.ids import AgencyCode
from store import keys
from store.agency import OpenShelf, Shelf
from store.house import House
from store.keys import Keyring, open_root
from store.postgres.settings import Settings
from store.tables import META, ROWS
from tests.leave import capability, warrant
from tests.postgres import Cluster
from tests.unit.retention.conftest import put

TWENTY = tuple(AgencyCode(f"A{n:04}") for n in range(101, 121))
# What the house's login may look through for all agencies: names of deliveries, cursors and capabilities, no row.
BOOKS = {"delivery", "flow", "capability", "doomed_key"}


@pytest.fixture(scope="module")
def house(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home.at(Path(tmp_path_factory.mktemp("twenty")) / "home")
    assert opening.make(home, None, store=cluster.database())
    root = open_root(home)
    for code in TWENTY:
        with (
            Keyring.open(home, root, capability(code, Act.SYNCHRONISE), create=True) as keyring,
            OpenShelf.open(home, keyring, warrant(code, Act.SYNCHRONISE), create=True) as shelf,
        ):
            said = {"last_name": "EXEMPLE", "kind": "person"}
            put(shelf, "person", "sdgi", f"C:{code}", said, keyring.allocate(1)[0])
    return home


@pytest.fixture(params=TWENTY)
def login(request: pytest.FixtureRequest, house: Home) -> Iterator[tuple[AgencyCode, psycopg.Connection]]:
    """A session of one agency as somebody who took the reception's connection over would have it."""
    settings, code = Settings.read(house), request.param
    with psycopg.connect(
        settings.address, user=settings.agency(code), password=keys.login(house, code), autocommit=True
    ) as db:
        yield code, db


def test_no_table_shows_an_agency_a_row_of_the_nineteen_others(login: tuple[AgencyCode, psycopg.Connection]) -> None:
    mine, db = login
    leaks = 0
    for name in META.tables:
        table = sql.Identifier(name)
        for other in TWENTY:
            found = db.execute(sql.SQL("SELECT count(*) FROM shelf.{} WHERE agency = %s").format(table), [other])
            (count,) = found.fetchone() or (0,)
            leaks += count if other != mine else 0
        everything = db.execute(sql.SQL("SELECT DISTINCT agency FROM shelf.{}").format(table)).fetchall()
        assert everything in ([], [(mine,)]), name
    assert leaks == 0
    assert db.execute("SELECT count(*) FROM shelf.person").fetchone() == (1,), "its own it sees"


def test_the_reception_reads_a_shelf_as_that_agencys_login(house: Home) -> None:
    settings = Settings.read(house)
    for code in TWENTY:
        with Shelf.known(house, code) as shelf:
            assert shelf.db.scalar(text("SELECT session_user")) == settings.agency(code)
            assert shelf.counts()["person"] == 1


def test_the_houses_login_reads_books_of_deliveries_and_no_row(house: Home) -> None:
    with House.open(house) as opened:
        for name in sorted(META.tables):
            if name in BOOKS:
                continue
            with pytest.raises(ProgrammingError, match="42501") as no:
                opened.db.execute(text(f"SELECT * FROM shelf.{name}"))
            assert isinstance(no.value.orig, errors.InsufficientPrivilege), name
            opened.db.rollback()
        assert set(ROWS).isdisjoint(BOOKS)
