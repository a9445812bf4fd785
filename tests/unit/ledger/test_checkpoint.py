"""The signed head of a log, and what others sign below it."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, strategies as st

from ledger.checkpoint import Checkpoint, cosign, read_checkpoint, sign_checkpoint, sign_note, verifier_key, verify_note
from ledger.note import COSIGNATURE, parse_note
from schemas.errors import Malformed, NotVerified

ORIGIN = "log.example/a"
WITNESS = "witness.example/w"
LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
LOG_KEY = str(verifier_key(ORIGIN, LOG))
WITNESS_KEY = str(verifier_key(WITNESS, OTHER, COSIGNATURE))
HEAD = Checkpoint(ORIGIN, 3, bytes(range(32)))
SIGNED = sign_checkpoint(HEAD, LOG)
AT = 1_767_583_800


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), max_size=3),
)
def test_a_checkpoint_reads_back_from_its_text(origin: str, size: int, root: bytes, extension: list[str]) -> None:
    made = Checkpoint(origin, size, root, tuple(extension))
    assert Checkpoint.parse(made.text) == made


@given(st.binary(max_size=120))
def test_any_bytes_are_a_checkpoint_in_its_one_spelling_or_are_refused(text: bytes) -> None:
    try:
        read = Checkpoint.parse(text)
    except Malformed:
        return
    assert read.text == text


def test_a_signed_head_is_read_once_it_is_verified() -> None:
    assert read_checkpoint(SIGNED, ORIGIN, LOG_KEY) == HEAD
    assert read_checkpoint(SIGNED.decode(), ORIGIN, [LOG_KEY]) == HEAD


def test_the_head_of_another_log_is_refused_though_it_is_signed() -> None:
    with pytest.raises(NotVerified):
        read_checkpoint(SIGNED, "log.example/b", LOG_KEY)


def test_the_head_that_another_key_signed_is_refused() -> None:
    with pytest.raises(NotVerified):
        read_checkpoint(sign_checkpoint(HEAD, OTHER), ORIGIN, LOG_KEY)


def test_a_signed_text_that_is_no_head_is_refused() -> None:
    with pytest.raises(NotVerified):
        read_checkpoint(sign_note(b"Agreed.\n", ORIGIN, LOG), ORIGIN, LOG_KEY)


def test_a_cosignature_is_added_below_and_the_log_s_own_stays() -> None:
    witnessed = cosign(SIGNED, WITNESS, OTHER, AT)
    assert witnessed.startswith(SIGNED)
    verify_note(witnessed, LOG_KEY)
    verify_note(witnessed, WITNESS_KEY)
    assert read_checkpoint(witnessed, ORIGIN, [LOG_KEY, WITNESS_KEY]) == HEAD
    assert int.from_bytes(parse_note(witnessed).signatures[1].raw[:8], "big") == AT


def test_a_cosignature_says_nothing_for_the_log() -> None:
    witnessed = cosign(SIGNED, WITNESS, OTHER, AT)
    alone = witnessed.replace(witnessed.splitlines(keepends=True)[4], b"", 1)
    verify_note(alone, WITNESS_KEY)
    with pytest.raises(NotVerified):
        verify_note(alone, LOG_KEY)


def test_every_single_bit_of_a_cosignature_counts() -> None:
    witnessed = cosign(SIGNED, WITNESS, OTHER, AT)
    for bit in range(len(SIGNED) * 8, len(witnessed) * 8):
        changed = bytearray(witnessed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotVerified):
            verify_note(bytes(changed), WITNESS_KEY)


@pytest.mark.parametrize("at", [-1, 2**63])
def test_an_instant_that_is_none_is_not_signed(at: int) -> None:
    with pytest.raises(Malformed):
        cosign(SIGNED, WITNESS, OTHER, at)


def test_only_a_head_is_cosigned() -> None:
    with pytest.raises(Malformed):
        cosign(sign_note(b"Agreed.\n", ORIGIN, LOG), WITNESS, OTHER, AT)


def test_no_more_signatures_are_added_than_readers_take() -> None:
    full = SIGNED
    for n in range(99):
        full = cosign(full, f"witness.example/{n}", OTHER, AT)
    verify_note(full, LOG_KEY)
    with pytest.raises(Malformed):
        cosign(full, WITNESS, OTHER, AT)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 3, bytes(32)), ("a\nb", 3, bytes(32)), ("a", -1, bytes(32)), ("a", 2**64, bytes(32)), ("a", 3, bytes(31))],
)
def test_a_head_that_is_none_cannot_be_made(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(Malformed):
        Checkpoint(origin, size, root)


def test_an_empty_extension_line_cannot_be_made() -> None:
    with pytest.raises(Malformed):
        Checkpoint("a", 3, bytes(32), ("",))
