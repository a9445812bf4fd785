"""Keys: a destroyed key is gone, alone, and stays gone; a root key is a file or a passphrase."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from schemas.capability import Act
from schemas.errors import Malformed, NotVerified, Refused
from schemas.home import Home
from schemas.ids import AgencyCode
from store import keys
from store.keys import PAGE, Keyring, create_root, open_root, signer
from tests.leave import capability

AGENCY = AgencyCode("A0001")


def ring(home: Home, create: bool = True) -> Keyring:
    return Keyring.open(home, open_root(home), capability(AGENCY), create=create)


def test_person_keys_survive_reopening_and_are_all_different(home: Home) -> None:
    with ring(home) as r:
        ids = [*r.allocate(3), *r.allocate(2 * PAGE), *r.allocate(1)]
        texts = {kid: r.cipher(kid).encrypt(b"n" * 12, b"x", b"") for kid in ids}
    assert ids == list(range(1, 2 * PAGE + 5))
    assert len(set(texts.values())) == len(ids)
    with ring(home) as r:
        assert all(r.cipher(kid).encrypt(b"n" * 12, b"x", b"") == text for kid, text in texts.items())


@pytest.mark.parametrize("statements", range(3))
def test_a_ring_whose_maker_was_killed_is_none_until_it_is_made_whole(home: Home, statements: int) -> None:
    path = home.keyring(AGENCY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with closing(sqlite3.connect(path)) as db:
        for statement in keys._RING.strip().split("\n")[:statements]:
            db.execute(statement)
    with pytest.raises(Refused, match="do not exist"):
        ring(home, create=False)
    with ring(home) as r:
        r.allocate(1)
        text = r.cipher(1).encrypt(b"n" * 12, b"x", b"")
    with ring(home, create=False) as r:
        assert r.cipher(1).encrypt(b"n" * 12, b"x", b"") == text


def test_destroying_one_person_key_leaves_its_neighbours(home: Home) -> None:
    with ring(home) as r:
        r.allocate(10)
        assert r.destroy_persons([4]) == 1
        assert r.destroy_persons([4]) == 0
    with ring(home) as r:
        with pytest.raises(NotVerified):
            r.cipher(4)
        assert [r.cipher(k) is not None for k in (3, 5)] == [True, True]
        assert 4 not in r.allocate(5)


def test_a_destroyed_page_slot_leaves_no_older_page_in_the_file(home: Home) -> None:
    with ring(home) as r:
        r.allocate(10)
    before = sealed_pages(home)
    assert before[0][:64] in home.keyring(AGENCY).read_bytes(), "the search must be able to find a page"
    with ring(home) as r:
        r.destroy_persons([4])
    assert before[0][:64] not in home.keyring(AGENCY).read_bytes()


def sealed_pages(home: Home) -> list[bytes]:
    import sqlite3

    with sqlite3.connect(home.keyring(AGENCY)) as db:
        return [bytes(row[0]) for row in db.execute("SELECT sealed FROM page ORDER BY no")]


def test_destroying_the_ring_of_an_agency_happens_once(home: Home) -> None:
    ring(home).__exit__()
    assert Keyring.destroy(home, capability(AGENCY, Act.ERASE)) is True
    assert Keyring.destroy(home, capability(AGENCY, Act.ERASE)) is False
    with pytest.raises(Refused):
        ring(home, create=False)


def test_a_ring_of_another_agency_does_not_open_under_this_name(home: Home) -> None:
    ring(home).__exit__()
    other = AgencyCode("A0002")
    home.keyring(other).write_bytes(home.keyring(AGENCY).read_bytes())
    with pytest.raises(NotVerified):
        Keyring.open(home, open_root(home), capability(other))


def test_keys_are_readable_by_their_owner_alone(home: Home) -> None:
    ring(home).__exit__()
    for path in (home.root_key, home.signing_key, home.keyring(AGENCY)):
        assert path.stat().st_mode & 0o077 == 0


def test_a_second_root_key_is_refused(home: Home) -> None:
    before = home.root_key.read_bytes()
    with pytest.raises(Refused):
        create_root(home)
    assert home.root_key.read_bytes() == before


def test_a_passphrase_opens_its_home_and_another_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 2**14)
    home = Home.at(tmp_path)
    create_root(home, "a long sentence")
    assert signer(home, open_root(home, "a long sentence")) is not None
    for wrong in (None, "another sentence"):
        with pytest.raises(Refused):
            open_root(home, wrong)


def test_a_home_without_keys_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="depositaire init"):
        open_root(Home.at(tmp_path))
