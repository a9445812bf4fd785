"""The pages of docs/specs about the memory: what they show is what the code reads, now and for every later version."""

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import certificate, fsck, instruction_file, orders
from ledger.chain import FIELDS, chain, read_chain
from ledger.entry import KINDS, Head, History, body_of
from ledger.instruction_file import OPTIONAL, REQUIRED
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.mandate import fold
from ledger.note import Key
from ledger.stored import Held, Keys, Stored, hold, root_of
from ledger.witness import verify_since
from portal.cli.words import words
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.window import closes_at, return_days
from store.keys import LocalRoot

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "docs" / "specs"
VECTORS = ROOT / "tests" / "vectors"
CODE = AgencyCode("A0003")
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
CLOSED = dt.datetime(2026, 1, 13, 23, tzinfo=dt.UTC)
LEDGER = VECTORS / "ledger-1" / "A0003.jsonl"
CERTIFICATE = VECTORS / "certificate-1" / "A0003-20260114.json"
CERTIFICATE_2 = VECTORS / "certificate-2" / "A0003-20260114.json"
LOG = VECTORS / "instruction-log-1"


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
    assert shown("certificate.md", "json") == CERTIFICATE_2.read_text()


def test_a_ledger_of_version_1_is_read_and_checked() -> None:
    lines = read_chain(LEDGER, CODE)
    history = History(CODE, Head(0, b""), lines)
    assert [type(e).__name__ for e in history.entries] == ["Instruction", "Window", "Receipt", "Erased", "Withdrawal"]
    assert history.instructions[0].id == "INS-15f46c50f2"
    assert (fsck.check_ledger(LEDGER).lines, fsck.check_ledger(LEDGER).head) == (5, lines[-1].hash)
    assert fold(history, CLOSED - dt.timedelta(seconds=1)).instructions(System.LOGIN) == ("INS-15f46c50f2",)
    assert fold(history, CLOSED).grants == ()


def test_its_entries_give_the_same_bytes_again() -> None:
    assert b"".join(raw + b"\n" for _, raw in chain(CODE, read_chain(LEDGER, CODE))) == LEDGER.read_bytes()


def test_a_certificate_of_version_1_is_verified_alone_and_against_its_ledger_in_the_tree(home: Home) -> None:
    certificate.verify(CERTIFICATE, SIGNER)
    moved = Log.at(home, CODE, LogKeys(home, LocalRoot(bytes(32)))).read()
    assert [line.entry for line in moved.lines] == [line.entry for line in read_chain(LEDGER, CODE)]
    certificate.verify(CERTIFICATE, SIGNER, moved)
    assert certificate.parse(CERTIFICATE.read_bytes()).carried_out_at == CLOSED


def test_a_certificate_of_version_1_is_written_in_the_same_bytes() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert certificate.write(certificate.parse(CERTIFICATE.read_bytes()), key) == CERTIFICATE.read_bytes()


def kept_log() -> Held:
    keys = json.loads((LOG / "keys.json").read_text())
    return hold(Stored.load(LOG / CODE), CODE, Keys(keys["verifier"], bytes.fromhex(keys["salts"])))


def test_the_log_of_the_vectors_is_read_and_checked() -> None:
    held = kept_log()
    keys = json.loads((LOG / "keys.json").read_text())
    public, secret = Key.parse(keys["verifier"]).public, bytes.fromhex(keys["salts"])
    checked = fsck.check_log(LOG / CODE, fsck.Keys(public, lambda _: secret))
    assert (checked.lines, checked.head, checked.torn) == (5, held.head.root.hex(), False)
    assert held.stated == held.head
    before = [line.entry for line in read_chain(LEDGER, CODE)]
    assert [line.entry for line in held.lines[:3]] == before[:3]


def test_a_certificate_of_version_2_is_verified_alone_and_against_its_log() -> None:
    held = kept_log()
    certificate.verify(CERTIFICATE_2, SIGNER)
    certificate.verify(CERTIFICATE_2, SIGNER, History(CODE, held.head, held.lines))
    assert certificate.parse(CERTIFICATE_2.read_bytes()).ledger == Head(3, root_of(held.hashes[:3]))


def test_a_certificate_of_version_2_is_written_in_the_same_bytes() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert certificate.write(certificate.parse(CERTIFICATE_2.read_bytes()), key) == CERTIFICATE_2.read_bytes()


def test_the_checkpoint_of_the_vectors_is_extended_by_their_log() -> None:
    held = kept_log()
    verifier = json.loads((LOG / "keys.json").read_text())["verifier"]
    assert verify_since((LOG / "kept-4").read_bytes(), History(CODE, held.head, held.lines), verifier).size == 4


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as version 1 left it."""
    home = Home.at(tmp_path)
    home.ledgers.mkdir()
    home.certificates.mkdir()
    (home.ledgers / LEDGER.name).write_bytes(LEDGER.read_bytes())
    (home.certificates / CERTIFICATE.name).write_bytes(CERTIFICATE.read_bytes())
    return home


def test_a_home_of_version_1_passes_the_check_before_and_after_it_is_moved(home: Home) -> None:
    (checked,) = fsck.check_home(home.root)
    assert (checked.agency, checked.lines) == (CODE, 5)
    Log.at(home, CODE, LogKeys(home, LocalRoot(bytes(32)))).read()
    (checked,) = fsck.check_home(home.root)
    assert (checked.agency, checked.lines) == (CODE, 5)


def test_every_field_of_a_line_and_of_a_body_is_on_the_page() -> None:
    text = (SPECS / "ledger.md").read_text()
    assert fields_told("ledger.md") >= FIELDS
    bodies = {name for e in (line.entry for line in read_chain(LEDGER, CODE)) for name in body_of(e)}
    assert {name for name in bodies if f"`{name}`" not in text} == set()
    later = (SPECS / "mandate.md").read_text()
    for kind, number in KINDS.items():
        assert f"| {number} {kind.__name__} |" in (text if number <= 5 else later)


def test_every_field_of_the_later_kinds_is_on_the_page_of_the_mandate() -> None:
    page = (SPECS / "mandate.md").read_text()
    told = page[page.index("## What is recorded") : page.index("## What is allowed")]
    for kind, number in orders.KINDS.items():
        row = next(line for line in told.splitlines() if line.startswith(f"| {number} "))
        common = told[: told.index("| Kind |")]
        said = set(re.findall(r"\w+", row)) | set(re.findall(r"`(\w+)`", common))
        assert {f.name for f in dataclasses.fields(kind)} <= said, kind


def test_every_conflict_that_is_named_is_on_the_page_and_has_words() -> None:
    codes = set(re.findall(r'Conflict\("(\w+)"', (ROOT / "ledger" / "mandate.py").read_text()))
    page = (SPECS / "mandate.md").read_text()
    rows = re.findall(r"^\| (\w+_\w+[\w, ]*) \|", page[page.index("### Conflicts") :], re.MULTILINE)
    listed = {code for row in rows for code in row.split(", ")}
    assert len(codes) > 5
    assert codes == listed
    assert {f"conflict.{code}" for code in codes} <= words().keys()


def test_every_field_of_a_certificate_is_on_the_page() -> None:
    top = set(re.findall(r'^ "(\w+)"', CERTIFICATE_2.read_text(), re.MULTILINE))
    assert fields_told("certificate.md") == top


def test_the_instruction_of_the_page_is_understood_and_every_field_is_told(tmp_path: Path) -> None:
    path = tmp_path / "instruction.toml"
    path.write_text(shown("mandate.md", "toml"))
    found = instruction_file.read(path)
    assert isinstance(found, instruction_file.Draft)
    assert found.reference == "ANNEXE-RGPD-2026-01"
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
