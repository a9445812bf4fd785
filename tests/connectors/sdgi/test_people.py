"""COPROPRIETAIRES, PROPRIETAIRES and LOCATAIRES become persons and what hangs on them."""

from datetime import date
from pathlib import Path

import pytest

from tests.connectors.sdgi.sending import Export, flags, outcomes, read, read_lines, rows

OWNERS, LANDLORDS, TENANTS = "COPROPRIETAIRES.CSV", "PROPRIETAIRES.CSV", "LOCATAIRES.CSV"
OWNER = {"Code immeuble": "IM001", "N° copropriétaire": "0004", "Nom": "BELLERIVE Zoé"}
WORKED = (
    "IM001;0004;Mme;BELLERIVE née VALMONT Zoé;12 RUE DU CHÂTEAU;;;1000;BOURG-EN-BRESSE;;06 00 01 23 45;;"
    '"zoe@Exemple.TEST / néant";3, 4;210;N;;;14/03/19;31/12/9999;;'
)


def test_the_worked_example_of_the_contract(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, OWNERS, WORKED)
    person = rows(reading, "person", "source_key", "kind", "last_name", "birth_name", "first_names", "postal_code")
    assert person == [("C:IM001:0004", "natural", "BELLERIVE", "VALMONT", "Zoé", "01000")]
    assert rows(reading, "person", "country", "title_raw", "title", "label_raw", "address_3", "city") == [
        (None, "Mme", "MME", "BELLERIVE née VALMONT Zoé", "12 RUE DU CHÂTEAU", "BOURG-EN-BRESSE")
    ]
    assert rows(reading, "contact", "source_key", "kind", "rank", "value", "value_raw") == [
        ("C:IM001:0004:email:1", "email", 1, "zoe@exemple.test", "zoe@Exemple.TEST"),
        ("C:IM001:0004:email:2", "email", 2, None, "néant"),
        ("C:IM001:0004:phone:1", "phone", 1, "+33600012345", "06 00 01 23 45"),
    ]
    owned = rows(
        reading, "co_ownership", "source_key", "lot_key", "person_key", "right", "start_date", "end_date", "soft"
    )
    assert owned == [
        (f"IM001:{lot}:0004", f"IM001:{lot}", "C:IM001:0004", "unknown", date(2019, 3, 14), None, True) for lot in "34"
    ]
    assert flags(reading)[0] == {"excel_zero", "multi_value", "email_invalid", "sentinel"}
    assert "bank_detail" not in reading.rows
    assert "council_membership" not in reading.rows


TITLES = {
    "M.": ("natural", "M", None, None),
    "": ("natural", None, None, None),
    "Me": ("natural", "OTHER", None, None),
    "M. et Mme": ("group", "M_MME", None, None),
    "Indiv.": ("group", "JOINT_OWNERS", None, None),
    "Hoirie": ("group", "ESTATE", None, None),
    "S.C.I.": ("legal", "COMPANY", "LES TILLEULS", "SCI"),
    "sarl": ("legal", "COMPANY", "LES TILLEULS", "SARL"),
    "Sté": ("legal", "COMPANY", "LES TILLEULS", None),
    "Association": ("legal", "COMPANY", "LES TILLEULS", None),
}


@pytest.mark.parametrize(("title", "expected"), TITLES.items(), ids=TITLES)
def test_a_title_says_what_kind_of_person_it_is(
    tmp_path: Path, title: str, expected: tuple[str, str | None, str | None, str | None]
) -> None:
    reading = read_lines(tmp_path, OWNERS, {**OWNER, "Civilité": title, "Nom": "LES TILLEULS"})
    assert rows(reading, "person", "kind", "title", "company_name", "legal_form") == [expected]
    assert rows(reading, "person", "label_raw", "title_raw") == [("LES TILLEULS", title or None)]


def test_a_label_is_split_only_when_it_is_certain(tmp_path: Path) -> None:
    labels = ["DE LA TOUR Anne-Marie", "TOUR et VALMONT Anne", "TOUR/VALMONT Anne", "Tour Anne", "TOUR"]
    lines = [
        {**OWNER, "N° copropriétaire": str(at), "Civilité": "Mme", "Nom": label} for at, label in enumerate(labels)
    ]
    found = rows(read_lines(tmp_path, OWNERS, *lines), "person", "last_name", "first_names")
    assert found == [("DE LA TOUR", "Anne-Marie"), *[(None, None)] * 4]


def test_the_three_address_lines_keep_their_places(tmp_path: Path) -> None:
    line = {
        **OWNER,
        "Adresse 1": "12 RUE",
        "Adresse 2": "BÂT A",
        "Adresse 3": "BP 1",
        "Pays": "Suisse",
        "Ville": "GENÈVE",
    }
    columns = ("address_1", "address_2", "address_3", "address_4", "country", "city")
    assert rows(read_lines(tmp_path, OWNERS, line), "person", *columns) == [
        ("BÂT A", None, "12 RUE", "BP 1", "CH", "GENÈVE")
    ]


LISTS = {
    "3, 4": ["3", "4"],
    "3;4 - 5": ["3", "4", "5"],
    "3-4": ["3-4"],
    " ,3,, 3 ,": ["3"],
    "'03": ["03"],
    "": [],
}


@pytest.mark.parametrize(("said", "expected"), LISTS.items(), ids=LISTS)
def test_a_list_of_lots_is_split(tmp_path: Path, said: str, expected: list[str]) -> None:
    reading = read_lines(tmp_path, OWNERS, {**OWNER, "Lots": said})
    assert rows(reading, "co_ownership", "source_key") == [(f"IM001:{lot}:0004",) for lot in expected]


@pytest.mark.parametrize(
    ("said", "expected"),
    [("14/03/49", date(2049, 3, 14)), ("14/03/50", date(1950, 3, 14)), ("14/03/1949", date(1949, 3, 14))],
)
def test_an_entry_date_has_two_or_four_digits_of_year(tmp_path: Path, said: str, expected: date) -> None:
    reading = read_lines(
        tmp_path, OWNERS, {**OWNER, "Lots": "1", "Date d'entrée": said, "Date de sortie": "01/02/2026"}
    )
    assert rows(reading, "co_ownership", "start_date", "end_date") == [(expected, date(2026, 2, 1))]


def test_a_council_member_has_a_seat_in_its_building(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, OWNERS, {**OWNER, "Conseil syndical (O/N)": "O"})
    columns = ("source_key", "person_key", "building_key", "function", "start_date", "end_date", "soft")
    assert rows(reading, "council_membership", *columns) == [
        ("C:IM001:0004:CS", "C:IM001:0004", "IM001", None, None, None, False)
    ]


@pytest.mark.parametrize(
    ("iban", "bic", "expected"),
    [
        ("fr14 2004 1010 0505 0001 3M02 606", "", [("C:IM001:0004:BQ", "FR1420041010050500013M02606", None)]),
        ("", "UNYGFRPPXXX", [("C:IM001:0004:BQ", None, "UNYGFRPPXXX")]),
        ("1,4E+25", "", [("C:IM001:0004:BQ", None, None)]),
        (" ", "", []),
    ],
)
def test_a_bank_detail_needs_an_iban_or_a_bic(tmp_path: Path, iban: str, bic: str, expected: list[object]) -> None:
    reading = read_lines(tmp_path, OWNERS, {**OWNER, "IBAN": iban, "BIC": bic})
    assert rows(reading, "bank_detail", "source_key", "iban", "bic") == expected


def test_a_representative_is_a_person_of_the_line(tmp_path: Path) -> None:
    line = {**OWNER, "Gérant": "CHÂTELET Agnès", "Adresse gérant": "154 BIS IMPASSE DU MOULIN\r\n13008 MARSEILLE"}
    reading = read_lines(tmp_path, OWNERS, line)
    person = rows(reading, "person", "source_key", "kind", "title", "label_raw", "address_3", "last_name")[1]
    assert person == (
        "C:IM001:0004:GE", "natural", None, "CHÂTELET Agnès", "154 BIS IMPASSE DU MOULIN 13008 MARSEILLE", None,
    )  # fmt: skip
    assert rows(reading, "person_link", "source_key", "group_key", "member_key", "kind") == [
        ("C:IM001:0004:C:IM001:0004:GE:representative", "C:IM001:0004", "C:IM001:0004:GE", "representative")
    ]
    assert flags(reading)[0] == {"newline"}


def test_the_address_of_nobody_makes_no_person(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, OWNERS, {**OWNER, "Adresse gérant": "154 BIS IMPASSE DU MOULIN"})
    assert rows(reading, "person", "source_key") == [("C:IM001:0004",)]


def test_numbers_of_an_overseas_person_are_read_in_their_own_region(tmp_path: Path) -> None:
    line = {**OWNER, "Code postal": "97400", "Téléphone 1": "0692 00 96 79", "Téléphone 2": "06 00 00 00 00"}
    reading = read_lines(tmp_path, OWNERS, line)
    assert rows(reading, "contact", "rank", "value") == [(1, "+262692009679"), (2, None)]
    assert flags(reading)[0] == {"phone_unparsed"}


def test_a_landlord(tmp_path: Path) -> None:
    line = {
        "N° propriétaire": "00003", "Civilité": "SCI", "Nom": "SCI LES TILLEULS", "Représentant": "GALLIENNE Hélène",
        "SIRET": "956 583 215 00010", "Adresse 1": "90 TER CHEMIN", "Code postal": "97400", "Email": "a@b.test",
        "BIC": "AGXXFRPPXXX",
    }  # fmt: skip
    reading = read_lines(tmp_path, LANDLORDS, line)
    assert rows(reading, "person", "source_key", "label_raw", "siren", "kind") == [
        ("P:00003", "SCI LES TILLEULS", "956583215", "legal"),
        ("P:00003:RE", "GALLIENNE Hélène", None, "natural"),
    ]
    assert rows(reading, "person_link", "source_key") == [("P:00003:P:00003:RE:representative",)]
    assert rows(reading, "bank_detail", "source_key", "person_key") == [("P:00003:BQ", "P:00003")]
    assert rows(reading, "contact", "source_key") == [("P:00003:email:1",)]


TENANT = {"N° locataire": "00009", "Civilité": "M.", "Nom": "ANDRÉANI Thibault"}


def test_a_spouse_is_linked_and_signs_nothing(tmp_path: Path) -> None:
    lease = {"N° bail": "B1", "N° locataire": "00009", "Code immeuble": "IM003", "N° lot": "3"}
    reading = read(tmp_path, Export(lines={TENANTS: [{**TENANT, "Conjoint": "ANDR?ANI Loïc"}], "BAUX.CSV": [lease]}))
    assert rows(reading, "person", "source_key", "label_raw") == [
        ("L:00009", "ANDRÉANI Thibault"), ("L:00009:CJ", "ANDR?ANI Loïc"),
    ]  # fmt: skip
    assert rows(reading, "person_link", "group_key", "member_key", "kind") == [("L:00009", "L:00009:CJ", "spouse")]
    assert rows(reading, "lease_party", "source_key", "person_key") == [("B1:P", "L:00009")]
    assert flags(reading)[0] == {"mojibake"}


def test_a_guarantor_has_an_address_and_a_phone_of_its_own(tmp_path: Path) -> None:
    line = {**TENANT, "Garant": "FRANÇOISE François", "Téléphone garant": "0600012345;12", "Adresse garant": "175 RUE"}
    reading = read_lines(tmp_path, TENANTS, line)
    assert rows(reading, "person", "source_key", "address_3") == [("L:00009", None), ("L:00009:GA", "175 RUE")]
    assert rows(reading, "contact", "source_key", "person_key", "value") == [
        ("L:00009:GA:phone:1", "L:00009:GA", "+33600012345"),
        ("L:00009:GA:phone:2", "L:00009:GA", None),
    ]
    assert "person_link" not in reading.rows
    assert flags(reading)[0] == {"multi_value", "phone_unparsed"}


def test_a_phone_of_no_guarantor_is_not_read(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, TENANTS, {**TENANT, "Téléphone garant": "12", "Adresse garant": "A?B\r\nC"})
    assert rows(reading, "person", "source_key") == [("L:00009",)]
    assert "contact" not in reading.rows
    assert flags(reading)[0] == set()


@pytest.mark.parametrize(
    ("said", "expected"), [("05/01/26", date(2026, 1, 5)), ("06/01/26", date(1926, 1, 6)), ("", None), ("NC", None)]
)
def test_a_birth_date_is_not_after_the_day_of_delivery(tmp_path: Path, said: str, expected: date | None) -> None:
    reading = read_lines(tmp_path, TENANTS, {**TENANT, "Date naiss.": said})
    assert rows(reading, "person", "birth_date") == [(expected,)]


def test_a_tenant_s_phone_is_read_in_the_region_of_france(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, TENANTS, {**TENANT, "Téléphone 1": "0692009679"})
    assert rows(reading, "contact", "value") == [(None,)]


def test_all_rows_of_a_quarantined_person_stay_out(tmp_path: Path) -> None:
    line = {
        **OWNER, "Gérant": "X", "IBAN": "FR1", "Lots": "1, 2", "Email": "a@b.test", "Téléphone 1": "0600012345",
        "Conseil syndical (O/N)": "X",
    }  # fmt: skip
    good = {**OWNER, "N° copropriétaire": "0005", "Email": "c@d.test"}
    reading = read_lines(tmp_path, OWNERS, line, good)
    assert outcomes(reading, OWNERS) == [("2", "row.bad_enum"), ("3", "ok")]
    assert set(reading.rows) == {"person", "contact"}
    assert rows(reading, "contact", "source_key") == [("C:IM001:0005:email:1",)]
