"""The books that the clerk may look through, on a store that was filled before it might."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import insert

from pipelines import opening
from schemas.capability import Act
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import engine
from store.agency import OpenShelf
from store.house import House
from store.keys import Keyring, open_root
from store.postgres import install
from store.postgres.settings import Settings
from store.tables import DOOMED_KEY
from tests.leave import warrant
from tests.postgres import Cluster
from tests.unit.postgres.conftest import A, B


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose database was made by the first step alone."""
    migrate = install.migrate
    home = Home.at(tmp_path / "home")
    with monkeypatch.context() as before:
        before.setattr(install, "migrate", lambda settings: migrate(settings, "0001"))
        before.setattr(install, "demand_newest", lambda _: None)
        assert opening.make(home, None, store=cluster.database())
    engine.close_all()
    return home


def test_a_filled_store_is_brought_up_to_date_and_tells_who_has_doomed_keys(furnished: Home, cluster: Cluster) -> None:
    settings, store = Settings.read(furnished), engine.of(furnished)
    leave = warrant(A, Act.SYNCHRONISE)
    with (
        Keyring.open(furnished, open_root(furnished), leave.capability) as keyring,
        OpenShelf.open(furnished, keyring, leave) as shelf,
        shelf.writing() as db,
    ):
        db.execute(insert(DOOMED_KEY).values(kid=7))
    asked: dict[AgencyCode | None, str] = {A: "ANY", B: "ANY"}
    before = without_version(cluster.dump(settings))
    assert store.upgrade() == ("", install.newest()), "the first step let the clerk not see how far it is"
    assert without_version(cluster.dump(settings)) == before
    assert store.upgrade() == (install.newest(), install.newest())
    assert {a: s.keys_doomed for a, s in store.standing(System.SDGI, asked).items()} == {A: True, B: False}


def without_version(dump: bytes) -> list[bytes]:
    return [line for line in dump.split(b"\n") if not re.fullmatch(rb"\d{4}", line)]


def test_nothing_is_done_on_a_store_of_an_earlier_version(furnished: Home) -> None:
    with pytest.raises(Refused, match="earlier version"):
        House.open(furnished)
    assert opening.faults(furnished)[0] == "behind"
    opening.upgrade(furnished)
    assert "behind" not in opening.faults(furnished)
    House.open(furnished).db.close()


def test_nothing_is_done_on_a_store_of_a_later_version(furnished: Home, cluster: Cluster) -> None:
    opening.upgrade(furnished)
    with cluster.admin(str(conninfo_to_dict(Settings.read(furnished).address)["dbname"])) as db:
        db.execute("UPDATE dep.revision SET version_num = '9999'")
    engine.close_all()
    with pytest.raises(Refused, match="later version"):
        House.open(furnished)


def test_the_clerk_sees_that_there_are_doomed_keys_and_not_which(furnished: Home) -> None:
    settings = Settings.read(furnished)
    install.migrate(settings)
    clerk = settings.clerk
    with psycopg.connect(settings.address, user=clerk.role, password=clerk.password, autocommit=True) as own:
        assert own.execute("SELECT agency FROM shelf.doomed_key").fetchall() == []
        for statement in ("SELECT kid FROM shelf.doomed_key", "DELETE FROM shelf.doomed_key"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(statement)
