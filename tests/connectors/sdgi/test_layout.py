"""The contract is data: headers, aliases and versions can change without code."""

from pathlib import Path

import pytest

from connectors.sdgi import Sdgi, layout as sdgi_layout
from connectors.sdgi.layout import layout_for, layouts, newest, normal, parse, version_of
from schemas.errors import Malformed
from schemas.records import RECORDS
from tests.connectors.sdgi.sending import HEADERS, Export, opened, outcomes, read, rows

TEXT = Path(sdgi_layout.__file__).parents[1].joinpath("layouts", "sdgi-1.4.toml").read_text("utf-8")


def test_the_layout_lists_the_files_and_headers_of_the_contract_in_order() -> None:
    listed = {name: file.names for name, file in newest().files.items()}
    assert listed == {name: tuple(normal(header) for header in text.split(";")) for name, text in HEADERS.items()}


def test_every_file_of_the_layout_is_read_by_the_connector() -> None:
    assert list(Sdgi().yields) == list(newest().files)
    assert {record for records in Sdgi().yields.values() for record in records} <= RECORDS.keys()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Date d’entrée", "DATE D'ENTREE"),
        ("N° lot", "NO LOT"),
        ("Nº  LOT ", "NO LOT"),
        ("\u00a0tantièmes\u202fGénéraux", "TANTIEMES GENERAUX"),
        ("Tél. 1", "TEL. 1"),
    ],
)
def test_a_header_is_compared_without_its_dress(header: str, expected: str) -> None:
    assert normal(header) == expected


ALIASES = [
    ("COPROPRIETAIRES.CSV", "Email", "E-mail"),
    ("COPROPRIETAIRES.CSV", "Email", "Courriel"),
    ("PROPRIETAIRES.CSV", "Code postal", "CP"),
    ("LOTS.CSV", "N° lot", "Numéro lot"),
    ("BAUX.CSV", "N° lot", "NUMERO LOT"),
    ("LOCATAIRES.CSV", "Téléphone 1", "Tél. 1"),
    ("LOCATAIRES.CSV", "Téléphone 2", "TEL. 2"),
    ("COPROPRIETAIRES.CSV", "Date d'entrée", "Date d’entrée"),
]


@pytest.mark.parametrize(("file", "header", "alias"), ALIASES)
def test_an_alias_is_read_as_the_header_and_raises_no_flag(tmp_path: Path, file: str, header: str, alias: str) -> None:
    export = Export(headers={file: HEADERS[file].replace(header, alias)})
    assert opened(tmp_path, export).arrived.flags == ()


def test_an_alias_of_a_column_that_a_file_does_not_have_is_unknown_there() -> None:
    assert newest().files["SOLDES.CSV"].named("Courriel") == "COURRIEL"


def test_columns_are_bound_by_name(tmp_path: Path) -> None:
    turned = ";".join(reversed(HEADERS["LOTS.CSV"].split(";")))
    reading = read(tmp_path, Export(headers={"LOTS.CSV": turned}, lines={"LOTS.CSV": [";10000;;;;;;CAVE;7;IM001"]}))
    assert reading.deliveries[0].flags == ("header_reordered:LOTS.CSV",)
    assert rows(reading, "lot", "source_key", "number", "nature") == [("IM001:7", "7", "CAVE")]


REPEATS = {
    "the same": HEADERS["LOTS.CSV"],
    "in capitals": HEADERS["LOTS.CSV"].upper(),
    "without accents": HEADERS["LOTS.CSV"].replace("é", "e").replace("è", "e").replace("â", "a"),
    "quoted": '"' + HEADERS["LOTS.CSV"].replace(";", '";"') + '"',
    "with spaces": " " + HEADERS["LOTS.CSV"].replace(";", " ; "),
    "by an alias": HEADERS["LOTS.CSV"].replace("N° lot", "Numéro lot"),
}


@pytest.mark.parametrize("repeat", REPEATS.values(), ids=REPEATS)
def test_a_header_that_comes_again_is_ignored_and_flagged(tmp_path: Path, repeat: str) -> None:
    reading = read(tmp_path, Export(lines={"LOTS.CSV": ["IM001;1;;;;;;;;", repeat, "IM001;2;;;;;;;;"]}))
    assert outcomes(reading, "LOTS.CSV") == [("2", "ok"), ("3", "ignored"), ("4", "ok")]
    assert reading.deliveries[0].flags == ("header_repeat:LOTS.CSV",)


def test_a_line_that_only_begins_like_the_header_is_a_line(tmp_path: Path) -> None:
    reading = read(tmp_path, Export(lines={"LOTS.CSV": ["Code immeuble;1;;;;;;;;", "CODE;2;;;;;;;;"]}))
    assert outcomes(reading, "LOTS.CSV") == [("2", "ok"), ("3", "ok")]
    assert reading.deliveries[0].flags == ()


def test_a_reordered_header_comes_again_in_its_own_order(tmp_path: Path) -> None:
    turned = ";".join(reversed(HEADERS["LOTS.CSV"].split(";")))
    reading = read(tmp_path, Export(headers={"LOTS.CSV": turned}, lines={"LOTS.CSV": [turned, HEADERS["LOTS.CSV"]]}))
    assert [outcome for _, outcome in outcomes(reading, "LOTS.CSV")] == ["ignored", "row.bad_amount"]


def test_a_version_is_read_with_the_newest_layout_that_is_not_newer() -> None:
    known = {version_of(v): parse(TEXT.replace('version = "1.4"', f'version = "{v}"')) for v in ("1.2", "1.4", "1.10")}
    chosen = {asked: layout_for(asked, known) for asked in ("1.0", "1.2", "1.3", "1.9", "1.10", "1.11", "2.0")}
    assert {asked: layout.version if layout else None for asked, layout in chosen.items()} == {
        "1.0": "1.2", "1.2": "1.2", "1.3": "1.2", "1.9": "1.4", "1.10": "1.10", "1.11": "1.10", "2.0": None,
    }  # fmt: skip


def test_a_new_header_needs_a_layout_and_no_code() -> None:
    renamed = parse(TEXT.replace('"Nature" = "nature"', '"Genre du lot" = "nature"')).files["LOTS.CSV"]
    bound = renamed.bind(HEADERS["LOTS.CSV"].replace("Nature", "Genre du lot").split(";"))
    assert bound is not None
    assert bound.at("nature") == 2
    assert not bound.reordered
    assert renamed.bind(HEADERS["LOTS.CSV"].split(";")) is None


def test_a_layout_that_names_two_columns_alike_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"LOTS\.CSV"):
        parse(TEXT.replace('"Nature" = "nature"', '"Nature" = "block"'))


def test_each_layout_is_filed_under_its_own_version() -> None:
    assert {layout.version for layout in layouts().values()} == {"1.4"}
