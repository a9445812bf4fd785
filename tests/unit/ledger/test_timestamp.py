"""What an authority of time answers is believed for the right reasons only. The authority is `openssl ts`."""

import datetime as dt
import hashlib
import random
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from ledger.timestamp import MAX_RESPONSE_BYTES, Question, ask, stamped_digest, trusted, verify
from schemas.errors import Malformed, NotVerified
from tests.tsa import POLICY, TIME_ALONE, Authority, content_of, der

NOTE = b"depositaire/A0003/instructions\n3\nsLOBt4Y0Taau2wYQpx9tYWSlV7Xy+cx77MygCCCxVdY=\n\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "tsa")


@pytest.fixture(scope="module")
def question() -> Question:
    return ask(NOTE)


@pytest.fixture(scope="module")
def answer(authority: Authority, question: Question) -> bytes:
    return authority.answer(question.raw)


def test_an_answer_says_when_and_under_which_policy(authority: Authority, question: Question, answer: bytes) -> None:
    stamp = verify(answer, NOTE, trusted(authority.trust.read_bytes()), question.nonce, POLICY)
    assert abs(stamp.stamped_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    assert (stamp.stamped_at.tzinfo, stamp.stamped_at.microsecond) == (dt.UTC, 0)
    assert stamp.serial > 0
    assert stamp.policy == POLICY
    assert stamp.response_sha256 == hashlib.sha256(answer).hexdigest()
    assert stamped_digest(answer) == hashlib.sha256(NOTE).digest()


def test_two_questions_about_one_checkpoint_have_two_nonces(question: Question) -> None:
    assert ask(NOTE).nonce != question.nonce


def test_the_answer_to_another_question_is_refused(authority: Authority, answer: bytes) -> None:
    with pytest.raises(NotVerified, match="its nonce is another"):
        verify(answer, NOTE, authority.roots, ask(NOTE).nonce)
    verify(answer, NOTE, authority.roots)


def test_an_answer_without_a_nonce_does_not_answer_a_question_with_one(
    authority: Authority, question: Question
) -> None:
    with_nonce = question.raw
    nonce = der(2, question.nonce.to_bytes(question.nonce.bit_length() // 8 + 1, "big"))
    assert nonce in with_nonce
    answer = authority.answer(der(0x30, with_nonce[2:].replace(nonce, b"")))
    verify(answer, NOTE, authority.roots)
    with pytest.raises(NotVerified, match="its nonce is another"):
        verify(answer, NOTE, authority.roots, question.nonce)


def test_a_timestamp_of_other_bytes_is_refused(authority: Authority, question: Question, answer: bytes) -> None:
    with pytest.raises(NotVerified, match="over other bytes"):
        verify(answer, NOTE + b"\n", authority.roots, question.nonce)


def test_a_digest_of_another_kind_is_refused_though_it_has_the_same_bytes(authority: Authority, answer: bytes) -> None:
    sha256, sha3_256 = (bytes.fromhex(f"06096086480165030402{n:02x}") for n in (1, 8))
    forged = authority.signed_again(content_of(answer).replace(sha256, sha3_256))
    with pytest.raises(NotVerified, match="not over a SHA-256 digest"):
        verify(forged, NOTE, authority.roots)


def test_another_policy_than_the_one_demanded_is_refused(authority: Authority, answer: bytes) -> None:
    with pytest.raises(NotVerified, match="another policy"):
        verify(answer, NOTE, authority.roots, policy="1.2.3")


def test_another_authority_is_not_believed(authority: Authority, answer: bytes, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(NotVerified, match="no chain leads"):
        verify(answer, NOTE, other.roots)
    verify(answer, NOTE, (*other.roots, *authority.roots))


def test_of_many_roots_of_one_name_the_right_one_is_found(tmp_path: Path) -> None:
    """A root without an identifier of its key, and its successors of the same name: whatever their order."""
    made = [Authority(tmp_path / str(n), keyed=False) for n in range(6)]
    roots = tuple(root for each in made for root in each.roots)
    for each in made:
        verify(each.answer(ask(NOTE).raw), NOTE, roots)
    with pytest.raises(NotVerified, match="no chain leads"):
        verify(made[0].answer(ask(NOTE).raw), NOTE, roots[1:])


@pytest.mark.parametrize("days", [(-30, -1), (1, 30)], ids=["expired", "not yet valid"])
def test_a_certificate_is_valid_at_the_instant_of_the_timestamp(tmp_path: Path, days: tuple[int, int]) -> None:
    made = Authority(tmp_path / "tsa", days=days)
    with pytest.raises(NotVerified, match="was not valid at the instant"):
        verify(made.answer(ask(NOTE).raw), NOTE, made.roots)


USAGES = {
    "none": ((), True),
    "not critical": (TIME_ALONE, False),
    "another": ((ExtendedKeyUsageOID.CODE_SIGNING,), True),
    "one more": ((*TIME_ALONE, ExtendedKeyUsageOID.CODE_SIGNING), True),
}


@pytest.mark.parametrize("usage", USAGES)
def test_a_certificate_that_is_not_for_timestamps_alone_is_refused(tmp_path: Path, answer: bytes, usage: str) -> None:
    purposes, critical = USAGES[usage]
    made = Authority(tmp_path / "tsa", usage=purposes, critical=critical)
    with pytest.raises(NotVerified, match="not one for timestamps alone"):
        verify(made.signed_again(content_of(answer)), NOTE, made.roots)


def test_the_same_made_by_a_right_certificate_is_believed(tmp_path: Path, answer: bytes) -> None:
    made = Authority(tmp_path / "tsa")
    assert verify(made.signed_again(content_of(answer)), NOTE, made.roots).policy == POLICY


def test_a_refusal_of_the_authority_is_told_with_its_status(tmp_path: Path) -> None:
    refusing = Authority(tmp_path / "tsa", digests="sha512")
    with pytest.raises(NotVerified, match="did not grant the timestamp: status 2"):
        verify(refusing.answer(ask(NOTE).raw), NOTE, refusing.roots)


@pytest.mark.parametrize("raw", [b"", b"\x30", b"<html>no such page</html>", bytes(100)])
def test_garbage_is_no_answer(authority: Authority, raw: bytes) -> None:
    with pytest.raises(NotVerified, match="not a timestamp response"):
        verify(raw, NOTE, authority.roots)


def test_an_answer_cut_short_or_with_more_behind_it_is_none(authority: Authority, answer: bytes) -> None:
    for raw in (*(answer[:n] for n in range(0, len(answer), 7)), answer + b"\0", answer + answer):
        with pytest.raises(NotVerified, match="not a timestamp response"):
            verify(raw, NOTE, authority.roots)


def test_an_answer_longer_than_any_is_not_read(authority: Authority, answer: bytes) -> None:
    with pytest.raises(NotVerified, match="longer than 1 MiB"):
        verify(answer + bytes(MAX_RESPONSE_BYTES), NOTE, authority.roots)


def test_whatever_is_changed_in_an_answer_it_is_refused_or_states_the_same(
    authority: Authority, question: Question, answer: bytes
) -> None:
    told = verify(answer, NOTE, authority.roots, question.nonce)
    kept = 0
    rng = random.Random(3161)
    for at in range(len(answer)):
        changed = answer[:at] + bytes((answer[at] ^ rng.randrange(1, 256),)) + answer[at + 1 :]
        try:
            found = verify(changed, NOTE, authority.roots, question.nonce)
        except NotVerified:
            continue
        # What no signature covers: versions, and the name of the signature's algorithm.
        kept += 1
        assert (found.stamped_at, found.serial, found.policy) == (told.stamped_at, told.serial, told.policy)
        assert found.response_sha256 != told.response_sha256
    assert kept < 20


def test_a_signature_over_another_instant_is_refused(authority: Authority, answer: bytes) -> None:
    at = content_of(answer).index(b"\x18\x0f") + 2
    instant = content_of(answer)[at : at + 15]
    later = verify(answer, NOTE, authority.roots).stamped_at + dt.timedelta(days=1)
    with pytest.raises(NotVerified, match="the signature of the timestamp does not hold"):
        verify(answer.replace(instant, f"{later:%Y%m%d%H%M%SZ}".encode()), NOTE, authority.roots)


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"]
)
def test_a_trust_file_without_certificates_is_told(pem: bytes) -> None:
    with pytest.raises(Malformed, match="holds no certificates"):
        trusted(pem)


def test_a_chain_may_lead_through_several_certificates_that_are_trusted(authority: Authority) -> None:
    above, between = authority.under("Racine Haute")
    answer = authority.answer(ask(NOTE).raw)
    assert verify(answer, NOTE, [above, between]).policy == POLICY
    with pytest.raises(NotVerified, match="no chain leads"):
        verify(answer, NOTE, [above])


def test_an_answer_with_a_second_signature_is_refused(authority: Authority, tmp_path: Path) -> None:
    content = content_of(authority.answer(ask(NOTE).raw))
    two = authority.signed_by_two(content, Authority(tmp_path / "other"))
    with pytest.raises(NotVerified, match="does not have one signature"):
        verify(two, NOTE, authority.roots)
