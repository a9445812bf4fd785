"""One signature of one leaf by one passkey: every way in which it may not be one is refused."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger import fsck_signed
from ledger.assertions import public_key, verify
from ledger.signatures import Algorithm, Enrolled, Signed, decoded, encoded
from ledger.standalone import verify as standalone
from schemas.errors import Malformed, NotVerified
from tests.unit.ledger.passkeys_made import ORIGIN, PARTY, SoftPasskey

LEAF = sha256(b"a leaf").digest()
VECTOR = Path(__file__).parents[2] / "vectors" / "webauthn-1" / "assertions.json"
PARTS = ("authenticator_data", "client_data", "signature")


def told(passkey: Enrolled, said: dict[str, str], leaf: bytes = LEAF, count: int = 0) -> tuple[bool, bool, bool]:
    """Whether each of the three checkers believes it; they share no code."""
    try:
        verify(Signed(credential=passkey.id, **said), passkey, leaf, count)
        ours = True
    except (NotVerified, Malformed):
        ours = False
    body = passkey.body()
    try:
        fsck_signed.asserted({"credential": passkey.id, **said}, body, leaf, "here")
        theirs = True
    except NotVerified:
        theirs = False
    try:
        alone = standalone._asserted(said, body, leaf) >= 0
    except (ValueError, standalone.Broken):  # what it tells of itself: anything else would be a fault of it
        alone = False
    return ours, theirs, alone


ALL, NONE = (True, True, True), (False, False, False)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda a: a.name)
def test_a_signature_of_each_algorithm_is_believed_by_all_three_checkers(algorithm: Algorithm) -> None:
    passkey = SoftPasskey(algorithm)
    assert told(passkey.enrolled(), passkey.assertion(LEAF)) == ALL


@pytest.mark.parametrize("algorithm", [Algorithm.ES256, Algorithm.EDDSA], ids=lambda a: a.name)
def test_every_flipped_byte_of_an_assertion_is_refused(algorithm: Algorithm) -> None:
    passkey = SoftPasskey(algorithm)
    said, enrolled = passkey.assertion(LEAF), passkey.enrolled()
    flipped = 0
    for part in PARTS:
        raw = decoded(said[part])
        for at in range(len(raw)):
            changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            again = said | {part: encoded(changed)}
            with pytest.raises((NotVerified, Malformed)):
                verify(Signed(credential=enrolled.id, **again), enrolled, LEAF, 0)
            with pytest.raises(NotVerified):
                fsck_signed.asserted(again, enrolled.body(), LEAF, "here")
            flipped += 1
    assert flipped > 200


def test_the_stand_alone_verifier_refuses_flipped_bytes_too() -> None:
    passkey = SoftPasskey()
    said = passkey.assertion(LEAF)
    for part in PARTS:
        raw = decoded(said[part])
        for at in range(0, len(raw), 9):
            again = said | {part: encoded(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])}
            assert told(passkey.enrolled(), again) == NONE, (part, at)


def test_a_signature_that_names_another_passkey_is_refused() -> None:
    passkey = SoftPasskey()
    with pytest.raises(NotVerified, match="another passkey"):
        verify(Signed(credential=SoftPasskey(number=2).id, **passkey.assertion(LEAF)), passkey.enrolled(), LEAF, 0)


def test_a_byte_of_the_key_or_of_the_leaf_flipped_is_refused() -> None:
    passkey = SoftPasskey()
    said = passkey.assertion(LEAF)
    assert told(passkey.enrolled(), said, LEAF[:-1] + bytes([LEAF[-1] ^ 1])) == NONE
    other = SoftPasskey(number=2)
    assert told(other.enrolled(), said) == NONE


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"type": "webauthn.create"}, id="an enrolment is no signature"),
        pytest.param({"challenge": encoded(sha256(b"another leaf").digest())}, id="another leaf"),
        pytest.param({"challenge": "A" + encoded(LEAF)}, id="a challenge that begins otherwise"),
        pytest.param({"origin": "https://portail.example.evil.example"}, id="another site"),
        pytest.param({"origin": "http://portail.example"}, id="in the clear"),
        pytest.param({"crossOrigin": True}, id="in another page's frame"),
        pytest.param({"party": "evil.example"}, id="another relying party"),
        pytest.param({"flags": 0x04}, id="nobody was there"),
        pytest.param({"flags": 0x01}, id="nobody made sure who it was"),
        pytest.param({"flags": 0x45}, id="a key is enrolled with it"),
        pytest.param({"flags": 0x85}, id="more is announced than there is"),
        pytest.param({"more": b"\xa0"}, id="there is more than is announced"),
    ],
)
def test_what_was_asked_and_who_answered_must_be_what_was_enrolled(changes: dict[str, Any]) -> None:
    passkey = SoftPasskey()
    assert told(passkey.enrolled(), passkey.assertion(LEAF, **changes)) == NONE


def test_extensions_that_are_announced_and_backed_up_passkeys_are_believed() -> None:
    passkey = SoftPasskey()
    assert told(passkey.enrolled(), passkey.assertion(LEAF, flags=0x85, more=b"\xa0")) == ALL
    assert told(passkey.enrolled(), passkey.assertion(LEAF, flags=0x1D)) == ALL


def test_a_counter_that_goes_back_is_refused_and_one_that_is_not_used_is_not() -> None:
    counting = SoftPasskey(count=8)
    enrolled, said = counting.enrolled(), counting.assertion(LEAF)  # 9
    signed = Signed(credential=enrolled.id, **said)
    assert verify(signed, enrolled, LEAF, 8).count == 9
    for seen in (9, 10):
        with pytest.raises(NotVerified, match="went back"):
            verify(signed, enrolled, LEAF, seen)
    still = SoftPasskey()
    assert verify(Signed(credential=still.id, **still.assertion(LEAF)), still.enrolled(), LEAF, 0).count == 0
    with pytest.raises(NotVerified, match="went back"):
        verify(Signed(credential=still.id, **still.assertion(LEAF)), still.enrolled(), LEAF, 3)


def test_a_key_is_of_its_algorithm_and_in_its_one_spelling() -> None:
    one = SoftPasskey()
    for algorithm in Algorithm:
        good = SoftPasskey(algorithm).public
        assert public_key(algorithm, good).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == good
        for other in set(Algorithm) - {algorithm}:
            with pytest.raises(Malformed):
                public_key(other, good)
    for wrong in (one.public + b"\0", one.public[:-1], b"", b"\x30\x03\x02\x01\x00"):
        with pytest.raises(Malformed):
            public_key(Algorithm.ES256, wrong)
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024)):
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for algorithm in Algorithm:
            with pytest.raises(Malformed):
                public_key(algorithm, der)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": -37}, {"public_key": "A" * 900}, {"public_key": "AA=="}, {"public_key": "AB"}, {"public_key": ""},
        {"sign_count": -1}, {"sign_count": 2**32}, {"origin": "http://portail.example"}, {"origin": "https://example"},
        {"origin": "https://portail.example.evil.example"}, {"origin": "https://portail.example/page"},
        {"relying_party": "Portail"}, {"relying_party": "a" * 130}, {"function": "ana@agence.example"},
        {"invited_by": ""}, {"signatory": "Ana Exemplier"},
    ],
    ids=str,
)  # fmt: skip
def test_an_enrolment_holds_no_name_no_foreign_origin_and_nothing_too_long(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        SoftPasskey().enrolled(**changes)


def test_an_enrolment_of_a_part_of_the_site_or_of_this_machine_is_taken() -> None:
    assert SoftPasskey().enrolled(origin=f"https://agences.{PARTY}:8443").id == SoftPasskey().id
    assert SoftPasskey().enrolled(origin="http://localhost:8080", relying_party="localhost").id.startswith("CRD-")
    assert f"https://{PARTY}" == ORIGIN


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_signature_has_one_spelling_and_a_limit(part: str) -> None:
    said = SoftPasskey().assertion(LEAF)
    for wrong in ("", "A" * 4000, said[part] + "=", said[part] + "\n", "é"):
        with pytest.raises(Malformed):
            Signed(credential="CRD-0123456789", **said | {part: wrong})
    with pytest.raises(Malformed):
        Signed(credential="CRD-x", **said)


@pytest.mark.parametrize("case", json.loads(VECTOR.read_text()), ids=lambda c: c["name"])
def test_the_vectors_are_decided_alike_by_all_three_checkers(case: dict[str, Any]) -> None:
    passkey = SoftPasskey().enrolled(**case["passkey"])
    assert told(passkey, case["assertion"], bytes.fromhex(case["leaf_hash"])) == (ALL if case["holds"] else NONE)
