"""The books that the clerk may look through, on a store that was filled before it might."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import insert, select

from pipelines import opening
from schemas.capability import Act
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import engine, guard
from store.agency import OpenShelf, Shelf
from store.engine import Note
from store.house import House
from store.keys import Keyring, open_root
from store.postgres import install
from store.postgres.settings import Settings
from store.tables import DOOMED_KEY, FLOW
from tests.leave import warrant
from tests.postgres import Cluster
from tests.unit.postgres.conftest import A, B, fill


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


@pytest.fixture
def furnished(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same, filled as a version filled it that knew nothing of generations."""
    monkeypatch.setattr(guard, "void", lambda *_: None)
    return fill(home)


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


def test_a_filled_store_gets_generations_and_nothing_is_known_of_its_flows(furnished: Home) -> None:
    settings, store = Settings.read(furnished), engine.of(furnished)
    leave = warrant(A, Act.SYNCHRONISE)
    with (
        Keyring.open(furnished, open_root(furnished), leave.capability) as keyring,
        OpenShelf.open(furnished, keyring, leave) as shelf,
        shelf.writing() as db,
    ):
        db.exec_driver_sql("INSERT INTO flow (system, cursor) VALUES ('sdgi', '202601050210')")
    install.migrate(settings)
    found = store.standing(System.SDGI, {A: "ANY"})[A]
    assert (found.cursor, found.last) == ("202601050210", None)
    with Shelf.known(furnished, A) as known:
        assert tuple(known.db.execute(select(FLOW.c.generation, FLOW.c.proof)).one()) == (0, None)


def test_the_clerk_notes_nothing_without_the_proof(furnished: Home) -> None:
    settings = Settings.read(furnished)
    leave = warrant(A, Act.SYNCHRONISE)
    install.migrate(settings)
    with (
        Keyring.open(furnished, open_root(furnished), leave.capability) as keyring,
        OpenShelf.open(furnished, keyring, leave) as shelf,
        shelf.writing() as db,
    ):
        proof = engine.seal_of(b"the proof")
        db.execute(insert(FLOW).values(system="sdgi", cursor="1", generation=3, proof=proof))

    def note(proof: bytes, generation: int = 3) -> Note:
        columns = ("system", "name", "day", "sha256", "layout", "code_version", "instructions", "run", "at", "report")
        return Note(leave.capability, proof, generation, "2", dict.fromkeys(columns, "x") | {"system": "sdgi"})

    store = engine.of(furnished)
    for wrong in (note(proof), note(b"another"), note(b"the proof", 2)):
        assert store.note_unchanged([wrong], lambda told: told) == [None]
    assert store.note_unchanged([note(b"another"), note(b"the proof")], lambda told: told) == [None, 1]
    with Shelf.known(furnished, A) as known:
        assert [(d.id, d.receipted) for d in known.deliveries()] == [(1, 1)]
        assert known.cursor(System.SDGI) == "2"
    clerk = settings.clerk
    with psycopg.connect(settings.address, user=clerk.role, password=clerk.password, autocommit=True) as own:
        for statement in ("UPDATE shelf.flow SET cursor = '9'", "UPDATE shelf.delivery SET receipted = 0"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(statement)
