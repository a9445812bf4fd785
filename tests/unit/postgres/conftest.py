"""A real server, and a home in it with two agencies that hold something. The rows are the same in both, but for a text
that only one of them has."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import opening
from schemas.capability import Act
from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import OpenShelf
from store.keys import Keyring, open_root
from tests.leave import capability, warrant
from tests.postgres import Cluster, running
from tests.unit.retention.conftest import put

A, B = AgencyCode("A0001"), AgencyCode("A0002")
NIGHT = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running() as made:
        yield made


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    assert opening.make(home, None, store=cluster.database())
    return home


@pytest.fixture
def furnished(home: Home) -> Home:
    return fill(home)


def fill(home: Home) -> Home:
    root = open_root(home)
    for code in (A, B):
        with (
            Keyring.open(home, root, capability(code, Act.SYNCHRONISE), create=True) as keyring,
            OpenShelf.open(home, keyring, warrant(code, Act.SYNCHRONISE), create=True) as shelf,
        ):
            put(
                shelf,
                "person",
                "sdgi",
                "C:1",
                {"last_name": f"EXEMPLE {code}", "kind": "person"},
                keyring.allocate(1)[0],
            )
            put(shelf, "person", "sdgi", f"C:{code}", {"last_name": "AUTRE", "kind": "person"}, keyring.allocate(1)[0])
    return home
