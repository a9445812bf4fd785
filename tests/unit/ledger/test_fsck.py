"""The checker that shares no code with the writer: what the writer makes passes, whatever was changed is found."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.canonical import sha256
from ledger.certificate import write
from ledger.entry import Erased, Withdrawal
from ledger.fsck import check_home, check_ledger
from ledger.log import Log
from schemas.errors import NotVerified
from tests.unit.ledger.conftest import AT, CODE, one_of_each
from tests.unit.ledger.test_certificate import KEY, certificate


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one ledger of every kind of entry and the certificate that it names."""
    log = Log(tmp_path / "ledger" / f"{CODE}.jsonl", CODE)
    for entry in one_of_each()[:-1]:
        log.append(entry, AT)
    raw = write(certificate(ledger=log.head()), KEY)
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates" / f"{CODE}-20260114.json").write_bytes(raw)
    log.append(Erased(dt.date(2026, 1, 6), AT, sha256(raw)), AT)
    return tmp_path


def ledger_of(home: Path) -> Path:
    return home / "ledger" / f"{CODE}.jsonl"


def test_what_the_writer_makes_passes(home: Path) -> None:
    (checked,) = check_home(home)
    history = Log(ledger_of(home), CODE).read()
    assert (checked.agency, checked.lines, checked.head) == (CODE, 5, history.head.hash)


def test_it_finds_the_same_changed_bytes_as_the_reader(home: Path) -> None:
    whole = ledger_of(home).read_bytes()
    for n in {*range(0, len(whole), 3), len(whole) - 1}:
        changed = bytearray(whole)
        changed[n] ^= (0x01, 0x20, 0x80)[n % 3]
        ledger_of(home).write_bytes(bytes(changed))
        with pytest.raises(NotVerified):
            check_home(home)


def test_a_missing_last_line_is_found_by_the_certificate(home: Path) -> None:
    lines = ledger_of(home).read_bytes().splitlines(keepends=True)
    ledger_of(home).write_bytes(b"".join(lines[:-1]))
    with pytest.raises(NotVerified, match="no ledger names this certificate"):
        check_home(home)


def test_a_missing_or_changed_certificate_is_found_by_the_ledger(home: Path) -> None:
    path = home / "certificates" / f"{CODE}-20260114.json"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"31", b"30"))
    with pytest.raises(NotVerified, match="missing or was changed"):
        check_home(home)
    path.unlink()
    with pytest.raises(NotVerified, match="missing or was changed"):
        check_home(home)


def test_a_certificate_of_nobodys_is_found(home: Path) -> None:
    (home / "certificates" / "A0001-20260114.json").write_bytes(write(certificate(code_version="0.2.0"), KEY))
    with pytest.raises(NotVerified, match="no ledger names this certificate"):
        check_home(home)


def test_a_ledger_under_another_name_is_found(home: Path) -> None:
    ledger_of(home).rename(home / "ledger" / "A0001.jsonl")
    with pytest.raises(NotVerified, match="line 0 is not the header"):
        check_home(home)


def test_a_whole_chain_made_anew_by_hand_is_held_to_the_same_rules(home: Path) -> None:
    path = ledger_of(home)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"kind": 2}, "not one of its kind"),
        ({"kind": 9}, "not one of its kind"),
        ({"at": "yesterday"}, "does not say when"),
        ({"line": 7}, "does not follow"),
        ({"prev": "00" * 32}, "does not follow"),
        ({"body_sha256": "00" * 32}, "digest that the line states"),
        ({"more": 1}, "fields of a line"),
    ]
    for change, told in changes:
        path.write_bytes(rechained(path.read_bytes().splitlines()[0], one_of_each_line() | change))
        with pytest.raises(NotVerified, match=told):
            check_ledger(path)
    path.write_bytes(rechained(path.read_bytes().splitlines()[0], one_of_each_line()))
    assert check_ledger(path).lines == 1


def one_of_each_line() -> dict[str, Any]:
    window = {"end": None, "register_day": "2026-01-05", "start": "2023-07-20"}
    return {"at": "2026-01-05T00:00:00Z", "body": window, "key": None, "kind": 4, "line": 1}


def rechained(header: bytes, line: dict[str, Any]) -> bytes:
    """A ledger of one line whose digests are all right."""
    full = {"prev": hashlib.sha256(header).hexdigest(), "body_sha256": digest(line["body"])} | line
    full["hash"] = digest(full)
    return header + b"\n" + json.dumps(full, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_withdrawal_of_what_was_never_given_is_found(tmp_path: Path) -> None:
    log = Log(tmp_path / f"{CODE}.jsonl", CODE)
    log.append(Withdrawal("INS-0000000000", AT, AT), AT)
    with pytest.raises(NotVerified, match="never given"):
        check_ledger(log.path)


def test_a_line_being_written_when_the_machine_stopped_is_told_and_is_no_fault(home: Path) -> None:
    with ledger_of(home).open("ab") as f:
        f.write(b'{"at":"2026-01-')
    (checked,) = check_home(home)
    assert checked.torn
    assert checked.lines == 5
