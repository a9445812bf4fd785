"""Who signed the instructions: the name sealed on the agency's shelf and gone with it, a reference for the log."""

from sqlalchemy import select

from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import System
from store import engine
from store.agency import Shelf
from store.keys import Keyring
from store.sealing import framed, seal, unseal
from store.tables import SIGNATORY


def reference(keyring: Keyring, name: str) -> str:
    return keyring.reference(System.PORTAL, SIGNATORY.name, name)


def keep(home: Home, keyring: Keyring, name: str) -> str:
    """Seal a name, once; returns its reference."""
    ref = reference(keyring, name)
    with Shelf(engine.of(home).make_shelf(keyring.agency), keyring.agency) as shelf:
        sealed = seal(keyring.contents, name.encode(), _binding(keyring, ref))
        with shelf.noting() as db:
            engine.put(db, SIGNATORY, {"reference": ref, "sealed": sealed})
    return ref


def name_of(shelf: Shelf, keyring: Keyring, ref: str) -> str:
    """The name behind a reference. Raises Refused when the shelf does not know it."""
    sealed = shelf.db.scalar(select(SIGNATORY.c.sealed).where(SIGNATORY.c.reference == ref))
    if sealed is None:
        raise Refused("nobody signed under this reference", "It went with the shelf, or is of another agency.")
    return unseal(keyring.contents, sealed, _binding(keyring, ref)).decode()


def _binding(keyring: Keyring, ref: str) -> bytes:
    return framed(keyring.agency or "_portal", SIGNATORY.name, ref)
