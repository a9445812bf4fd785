"""SOLDES, DOCUMENTS and SORTIES: what names a person of another file."""

from datetime import date
from pathlib import Path

import pytest

from tests.connectors.sdgi.sending import Export, Line, flags, outcomes, read, read_lines, rows

BALANCES, DOCUMENTS, DEPARTURES = "SOLDES.CSV", "DOCUMENTS.CSV", "SORTIES.CSV"


def test_accounts_name_the_person_as_its_own_file_does(tmp_path: Path) -> None:
    lines: list[Line] = [
        "C;IM001;0001;450:1;05/01/2026;-1759,68;497,33;15/02/2026",
        "P;;00001;467;NC;759,68;;",
        "L;IM003;00001;411;;1000,00;NC;",
    ]
    reading = read(tmp_path, Export(lines={BALANCES: lines}))
    columns = ("source_key", "person_key", "building_key", "number", "balance", "as_of", "called_amount", "due_date")
    assert rows(reading, "account", *columns) == [
        ("C:IM001:0001:450%3A1", "C:IM001:0001", "IM001", "450:1", -175968, date(2026, 1, 5), 49733, date(2026, 2, 15)),
        ("L:IM003:00001:411", "L:00001", "IM003", "411", 100000, None, None, None),
        ("P:-:00001:467", "P:00001", None, "467", 75968, None, None, None),
    ]
    assert outcomes(reading, BALANCES)[-1] == ("5", "ignored")


WRONG_BALANCES = {
    "another kind": ("X;;1;467;;0,00;;", "row.bad_enum", "X:-:1:467"),
    "no kind": (";;1;467;;0,00;;", "row.missing_key", None),
    "no person": ("P;;;467;;0,00;;", "row.missing_key", None),
    "no account": ("P;;1;;;0,00;;", "row.missing_key", None),
    "a wrong date": ("P;;1;467;hier;0,00;;", "row.bad_date", "P:-:1:467"),
    "a wrong call": ("P;;1;467;;0,00;x;", "row.bad_amount", "P:-:1:467"),
    "a spreadsheet's account": ("P;;1;4,5E+11;;0,00;;", "row.scientific_key", None),
}


@pytest.mark.parametrize(("line", "reason", "key"), WRONG_BALANCES.values(), ids=WRONG_BALANCES)
def test_an_account_line_that_cannot_be_read(tmp_path: Path, line: str, reason: str, key: str | None) -> None:
    reading = read_lines(tmp_path, BALANCES, line)
    assert outcomes(reading, BALANCES) == [("2", reason), ("3", "ignored")]
    assert reading.lines.column("key").to_pylist() == [key, None]


def test_documents(tmp_path: Path) -> None:
    lines = [
        "D1;PVAG;Règlement;01/03/2024;IM001;C;0003;I;d1.pdf",
        "D2;REGL;Appel;;IM001;;;T;",
        "D3;CRG;;NC;;P;00002;C;x",
        "D4;;;;;L;;T;",
        "D5;;;;;;7;T;",
    ]
    reading = read_lines(tmp_path, DOCUMENTS, *lines)
    columns = ("source_key", "kind", "label", "document_date", "building_key", "person_key", "audience", "file_name")
    assert rows(reading, "document", *columns) == [
        ("D1", "PVAG", "Règlement", date(2024, 3, 1), "IM001", "C:IM001:0003", "individual", "d1.pdf"),
        ("D2", "REGL", "Appel", None, "IM001", None, "all", None),
        ("D3", "CRG", None, None, None, "P:00002", "council", "x"),
        ("D4", None, None, None, None, None, "all", None),
        ("D5", None, None, None, None, None, "all", None),
    ]
    assert flags(reading, DOCUMENTS) == [set()] * 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [("D1;;;;;;;X;", "row.bad_enum"), ("D1;;;;;X;1;T;", "row.bad_enum"), (";;;;;;;T;", "row.missing_key"),
     ("D1;;;;;P;1E+05;T;", "row.scientific_key")],
)  # fmt: skip
def test_a_document_line_that_cannot_be_read(tmp_path: Path, line: str, reason: str) -> None:
    assert outcomes(read_lines(tmp_path, DOCUMENTS, line), DOCUMENTS) == [("2", reason)]


def test_a_lost_accent_in_a_label_is_flagged(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, DOCUMENTS, "D1;A?B;R?glement;;;;;T;A?B", "D2;A?B;Appel;;;;;T;A?B")
    assert flags(reading, DOCUMENTS) == [{"mojibake"}, set()]


def test_departures_end_the_line_of_the_person(tmp_path: Path) -> None:
    lines = [
        "C;IM001;0004;SORTIE;;31/12/2025",
        "L;;00007;DOUBLON;00006;06/01/2026",
        "P;IM9;'3;EFFACEMENT;;07/01/2026",
        "C;IM001;5;DOUBLON;6;07/01/2026",
        "L;;8;DOUBLON;;07/01/2026",
        "L;;9;SORTIE;8;07/01/2026",
    ]
    reading = read_lines(tmp_path, DEPARTURES, *lines)
    ends = [
        (end["source"], end["key"], end["reason"], end["on"], end["merged_into"])
        for end in reading.endings.to_pylist()
        if end["person"] == end["key"] and not end["implied"] and end["d"] == 0
    ]
    assert ends == [
        ("COPROPRIETAIRES.CSV", "C:IM001:0004", "SORTIE", date(2025, 12, 31), None),
        ("LOCATAIRES.CSV", "L:00007", "DOUBLON", date(2026, 1, 6), "L:00006"),
        ("PROPRIETAIRES.CSV", "P:3", "EFFACEMENT", date(2026, 1, 7), None),
        ("COPROPRIETAIRES.CSV", "C:IM001:5", "DOUBLON", date(2026, 1, 7), "C:IM001:6"),
        ("LOCATAIRES.CSV", "L:8", "DOUBLON", date(2026, 1, 7), None),
        ("LOCATAIRES.CSV", "L:9", "SORTIE", date(2026, 1, 7), None),
    ]


def test_the_key_of_a_departure_is_that_of_the_line_which_it_ends(tmp_path: Path) -> None:
    owner = {"Code immeuble": "IM:1", "N° copropriétaire": "4"}
    export = Export(lines={"COPROPRIETAIRES.CSV": [owner], DEPARTURES: ["C;IM:1;4;SORTIE;;31/12/2025"]})
    reading = read(tmp_path, export)
    keys = {line["source"]: line["key"] for line in reading.lines.to_pylist()}
    assert reading.endings.column("key").to_pylist() == [keys["COPROPRIETAIRES.CSV"]]


WRONG_DEPARTURES = {
    "the end of a contract": ("L;;1;FIN_CONTRAT;;07/01/2026", "row.bad_enum"),
    "no reason": ("L;;1;;;07/01/2026", "row.bad_enum"),
    "another kind": ("X;;1;SORTIE;;07/01/2026", "row.bad_enum"),
    "no kind": (";;1;SORTIE;;07/01/2026", "row.missing_key"),
    "no person": ("L;;;SORTIE;;07/01/2026", "row.missing_key"),
    "no date": ("L;;1;SORTIE;;", "row.bad_date"),
    "a date that says none": ("L;;1;SORTIE;;31/12/9999", "row.bad_date"),
    "NC where a date is required": ("L;;1;SORTIE;;NC", "row.bad_date"),
    "a spreadsheet's survivor": ("L;;1;DOUBLON;1E+05;07/01/2026", "row.scientific_key"),
}


@pytest.mark.parametrize(("line", "reason"), WRONG_DEPARTURES.values(), ids=WRONG_DEPARTURES)
def test_a_departure_that_cannot_be_read_ends_nothing(tmp_path: Path, line: str, reason: str) -> None:
    reading = read_lines(tmp_path, DEPARTURES, line)
    assert outcomes(reading, DEPARTURES) == [("2", reason)]
    assert len(reading.endings) == 0


def test_a_departure_told_twice_ends_once(tmp_path: Path) -> None:
    lines = ["L;;7;SORTIE;;07/01/2026", "L;;7;SORTIE;;07/01/2026", "L;;7;EFFACEMENT;;07/01/2026"]
    reading = read_lines(tmp_path, DEPARTURES, *lines)
    assert outcomes(reading, DEPARTURES) == [("2", "ok"), ("3", "ignored"), ("4", "row.duplicate_key")]
    assert len(reading.endings) == 1
