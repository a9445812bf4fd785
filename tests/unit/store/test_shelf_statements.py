"""What a shelf costs to open: statements are compiled once for all shelves."""

from pathlib import Path

from schemas.capability import Act
from schemas.home import Home
from schemas.ids import System
from store.agency import OpenShelf
from store.keys import Keyring, create_root, open_root
from store.sqlite import engine as shelves
from tests.leave import warrant


def test_a_shelf_opened_again_compiles_nothing_again(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    create_root(home)
    compiled = []
    for code in ("A0001", "A0002", "A0001"):
        leave = warrant(code, Act.SYNCHRONISE)
        with (
            Keyring.open(home, open_root(home), leave.capability, create=True) as keyring,
            OpenShelf.open(home, keyring, leave, create=True) as shelf,
        ):
            shelf.counts()
            shelf.lines(System.LOGIN)
        compiled.append(len(shelves._COMPILED))
    assert compiled[0] > 0
    assert len(set(compiled)) == 1
