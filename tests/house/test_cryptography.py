"""The inventory of keys and algorithms names every key of a home, and every module that does cryptography."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.host import admission
from schemas.home import Home
from schemas.ids import AgencyCode

ROOT = Path(__file__).parents[2]
INVENTORY: dict[str, list[dict[str, Any]]] = tomllib.loads((ROOT / "docs/security/cryptography.toml").read_text())
ROOMS = ("schemas", "connectors", "ledger", "store", "retention", "pipelines", "portal")
LIBRARIES = {
    "argon2", "authlib", "cryptography", "hmac", "joserfc", "pyotp", "rfc3161_client", "ssl", "webauthn", "Crypto",
    "jwt", "nacl",
}  # fmt: skip
LISTED = {module for each in INVENTORY["algorithm"] for module in each["modules"]}


def libraries(source: str) -> set[str]:
    """Those of the libraries of cryptography that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found & LIBRARIES


def users() -> Iterator[str]:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if libraries(path.read_text()):
                yield path.relative_to(ROOT).as_posix()


def test_every_module_that_does_cryptography_is_listed_under_an_algorithm() -> None:
    assert sorted(set(users()) - LISTED) == []


def test_every_module_that_is_listed_is_there() -> None:
    assert [module for module in sorted(LISTED) if not (ROOT / module).is_file()] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import ssl", {"ssl"}),
        ("def f():\n    from cryptography.x509 import load", {"cryptography"}),
        ("import json\nfrom hashlib import sha256", set()),
    ],
)
def test_an_import_is_found_wherever_it_stands(source: str, found: set[str]) -> None:
    assert libraries(source) == found


def test_every_key_of_a_home_is_listed_and_nothing_that_is_none() -> None:
    home = Home.at(Path("/HOME"), Path("/KEYS"))
    code = AgencyCode("AGENC")
    named = {
        home.root_key, home.keyring(code), home.signing_key, home.log_signing_key, home.log_key(code),
        home.reception_key, home.store, home.inbox_keys, home.orchestrator, admission.folder(home),
    }  # fmt: skip
    below = [
        member
        for name, member in vars(Home).items()
        if isinstance(member, property) and isinstance(at := getattr(home, name), Path) and home.keys in at.parents
    ]
    assert len(below) == len(named) - 3, "a path of a key was added to Home: name it here and in the inventory"
    wanted = {str(path).lstrip("/").replace("AGENC", "<CODE>") for path in named}
    places = {each["place"].partition(",")[0] for each in INVENTORY["key"]}
    assert wanted - places == set()
    assert {place for place in places if place.startswith("KEYS/")} - wanted == set()


@pytest.mark.parametrize("key", INVENTORY["key"], ids=lambda key: key["name"])
def test_of_every_key_it_is_said_what_it_protects_what_never_and_when_it_ends(key: dict[str, Any]) -> None:
    assert set(key) == {"name", "place", "made", "protects", "never", "ends"}
    assert all(key.values())
