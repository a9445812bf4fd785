"""A sealed row opens in its place with its key, and nowhere else."""

import os

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import NotVerified
from store.encode import bindings
from store.sealing import derive, framed, keyed, row_aad, seal_bound, seal_rows, unseal

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


def test_additional_data_by_column_is_that_of_each_row() -> None:
    keys, kids = ["C:IM1:4", "", "Éloïse\u2028 Ñ", "x" * 300], [0, 1, 2**40, 7]
    made = bindings(BINDING, pa.chunked_array([keys[:1], keys[1:]]), np.array(kids, np.int64))
    assert made.to_pylist() == [row_aad(BINDING, key, kid) for key, kid in zip(keys, kids, strict=True)]


def test_rows_in_the_order_of_their_keys_take_each_cipher_once() -> None:
    ciphers, asked = {kid: AESGCM(os.urandom(32)) for kid in (0, 1, 2)}, []

    def cipher(kid: int) -> AESGCM:
        asked.append(kid)
        return ciphers[kid]

    kids = [0, 0, 1, 2, 2, 2]
    aads = [row_aad(BINDING, f"L{n}", kid) for n, kid in enumerate(kids)]
    sealed = seal_bound(aads, kids, [b"said %d" % n for n in range(6)], cipher)
    assert asked == [0, 1, 2]
    opened = [unseal(ciphers[kid], each, aad) for kid, each, aad in zip(kids, sealed, aads, strict=True)]
    assert opened == [b"said %d" % n for n in range(6)]
    assert len({each[1:13] for each in sealed}) == 6


def test_digests_of_many_are_those_of_each() -> None:
    digest = keyed(os.urandom(32))
    said = [b"", b"x", bytes(5000)]
    assert digest.each(said) == [digest(each) for each in said]


def test_labels_give_keys_that_have_nothing_in_common() -> None:
    key = os.urandom(32)
    assert len({derive(key, label) for label in ("rows", "pages", "index", "digest")}) == 4
    assert keyed(derive(key, "index"))(b"x") != keyed(derive(key, "digest"))(b"x")
