"""A home, and one agency's open shelf in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.home import Home
from schemas.ids import AgencyCode
from store.agency import OpenShelf
from store.keys import Keyring, create_root, open_root
from tests.leave import capability, warrant

CODE = AgencyCode("A0001")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path)
    create_root(home)
    return home


@pytest.fixture
def keyring(home: Home) -> Iterator[Keyring]:
    with Keyring.open(home, open_root(home), capability(CODE), create=True) as keyring:
        yield keyring


@pytest.fixture
def shelf(home: Home, keyring: Keyring) -> Iterator[OpenShelf]:
    """Nothing is held."""
    with OpenShelf.open(home, keyring, warrant(CODE), create=True) as shelf:
        yield shelf
