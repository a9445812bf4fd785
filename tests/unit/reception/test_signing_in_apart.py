"""What a passkey signs to come in is never what an instruction is signed by: whoever writes the challenges can ask
for a signature of anything, and not have it taken for the other thing."""

import datetime as dt
import json
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from sqlalchemy import Engine, insert

from ledger.signatures import decoded, encoded
from pipelines.reception import passkeys, tables
from pipelines.reception.passkeys import Site
from schemas.errors import NotVerified
from schemas.home import Home
from store.keys import create_root
from tests.unit.ledger.passkeys_made import ORIGIN, PARTY, SoftPasskey

NOW = dt.datetime(2026, 1, 6, 11, tzinfo=dt.UTC)
SITE = Site(ORIGIN, PARTY)
SCRIPT = Path(__file__).parents[3] / "portal" / "web" / "static" / "passkey.js"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    home = Home.at(tmp_path / "home")
    create_root(home)
    made = tables.accounts(home)
    numbers = SoftPasskey().key.public_key().public_numbers()
    cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    row = {"id": b"key-1", "account": "USR-1", "public_key": cbor2.dumps(cose), "used": 0, "made_at": "2026-01-06"}
    with made.begin() as db:
        db.execute(insert(tables.PASSKEY).values(row))
    return made


def given(engine: Engine) -> bytes:
    with engine.begin() as db:
        return decoded(passkeys.challenge_to_show(db, SITE, NOW)["challenge"])


def shown(engine: Engine, signed: bytes) -> str:
    """What the reception makes of an assertion over these bytes."""
    a = SoftPasskey().assertion(signed)
    response = {
        "authenticatorData": a["authenticator_data"], "clientDataJSON": a["client_data"], "signature": a["signature"],
        "userHandle": None,
    }  # fmt: skip
    name = encoded(b"key-1")
    said = {"id": name, "rawId": name, "type": "public-key", "response": response}
    return passkeys.shown(engine, SITE, json.dumps(said), NOW)


def test_the_hash_of_our_words_and_the_challenge_lets_in(engine: Engine) -> None:
    assert shown(engine, sha256(b"depositaire-sign-in/1\n" + given(engine)).digest()) == "USR-1"


def test_the_bare_challenge_lets_nobody_in_so_that_no_leaf_can_be_passed_off_as_one(engine: Engine) -> None:
    with pytest.raises(NotVerified):
        shown(engine, given(engine))


def test_the_script_hashes_the_same_words_and_names_no_passkey() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert 'encode("depositaire-sign-in/1\\n")' in text
    assert "allowCredentials: []" in text
    assert "options.allowCredentials" not in text
