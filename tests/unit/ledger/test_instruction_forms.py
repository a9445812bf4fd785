"""The other kinds of instruction file: closed fields, closed words, and nothing promised that is not kept."""

import datetime as dt
import hashlib
import re
from pathlib import Path

import pytest

from ledger.acts import instruct, withdraw
from ledger.entry import Erased, body_of
from ledger.instruction_file import FORMS, Draft, Paper, Rows, read
from ledger.log import Log
from ledger.mandate import fold
from ledger.orders import KINDS, Acknowledgement, LegalNotice, Restrict, Synchronise
from schemas.errors import Malformed, Refused, TryAgain
from schemas.ids import System
from tests.unit.ledger.conftest import AT

HOUR = dt.timedelta(hours=1)
COMMON = 'reference = "AVENANT-3"\nchannel = "letter"\ngiven_by = "gérance"\n'
WORDS = {
    "synchronise": COMMON + 'systems = ["sdgi"]\ntables = ["person"]\npurposes = ["extranet"]',
    "restrict": COMMON + 'scope = "table"\ntables = ["lot"]',
    "rectify": COMMON + 'tables = ["person"]\ndocument = "document.pdf"',
    "erase": COMMON + 'tables = ["bank_detail"]',
    "return": COMMON + 'tables = ["*"]',
    "transfer": COMMON + 'tables = ["contact"]\ncountry = "US"\nrecipient = "Routeur Exemple"\nbasis = "45"',
    "disclose": COMMON + 'tables = ["lot"]\nground = "operations"\nrecipient = "Imprimerie"\nevidence = "NOTE-2"',
    "authorise": COMMON + 'tables = ["document"]\nname = "Imprimerie"\ncountry = "FR"\nservice = "impression"',
    "object": COMMON + 'tables = ["document"]\nname = "Imprimerie"\ncountry = "FR"\nservice = "impression"',
    "acknowledge": 'reference = "AR-1"\nchannel = "email"\ninstruction = "{instruction}"',
    "legal_obligation": 'reference = "REQ-4"\njurisdiction = "FR"\nlaw = "CPP, art. 60-1"\nduty = "disclose"\n'
    'tables = ["account"]',
    "legal_notice": 'reference = "REQ-4-A"\nchannel = "email"\nobligation = "{obligation}"',
    "infringement": 'reference = "ALERTE-1"\nchannel = "email"\ninstruction = "{instruction}"\nlaw = "RGPD, art. 9"',
    "answer": 'reference = "REP-1"\nchannel = "letter"\ngiven_by = "gérance"\nnotice = "{notice}"\n'
    'outcome = "maintained"',
}  # fmt: skip
IDS = {"instruction": "INS-0123456789", "obligation": "OBL-0123456789", "notice": "NOT-0123456789"}


def paper(folder: Path, kind: str, more: str = "", **ids: str) -> Paper:
    found = read(written(folder, kind, more, **ids))
    assert isinstance(found, Paper)
    return found


def written(folder: Path, kind: str, more: str = "", **ids: str) -> Path:
    (folder / "document.pdf").write_bytes(b"%PDF-1.7")
    path = folder / "instruction.toml"
    path.write_text(f'kind = "{kind}"\n{WORDS[kind].format(**IDS | ids)}\n{more}\n')
    return path


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_is_understood(tmp_path: Path, kind: str) -> None:
    assert paper(tmp_path, kind).kind is FORMS[kind].kind


def test_every_kind_that_can_be_recorded_has_a_form() -> None:
    assert {form.kind for form in FORMS.values()} == set(KINDS)


@pytest.mark.parametrize("kind", FORMS)
def test_a_field_too_many_or_too_few_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Malformed, match=r"unknown field: remark\. Allowed: reference, kind"):
        read(written(tmp_path, kind, 'remark = "Mme Exemplier"'))
    for line in WORDS[kind].splitlines():
        field = line.split(" ")[0]
        if field in FORMS[kind].required or (field == "channel" and kind == "synchronise"):
            path = written(tmp_path, kind)
            path.write_text("\n".join(x for x in path.read_text().splitlines() if x != line.format(**IDS)))
            if kind == "synchronise" and field == "channel":
                assert isinstance(read(path), Draft), "that is the first form"
            else:
                with pytest.raises(Malformed, match=f"missing field: {field}"):
                    read(path)


@pytest.mark.parametrize(
    ("kind", "more", "told"),
    [
        pytest.param("erase", 'tables = ["identity"]', "tables", id="an order names tables, not categories"),
        pytest.param("transfer", 'basis = "46(2)(z)"', "basis .*Allowed: 45, 46", id="basis"),
        pytest.param("transfer", 'basis = "48"', "basis", id="article 48 is no basis"),
        pytest.param("disclose", 'ground = "implicit"', "ground .*Allowed: consent, law", id="ground"),
        pytest.param("legal_obligation", 'jurisdiction = "US"', "jurisdiction .*Allowed: AT", id="other law"),
        pytest.param("legal_obligation", 'law = "ana@agence.example"', "law is not the citation", id="an address"),
        pytest.param("infringement", 'instruction = "C0001"', "instruction is not the id", id="not an id"),
        pytest.param("answer", 'outcome = "yes"', "outcome .*Allowed: maintained", id="outcome"),
        pytest.param("erase", 'channel = "pigeon"', "channel .*Allowed: letter", id="channel"),
        pytest.param("erase", 'recorded_by = "a@b.example"', "recorded_by is not a function", id="recorder"),
        pytest.param("erase", 'supersedes = ["x"]', "supersedes is not a list of ids", id="supersedes"),
        pytest.param("erase", 'valid_from = "2026-01-02"\nvalid_until = "2026-01-01"', "before it begins", id="dates"),
        pytest.param("restrict", 'scope = "floor"', "scope .*Allowed: agency, table, category", id="scope"),
        pytest.param("restrict", 'scope = "category"', "tables does not belong there", id="other words"),
        pytest.param("restrict", 'scope = "agency"', "tables does not belong there", id="too many words"),
        pytest.param("restrict", 'tables = ["*"]', "tables is not a list", id="everything is the agency"),
    ],
)
def test_what_a_form_does_not_allow_is_refused_with_what_is_allowed(
    tmp_path: Path, kind: str, more: str, told: str
) -> None:
    field = more.partition(" ")[0]
    path = written(tmp_path, kind)
    kept = [line for line in path.read_text().splitlines() if not line.startswith(f"{field} ")]
    path.write_text("\n".join([*kept, more]))
    with pytest.raises(Malformed, match=told) as no:
        read(path)
    assert "agence.example" not in str(no.value)


def test_a_restriction_names_single_rows_by_their_keys_which_the_log_never_sees(tmp_path: Path) -> None:
    path = written(tmp_path, "restrict")
    bare = path.read_text().replace('"table"', '"person"').replace('tables = ["lot"]', "")
    path.write_text(f'{bare}\nsystem = "sdgi"\nkeys = ["C:17", "C:4"]\n')
    said = read(path)
    assert isinstance(said, Paper)
    assert said.rows == Rows("targets", System.SDGI, "person", ("C:17", "C:4"))
    assert "C:17" not in repr(said)
    kept = said.written(lambda system, table, key: f"REF-{hash_of(system, table, key)}", None)
    assert kept.values["targets"] == tuple(sorted(f"REF-{hash_of('sdgi', 'person', k)}" for k in ("C:17", "C:4")))
    assert kept.rows is None


def hash_of(*parts: str) -> str:
    return hashlib.md5("|".join(parts).encode(), usedforsecurity=False).hexdigest()


def test_a_restriction_by_role_names_a_quality(tmp_path: Path) -> None:
    path = written(tmp_path, "restrict")
    path.write_text(path.read_text().replace('"table"', '"role"').replace('tables = ["lot"]', 'roles = ["tenant"]'))
    said = read(path)
    assert isinstance(said, Paper)
    assert (said.values["scope"], said.values["targets"]) == ("role", ("tenant",))


@pytest.mark.parametrize(
    ("scope", "more", "told"),
    [
        ("person", "", "keys is missing"),
        ("person", 'keys = ["C:1"]', "system is missing"),
        ("person", 'system = "sdgi"\nkeys = []', "keys is not a list of keys"),
        ("lot", 'system = "sdgi"\nkeys = [7]', "keys is not a list of keys"),
        ("role", 'roles = ["caretaker"]', "roles is not a list of words"),
        ("building", 'system = "portal"\nkeys = ["I:1"]', "system is not a word"),
        ("agency", 'keys = ["C:1"]', "keys does not belong there"),
    ],
)
def test_a_restriction_that_does_not_say_what_is_refused(tmp_path: Path, scope: str, more: str, told: str) -> None:
    path = written(tmp_path, "restrict")
    path.write_text(path.read_text().replace('"table"', f'"{scope}"').replace('tables = ["lot"]', more))
    with pytest.raises(Malformed, match=told):
        read(path)


def test_who_signed_stays_out_of_the_values_and_persons_are_erased_whole(tmp_path: Path) -> None:
    path = written(tmp_path, "erase")
    whole = re.sub(r"tables = .*", 'tables = ["*"]', path.read_text())
    path.write_text(f'{whole}\nsigned_by = "Camille Exemple"\nsystem = "gpi"\nsubjects = ["20:A"]\n')
    said = read(path)
    assert isinstance(said, Paper)
    assert said.signatory == "Camille Exemple"
    assert "Camille" not in repr(said)
    assert said.rows == Rows("subjects", System.GPI, "person", ("20:A",))
    path.write_text(path.read_text().replace('["*"]', '["contact"]'))
    with pytest.raises(Malformed, match="with all that is theirs"):
        read(path)


# -- recorded ----------------------------------------------------------------------------------------------------------


def test_a_paper_is_recorded_once_with_function_channel_policy_and_document(log: Log, tmp_path: Path) -> None:
    said = paper(tmp_path, "restrict", 'document = "document.pdf"\nrecorded_by = "assistance"')
    made = instruct(log, said, AT, policy_sha256="ab" * 32)
    assert instruct(log, said, AT + HOUR, policy_sha256="ab" * 32) == made
    assert log.read().entries == (made,)
    assert isinstance(made, Restrict)
    assert (made.channel, made.given_by, made.recorded_by, made.valid_from) == ("letter", "gérance", "assistance", AT)
    assert (made.policy_sha256, len(made.document_sha256 or "")) == ("ab" * 32, 64)


def test_an_acknowledgement_beside_an_instruction_is_recorded_with_it(log: Log, tmp_path: Path) -> None:
    made = instruct(log, paper(tmp_path, "erase", 'acknowledgement = "AR-2026-9"'), AT)
    _, told = log.read().entries
    assert isinstance(told, Acknowledgement)
    assert (told.instruction, told.reference) == (made.id, "AR-2026-9")


def test_an_instruction_that_replaces_another_is_recorded_in_the_second_form(log: Log, tmp_path: Path) -> None:
    first = instruct(log, paper(tmp_path, "synchronise"), AT)
    second = instruct(log, paper(tmp_path, "synchronise", f'supersedes = ["{first.id}"]'), AT + HOUR)
    assert isinstance(second, Synchronise)
    assert fold(log.read(), AT + HOUR).instructions(System.SDGI) == (second.id,)
    again = instruct(log, paper(tmp_path, "synchronise"), AT + 2 * HOUR)
    assert again.id not in (first.id, second.id), "what was replaced is not what is said now"


@pytest.mark.parametrize("kind", ["acknowledge", "legal_notice", "infringement", "answer"])
def test_what_speaks_of_something_that_is_not_in_the_log_is_refused(log: Log, tmp_path: Path, kind: str) -> None:
    with pytest.raises(Refused, match="no such entry"):
        instruct(log, paper(tmp_path, kind), AT)
    assert not log.exists


def test_an_obligation_its_notice_an_alert_and_its_answer_follow_each_other(log: Log, tmp_path: Path) -> None:
    first = instruct(log, paper(tmp_path, "synchronise"), AT)
    owed = instruct(log, paper(tmp_path, "legal_obligation"), AT)
    assert fold(log.read(), AT).obligations == ()
    noted = instruct(log, paper(tmp_path, "legal_notice", obligation=owed.id), AT + HOUR)
    assert isinstance(noted, LegalNotice)
    assert [o.obligation for o in fold(log.read(), AT + HOUR).obligations] == [owed.id]
    alert = instruct(log, paper(tmp_path, "infringement", instruction=first.id), AT + HOUR)
    assert fold(log.read(), AT + HOUR).grants == ()
    instruct(log, paper(tmp_path, "answer", notice=alert.id), AT + 2 * HOUR)
    assert fold(log.read(), AT + 2 * HOUR).instructions(System.SDGI) == (first.id,)


def test_a_withdrawn_or_erased_order_can_be_given_again(log: Log, tmp_path: Path) -> None:
    said = paper(tmp_path, "restrict")
    first = instruct(log, said, AT)
    withdraw(log, first.id, AT)
    second = instruct(log, said, AT)
    log.append(Erased(dt.date(2025, 12, 20), AT + HOUR, "cd" * 32), AT + HOUR)
    third = instruct(log, said, AT + 2 * HOUR)
    assert len({first.id, second.id, third.id}) == 3


def test_an_instruction_decided_on_a_log_that_grew_meanwhile_is_not_recorded(log: Log, tmp_path: Path) -> None:
    before = log.read().head
    first = instruct(log, paper(tmp_path, "restrict"), AT)
    with pytest.raises(TryAgain, match="has grown"):
        log.append_all([(first, None)], AT, expected=before)
    assert body_of(first) in [body_of(e) for e in log.read().entries]
