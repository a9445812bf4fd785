"""Notes and keys: one spelling each, and nothing but a good signature by a known key makes a note believed."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, strategies as st

from ledger.checkpoint import sign_note, verifier_key, verify_note
from ledger.note import COSIGNATURE, ED25519, MAX_NOTE_BYTES, Key, key_id, parse_note
from schemas.errors import Malformed, NotVerified

NAME = "log.example/a"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = str(verifier_key(NAME, SIGNER))
TEXT = b"Agreed on the first day.\n"
NOTE = sign_note(TEXT, NAME, SIGNER)

printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n"), max_size=200)


def verified(note: Any, keys: Any) -> bool:
    try:
        verify_note(note, keys)
    except NotVerified:
        return False
    return True


@given(printable)
def test_a_signed_text_is_verified_and_reads_back(text: str) -> None:
    note = sign_note(f"{text}\n".encode(), NAME, SIGNER)
    verify_note(note, KEY)
    verify_note(note.decode(), [KEY])
    assert parse_note(note).text == f"{text}\n".encode()
    assert parse_note(note).raw == note


def test_every_single_bit_of_a_note_counts() -> None:
    for bit in range(len(NOTE) * 8):
        changed = bytearray(NOTE)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verified(bytes(changed), KEY)


def test_a_note_cut_anywhere_or_with_a_byte_more_is_refused() -> None:
    for at in range(len(NOTE)):
        assert not verified(NOTE[:at], KEY)
        assert not verified(NOTE[at + 1 :], KEY)
        assert not verified(NOTE[:at] + b"\n" + NOTE[at:], KEY)
    assert not verified(NOTE + b"\n", KEY)
    assert verified(NOTE, KEY)


def test_every_single_bit_of_a_key_counts() -> None:
    for bit in range(len(KEY) * 8):
        changed = bytearray(KEY.encode())
        changed[bit // 8] ^= 1 << bit % 8
        assert not verified(NOTE, [bytes(changed).decode("latin-1")])
        assert not verified(NOTE, [bytes(changed)])


def test_no_part_of_a_key_is_a_key() -> None:
    parts = {KEY[begin:end] for begin in range(len(KEY)) for end in range(begin, len(KEY) + 1)}
    assert [part for part in parts if verified(NOTE, part)] == [KEY]


@pytest.mark.parametrize("keys", [KEY, [KEY], (KEY,), {KEY}, {KEY: 1}, iter([KEY]), KEY.encode(), [KEY.encode()]])
def test_keys_are_given_as_one_text_or_as_any_number(keys: Any) -> None:
    verify_note(NOTE, keys)


def broken() -> Iterator[str]:
    yield KEY
    raise RuntimeError


def endless() -> Iterator[str]:
    while True:
        yield KEY


class Hostile(str):
    """A text that cannot be read."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError


@pytest.mark.parametrize(
    "keys",
    [Hostile(KEY), [Hostile(KEY)], None, 1, "", [], [""], [None], [1], [[KEY]], [KEY, None], object(), broken(),
     endless(), [KEY] * 2, b"\xff", ["\ud800"], [KEY, "\ud800"], [f"\ud800+00000000+{b64encode(bytes(33)).decode()}"],
     range(3), verify_note],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_what_is_no_list_of_keys_verifies_nothing(keys: Any) -> None:
    assert not verified(NOTE, keys)


@pytest.mark.parametrize(
    "note",
    [
        Hostile(NOTE.decode()),
        bytearray(NOTE),
        None,
        1,
        [],
        [NOTE],
        True,
        object(),
        memoryview(NOTE),
        "\ud800" + NOTE.decode(),
        NOTE.decode("latin-1"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_text_is_not_verified(note: Any) -> None:
    assert not verified(note, KEY)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_bytes_or_text_are_verified_or_refused(note: bytes | str) -> None:
    assert not verified(note, KEY)


@given(st.text(max_size=60), st.text(max_size=12), st.binary(max_size=40))
def test_any_text_is_a_key_or_is_refused(name: str, figures: str, raw: bytes) -> None:
    assert not verified(NOTE, f"{name}+{figures}+{b64encode(raw).decode()}")


def test_a_text_of_a_megabyte_is_verified() -> None:
    long = sign_note(b"0123456789abcde\n" * 65_536 + b"\n" * 65_536, NAME, SIGNER)
    verify_note(long, KEY)
    verify_note(long.decode(), KEY)
    assert not verified(b"x" + long, KEY)


def test_a_note_of_more_than_16_mebibytes_is_refused_before_it_is_read() -> None:
    assert not verified(b"x" * (MAX_NOTE_BYTES + 1), KEY)


@pytest.mark.parametrize("text", [b"", b"no newline", b"a tab\t\n", b"\xff\n", b"\0\n"])
def test_what_no_reader_would_take_for_a_note_is_not_signed(text: bytes) -> None:
    with pytest.raises(Malformed):
        sign_note(text, NAME, SIGNER)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "\ud800"])
def test_a_key_has_a_name_that_can_stand_in_a_signature_line(name: str) -> None:
    with pytest.raises(Malformed):
        verifier_key(name, SIGNER)


def test_a_key_reads_back_from_its_text() -> None:
    for kind in (ED25519, COSIGNATURE):
        key = verifier_key(NAME, SIGNER, kind)
        assert Key.parse(str(key)) == key
        assert key.id == key_id(NAME, kind, key.public)
    assert verifier_key(NAME, SIGNER, ED25519).id != verifier_key(NAME, SIGNER, COSIGNATURE).id


def test_a_key_of_another_type_keeps_the_id_that_it_states() -> None:
    key = Key.parse(f"{NAME}+0badc0de+{b64encode(bytes((2, 1, 2, 3))).decode()}")
    assert (key.id.hex(), key.kind, key.public) == ("0badc0de", 2, b"\x01\x02\x03")
