"""Each refusal of the contract's table behind the archive's own, and their order."""

import hashlib
import zipfile
from datetime import date
from pathlib import Path

import pytest

from connectors.base import Known
from connectors.sdgi import Sdgi
from schemas.errors import DeliveryRefused
from tests.connectors.sdgi.sending import CODE, HEADERS, SIRET, Export, delivery, flags, opened, outcomes, read

BUILDING = ["IM001", "RÉSIDENCE", "1 RUE DU CHÂTEAU", "01000", "BOURG-EN-BRESSE", "", "", "O", "N", ""]


def refusal(folder: Path, export: Export, cursor: str | None = None) -> str:
    with pytest.raises(DeliveryRefused) as caught:
        opened(folder, export, cursor)
    return caught.value.reason


def control(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("cp1252")


def listed(**changes: str) -> list[str]:
    return [changes.get(file.removesuffix(".CSV"), f"{file};0;{'0' * 32}") for file in HEADERS]


FIRST = f"SDGI;1.4;{CODE};{SIRET};202601050210"
UNREADABLE = {
    "empty": b"",
    "one line": control(FIRST),
    "another word": control(FIRST.replace("SDGI", "SDGJ"), *listed(), "FIN;11"),
    "a byte order mark": b"\xef\xbb\xbf" + control(FIRST, *listed(), "FIN;11"),
    "four fields": control(FIRST.rpartition(";")[0], *listed(), "FIN;11"),
    "six fields": control(f"{FIRST};", *listed(), "FIN;11"),
    "an instant that is none": control(FIRST[:-1], *listed(), "FIN;11"),
    "no FIN": control(FIRST, *listed()),
    "a wrong number of lines": control(FIRST, *listed(), "FIN;12"),
    "a file less": control(FIRST, *listed()[1:], "FIN;10"),
    "a file more": control(FIRST, *listed(), "AUTRES.CSV;0;0", "FIN;12"),
    "a file twice": control(FIRST, *listed()[1:], listed()[-1], "FIN;11"),
    "another file": control(FIRST, *listed(LOTS="LOT.CSV;0;0"), "FIN;11"),
    "a line of two fields": control(FIRST, *listed(LOTS="LOTS.CSV;0"), "FIN;11"),
    "a number that is none": control(FIRST, *listed(LOTS="LOTS.CSV;-1;0"), "FIN;11"),
    "a line behind FIN": control(FIRST, *listed(), "FIN;11", ""),
    "an undefined byte": control(FIRST, *listed(), "FIN;11").replace(b"LOTS", b"LOT\x81"),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_a_control_file_must_be_whole(tmp_path: Path, raw: bytes) -> None:
    assert refusal(tmp_path, Export(control=raw)) == "sdgi.control_unreadable"


@pytest.mark.parametrize("version", ["1", "1.0", "1.4", "1.5", "1.12", "1.4.2"])
def test_every_version_1_is_read(tmp_path: Path, version: str) -> None:
    assert opened(tmp_path, Export(version=version)).arrived.layout == "sdgi-1.4"


@pytest.mark.parametrize("version", ["2.0", "0.9", "14", "", "un", "1.x", "-1.4", "1.4 "])
def test_another_major_version_is_refused(tmp_path: Path, version: str) -> None:
    assert refusal(tmp_path, Export(version=version)) == "sdgi.version"


def test_the_version_counts_before_the_sender(tmp_path: Path) -> None:
    assert refusal(tmp_path, Export(version="2.0", siret="0")) == "sdgi.version"


@pytest.mark.parametrize(
    "export",
    [
        Export(siret="91234567800021"),
        Export(siret="912345678 00013"),
        Export(code="A0009"),
        Export(code="../..", name="SDGI_A0002_20260105_0210.zip"),
        Export(name="SDGI_A0009_20260105_0210.zip"),
    ],
    ids=["SIRET", "SIRET with a space", "code", "path as a code", "code in the name"],
)
def test_name_control_file_and_register_must_agree(tmp_path: Path, export: Export) -> None:
    path = export.write(tmp_path).path
    assert path is not None
    with pytest.raises(DeliveryRefused, match=r"agency\.mismatch"):
        Sdgi().open(delivery(path), Known(SIRET))


def test_an_agency_without_a_siret_in_the_register_agrees_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused, match=r"agency\.mismatch"):
        Sdgi().open(Export().write(tmp_path), Known())


@pytest.mark.parametrize("cursor", ["202601050210", "202601050211", "202701010000"])
def test_a_delivery_that_is_not_newer_is_out_of_order(tmp_path: Path, cursor: str) -> None:
    assert refusal(tmp_path, Export(), cursor) == "sdgi.out_of_order"


def test_a_missing_day_is_no_error_and_the_cursor_is_the_instant_of_the_control_file(tmp_path: Path) -> None:
    assert opened(tmp_path, Export(), "202512010210").arrived.cursor == "202601050210"


def test_another_sender_counts_before_the_order(tmp_path: Path) -> None:
    assert refusal(tmp_path, Export(siret="0"), "202701010000") == "agency.mismatch"


def test_the_order_counts_before_the_digests(tmp_path: Path) -> None:
    assert refusal(tmp_path, Export(digests={"LOTS.CSV": "0"}), "202701010000") == "sdgi.out_of_order"


@pytest.mark.parametrize("file", HEADERS)
def test_every_file_must_be_the_one_listed(tmp_path: Path, file: str) -> None:
    assert refusal(tmp_path, Export(digests={file: "0" * 32})) == "sdgi.md5_mismatch"


def test_a_digest_in_capitals_is_another_one(tmp_path: Path) -> None:
    export = Export()
    digest = hashlib.md5(export.member("LOTS.CSV")).hexdigest().upper()
    assert refusal(tmp_path, Export(digests={"LOTS.CSV": digest})) == "sdgi.md5_mismatch"


def test_all_digests_count_before_the_first_file_is_looked_into(tmp_path: Path) -> None:
    export = Export(raw={"IMMEUBLES.CSV": "é".encode()}, digests={"SORTIES.CSV": "0"})
    assert refusal(tmp_path, export) == "sdgi.md5_mismatch"


def test_a_file_saved_again_as_utf_8_is_refused(tmp_path: Path) -> None:
    raw = (HEADERS["LOTS.CSV"] + "\r\n").encode("utf-8")
    assert refusal(tmp_path, Export(raw={"LOTS.CSV": raw})) == "sdgi.encoding"


@pytest.mark.parametrize("byte", [0x81, 0x8D, 0x8F, 0x90, 0x9D])
def test_a_byte_that_cp1252_does_not_define_is_refused(tmp_path: Path, byte: int) -> None:
    raw = Export(lines={"IMMEUBLES.CSV": [BUILDING]}).member("IMMEUBLES.CSV").replace(b"RUE", bytes([82, byte]))
    assert refusal(tmp_path, Export(raw={"IMMEUBLES.CSV": raw})) == "sdgi.encoding"


def test_an_accent_that_could_be_utf_8_does_not_make_a_cp1252_file_wrong(tmp_path: Path) -> None:
    # Ã followed by © is `é` in UTF-8; the accents of the header are not UTF-8, so the file is cp1252.
    reading = read(tmp_path, Export(lines={"IMMEUBLES.CSV": [["IM001", "RÃ©SIDENCE", *BUILDING[2:]]]}))
    assert flags(reading)[0] == {"mojibake"}


@pytest.mark.parametrize("said", [0, 2])
def test_the_number_of_records_must_be_the_listed_one(tmp_path: Path, said: int) -> None:
    export = Export(lines={"IMMEUBLES.CSV": [BUILDING]}, counts={"IMMEUBLES.CSV": said})
    assert refusal(tmp_path, export) == "sdgi.count_mismatch"


def test_the_total_line_and_repeated_headers_are_counted(tmp_path: Path) -> None:
    lines = [["P", "", "1", "467", "", "0", "", ""], HEADERS["SOLDES.CSV"]]
    assert refusal(tmp_path, Export(lines={"SOLDES.CSV": lines}, counts={"SOLDES.CSV": 2})) == "sdgi.count_mismatch"
    reading = read(tmp_path, Export(lines={"SOLDES.CSV": lines}, counts={"SOLDES.CSV": 3}))
    assert outcomes(reading, "SOLDES.CSV") == [("2", "ok"), ("3", "ignored"), ("4", "ignored")]


def test_a_quote_that_is_never_closed_swallows_records(tmp_path: Path) -> None:
    lines = ['IM001;"RÉSIDENCE;;;;;;;;', "IM002;;;;;;;;;"]
    export = Export(lines={"IMMEUBLES.CSV": lines}, counts={"IMMEUBLES.CSV": 2})
    assert refusal(tmp_path, export) == "sdgi.count_mismatch"


def test_a_quote_that_swallows_megabytes_is_given_up(tmp_path: Path) -> None:
    # Digests of numbers: text that does not compress as a bomb would.
    swallowed = [f"IM{number};{hashlib.sha256(bytes([number % 251])).hexdigest() * 20}" for number in range(14_000)]
    export = Export(lines={"IMMEUBLES.CSV": ['IM001;"RÉSIDENCE;;;;;;;;', *swallowed]}, counts={"IMMEUBLES.CSV": 1})
    path = export.write(tmp_path, zipfile.ZIP_STORED).path
    assert path is not None
    with pytest.raises(DeliveryRefused, match=r"sdgi\.count_mismatch"):
        Sdgi().open(delivery(path), Known(SIRET))


@pytest.mark.parametrize(
    "header",
    [
        HEADERS["LOTS.CSV"].replace("Nature", "Genre"),
        HEADERS["LOTS.CSV"].replace("Nature;", ""),
        HEADERS["LOTS.CSV"] + ";Remarque",
        HEADERS["LOTS.CSV"] + ";",
        HEADERS["LOTS.CSV"].replace("Nature", ""),
        HEADERS["LOTS.CSV"].replace("Nature", "Porte"),
        HEADERS["LOTS.CSV"] + ";Nature",
        HEADERS["LOTS.CSV"] + ";Numéro lot",
        HEADERS["LOTS.CSV"].replace(";", ","),
        "IM001;1;CAVE;;;;;;;",
    ],
    ids=[
        "unknown",
        "missing",
        "more",
        "unnamed",
        "emptied",
        "replaced",
        "double",
        "double by alias",
        "commas",
        "a line",
    ],
)
def test_a_header_that_is_not_the_contract_s_has_drifted(tmp_path: Path, header: str) -> None:
    assert refusal(tmp_path, Export(headers={"LOTS.CSV": header})) == "sdgi.header_drift"


def test_an_empty_file_has_no_header(tmp_path: Path) -> None:
    assert refusal(tmp_path, Export(raw={"LOTS.CSV": b""})) == "sdgi.header_drift"


def test_the_count_of_a_file_counts_before_its_header_and_after_its_encoding(tmp_path: Path) -> None:
    assert refusal(tmp_path, Export(raw={"LOTS.CSV": b"x\r\n"}, counts={"LOTS.CSV": 3})) == "sdgi.count_mismatch"
    assert refusal(tmp_path, Export(raw={"LOTS.CSV": "é".encode()}, counts={"LOTS.CSV": 3})) == "sdgi.encoding"


def test_files_are_looked_into_one_after_the_other(tmp_path: Path) -> None:
    export = Export(headers={"IMMEUBLES.CSV": "x"}, raw={"LOTS.CSV": "é".encode()})
    assert refusal(tmp_path, export) == "sdgi.header_drift"


def account(balance: str, number: str = "467") -> list[str]:
    return ["P", "", "1", number, "05/01/2026", balance, "", ""]


def balances(*lines: list[str] | str, total: str | None) -> Export:
    return Export(lines={"SOLDES.CSV": lines}, total=total)


def test_the_total_must_be_there(tmp_path: Path) -> None:
    assert refusal(tmp_path, balances(total=None)) == "sdgi.total_mismatch"
    assert refusal(tmp_path, balances(account("1,00"), total=None)) == "sdgi.total_mismatch"


def test_the_total_must_be_the_last_line(tmp_path: Path) -> None:
    export = balances("TOTAL;;;;;1,00;;", account("1,00"), total=None)
    assert refusal(tmp_path, export) == "sdgi.total_mismatch"


@pytest.mark.parametrize("total", ["8,99", "-9,00", "9 00", "", "NC", "neuf"])
def test_the_total_must_be_the_sum(tmp_path: Path, total: str) -> None:
    export = balances(account("10,00"), account("1,00-", "468"), total=f"TOTAL;;;;;{total};;")
    assert refusal(tmp_path, export) == "sdgi.total_mismatch"


def test_the_sum_reads_every_way_to_write_money(tmp_path: Path) -> None:
    said = ["1 234,56", "1\u00a0000", "-34,5", "(0,06)", "200,00- €"]
    lines = [account(balance, str(number)) for number, balance in enumerate(said)]
    assert len(read(tmp_path, balances(*lines, total="TOTAL;;;;;2 000,00 €;;")).rows["account"]) == 5


def test_lines_that_will_be_quarantined_are_part_of_the_sum(tmp_path: Path) -> None:
    export = balances(account("1,00"), ["X", *account("2,00", "468")[1:]], total="TOTAL;;;;;3,00;;")
    assert outcomes(read(tmp_path, export), "SOLDES.CSV") == [("2", "ok"), ("3", "row.bad_enum"), ("4", "ignored")]


@pytest.mark.parametrize(
    "line", ["P;;1;468;;0,00;", "P;;1;468;;0,00;;;", "P;;1;468;;zéro;;", "P;;1;468;;;;", "P;;1;468;;NC;;"]
)
def test_a_balance_that_cannot_be_counted_refuses_the_delivery(tmp_path: Path, line: str) -> None:
    assert refusal(tmp_path, balances(line, total="TOTAL;;;;;0,00;;")) == "sdgi.total_mismatch"


def test_a_total_of_the_wrong_width_refuses_the_delivery(tmp_path: Path) -> None:
    assert refusal(tmp_path, balances(total="TOTAL;;;;;0,00;")) == "sdgi.total_mismatch"


@pytest.mark.parametrize("word_first", [True, False])
def test_the_total_stands_under_the_balance_wherever_the_header_puts_it(tmp_path: Path, word_first: bool) -> None:
    header = "Solde;Type tiers (C/P/L);Code immeuble;N° tiers;N° compte;Date;Appel en cours;Echéance"
    wide = Export(headers={"SOLDES.CSV": header}, lines={"SOLDES.CSV": ["5,00;P;;1;467;;;"]}, total="5,00;TOTAL;;;;;;")
    if word_first:
        wide.headers["SOLDES.CSV"] = (
            "N° compte;Solde;Type tiers (C/P/L);Code immeuble;N° tiers;Date;Appel en cours;Echéance"
        )
        wide.lines["SOLDES.CSV"], wide.total = ["467;5,00;P;;1;;;"], "TOTAL;5,00;;;;;;"
    proved = opened(tmp_path, wide)
    assert proved.arrived.flags == ("header_reordered:SOLDES.CSV",)


def test_the_columns_count_before_the_total(tmp_path: Path) -> None:
    export = Export(headers={"SORTIES.CSV": "x"}, total=None)
    assert refusal(tmp_path, export) == "sdgi.header_drift"


def test_no_refusal_repeats_what_it_found(tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused) as caught:
        opened(tmp_path, Export(headers={"LOTS.CSV": "BELLERIVE Zoé;zoe@exemple.test"}))
    assert "BELLERIVE" not in str(caught.value)
    assert "LOTS.CSV" in str(caught.value)


NAMES = {
    "SDGI_A0002_20260105_0210.zip": True,
    "SDGI_A0002_20260105_0210.zip.tmp": False,
    "SDGI_A0002_20260105_0210.ZIP": False,
    "SDGI_A0002_20261305_0210.zip": False,
    "SDGI_A0002_20260105_2460.zip": False,
    "SDGI_A002_20260105_0210.zip": False,
    "SDGI_A0002_20260105.zip": False,
    "SDGI_A0002_２０２６０１０５_0210.zip": False,
}


@pytest.mark.parametrize(("name", "fits"), NAMES.items())
def test_a_name_has_a_code_a_day_and_a_time(tmp_path: Path, name: str, fits: bool) -> None:
    one = delivery(tmp_path / name)
    assert Sdgi().named(one) is fits
    assert Sdgi().day_of(one) == (date(2026, 1, 5) if fits else None)


def test_a_delivery_of_another_name_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused, match=r"delivery\.name"):
        Sdgi().open(delivery(tmp_path / "export.zip"), Known(SIRET))
