"""A sealed row opens in its place with its key, and nowhere else."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import NotVerified
from store.sealing import derive, framed, keyed, row_aad, seal_rows, unseal

CIPHER = AESGCM(os.urandom(32))
BINDING = framed("A0001", "person", "sdgi")


def sealed_one() -> bytes:
    return seal_rows(BINDING, ["C:IM1:4"], [7], [b"secret"], lambda kid: CIPHER)[0]


def test_a_row_opens_with_what_it_was_bound_to() -> None:
    assert unseal(CIPHER, sealed_one(), row_aad(BINDING, "C:IM1:4", 7)) == b"secret"


@pytest.mark.parametrize(
    "aad",
    [
        row_aad(framed("A0002", "person", "sdgi"), "C:IM1:4", 7),
        row_aad(framed("A0001", "contact", "sdgi"), "C:IM1:4", 7),
        row_aad(framed("A0001", "person", "gpi"), "C:IM1:4", 7),
        row_aad(BINDING, "C:IM1:5", 7),
        row_aad(BINDING, "C:IM1:4", 8),
        row_aad(framed("A0001", "perso", "nsdgi"), "C:IM1:4", 7),
    ],
    ids=["other agency", "other table", "other system", "other row", "other key", "shifted boundary"],
)
def test_a_row_that_was_moved_does_not_open(aad: bytes) -> None:
    with pytest.raises(NotVerified):
        unseal(CIPHER, sealed_one(), aad)


def test_a_changed_byte_is_noticed_wherever_it_is() -> None:
    whole = sealed_one()
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(NotVerified):
            unseal(CIPHER, changed, row_aad(BINDING, "C:IM1:4", 7))


def test_the_same_row_sealed_twice_differs() -> None:
    assert sealed_one() != sealed_one()


def test_labels_give_keys_that_have_nothing_in_common() -> None:
    key = os.urandom(32)
    assert len({derive(key, label) for label in ("rows", "pages", "index", "digest")}) == 4
    assert keyed(derive(key, "index"))(b"x") != keyed(derive(key, "digest"))(b"x")
