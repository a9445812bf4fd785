"""The register of agencies 1.0: what is loaded, what is put aside, what is kept of an erased agency."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from schemas.errors import Malformed, Refused
from schemas.ids import AgencyCode, System
from schemas.window import EndReason, RestrictionScope
from store import register
from store.keys import LocalRoot
from store.register import HEADER

A1, A3 = AgencyCode("A0001"), AgencyCode("A0003")
LINE = "A0001;AGENCE DU PARC;90403487300011;2023-07-20;;;;;spilasuite,sdgi,gpi,login;dpo@agence.example"
ENDED = "A0003;AGENCE VILLA;97304523000016;2023-07-20;2026-01-06;RESILIATION;;;spilasuite,login;dpo@agence.example"
COLUMNS = dict(zip(HEADER, LINE.split(";"), strict=True))
AT = dt.datetime(2026, 1, 14, 0, 0, tzinfo=dt.UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'house.sqlite'}")
    with engine.connect() as connection:
        register.create(connection)
        yield connection


def file(folder: Path, *rows: str, day: str = "20260105") -> Path:
    path = folder / f"AGENCES_{day}.csv"
    path.write_text("\n".join([";".join(HEADER), *rows, ""]))
    return path


def row(**changes: str) -> str:
    return ";".join((COLUMNS | changes).values())


def load(db: Connection, folder: Path, *rows: str, day: str = "20260105") -> dict[str, Any]:
    return register.load(db, file(folder, *rows, day=day)).as_json()


def quarantined(report: dict[str, Any]) -> list[tuple[int, str]]:
    return [(q["line"], q["reason"]) for q in report["quarantined"]]


# -- the samples -------------------------------------------------------------------------------------------------------


def test_a_register_is_loaded_with_every_column(db: Connection, tmp_path: Path) -> None:
    restricted = row(restriction="2026-02-01", restriction_portee="ACCES", date_fin="2026-12-31", motif_fin="CESSION")
    report = load(db, tmp_path, restricted, ENDED)
    assert (report["outcome"], report["system"], report["agency"]) == ("accepted", "agencies", None)
    assert report["tables"]["AGENCES"] == {"read": 2, "stored": 2, "unchanged": 0, "quarantined": 0, "ignored": 0}
    agency = register.get(db, A1)
    assert agency is not None
    assert (agency.legal_name, agency.siret, agency.end_reason) == (
        "AGENCE DU PARC",
        "90403487300011",
        EndReason.CESSION,
    )
    assert (agency.contract.start, agency.contract.end) == (dt.date(2023, 7, 20), dt.date(2026, 12, 31))
    assert (agency.contract.restriction, agency.contract.restriction_scope) == (
        dt.date(2026, 2, 1),
        RestrictionScope.ACCES,
    )
    assert agency.contract.systems == {System.SPILASUITE, System.SDGI, System.GPI, System.LOGIN}
    assert [a.code for a in register.everyone(db)] == [A1, A3]
    assert register.get(db, AgencyCode("A0002")) is None


def test_a_code_that_is_no_code_is_put_aside_with_its_line_and_stands_nowhere(db: Connection, tmp_path: Path) -> None:
    bad = [
        "../../A1",
        '"A0001;DROP"',
        "a0001",
        "A001",
        "A00011",
        " A0001",
        "A0001 ",
        '"A0001\n"',
        "",
        "Ａ0001",
        "A0001\0",
    ]
    rows = [row(code_agence=code) for code in bad]
    report = load(db, tmp_path, *rows, LINE)
    assert {reason for _, reason in quarantined(report)} == {"agency.bad_code"}
    assert quarantined(report)[:3] == [(2, "agency.bad_code"), (3, "agency.bad_code"), (4, "agency.bad_code")]
    assert len(report["quarantined"]) == len(bad)
    assert [a.code for a in register.everyone(db)] == [A1]
    assert "DROP" not in str(report)
    assert "../" not in str(report)
    db.commit()
    assert b"DROP" not in (tmp_path / "house.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(LINE + ";more", "row.field_count", id="a field too many"),
        pytest.param(";".join(LINE.split(";")[:-1]), "row.field_count", id="a field too few"),
        pytest.param("../x" + LINE + ";more", "row.field_count", id="field count before the code"),
        pytest.param(row(raison_sociale=""), "row.missing_key", id="no name"),
        pytest.param(row(raison_sociale=" "), "row.missing_key", id="a blank name"),
        pytest.param(row(siret=""), "row.missing_key", id="no SIRET"),
        pytest.param(row(raison_sociale="A\0B"), "row.nul_byte", id="NUL"),
        pytest.param(row(raison_sociale="A\x07B"), "row.control_char", id="control character"),
        pytest.param(row(siret="9040348730001"), "row.bad_number", id="SIRET of 13 digits"),
        pytest.param(row(siret="904034873000111"), "row.bad_number", id="SIRET of 15 digits"),
        pytest.param(row(siret="9,0403487E+13"), "row.bad_number", id="SIRET in scientific notation"),
        pytest.param(row(siret="٩٠٤٠٣٤٨٧٣٠٠٠١١"), "row.bad_number", id="SIRET in other figures"),
        pytest.param(row(date_debut=""), "row.bad_date", id="no beginning"),
        pytest.param(row(date_debut="20/07/2023"), "row.bad_date", id="French date"),
        pytest.param(row(date_debut="2023-7-20"), "row.bad_date", id="short date"),
        pytest.param(row(date_debut="1900-01-01"), "row.bad_date", id="a sentinel is no beginning"),
        pytest.param(row(date_fin="2026-02-29"), "row.bad_date", id="impossible date"),
        pytest.param(row(date_fin="2023-07-19"), "row.bad_date", id="an end before the beginning"),
        pytest.param(row(date_fin="9999-12-30"), "row.bad_date", id="an end whose window cannot be written"),
        pytest.param(row(motif_fin="LIQUIDATION"), "row.bad_enum", id="unknown reason"),
        pytest.param(row(restriction="2026-02-01"), "row.bad_enum", id="a restriction without its scope"),
        pytest.param(row(restriction_portee="ACCES"), "row.bad_date", id="a scope without its date"),
        pytest.param(row(restriction="2026-02-01", restriction_portee="TOUT"), "row.bad_enum", id="unknown scope"),
        pytest.param(
            row(restriction="demain", restriction_portee="ACCES"), "row.bad_date", id="restriction is no date"
        ),
        pytest.param(row(systemes=""), "row.bad_enum", id="no system"),
        pytest.param(row(systemes="sdgi,excel"), "row.bad_enum", id="unknown system"),
        pytest.param(row(systemes="portal"), "row.bad_enum", id="the portal is no system of an agency"),
        pytest.param(row(date_debut="x", motif_fin="x"), "row.bad_date", id="the leftmost column speaks first"),
    ],
)
def test_a_row_that_is_wrong_is_put_aside_with_its_reason(
    db: Connection, tmp_path: Path, line: str, reason: str
) -> None:
    report = load(db, tmp_path, ENDED, line)
    assert quarantined(report) == [(3, reason)]
    assert report["tables"]["AGENCES"] == {"read": 2, "stored": 1, "unchanged": 0, "quarantined": 1, "ignored": 0}
    assert register.get(db, A1) is None


def test_values_are_normalised_as_everywhere(db: Connection, tmp_path: Path) -> None:
    load(
        db,
        tmp_path,
        row(raison_sociale=' "AGENCE  ""DU"" PARC" '.strip(), siret="904 034 873 00011", systemes="login, sdgi"),
    )
    agency = register.get(db, A1)
    assert agency is not None
    assert (agency.legal_name, agency.siret) == ('AGENCE "DU" PARC', "90403487300011")
    assert agency.contract.systems == {System.SDGI, System.LOGIN}


def test_a_sentinel_is_no_end_and_is_told(db: Connection, tmp_path: Path) -> None:
    report = load(db, tmp_path, row(date_fin="9999-12-31"))
    assert report["flags"] == {"sentinel": 1}
    agency = register.get(db, A1)
    assert agency is not None
    assert agency.contract.end is None


def test_a_repeated_row_is_ignored_and_a_contradicting_one_put_aside(db: Connection, tmp_path: Path) -> None:
    report = load(db, tmp_path, LINE, LINE, row(raison_sociale="AUTRE"))
    assert quarantined(report) == [(4, "row.duplicate_key")]
    assert report["tables"]["AGENCES"] == {"read": 3, "stored": 1, "unchanged": 0, "quarantined": 1, "ignored": 1}
    assert report["flags"] == {"row_repeated": 1}


def test_lines_are_counted_where_records_start(db: Connection, tmp_path: Path) -> None:
    report = load(db, tmp_path, row(raison_sociale='"AGENCE\nDU PARC"'), "", row(code_agence="bad"))
    assert quarantined(report) == [(5, "agency.bad_code")]


# -- files that are refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("AGENCES.csv", b"", "delivery.name"),
        ("AGENCES_20260231.csv", b"", "delivery.name"),
        ("agences_20260105.csv", b"", "delivery.name"),
        ("AGENCES_20260105.csv", b"\xe9", "agencies.encoding"),
        ("AGENCES_20260105.csv", b"", "agencies.header_drift"),
        ("AGENCES_20260105.csv", b"code_agence;siret\n", "agencies.header_drift"),
        ("AGENCES_20260105.csv", b"\xef\xbb\xbf" + ";".join(HEADER).encode() + b"\n", "agencies.header_drift"),
        ("AGENCES_20260105.csv", ";".join(HEADER).encode() + b"\r\n" + LINE.encode(), None),
        ("AGENCES_20260105.csv", (";".join(HEADER) + '\nA0001;"AGENCE').encode(), "agencies.not_csv"),
        ("AGENCES_20260105.csv", (";".join(HEADER) + "\nA0001;" + "x" * 200_000).encode(), "agencies.not_csv"),
    ],
)
def test_a_file_that_is_no_register_is_refused_whole(
    db: Connection, tmp_path: Path, name: str, content: bytes, reason: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    report = register.load(db, tmp_path / name)
    assert report.reason == reason
    assert report.outcome == ("refused" if reason else "accepted")


def test_a_file_that_cannot_be_read_says_what_to_do(db: Connection, tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"AGENCES_<AAAAMMJJ>\.csv"):
        register.load(db, tmp_path / "AGENCES_20260105.csv")


def test_an_older_register_than_the_last_one_is_refused_and_changes_nothing(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE, day="20260107")
    report = load(db, tmp_path, row(raison_sociale="ANCIENNE"), day="20260106")
    assert (report["outcome"], report["reason"]) == ("refused", "agencies.out_of_order")
    agency = register.get(db, A1)
    assert agency is not None
    assert agency.legal_name == "AGENCE DU PARC"


def test_the_register_of_a_day_may_be_corrected_on_that_day(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE)
    report = load(db, tmp_path, row(raison_sociale="AGENCE DES LILAS"))
    assert (report["outcome"], report["tables"]["AGENCES"]["stored"]) == ("accepted", 1)


def test_loading_twice_is_loading_once(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE, ENDED)
    before = register.everyone(db)
    assert load(db, tmp_path, LINE, ENDED)["tables"]["AGENCES"]["unchanged"] == 2
    assert register.everyone(db) == before


def test_an_agency_that_a_newer_register_does_not_name_keeps_its_last_row(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE, ENDED)
    load(db, tmp_path, LINE, day="20260106")
    kept = register.get(db, A3)
    assert kept is not None
    assert kept.contract.end == dt.date(2026, 1, 6)


# -- the contact's address ---------------------------------------------------------------------------------------------


def test_the_address_of_the_contact_is_kept_sealed_or_not_at_all(db: Connection, tmp_path: Path) -> None:
    sealer = LocalRoot(bytes(32))
    register.load(db, file(tmp_path, LINE), sealer)
    assert register.contact(db, A1, sealer) == "dpo@agence.example"
    report = register.load(db, file(tmp_path, row(contact_dpo="rgpd@agence.example")), sealer)
    assert report.tables["AGENCES"].stored == 1
    assert register.contact(db, A1, sealer) == "rgpd@agence.example"
    assert (
        register.load(db, file(tmp_path, row(contact_dpo="rgpd@agence.example")), sealer).tables["AGENCES"].unchanged
        == 1
    )
    db.commit()
    assert b"@agence.example" not in (tmp_path / "house.sqlite").read_bytes()


def test_without_a_seal_no_address_is_kept(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE)
    assert register.contact(db, A1, LocalRoot(bytes(32))) is None


# -- erasure and new start ---------------------------------------------------------------------------------------------


def test_of_an_erased_agency_only_the_code_the_end_and_the_day_are_kept(db: Connection, tmp_path: Path) -> None:
    register.load(db, file(tmp_path, LINE, ENDED), LocalRoot(bytes(32)))
    register.mark_erased(db, A3, AT)
    db.commit()
    with sqlite3.connect(tmp_path / "house.sqlite") as raw:
        raw.row_factory = sqlite3.Row
        kept = dict(raw.execute("SELECT * FROM agency WHERE code = 'A0003'").fetchone())
    assert {c: v for c, v in kept.items() if v is not None} == {
        "code": "A0003", "date_fin": "2026-01-06", "erased_on": "2026-01-14 00:00:00.000000", "closed": "2026-01-06",
    }  # fmt: skip
    erased = register.get(db, A3)
    assert erased is not None
    assert (erased.erased_on, erased.contract.erased, erased.legal_name) == (AT, True, None)
    assert register.erased_codes(db) == {A3}


def test_marking_twice_keeps_the_first_instant(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, ENDED)
    register.mark_erased(db, A3, AT)
    register.mark_erased(db, A3, AT + dt.timedelta(days=1))
    erased = register.get(db, A3)
    assert erased is not None
    assert erased.erased_on == AT


def test_an_agency_that_runs_or_is_unknown_cannot_be_marked_as_erased(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE)
    for code in (A1, A3):
        with pytest.raises(Refused):
            register.mark_erased(db, code, AT)


def test_the_same_register_again_does_not_bring_an_erased_agency_back(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, ENDED)
    register.mark_erased(db, A3, AT)
    for day, line in [
        ("20260105", ENDED),
        ("20260115", ENDED),
        ("20260116", ENDED.replace("2026-01-06", "2026-01-02")),
    ]:
        assert load(db, tmp_path, line, day=day)["tables"]["AGENCES"]["unchanged"] == 1
    erased = register.get(db, A3)
    assert erased is not None
    assert erased.contract.erased
    assert erased.legal_name is None


@pytest.mark.parametrize("end", ["", "2026-01-07", "2027-01-01"])
def test_a_later_end_or_none_after_the_erasure_is_a_new_start(db: Connection, tmp_path: Path, end: str) -> None:
    load(db, tmp_path, ENDED)
    register.mark_erased(db, A3, AT)
    load(db, tmp_path, ENDED.replace("2026-01-06", end), day="20260115")
    agency = register.get(db, A3)
    assert agency is not None
    assert not agency.contract.erased
    assert agency.contract.end == (dt.date.fromisoformat(end) if end else None)
    assert agency.legal_name == "AGENCE VILLA"
    assert not agency.end_moved
    assert register.erased_codes(db) == set()


def test_a_row_reduced_before_its_erasure_is_finished_stays_due(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, ENDED)
    assert register.reduce_row(db, A3, dt.date(2026, 1, 6))
    assert not register.reduce_row(db, A3, dt.date(2026, 1, 6))
    assert not register.reduce_row(db, A1, dt.date(2026, 1, 6))
    agency = register.get(db, A3)
    assert agency is not None
    assert (agency.contract.end, agency.contract.erased) == (dt.date(2026, 1, 6), False)


# -- ends that are set and moved ---------------------------------------------------------------------------------------


def test_an_end_is_dated_by_the_register_that_gave_it(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE)
    load(db, tmp_path, row(date_fin="2026-01-31"), day="20260110")
    load(db, tmp_path, row(date_fin="2026-01-31", raison_sociale="AUTRE"), day="20260111")
    agency = register.get(db, A1)
    assert agency is not None
    assert (agency.end_set_on, agency.end_moved) == (dt.date(2026, 1, 10), True)


def test_an_end_that_came_with_the_agency_was_not_moved(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, ENDED)
    agency = register.get(db, A3)
    assert agency is not None
    assert (agency.end_set_on, agency.end_moved) == (dt.date(2026, 1, 5), False)


def test_each_end_set_or_moved_waits_to_be_noted_once(db: Connection, tmp_path: Path) -> None:
    load(db, tmp_path, LINE, ENDED)
    assert [a.code for a in register.to_note(db)] == [A3]
    register.noted(db, [A3])
    assert register.to_note(db) == ()
    load(db, tmp_path, row(date_fin="2026-06-30"), ENDED, day="20260106")
    assert [a.code for a in register.to_note(db)] == [A1]
    register.noted(db, [A1])
    load(db, tmp_path, LINE, ENDED, day="20260107")
    assert [a.code for a in register.to_note(db)] == [A1], "an end that is taken away is noted too"
