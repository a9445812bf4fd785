"""The certificate of an erasure: anyone can verify it, and nobody can change it."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.canonical import sha256
from ledger.certificate import Certificate, CertifiedStep, Searched, parse, verify, write
from ledger.chain import LineHead
from ledger.entry import Erased, Head
from ledger.log import Log
from schemas.errors import Malformed, NotVerified
from tests.unit.ledger.conftest import AT
from tests.unit.ledger.made import CODE

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CLOSED = dt.datetime(2026, 1, 13, 23, tzinfo=dt.UTC)


def certificate(**changes: Any) -> Certificate:
    whole = Certificate(
        kind="erasure",
        agency=CODE,
        contract_end=dt.date(2026, 1, 6),
        carried_out_at=CLOSED + dt.timedelta(minutes=2),
        steps=(
            CertifiedStep("destroy_keys", "done", {"key_rings": 1}),
            CertifiedStep("drop_shelf", "done", {"person": 31, "shelves": 1}),
            CertifiedStep("remove_files", "nothing there", {}),
        ),
        left={"evidence": "the ledger, the diary of the erasure, the certificate: without personal data"},
        searched=(Searched("file names", 812, 0, 5, 5),),
        plan_sha256="ab" * 32,
        code_version="0.1.0",
        ledger=Head(2, bytes.fromhex("cd" * 32)),
    )
    return dataclasses.replace(whole, **changes)


def signed() -> bytes:
    return write(certificate(), KEY)


def test_a_certificate_is_read_back_as_it_was_written() -> None:
    assert parse(signed()) == certificate()


def test_it_is_verified_with_the_key_that_is_expected_and_with_the_one_it_names(tmp_path: Path) -> None:
    path = tmp_path / "A0003-20260114.json"
    path.write_bytes(signed())
    verify(path)
    verify(signed(), KEY.public_key())


def test_it_begins_with_its_format_and_version() -> None:
    assert signed().startswith(b'{\n "format": "depositaire-certificate",\n "version": 2,\n')


def test_it_says_how_late_the_erasure_was() -> None:
    assert certificate().late == dt.timedelta(minutes=2)


def test_the_key_of_somebody_else_is_refused_when_the_reader_knows_whose_it_should_be() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    forged = write(certificate(), other)
    verify(forged)  # whole, but by whom?
    with pytest.raises(NotVerified, match="another key"):
        verify(forged, KEY.public_key())


def test_every_changed_byte_is_found() -> None:
    whole = signed()
    for n in range(len(whole)):
        changed = bytearray(whole)
        changed[n] ^= (0x01, 0x20, 0x80)[n % 3]
        with pytest.raises(NotVerified):
            verify(bytes(changed), KEY.public_key())


def test_every_truncation_and_every_addition_is_found() -> None:
    whole = signed()
    for raw in [whole[:n] for n in range(len(whole))] + [whole + b" ", whole + b"\n", b" " + whole, whole + whole]:
        with pytest.raises(NotVerified):
            verify(raw, KEY.public_key())


@pytest.mark.parametrize("field", list(json.loads(signed())))
def test_no_field_can_be_missing_or_of_another_kind(field: str) -> None:
    content = json.loads(signed())
    others: tuple[Any, ...] = ("", None, [], {}, -1, 1.5, True, "x" * 70)
    for value in others:
        content[field] = value
        with pytest.raises(NotVerified):
            verify(json.dumps(content, indent=1).encode() + b"\n")
    del content[field]
    with pytest.raises(NotVerified):
        verify(json.dumps(content, indent=1).encode() + b"\n")


def test_a_field_that_nobody_signed_is_found() -> None:
    content = json.loads(signed())
    content["remark"] = "all is well"
    with pytest.raises(NotVerified, match="one spelling"):
        verify(json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")


CLAIMS = {
    "the window had not closed": {"carried_out_at": CLOSED - dt.timedelta(seconds=1)},
    "a step of the erasure was not carried out": {"steps": (CertifiedStep("destroy_keys", "could not", {}),)},
    "no step": {"steps": ()},
    "the keys were not destroyed first": {"steps": (CertifiedStep("drop_shelf", "done", {}),)},
    "no search was made": {"searched": ()},
    "something was left": {"searched": (Searched("house rows", 10, 1, 2, 2),)},
    "a search did not find what was planted": {"searched": (Searched("house rows", 10, 0, 2, 1),)},
    "nothing was planted": {"searched": (Searched("house rows", 10, 0, 0, 0),)},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS.keys())
def test_what_a_reader_would_refuse_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        write(certificate(**changes), KEY)


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_false_claim_is_refused_though_its_signature_holds(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.certificate._hold", lambda _: None)  # a signer that looks at nothing
    raw = write(certificate(**changes), KEY)
    monkeypatch.undo()
    with pytest.raises(NotVerified):
        verify(raw, KEY.public_key())


def test_an_instant_just_at_the_closing_is_not_too_early() -> None:
    verify(write(certificate(carried_out_at=CLOSED), KEY), KEY.public_key())


def test_late_files_need_no_key_to_be_destroyed() -> None:
    steps = (CertifiedStep("remove_files", "done", {"deliveries": 1}),)
    verify(write(certificate(kind="late files", steps=steps), KEY))


def test_another_document_is_not_taken_for_a_certificate() -> None:
    with pytest.raises(NotVerified, match="known version"):
        verify(b'{"format": "depositaire-pack", "version": 1}')
    with pytest.raises(Malformed):
        parse(b"[]")


# -- against the ledger ------------------------------------------------------------------------------------------------


def test_a_certificate_is_found_in_the_ledger_that_it_was_made_on(filled: Log) -> None:
    raw = write(certificate(ledger=filled.head()), KEY)
    filled.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(raw)), AT)
    verify(raw, KEY.public_key(), filled.read())


def test_a_certificate_that_the_ledger_does_not_name_is_refused(filled: Log) -> None:
    raw = write(certificate(ledger=filled.head()), KEY)
    with pytest.raises(NotVerified, match="does not name"):
        verify(raw, KEY.public_key(), filled.read())


def test_a_certificate_made_on_another_ledger_is_refused(filled: Log) -> None:
    raw = write(certificate(ledger=Head(5, bytes(32))), KEY)
    filled.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(raw)), AT)
    with pytest.raises(NotVerified, match="another ledger"):
        verify(raw, KEY.public_key(), filled.read())


def test_a_certificate_made_after_the_line_that_names_it_is_refused(filled: Log) -> None:
    before = filled.head()
    raw = write(certificate(ledger=Head(before.size + 1, before.root)), KEY)
    filled.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(raw)), AT)
    with pytest.raises(NotVerified, match="another ledger"):
        verify(raw, KEY.public_key(), filled.read())


def test_a_certificate_is_found_in_a_log_that_grew_since(filled: Log) -> None:
    raw = write(certificate(ledger=filled.head()), KEY)
    filled.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(raw)), AT)
    for n in range(5):
        filled.append(Erased(dt.date(2026, 1, 6), CLOSED, f"{n:064}"), AT)
        verify(raw, KEY.public_key(), filled.read())


def test_a_certificate_made_before_the_first_leaf_is_found(log: Log) -> None:
    raw = write(certificate(ledger=log.head()), KEY)
    log.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(raw)), AT)
    verify(raw, KEY.public_key(), log.read())
    forged = write(certificate(ledger=Head(0, bytes(32))), KEY)
    log.append(Erased(dt.date(2026, 1, 6), CLOSED, sha256(forged)), AT)
    with pytest.raises(NotVerified, match="another ledger"):
        verify(forged, KEY.public_key(), log.read())


def test_a_certificate_of_version_1_names_a_line_and_stays_one() -> None:
    made = certificate(ledger=LineHead(2, "cd" * 32))
    raw = write(made, KEY)
    assert raw.startswith(b'{\n "format": "depositaire-certificate",\n "version": 1,\n')
    assert parse(raw) == made
    verify(raw, KEY.public_key())
