"""An agency's instruction as a file: what is not understood is refused, with the field and what is allowed there."""

import datetime as dt
import hashlib
from pathlib import Path

import pytest

from ledger.instruction_file import Draft, read
from schemas.errors import Malformed
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Purpose

WHOLE = """\
reference = "ANNEXE-RGPD-2026-01"
kind = "synchronise"
systems = ["spilasuite", "sdgi", "gpi", "login"]
tables = ["*"]
purposes = ["extranet"]
valid_from = "2025-01-01"
given_by = "gerance"
"""


def first_form(path: Path) -> Draft:
    found = read(path)
    assert isinstance(found, Draft)
    return found


def written(folder: Path, text: str) -> Path:
    path = folder / "instruction.toml"
    path.write_text(text)
    return path


def changed(field: str, value: str) -> str:
    kept = [line for line in WHOLE.splitlines() if not line.startswith(f"{field} ")]
    return "\n".join([*kept, f"{field} = {value}"])


def test_the_file_of_the_manual_is_understood(tmp_path: Path) -> None:
    assert first_form(written(tmp_path, WHOLE)) == Draft(
        reference="ANNEXE-RGPD-2026-01", does="synchronise", systems=AGENCY_SYSTEMS, tables=("*",),
        purposes=(Purpose.EXTRANET,), given_by="gerance", valid_from=dt.datetime(2024, 12, 31, 23, tzinfo=dt.UTC),
    )  # fmt: skip


def test_a_day_means_paris_and_the_last_day_is_included(tmp_path: Path) -> None:
    draft = first_form(written(tmp_path, changed("valid_from", '"2026-07-01"\nvalid_until = "2026-12-31"')))
    assert draft.valid_from == dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC)
    assert draft.valid_until == dt.datetime(2026, 12, 31, 23, tzinfo=dt.UTC)


@pytest.mark.parametrize("spelling", ["2025-01-01", '"2025-01-01T00:00:00+01:00"', "2025-01-01T00:00:00+01:00"])
def test_dates_may_be_written_as_toml_dates_or_as_instants(tmp_path: Path, spelling: str) -> None:
    assert first_form(written(tmp_path, changed("valid_from", spelling))).valid_from == dt.datetime(
        2024, 12, 31, 23, tzinfo=dt.UTC
    )


def test_without_a_beginning_it_begins_when_it_is_recorded(tmp_path: Path) -> None:
    assert first_form(written(tmp_path, WHOLE.replace('valid_from = "2025-01-01"\n', ""))).valid_from is None


def test_words_are_kept_once_and_in_one_order(tmp_path: Path) -> None:
    draft = first_form(written(tmp_path, changed("systems", '["login", "sdgi", "login"]')))
    assert draft.systems == (System.SDGI, System.LOGIN)


def test_tables_may_be_tables_or_categories(tmp_path: Path) -> None:
    assert first_form(written(tmp_path, changed("tables", '["contact", "person", "financial"]'))).tables == (
        "person",
        "contact",
        "financial",
    )


def test_the_document_is_remembered_by_its_digest_and_not_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "annexe.pdf").write_bytes(b"%PDF-1.7")
    draft = first_form(written(tmp_path, WHOLE + 'document = "annexe.pdf"\n'))
    assert draft.document_sha256 == hashlib.sha256(b"%PDF-1.7").hexdigest()
    assert "annexe.pdf" not in repr(draft)


def test_recipients_and_countries_are_optional(tmp_path: Path) -> None:
    draft = first_form(written(tmp_path, WHOLE + 'recipients = ["Imprimerie Exemple"]\ncountries = ["FR", "BE"]\n'))
    assert (draft.recipients, draft.countries) == (("Imprimerie Exemple",), ("BE", "FR"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(WHOLE + 'retention = "10 years"', "unknown field: retention. Allowed: refer", id="unknown field"),
        pytest.param(WHOLE + '"Mme Exemplier" = 1', r"unknown field: \(unreadable\)", id="a person as a field"),
        pytest.param(changed("purposes", '["marketing"]'), "purposes .*Allowed: extranet, notif", id="purpose"),
        pytest.param(changed("systems", '["excel"]'), "systems .*Allowed: spilasuite, sdgi", id="system"),
        pytest.param(changed("systems", '["portal"]'), "systems", id="the portal is no system of an agency"),
        pytest.param(changed("systems", "[]"), "systems", id="no system"),
        pytest.param(changed("systems", '"sdgi"'), "systems", id="not a list"),
        pytest.param(changed("tables", '["passwords"]'), r"tables .*Allowed: \*, person", id="table"),
        pytest.param(changed("tables", '["portal_account"]'), "tables", id="a controller table is not the agency's"),
        pytest.param(changed("kind", '"sell"'), "kind .*Allowed: synchronise", id="kind"),
        pytest.param(changed("kind", '["synchronise"]'), "kind", id="kind as a list"),
        pytest.param(changed("reference", '""'), "reference", id="empty reference"),
        pytest.param(changed("reference", '"ana@agence.example"'), "reference", id="an address in the reference"),
        pytest.param(changed("given_by", '"ana@agence.example"'), "given_by .*function", id="an address as a function"),
        pytest.param(changed("given_by", "12"), "given_by", id="a number in place of a function"),
        pytest.param(changed("valid_from", '"01/01/2025"'), "valid_from is not a date", id="French date"),
        pytest.param(changed("valid_from", '"2025-02-30"'), "valid_from is not a date", id="impossible date"),
        pytest.param(changed("valid_from", "2025-01-01T00:00:00"), "valid_from is not a date", id="no offset"),
        pytest.param(changed("valid_from", "2025"), "valid_from is not a date", id="a number"),
        pytest.param(WHOLE + 'valid_until = "2024-12-31"', "end before it begins", id="ends before it begins"),
        pytest.param(WHOLE + 'document = "nowhere.pdf"', "document: the file cannot be read", id="missing document"),
        pytest.param(WHOLE + "document = 3", "document is not a path", id="document is no path"),
        pytest.param(WHOLE + 'countries = ["France"]', "countries", id="country"),
        pytest.param(WHOLE + 'recipients = ["a@b.example"]', "recipients", id="recipient"),
        pytest.param(WHOLE.replace('kind = "synchronise"\n', ""), "missing field: kind", id="a field less"),
        pytest.param("reference = Mme Exemplier", r"not TOML \(at line 1", id="not TOML"),
        pytest.param("", "missing field", id="empty file"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_the_field_and_what_is_allowed(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(Malformed, match=told) as no:
        read(written(tmp_path, text))
    assert "Exemplier" not in str(no.value)
    assert "agence.example" not in str(no.value)


def test_a_file_that_is_not_there_or_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        read(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'reference = "\xe9"')
    with pytest.raises(Malformed, match="not UTF-8"):
        read(path)
