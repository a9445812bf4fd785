"""The pages of docs/specs about the memory: what they show is what the code reads, now and for every later version."""

import datetime as dt
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import certificate, fsck, instruction_file
from ledger.entry import KINDS, body_of
from ledger.instruction_file import OPTIONAL, REQUIRED
from ledger.log import FIELDS, Log
from ledger.mandate import fold
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.window import closes_at, return_days

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "docs" / "specs"
VECTORS = ROOT / "tests" / "vectors"
CODE = AgencyCode("A0003")
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
CLOSED = dt.datetime(2026, 1, 13, 23, tzinfo=dt.UTC)
LEDGER = VECTORS / "ledger-1" / "A0003.jsonl"
CERTIFICATE = VECTORS / "certificate-1" / "A0003-20260114.json"


def shown(page: str, kind: str) -> str:
    """The example of a page."""
    found = re.search(rf"```{kind}\n(.*?)```", (SPECS / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def fields_told(page: str) -> set[str]:
    return {
        name
        for line in re.findall(r"^\| (.*?) \|", (SPECS / page).read_text(), re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    }


def test_the_pages_show_the_vectors() -> None:
    assert shown("ledger.md", "jsonl") == LEDGER.read_text()
    assert shown("certificate.md", "json") == CERTIFICATE.read_text()


def test_a_ledger_of_version_1_is_read_and_checked() -> None:
    history = Log(LEDGER, CODE).read()
    assert [type(e).__name__ for e in history.entries] == ["Instruction", "Window", "Receipt", "Erased", "Withdrawal"]
    assert history.instructions[0].id == "INS-15f46c50f2"
    assert (fsck.check_ledger(LEDGER).lines, fsck.check_ledger(LEDGER).head) == (5, history.head.hash)
    assert fold(history, CLOSED - dt.timedelta(seconds=1)).instructions(System.LOGIN) == ("INS-15f46c50f2",)
    assert fold(history, CLOSED).grants == ()


def test_a_ledger_of_version_1_is_written_in_the_same_bytes(tmp_path: Path) -> None:
    log = Log(tmp_path / "A0003.jsonl", CODE)
    for line in Log(LEDGER, CODE).read().lines:
        log.append(line.entry, line.at, line.key)
    assert log.path.read_bytes() == LEDGER.read_bytes()


def test_a_certificate_of_version_1_is_verified_alone_and_against_its_ledger() -> None:
    certificate.verify(CERTIFICATE, SIGNER)
    certificate.verify(CERTIFICATE, SIGNER, Log(LEDGER, CODE).read())
    assert certificate.parse(CERTIFICATE.read_bytes()).carried_out_at == CLOSED


def test_a_certificate_of_version_1_is_written_in_the_same_bytes() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert certificate.write(certificate.parse(CERTIFICATE.read_bytes()), key) == CERTIFICATE.read_bytes()


def test_a_home_made_of_the_vectors_passes_the_check(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.ledgers.mkdir()
    home.certificates.mkdir()
    home.ledger(CODE).write_bytes(LEDGER.read_bytes())
    (home.certificates / CERTIFICATE.name).write_bytes(CERTIFICATE.read_bytes())
    (checked,) = fsck.check_home(home.root)
    assert checked.agency == CODE


def test_every_field_of_a_line_and_of_a_body_is_on_the_page() -> None:
    text = (SPECS / "ledger.md").read_text()
    assert fields_told("ledger.md") >= FIELDS
    bodies = {name for e in Log(LEDGER, CODE).read().entries for name in body_of(e)}
    assert {name for name in bodies if f"`{name}`" not in text} == set()
    for kind, number in KINDS.items():
        assert f"| {number} {kind.__name__} |" in text


def test_every_field_of_a_certificate_is_on_the_page() -> None:
    top = set(re.findall(r'^ "(\w+)"', CERTIFICATE.read_text(), re.MULTILINE))
    assert fields_told("certificate.md") == top


def test_the_instruction_of_the_page_is_understood_and_every_field_is_told(tmp_path: Path) -> None:
    path = tmp_path / "instruction.toml"
    path.write_text(shown("mandate.md", "toml"))
    assert instruction_file.read(path).reference == "ANNEXE-RGPD-2026-01"
    assert fields_told("mandate.md") == {*REQUIRED, *OPTIONAL}


def examples() -> list[tuple[str, str, str, str]]:
    row = re.compile(r"^\| (\d{4}-\d\d-\d\d) \| (\S+) … (\S+) \| (\S+)Z \|", re.MULTILINE)
    return row.findall((SPECS / "window.md").read_text())


@pytest.mark.parametrize(("end", "first", "last", "closing"), examples())
def test_the_calendar_of_the_page_is_the_calendar_of_the_code(end: str, first: str, last: str, closing: str) -> None:
    day = dt.date.fromisoformat(end)
    assert return_days(day) == (dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert closes_at(day) == dt.datetime.fromisoformat(closing).replace(tzinfo=dt.UTC)


def test_the_page_of_the_window_has_its_examples() -> None:
    assert len(examples()) == 7
