"""GPI, "Keys" and "Records": what each type of record yields."""

from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.gpi import Gpi
from tests.connectors.gpi.envois import envoi, heard, opened, record

PERSON_TYPES = [("20", {"NUMCOP": "1"}), ("25", {"NUMCOP": "1", "NUMORD": "1"}), ("30", {"NUMPRO": "1"}),
                ("40", {"NUMLOC": "1"}), ("47", {"NUMBAI": "1", "NUMORD": "1"})]  # fmt: skip


def only(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def filled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None and name not in ("source_key", "soft")}


# ---------------------------------------------------------------- the contract's worked examples


def test_the_worked_example_of_a_record_60_reads_as_the_contract_says(tmp_path: Path) -> None:
    said = "60M0000002A0001CO00000012G000034500000000120501260000000001523P              000000"
    answer = heard(tmp_path, said.encode("cp850").ljust(512))
    assert answer.row("account") == {
        "soft": False, "source_key": "CO:00000012:G00003:450000000012", "person_key": "CO:00000012",
        "building_key": "G00003", "number": "450000000012", "balance": -15237, "as_of": date(2026, 1, 5),
        "called_amount": None, "due_date": None,
    }  # fmt: skip


def test_the_worked_example_of_a_record_20_reads_as_the_contract_says(tmp_path: Path) -> None:
    said = "20C0000002A0001G00001000000122P BELLERIVE/Zoé "
    answer = heard(tmp_path, said.encode("cp850").ljust(512))
    person = answer.row("person")
    assert only(person, "source_key", "title_raw", "title", "last_name", "first_names", "label_raw") == (
        "CO:00000012", "2", "MME", "BELLERIVE", "Zoé", "BELLERIVE/Zoé",
    )  # fmt: skip
    assert answer.row("holding") == {"soft": False, "source_key": "CO:00000012", "right": "full"}


def test_the_fields_of_a_record_25_lie_where_the_contract_says(tmp_path: Path) -> None:
    cells = bytearray(b" " * 512)
    for first, said in (
        (1, "25C"), (11, "A0001"), (16, "G00001"), (22, "00000009"), (30, "02"), (32, "1"), (33, "U"),
        (34, "MODÈLE/Éloi"), (94, "00001"), (99, "00003"), (104, "O"), (105, "ETAGE 1"), (143, "BATIMENT B"),
        (181, "9 RUE DES ESSAIS"), (219, "CS 70001"), (257, "75011"), (262, "PARIS"), (294, "FRA"),
        (297, "eloi@courriel.test"),
    ):  # fmt: skip
        cells[first - 1 : first - 1 + len(said)] = said.encode("cp850")
    answer = heard(tmp_path, bytes(cells))
    assert filled(answer.row("person")) == {
        "kind": "natural", "title_raw": "1", "title": "M", "last_name": "MODÈLE", "first_names": "Éloi",
        "label_raw": "MODÈLE/Éloi", "address_1": "ETAGE 1", "address_2": "BATIMENT B", "address_3": "9 RUE DES ESSAIS",
        "address_4": "CS 70001", "postal_code": "75011", "city": "PARIS", "country": "FR",
    }  # fmt: skip
    assert answer.row("contact")["source_key"] == "CO:00000009:02:email:1"


# ---------------------------------------------------------------- property


@pytest.mark.parametrize(
    ("managed", "is_syndic", "is_rental"),
    [("S", True, False), ("G", False, True), ("M", True, True), ("", False, False)],
)
def test_a_record_10_yields_a_building(tmp_path: Path, managed: str, is_syndic: bool, is_rental: bool) -> None:
    building = record(
        "10", CODIMM="G00001", NOMIMM="LE BELVÉDÈRE", IMMATR="AA0000001", ADRL2="NOT STORED",
        ADRL4="4 COURS DES ESSAIS", CODPOS="20200", LIBACH="BASTIA", CODPAY="FRA", CODINS="2B033",
        NBLOTS="?", TYPGES=managed, CODGES="G001", DATENT="999999", DATSOR="999999",
    )  # fmt: skip
    answer = heard(tmp_path, building)
    assert answer.row("building") == {
        "soft": False, "source_key": "G00001", "code": "G00001", "name": "LE BELVÉDÈRE",
        "registry_number": "AA0000001",
        "siret": None, "address_4": "4 COURS DES ESSAIS", "postal_code": "20200",
        "city": "BASTIA", "insee_code": "2B033", "is_syndic": is_syndic, "is_rental": is_rental, "manager_key": "G001",
    }  # fmt: skip


def test_a_record_15_yields_a_lot_its_shares_and_softly_its_owner(tmp_path: Path) -> None:
    lot = record(
        "15", CODIMM="G00001", NUMLOT="000007", TYPLOT="AP", BATIME="A", ESCALI="2", ETAGE="-1", PORTE="12",
        SURFAC=3312, TANGEN=802, TANBAS=10000, NUMCOP="00000002", DATMUT="050618",
    )  # fmt: skip
    answer = heard(tmp_path, lot)
    assert filled(answer.row("lot")) == {
        "building_key": "G00001", "number": "000007", "nature": "AP", "block": "A", "staircase": "2", "floor": "-1",
        "door": "12", "area_m2": 3312,
    }  # fmt: skip
    assert answer.row("lot_share") == {
        "soft": False, "source_key": "G00001:000007:GEN", "lot_key": "G00001:000007", "share_code": "GEN",
        "shares": 802, "base": 10000,
    }  # fmt: skip
    assert answer.row("co_ownership") == {
        "soft": True, "source_key": "G00001:000007:00000002", "lot_key": "G00001:000007", "person_key": "CO:00000002",
        "right": "unknown", "start_date": date(2018, 6, 5), "end_date": None,
    }  # fmt: skip


def test_a_lot_without_shares_and_owner_yields_only_itself(tmp_path: Path) -> None:
    answer = heard(tmp_path, record("15", CODIMM="G00001", NUMLOT="000007", SURFAC=0, DATMUT="000000"))
    assert answer.row("lot")["area_m2"] is None
    assert (answer.rows("lot_share"), answer.rows("co_ownership")) == ([], [])


def test_zero_shares_are_a_value(tmp_path: Path) -> None:
    share = heard(tmp_path, record("15", CODIMM="G00001", NUMLOT="000007", TANGEN=0, TANBAS=0)).row("lot_share")
    assert only(share, "shares", "base") == (0, 0)


# ---------------------------------------------------------------- persons


@pytest.mark.parametrize(
    ("code", "title", "kind"),
    [("1", "M", "natural"), ("2", "MME", "natural"), ("3", "MME", "natural"), ("4", "M_MME", "group"),
     ("5", "COMPANY", "legal"), ("6", "JOINT_OWNERS", "group"), ("7", "ESTATE", "group"), ("9", "OTHER", "natural"),
     ("Z", "OTHER", "natural"), ("", None, "natural")],
)  # fmt: skip
@pytest.mark.parametrize(("type_", "key"), PERSON_TYPES, ids=[t for t, _ in PERSON_TYPES])
def test_title_and_kind_follow_the_quality_in_every_record_of_a_person(
    tmp_path: Path, type_: str, key: dict[str, str], code: str, title: str | None, kind: str
) -> None:
    person = heard(tmp_path, record(type_, CODQUA=code, NOMPRE="ESSAI/Ana", **key)).row("person")
    assert only(person, "title_raw", "title", "kind", "label_raw") == (code or None, title, kind, "ESSAI/Ana")
    split = ("ESSAI", "Ana") if code in ("1", "2", "3") else (None, None)
    assert only(person, "last_name", "first_names") == split
    assert person["company_name"] == ("ESSAI/Ana" if code == "5" else None)


@pytest.mark.parametrize("label", ["ESSAI Ana", "ESSAI/Ana/Bis"], ids=["no slash", "two slashes"])
def test_a_name_without_exactly_one_slash_is_not_split(tmp_path: Path, label: str) -> None:
    person = heard(tmp_path, record("20", NUMCOP="1", CODQUA="1", NOMPRE=label)).row("person")
    assert only(person, "label_raw", "last_name", "first_names") == (label, None, None)


@pytest.mark.parametrize(
    ("type_", "field", "key"), [("20", "NUMCOP", "CO:1"), ("30", "NUMPRO", "PR:1"), ("40", "NUMLOC", "LO:1")]
)
def test_a_spouse_is_a_person_of_his_own_linked_to_the_first(tmp_path: Path, type_: str, field: str, key: str) -> None:
    couple = record(type_, **{field: "1"}, CODQUA="5", NOMPRE="ESSAI", NOMCJT="MODÈLE/Éloi", LIBACH="PARIS")
    answer = heard(tmp_path, couple)
    assert filled(answer.row_at("person", f"{key}:CJ")) == {
        "kind": "natural", "label_raw": "MODÈLE/Éloi", "last_name": "MODÈLE", "first_names": "Éloi",
    }  # fmt: skip
    link = answer.row("person_link")
    assert link["source_key"] == f"{key}:{key}:CJ:spouse"
    assert only(link, "group_key", "member_key", "kind") == (key, f"{key}:CJ", "spouse")


def test_a_person_without_a_spouse_has_no_link(tmp_path: Path) -> None:
    answer = heard(tmp_path, record("40", NUMLOC="1", NOMPRE="ESSAI/Ana"))
    assert (len(answer.rows("person")), answer.rows("person_link")) == (1, [])


def test_mobile_comes_before_home_phone_and_the_postal_code_gives_the_region(tmp_path: Path) -> None:
    reunion = record(
        "20", NUMCOP="1", CODPOS="97400", CODPAY="FRA", TELDOM="0262001234", TELPOR="0692001234",
        ADRMEL="Ana@Courriel.TEST",
    )  # fmt: skip
    contacts = {row["source_key"]: row["value"] for row in heard(tmp_path, reunion).rows("contact")}
    assert contacts == {
        "CO:1:email:1": "Ana@courriel.test",
        "CO:1:phone:1": "+262692001234",
        "CO:1:phone:2": "+262262001234",
    }


def test_a_landlord_has_a_legal_form_and_a_siren_unless_it_is_all_zeros(tmp_path: Path) -> None:
    company = record("30", NUMPRO="1", FORJUR="SCI", SIREN="123456782")
    nobody = record("30", NUMPRO="2", SIREN="000000000", CODDRO="?", CODDEM="?")
    answer = heard(tmp_path, company, nobody)
    assert only(answer.row_at("person", "PR:1"), "legal_form", "siren") == ("SCI", "123456782")
    assert only(answer.row_at("person", "PR:2"), "legal_form", "siren") == (None, None)


def test_a_birth_date_is_never_after_the_day_of_delivery(tmp_path: Path) -> None:
    born = [record("40", NUMLOC=str(i), DATNAI=said, LIENAI="PARIS") for i, said in enumerate(("080126", "090126"))]
    answer = heard(tmp_path, *born, day="080126")
    assert [row["birth_date"] for row in answer.rows("person")] == [date(2026, 1, 8), date(1926, 1, 9)]
    assert answer.rows("person")[0]["birth_place"] == "PARIS"


@pytest.mark.parametrize(("said", "consent"), [("O", True), ("N", False), ("", None)])
def test_consent_to_mail_is_yes_no_or_unknown(tmp_path: Path, said: str, consent: bool | None) -> None:
    assert heard(tmp_path, record("20", NUMCOP="1", TOPMEL=said)).row("person")["digital_consent"] is consent


@pytest.mark.parametrize(
    ("right", "holding", "said"),
    [("U", "I", "usufruct"), ("N", "", "bare"), ("", "I", "unknown"), ("", "", "unknown"), ("P", "C", "joint"),
     ("P", "I", "joint"), ("X", "S", "joint"), ("P", "V", "joint"), ("P", "L", "full"), ("P", "", "full")],
)  # fmt: skip
def test_the_right_of_an_owner_follows_his_record_20(tmp_path: Path, right: str, holding: str, said: str) -> None:
    answer = heard(tmp_path, record("20", NUMCOP="1", CODDRO=right, CODDEM=holding))
    assert answer.row("holding") == {"soft": False, "source_key": "CO:1", "right": said}


@pytest.mark.parametrize(
    ("right", "kind"), [("U", "usufructuary"), ("N", "bare_owner"), ("P", "joint_owner"), ("", "joint_owner")]
)
def test_a_member_of_a_group_is_linked_by_his_right(tmp_path: Path, right: str, kind: str) -> None:
    member = record("25", NUMCOP="1", NUMORD="02", CODDRO=right, QUONUM=1, QUODEN=3)
    link = heard(tmp_path, member).row("person_link")
    assert link == {
        "soft": False, "source_key": f"CO:1:CO:1:02:{kind}", "group_key": "CO:1", "member_key": "CO:1:02",
        "kind": kind, "share_num": 1, "share_den": 3,
    }  # fmt: skip


def test_a_zero_share_of_a_group_is_none(tmp_path: Path) -> None:
    link = heard(tmp_path, record("25", NUMCOP="1", NUMORD="02", QUONUM=0, QUODEN=0)).row("person_link")
    assert only(link, "share_num", "share_den") == (None, None)


def test_a_common_agent_has_a_second_link_without_a_share(tmp_path: Path) -> None:
    answer = heard(tmp_path, record("25", NUMCOP="1", NUMORD="02", TOPREP="O", QUONUM=1, QUODEN=3))
    agent = answer.row_at("person_link", "CO:1:CO:1:02:common_agent")
    assert only(agent, "group_key", "member_key", "share_num") == ("CO:1", "CO:1:02", None)
    assert len(answer.rows("person_link")) == 2


# ---------------------------------------------------------------- rental


def test_a_record_35_yields_a_mandate_and_softly_its_lot(tmp_path: Path) -> None:
    mandate = record(
        "35", NUMMAN="00000001", NUMREG="00001001", NUMPRO="00000003", CODIMM="G00001", NUMLOT="000005",
        DATDEB="300119", DATFIN="000000", TAUHON=533, CODGES="G001",
    )  # fmt: skip
    answer = heard(tmp_path, mandate)
    assert answer.row("mandate") == {
        "soft": False, "source_key": "00000001", "register_number": "00001001", "landlord_key": "PR:00000003",
        "start_date": date(2019, 1, 30), "end_date": None, "fee_rate": 533, "manager_key": "G001",
    }  # fmt: skip
    assert answer.row("mandate_lot") == {
        "soft": True, "source_key": "00000001:G00001:000005", "mandate_key": "00000001", "lot_key": "G00001:000005",
    }  # fmt: skip


def test_a_mandate_may_be_without_landlord_lot_and_manager(tmp_path: Path) -> None:
    answer = heard(tmp_path, record("35", NUMMAN="1"))
    assert only(answer.row("mandate"), "landlord_key", "manager_key") == (None, None)
    assert answer.rows("mandate_lot") == []


def test_a_mandate_of_a_building_without_a_lot_number_names_no_lot(tmp_path: Path) -> None:
    answer = heard(tmp_path, record("35", NUMMAN="1", CODIMM="G00001"))
    assert answer.rows("mandate_lot") == []


def test_a_record_45_yields_a_lease_and_its_tenant(tmp_path: Path) -> None:
    lease = record(
        "45", NUMBAI="00000004", NUMLOC="00000002", NUMMAN="00000001", CODIMM="G00001", NUMLOT="000005",
        TYPBAI="NU", DATDEB="291122", DATFIN="311249", LOYER=53657, CHARGE="00000012044", DEPGAR=-53657, JOUECH="??",
    )  # fmt: skip
    answer = heard(tmp_path, lease)
    assert answer.row("lease") == {
        "soft": False, "source_key": "00000004", "lot_key": "G00001:000005", "mandate_key": "00000001",
        "lease_type": "NU", "start_date": date(2022, 11, 29), "end_date": date(2049, 12, 31), "rent": 53657,
        "charges": 12044, "deposit": -53657,
    }  # fmt: skip
    assert filled(answer.row("lease_party")) == {
        "lease_key": "00000004", "person_key": "LO:00000002", "quality": "principal",
    }  # fmt: skip
    assert answer.row("lease_party")["source_key"] == "00000004:LO"


def test_a_record_47_yields_a_guarantor_of_the_lease(tmp_path: Path) -> None:
    guarantor = record(
        "47", NUMBAI="00000004", NUMORD="01", CODQUA="2", NOMPRE="ESSAI/Ana", TELPOR="0690001234", CODPOS="97110"
    )
    answer = heard(tmp_path, guarantor)
    assert answer.lines[0]["key"] == "00000004:01"
    assert answer.row("person")["source_key"] == "GA:00000004:01"
    assert answer.row("contact")["value"] == "+590690001234"
    assert filled(answer.row("lease_party")) == {
        "lease_key": "00000004", "person_key": "GA:00000004:01", "quality": "guarantor",
    }  # fmt: skip
    assert answer.row("lease_party")["source_key"] == "00000004:GA:01"


@pytest.mark.parametrize(
    ("quality", "name", "last", "first"),
    [("2", "ESSAI/Ana", "ESSAI", "Ana"), ("9", "ESSAI/Ana", "ESSAI/Ana", None), ("1", "ESSAI Ana", "ESSAI Ana", None)],
    ids=["split", "not one person", "no slash"],
)
def test_a_record_50_yields_a_manager(tmp_path: Path, quality: str, name: str, last: str, first: str | None) -> None:
    manager = record(
        "50", CODGES="G001", FONCTI="AD", CODQUA=quality, NOMPRE=name, TELLIG="0536493535", ADRMEL="ana@Agence.TEST",
        DATSOR="010226",
    )  # fmt: skip
    assert heard(tmp_path, manager).row("staff") == {
        "soft": False, "source_key": "G001", "login": "G001", "last_name": last, "first_names": first,
        "email": "ana@agence.test", "phone": "+33536493535", "function": "AD", "is_administrator": True,
        "inactive_from": date(2026, 2, 1),
    }  # fmt: skip


def test_a_manager_with_another_function_is_no_administrator(tmp_path: Path) -> None:
    staff = heard(tmp_path, record("50", CODGES="G001", FONCTI="GE")).row("staff")
    assert only(staff, "is_administrator", "email", "phone", "last_name") == (False, None, None, None)


# ---------------------------------------------------------------- money and papers


def test_a_record_55_yields_bank_details(tmp_path: Path) -> None:
    bank = record(
        "55", TYPTIE="PR", NUMTIE="00000002", IBAN="fr76 3000 6000 0112 3456 7890 189", BIC="AGRIFRPP", RUM="RUM1",
        DATSIG="121220", TOPREC="?",
    )  # fmt: skip
    answer = heard(tmp_path, bank)
    assert answer.row("bank_detail") == {
        "soft": False, "source_key": "PR:00000002:BQ", "person_key": "PR:00000002",
        "iban": "FR7630006000011234567890189", "bic": "AGRIFRPP", "mandate_reference": "RUM1",
        "signed_on": date(2020, 12, 12),
    }  # fmt: skip
    assert answer.flags == [set()]


def test_an_account_without_a_building_has_a_dash_in_its_key(tmp_path: Path) -> None:
    account = record("60", TYPTIE="LO", NUMTIE="1", NUMCPT="41:1", SOLDE=5, MTAPPE=-10, DATECH="140326")
    row = heard(tmp_path, account).row("account")
    assert row["source_key"] == "LO:1:-:41%3A1"
    assert only(row, "building_key", "number", "balance", "called_amount") == (None, "41:1", 5, -10)
    assert row["due_date"] == date(2026, 3, 14)


@pytest.mark.parametrize(("said", "audience"), [("T", "all"), ("I", "individual"), ("C", "council")])
def test_a_record_70_yields_a_document(tmp_path: Path, said: str, audience: str) -> None:
    document = record(
        "70", NUMDOC="0000000004", TYPDOC="REGL", TYPTIE="PR", NUMTIE="00000003", CODIMM="G00001", DATDOC="270823",
        LIBDOC="Appel de fonds", NOMFIC="0000000004.pdf", EMPREI="ab" * 32, VISIBI=said,
    )  # fmt: skip
    assert heard(tmp_path, document).row("document") == {
        "soft": False, "source_key": "0000000004", "kind": "REGL", "label": "Appel de fonds",
        "document_date": date(2023, 8, 27), "building_key": "G00001", "person_key": "PR:00000003", "audience": audience,
        "file_name": "0000000004.pdf", "sha256": "ab" * 32,
    }  # fmt: skip


def test_a_document_of_nobody_names_nobody(tmp_path: Path) -> None:
    document = heard(tmp_path, record("70", NUMDOC="4", VISIBI="T")).row("document")
    assert only(document, "person_key", "building_key") == (None, None)


def test_the_connector_yields_nothing_but_what_it_declares(tmp_path: Path) -> None:
    assert set(Gpi().yields) == {"10", "15", "20", "25", "30", "35", "40", "45", "47", "50", "55", "60", "70", "80"}
    everything = [
        record("20", NUMCOP="1", NOMCJT="ESSAI/Ana", ADRMEL="ana@courriel.test"),
        record("25", NUMCOP="1", NUMORD="1", TOPREP="O", ADRMEL="ana@courriel.test"),
        record("15", CODIMM="1", NUMLOT="1", TANGEN=1, NUMCOP="1"),
        record("47", NUMBAI="1", NUMORD="1", TELPOR="0600000000"),
    ]
    for said in everything:
        source = said[:2].decode()
        answer = heard(tmp_path, said)
        assert {name for name in answer.reading.rows if answer.rows(name)} == Gpi().yields[source]


def test_the_proof_of_a_file_keeps_its_digest_and_agency(tmp_path: Path) -> None:
    data = envoi(record("10", CODIMM="1"))
    arrived = opened(tmp_path, data).arrived
    assert (arrived.sha256, arrived.agency, arrived.name) == (sha256(data).hexdigest(), "A0001", "GPIA0001.000001")
