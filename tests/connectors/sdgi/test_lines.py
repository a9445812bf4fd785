"""What is wrong with a line, which reason comes first, which lines are ignored, and what of a line is kept."""

from pathlib import Path

import pytest

from tests.connectors.sdgi.sending import CODE, HEADERS, Export, flags, outcomes, read, read_lines, rows

OWNER = {"Code immeuble": "IM001", "N° copropriétaire": "1", "Nom": "BELLERIVE Zoé"}
LEASE = {"N° bail": "B1", "N° locataire": "1", "Code immeuble": "IM001", "N° lot": "1"}


def reason(folder: Path, file: str, line: dict[str, str] | str) -> str:
    return outcomes(read_lines(folder, file, line), file)[0][1]


WRONG = {
    "too few fields": ("LOTS.CSV", "IM001;1;CAVE", "row.field_count"),
    "too many fields": ("LOTS.CSV", "IM001;1;pb;CAVE;;;;;;;", "row.field_count"),
    "a line of blanks": ("LOTS.CSV", "  ", "row.field_count"),
    "scientific key": ("LOTS.CSV", {"Code immeuble": "4,5E+11", "N° lot": "1"}, "row.scientific_key"),
    "scientific key behind an apostrophe": ("MANDATS.CSV", {"N° mandat": "'4,5E+11"}, "row.scientific_key"),
    "scientific optional reference": ("BAUX.CSV", {**LEASE, "N° mandat": "1,2E+05"}, "row.scientific_key"),
    "scientific reference in a list": ("COPROPRIETAIRES.CSV", {**OWNER, "Lots": "1; 2E+11"}, "row.scientific_key"),
    "scientific list": ("COPROPRIETAIRES.CSV", {**OWNER, "Lots": "4,5E+11"}, "row.scientific_key"),
    "empty key part": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": " \u00a0"}, "row.missing_key"),
    "lone apostrophe as a key": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "'"}, "row.missing_key"),
    "required reference": ("BAUX.CSV", {**LEASE, "N° locataire": ""}, "row.missing_key"),
    "NUL": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "1", "Porte": "A\x00"}, "row.nul_byte"),
    "NUL in a quoted record": ("LOTS.CSV", '"IM001";1;CAVE\x00;;;;;;;', "row.nul_byte"),
    "control character": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "1", "Porte": "A\x1f"}, "row.control_char"),
    "control character in a column that is not read": (
        "LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "1", "N° copropriétaire": "\x02"}, "row.control_char"),
    "closed list": ("IMMEUBLES.CSV", {"Code immeuble": "IM001", "Syndic (O/N)": "o"}, "row.bad_enum"),
    "list that may not be empty": ("DOCUMENTS.CSV", {"N° document": "D1"}, "row.bad_enum"),
    "date of another form": ("BAUX.CSV", {**LEASE, "Date d'entrée": "2026-01-05"}, "row.bad_date"),
    "impossible date": ("BAUX.CSV", {**LEASE, "Date de sortie": "30/02/2025"}, "row.bad_date"),
    "short date where it is long": ("BAUX.CSV", {**LEASE, "Date d'entrée": "05/01/26"}, "row.bad_date"),
    "long date where it is short": (
        "LOCATAIRES.CSV", {"N° locataire": "1", "Date naiss.": "05/01/1980"}, "row.bad_date"),
    "date that is read and not stored": ("COPROPRIETAIRES.CSV", {**OWNER, "Date d'entrée": "hier"}, "row.bad_date"),
    "amount": ("BAUX.CSV", {**LEASE, "Loyer": "812.40"}, "row.bad_amount"),
    "area": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "1", "Surface": "grande"}, "row.bad_amount"),
    "whole number": ("LOTS.CSV", {"Code immeuble": "IM001", "N° lot": "1", "Base": "10 000"}, "row.bad_number"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "line", "expected"), WRONG.values(), ids=WRONG)
def test_a_line_is_quarantined_with_its_reason(
    tmp_path: Path, file: str, line: dict[str, str] | str, expected: str
) -> None:
    reading = read_lines(tmp_path, file, line)
    assert outcomes(reading, file) == [("2", expected)]
    assert reading.rows == {}


ORDER = {
    "scientific before missing": (
        {**LEASE, "N° mandat": "1E+11", "N° bail": "", "Type bail": "\x00"}, "row.scientific_key"),
    "missing before NUL": ({**LEASE, "N° bail": "", "Type bail": "\x00\x01"}, "row.missing_key"),
    "NUL before control": ({**LEASE, "Type bail": "\x01\x00"}, "row.nul_byte"),
    "control before values": ({**LEASE, "Loyer": "x", "Type bail": "\x01"}, "row.control_char"),
    "the leftmost value": ({**LEASE, "Date de sortie": "x", "Loyer": "x", "Date d'entrée": ""}, "row.bad_date"),
    "the leftmost value again": ({**LEASE, "Loyer": "x", "Charges": "x"}, "row.bad_amount"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), ORDER.values(), ids=ORDER)
def test_the_first_reason_of_a_line_is_told(tmp_path: Path, line: dict[str, str], expected: str) -> None:
    assert reason(tmp_path, "BAUX.CSV", line) == expected


def test_the_leftmost_column_is_that_of_the_contract_whatever_the_order_of_the_delivery(tmp_path: Path) -> None:
    line = {"Code immeuble": "IM001", "N° lot": "1", "Surface": "x", "Base": "x"}
    turned = ";".join(reversed(HEADERS["LOTS.CSV"].split(";")))
    assert reason(tmp_path, "LOTS.CSV", line) == "row.bad_amount"
    reading = read(tmp_path, Export(headers={"LOTS.CSV": turned}, lines={"LOTS.CSV": [line]}))
    assert outcomes(reading, "LOTS.CSV") == [("2", "row.bad_amount")]


def test_nc_says_none_where_a_value_is_optional(tmp_path: Path) -> None:
    line = {**LEASE, "Date d'entrée": "NC", "Date de sortie": "NC", "Loyer": "NC", "Charges": "NC"}
    reading = read_lines(tmp_path, "BAUX.CSV", line)
    assert rows(reading, "lease", "start_date", "end_date", "rent", "charges") == [(None, None, None, None)]
    assert flags(reading)[0] == set()


KEYS = {
    "field_count": ("IM001;1", None),
    "scientific": ("1E+11;1;;;;;;;;", None),
    "missing": ("IM001;;;;;;;;;", None),
    "value": ("IM001;1;;;;;x;;;", "IM001:1"),
    "escaped": ("IM:0%1;1;;;;;;;;", "IM%3A0%251:1"),
    "zeros and case": ("im001;001A;;;;;;;;", "im001:001A"),
}


@pytest.mark.parametrize(("line", "key"), KEYS.values(), ids=KEYS)
def test_a_line_has_its_key_unless_it_cannot_be_read(tmp_path: Path, line: str, key: str | None) -> None:
    assert read_lines(tmp_path, "LOTS.CSV", line).lines.column("key").to_pylist()[0] == key


def test_a_second_line_with_a_key_is_ignored_or_quarantined_and_the_first_one_wins(tmp_path: Path) -> None:
    lines = [
        "IM001;1;CAVE;;;;;;;",
        "IM001;2;CAVE;;;;;;;",
        "IM001;1;CAVE;;;;;;;",
        'IM001;"1";BOX;;;;;;;',
        '"IM001";1;CAVE;;;;;;;',
    ]
    reading = read_lines(tmp_path, "LOTS.CSV", *lines)
    assert outcomes(reading, "LOTS.CSV") == [
        ("2", "ok"), ("3", "ok"), ("4", "ignored"), ("5", "row.duplicate_key"), ("6", "ignored"),
    ]  # fmt: skip
    assert [sorted(raised) for raised in flags(reading)][:5] == [[], [], ["row_repeated"], [], ["row_repeated"]]
    assert rows(reading, "lot", "source_key", "nature") == [("IM001:1", "CAVE"), ("IM001:2", "CAVE")]


def test_a_line_that_differs_only_in_a_column_that_is_not_read_has_other_text(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "LOTS.CSV", "IM001;1;CAVE;;;;;;;1", "IM001;1;CAVE;;;;;;;2")
    assert outcomes(reading, "LOTS.CSV") == [("2", "ok"), ("3", "row.duplicate_key")]


def test_a_quarantined_line_does_not_take_the_key(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "LOTS.CSV", "IM001;1;;;;;x;;;", "IM001;1;CAVE;;;;;;;")
    assert outcomes(reading, "LOTS.CSV") == [("2", "row.bad_amount"), ("3", "ok")]


def test_the_same_key_in_two_deliveries_or_two_files_is_no_repetition(tmp_path: Path) -> None:
    export = Export(lines={"IMMEUBLES.CSV": ["1;;;;;;;;;"], "GESTIONNAIRES.CSV": ["1;;;;;;;"]})
    reading = read(tmp_path, export)
    assert set(reading.lines.column("outcome").to_pylist()[:2]) == {"ok"}


def test_the_text_of_a_quarantined_line_is_kept_as_it_was_sent(tmp_path: Path) -> None:
    sent = ['IM001;1;"CAVE;\r\n""à vin""";;;;x;;;', "IM001;1;trop court", "IM001;2;CAVE;;;;;;;"]
    reading = read_lines(tmp_path, "LOTS.CSV", *sent)
    assert outcomes(reading, "LOTS.CSV") == [("2", "row.bad_amount"), ("4", "row.field_count"), ("5", "ok")]
    assert reading.content.column("content").to_pylist() == sent[:2]
    quarantined = [row["line"] for row in reading.lines.to_pylist() if row["outcome"] == "quarantined"]
    assert reading.content.column("line").to_pylist() == quarantined


def test_blank_lines_are_no_lines(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "LOTS.CSV", "", "IM001;1;;;;;;;;", "", "", "IM001;2;;;;;;;;", "")
    assert outcomes(reading, "LOTS.CSV") == [("3", "ok"), ("6", "ok")]


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_a_missing_last_line_end_is_no_error(tmp_path: Path, line_end: str) -> None:
    export = Export(lines={"LOTS.CSV": ["IM001;1;;;;;;;;", "IM001;2;;;;;;;;9"]}, line_end=line_end)
    export.raw["LOTS.CSV"] = export.member("LOTS.CSV").rstrip(b"\r\n")
    assert outcomes(read(tmp_path, export), "LOTS.CSV") == [("2", "ok"), ("3", "ok")]


def test_an_empty_portfolio_is_read(tmp_path: Path) -> None:
    reading = read(tmp_path, Export())
    assert [(line["source"], line["outcome"]) for line in reading.lines.to_pylist()] == [("SOLDES.CSV", "ignored")]
    assert reading.rows == {}


def test_a_large_delivery_is_read_as_a_small_one(tmp_path: Path) -> None:
    lines = [f"IM001;{number};CAVE n° {number};;;;12,5;;;" for number in range(6000)]
    lines[4321] = 'IM001;4321;"CAVE ""sèche""";;;;12,5;;;'
    reading = read_lines(tmp_path, "LOTS.CSV", *lines)
    expected = {str(number): f"CAVE n° {number}" for number in range(6000)} | {"4321": 'CAVE "sèche"'}
    assert set(rows(reading, "lot", "number", "nature")) == set(expected.items())
    assert reading.lines.column("loc").to_pylist()[:3] == ["2", "3", "4"]


def test_absence_means_something_in_every_file_but_that_of_departures(tmp_path: Path) -> None:
    reading = read(tmp_path, Export())
    assert reading.snapshot == frozenset(HEADERS) - {"SORTIES.CSV"}
    assert reading.locus == "line"
    assert reading.deliveries[0].agency == CODE


FLAGGED = {
    "newline in a value": ({**OWNER, "Adresse 1": "1 RUE\r\nDU CHÂTEAU"}, {"newline"}),
    "newline at the end of a value": ({**OWNER, "Adresse 1": "1 RUE\r\n"}, set()),
    "lost accent in a name": ({**OWNER, "Nom": "BELLERIVE Zo?é"}, {"mojibake"}),
    "lost accent where it is not looked for": ({**OWNER, "BIC": "A?B"}, set()),
    "apostrophe before a key": ({**OWNER, "N° copropriétaire": "'0001"}, {"apostrophe"}),
    "apostrophe in a list": ({**OWNER, "Lots": "'1, '2"}, {"apostrophe"}),
    "apostrophe and lost zero of a postal code": ({**OWNER, "Code postal": "'1000"}, {"apostrophe", "excel_zero"}),
    "four digits abroad": ({**OWNER, "Code postal": "1000", "Pays": "Belgique"}, set()),
    "unknown country": ({**OWNER, "Pays": "PAYS-BAS"}, {"country_unknown"}),
    "lots are no contacts": ({**OWNER, "Lots": "1, 2; 3 - 4"}, set()),
    "sentinel": ({**OWNER, "Date de sortie": "31/12/9999"}, {"sentinel"}),
    "wrong IBAN": ({**OWNER, "IBAN": "FR7612345678901234567890123"}, {"iban_mod97"}),
    "wrong clé RIB": ({**OWNER, "IBAN": "FR8420041010050500013M02607"}, {"iban_rib_key"}),
    "IBAN of a spreadsheet": ({**OWNER, "IBAN": "7,6E+25"}, {"scientific"}),
    "no e-mail": ({**OWNER, "Email": "Néant"}, {"placeholder"}),
    "two phones, one wrong": ({**OWNER, "Téléphone 2": "06 00 01 23 45 / 12"}, {"multi_value", "phone_unparsed"}),
    "columns that are not read": ({**OWNER, "Total tantièmes": "1\r\n2", "Adresse gérant": "A?B\r\nC"}, set()),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), FLAGGED.values(), ids=FLAGGED)
def test_a_line_raises_its_flags(tmp_path: Path, line: dict[str, str], expected: set[str]) -> None:
    reading = read_lines(tmp_path, "COPROPRIETAIRES.CSV", line)
    assert outcomes(reading, "COPROPRIETAIRES.CSV")[0][1] == "ok"
    assert flags(reading)[0] == expected


def test_a_quarantined_line_raises_no_flag(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "COPROPRIETAIRES.CSV", {**OWNER, "Pays": "PAYS-BAS", "Date de sortie": "x"})
    assert flags(reading)[0] == set()
