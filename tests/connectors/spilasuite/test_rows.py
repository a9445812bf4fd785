"""SpiLaSuite, values: what each view becomes (spilasuite.md "Views", canonical §3–§4)."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Recalled
from connectors.spilasuite import Spilasuite
from schemas.records import RECORDS
from tests.connectors.spilasuite.installation import (
    GOOD,
    KEYS,
    Answer,
    Cell,
    Installation,
    heard,
    heard_row,
    opened,
)  # fmt: skip

RECORD = {
    "v_tiers": "person", "v_tiers_role": "council_membership", "v_tiers_lien": "person_link", "v_immeuble": "building",
    "v_copropriete": "copropriete", "v_lot": "lot", "v_lot_cle": "lot_share", "v_lot_proprietaire": "co_ownership",
    "v_mandat": "mandate", "v_mandat_lot": "mandate_lot", "v_bail": "lease", "v_bail_tiers": "lease_party",
    "v_utilisateur": "staff", "v_compte": "account", "v_coordonnees_bancaires": "bank_detail", "v_document": "document",
}  # fmt: skip


def _person(folder: Path, **cells: Cell) -> dict[str, Any]:
    return heard_row(folder, "v_tiers", cells).row("person")


def _only(row: dict[str, Any]) -> dict[str, Any]:
    """What is not null in a row, apart from its place in the batch."""
    return {name: value for name, value in row.items() if value is not None and name not in ("line", "soft")}


@pytest.mark.parametrize("view", RECORD)
def test_a_row_with_nothing_but_what_it_needs_is_accepted(view: str, tmp_path: Path) -> None:
    answer = heard_row(tmp_path, view, {})
    assert (answer.verdict(view), answer.line(view)["loc"], answer.flags(view)) == ("ok", KEYS[view], set())
    assert answer.row(RECORD[view])["source_key"] == KEYS[view]


def test_every_view_with_rows_is_tried_here() -> None:
    assert {*RECORD, "v_suppression"} == set(GOOD)


def test_the_worked_example_of_the_contract(tmp_path: Path) -> None:
    source = Installation(horizons=[18])
    source.add(
        "v_tiers", rv=17, id_agence=1, civilite=" Mlle  ", nom="BELLERIVE", prenom="Zoé", date_naissance="1900-01-01",
        adr_ligne2="", adr_ligne4="12 RUE DU CHÂTEAU", code_postal="97400", ville="SAINT-DENIS", code_pays="FR",
        tel_fixe="", tel_mobile="0692 00 12 34", email="zoe@Exemple.TEST", email_2="", accord_demat="O",
    )  # fmt: skip
    source.add("v_suppression", rv=18, nom_vue="v_tiers", cle="1009", motif="DOUBLON", cle_remplacement="1004")
    answer = heard(source, tmp_path, cursor="16")
    assert _only(answer.row("person")) == {
        "source_key": "1004", "kind": "natural", "title_raw": "Mlle", "title": "MME", "last_name": "BELLERIVE",
        "first_names": "Zoé", "address_3": "12 RUE DU CHÂTEAU", "postal_code": "97400", "city": "SAINT-DENIS",
        "country": "FR", "digital_consent": True,
    }  # fmt: skip
    assert [(row["source_key"], row["value"]) for row in answer.rows("contact")] == [
        ("1004:email:1", "zoe@exemple.test"),
        ("1004:phone:1", "+262692001234"),
    ]
    assert answer.flags("v_tiers") == {"sentinel"}
    (end,) = answer.endings()
    assert (end["source"], end["key"], end["reason"], end["on"], end["merged_into"]) == (
        "v_tiers", "1009", "DOUBLON", date(2026, 1, 6), "1004",
    )  # fmt: skip
    assert answer.reading.deliveries[0].cursor == "18"


NAMES: dict[str, Cell] = {
    "nom": "DURANDAL", "nom_naissance": "MARTINOT", "prenom": "Ana", "raison_sociale": "SCI LES TILLEULS",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("P", {"kind": "natural", "last_name": "DURANDAL", "birth_name": "MARTINOT", "first_names": "Ana"}),
        ("M", {"kind": "legal", "company_name": "SCI LES TILLEULS"}),
        ("G", {"kind": "group", "label_raw": "DURANDAL"}),
    ],
)
def test_names_go_where_the_kind_of_person_sends_them(kind: str, expected: dict[str, str], tmp_path: Path) -> None:
    assert _only(_person(tmp_path, type_tiers=kind, **NAMES)) == {"source_key": "1004", **expected}


def test_a_name_that_is_not_read_raises_no_flag(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"type_tiers": "M", "nom": "Ch?teau\nBleu", "prenom": "Zo\ufffd"})
    assert answer.flags("v_tiers") == set()


def test_every_other_column_of_a_person(tmp_path: Path) -> None:
    row = _person(
        tmp_path, forme_juridique="SARL", siren="992 136 861", date_naissance="1984-05-24", lieu_naissance="AJACCIO",
        adr_ligne2="BAL 44", adr_ligne3="BÂTIMENT B", adr_ligne4="25 COURS DE L'YSER", adr_ligne5="BP 40012",
        accord_demat="N",
    )  # fmt: skip
    assert _only(row) == {
        "source_key": "1004", "kind": "natural", "legal_form": "SARL", "siren": "992136861",
        "birth_date": date(1984, 5, 24), "birth_place": "AJACCIO", "address_1": "BAL 44", "address_2": "BÂTIMENT B",
        "address_3": "25 COURS DE L'YSER", "address_4": "BP 40012", "digital_consent": False,
    }  # fmt: skip


def test_contacts_are_mobile_before_fixed_line_and_email_before_email_2(tmp_path: Path) -> None:
    answer = heard_row(
        tmp_path, "v_tiers",
        {"tel_fixe": "01 99 00 16 17", "tel_mobile": "0600001348", "email": "a@bureau.test;b@bureau.test",
         "email_2": "c@bureau.test"},
    )  # fmt: skip
    assert [(row["source_key"], row["value_raw"]) for row in answer.rows("contact")] == [
        ("1004:email:1", "a@bureau.test"),
        ("1004:email:2", "b@bureau.test"),
        ("1004:email:3", "c@bureau.test"),
        ("1004:phone:1", "0600001348"),
        ("1004:phone:2", "01 99 00 16 17"),
    ]
    assert answer.flags("v_tiers") == {"multi_value"}


@pytest.mark.parametrize(
    ("country", "postal", "expected", "flags"),
    [
        ("FR", "1590", "01590", {"excel_zero"}),
        (None, "1590", "01590", {"excel_zero"}),
        ("BE", "1590", "1590", set()),
        ("fr", "97400", "97400", set()),
        ("FR", "'01590", "01590", {"apostrophe"}),
    ],
)
def test_a_lost_zero_comes_back_in_french_postal_codes_only(
    country: str | None, postal: str, expected: str, flags: set[str], tmp_path: Path
) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"code_pays": country, "code_postal": postal})
    assert (answer.row("person")["postal_code"], answer.flags("v_tiers")) == (expected, flags)


def test_a_country_that_is_none_is_flagged_and_left_out(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"code_pays": "ZZ"})
    assert (answer.row("person")["country"], answer.flags("v_tiers")) == (None, {"country_unknown"})


def test_a_seat_in_the_council_goes_by_way_of_the_copropriete(tmp_path: Path) -> None:
    answer = heard_row(
        tmp_path, "v_tiers_role", {"fonction": "MEMBRE", "date_debut": "2024-12-01", "date_fin": "2027-05-20"}
    )
    assert _only(answer.row("council_membership")) == {
        "source_key": "20", "person_key": "1004", "via:building_key": "81", "function": "MEMBRE",
        "start_date": date(2024, 12, 1), "end_date": date(2027, 5, 20),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("INDIVISAIRE", "joint_owner"), ("USUFRUITIER", "usufructuary"), ("NU_PROPRIETAIRE", "bare_owner"),
        ("CONJOINT", "spouse"), ("REPRESENTANT", "representative"), ("TUTEUR", "guardian"),
        ("MANDATAIRE_COMMUN", "common_agent"),
    ],
)  # fmt: skip
def test_a_link_keeps_the_word_of_the_source_in_its_key(word: str, kind: str, tmp_path: Path) -> None:
    row = heard_row(tmp_path, "v_tiers_lien", {"type_lien": word, "quote_num": 1, "quote_den": 3}).row("person_link")
    assert _only(row) == {
        "source_key": f"1011:1004:{word}", "group_key": "1011", "member_key": "1004", "kind": kind, "share_num": 1,
        "share_den": 3,
    }  # fmt: skip


def test_a_building_leaves_to_its_copropriete_what_comes_from_there(tmp_path: Path) -> None:
    row = heard_row(
        tmp_path, "v_immeuble",
        {"nom": "LES TILLEULS", "adr_ligne4": "1 RUE HAUTE", "code_postal": "20200", "ville": "BASTIA",
         "code_insee": "2B033", "en_syndic": 1, "en_gerance": 0},
    ).row("building")  # fmt: skip
    assert _only(row) == {
        "source_key": "11", "code": "IM1", "name": "LES TILLEULS", "address_4": "1 RUE HAUTE", "postal_code": "20200",
        "city": "BASTIA", "insee_code": "2B033", "is_syndic": True, "is_rental": False,
    }  # fmt: skip


def test_a_copropriete_is_remembered_with_what_it_gives_to_its_building(tmp_path: Path) -> None:
    row = heard_row(
        tmp_path, "v_copropriete", {"immatriculation": "AA7297550", "siret": "904 034 873 00011", "id_gestionnaire": 4}
    ).row("copropriete")
    assert _only(row) == {
        "source_key": "81", "building_key": "11", "registry_number": "AA7297550", "siret": "90403487300011",
        "manager_key": "4",
    }  # fmt: skip


def test_lots_shares_and_mandates(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_lot", nature="Cave", batiment="B", escalier="2", etage="RDC", porte="4", surface="12.50")
    source.add("v_lot_cle", tantiemes=12, base_tantiemes=10000)
    source.add(
        "v_mandat", numero_registre="G-12", id_tiers_proprietaire=1004, date_debut="2020-01-01", date_fin="2026-12-31",
        taux_honoraires="7.25", id_gestionnaire=4,
    )  # fmt: skip
    source.add("v_mandat_lot")
    answer = heard(source, tmp_path)
    assert _only(answer.row("lot")) == {
        "source_key": "500", "building_key": "11", "number": "1", "nature": "Cave", "block": "B", "staircase": "2",
        "floor": "RDC", "door": "4", "area_m2": 1250,
    }  # fmt: skip
    assert _only(answer.row("lot_share")) == {
        "source_key": "500:GEN", "lot_key": "500", "share_code": "GEN", "shares": 12, "base": 10000,
    }  # fmt: skip
    assert _only(answer.row("mandate")) == {
        "source_key": "600", "register_number": "G-12", "landlord_key": "1004", "start_date": date(2020, 1, 1),
        "end_date": date(2026, 12, 31), "fee_rate": 725, "manager_key": "4",
    }  # fmt: skip
    assert _only(answer.row("mandate_lot")) == {"source_key": "600:500", "mandate_key": "600", "lot_key": "500"}


@pytest.mark.parametrize(
    ("word", "right"),
    [("PP", "full"), ("US", "usufruct"), ("NP", "bare"), ("IN", "joint"), (None, "unknown"), ("  ", "unknown")],
)
def test_a_right_that_is_not_said_is_unknown(word: str | None, right: str, tmp_path: Path) -> None:
    assert heard_row(tmp_path, "v_lot_proprietaire", {"nature_droit": word}).row("co_ownership")["right"] == right


def test_the_start_of_an_ownership_is_part_of_its_key_as_it_is_written(tmp_path: Path) -> None:
    source = Installation()
    for start in ("2018-07-08", "1900-01-01", "2019-01-01 00:00:00", None):
        source.add("v_lot_proprietaire", date_debut=start, date_fin="2026-01-05")
    rows = heard(source, tmp_path).rows("co_ownership")
    assert [(row["source_key"], row["start_date"]) for row in rows] == [
        ("500:1004:2018-07-08", date(2018, 7, 8)),
        ("500:1004:1900-01-01", None),
        ("500:1004:2019-01-01", date(2019, 1, 1)),
        ("500:1004:-", None),
    ]


def test_leases_and_their_parties(tmp_path: Path) -> None:
    source = Installation()
    source.add(
        "v_bail", id_mandat=600, type_bail="MEUBLE", date_effet="2025-02-01", date_fin="2026-01-31", loyer_hc="812.40",
        provision_charges="-3.5", depot_garantie="1e3",
    )  # fmt: skip
    source.add("v_bail_tiers", qualite="GARANT", solidaire=1, date_debut="2025-02-01", date_fin="2026-01-31")
    source.add("v_bail_tiers", qualite="COLOCATAIRE", solidaire=0)
    source.add("v_bail_tiers")
    answer = heard(source, tmp_path)
    assert _only(answer.row("lease")) == {
        "source_key": "700", "lot_key": "500", "mandate_key": "600", "lease_type": "MEUBLE",
        "start_date": date(2025, 2, 1), "end_date": date(2026, 1, 31), "rent": 81240, "charges": -350,
        "deposit": 100000,
    }  # fmt: skip
    assert [
        (row["source_key"], row["quality"], row["jointly_liable"], row["start_date"])
        for row in answer.rows("lease_party")
    ] == [
        ("700:1004:GARANT", "guarantor", True, date(2025, 2, 1)),
        ("700:1004:COLOCATAIRE", "co_tenant", False, None),
        ("700:1004:PRINCIPAL", "principal", None, None),
    ]


def test_staff_have_one_address_and_one_number_in_the_region_france(tmp_path: Path) -> None:
    answer = heard_row(
        tmp_path, "v_utilisateur",
        {"identifiant": "ana.d", "nom": "DURANDAL", "prenom": "Ana", "email": "Ana@AGENCE.example, x@agence.example",
         "telephone": "01 99 00 16 17", "fonction": "Gestionnaire", "est_administrateur": 1,
         "inactif_a_partir_du": "2026-03-01"},
    )  # fmt: skip
    assert _only(answer.row("staff")) == {
        "source_key": "4", "login": "ana.d", "last_name": "DURANDAL", "first_names": "Ana",
        "email": "Ana@agence.example", "phone": "+33199001617", "function": "Gestionnaire", "is_administrator": True,
        "inactive_from": date(2026, 3, 1),
    }  # fmt: skip
    assert answer.flags("v_utilisateur") == {"multi_value"}


@pytest.mark.parametrize(("kind", "building"), [("IMMEUBLE", "11"), ("BAIL", None), (None, None)])
def test_an_account_has_a_building_only_when_its_object_is_one(
    kind: str | None, building: str | None, tmp_path: Path
) -> None:
    row = heard_row(
        tmp_path, "v_compte",
        {"type_objet": kind, "id_objet": 11, "solde": "-0.05", "date_solde": "2026-01-01", "montant_appele": "12.345",
         "date_echeance": "2026-02-01"},
    ).row("account")  # fmt: skip
    assert _only(row) == {
        "source_key": "9000", "person_key": "1004", "number": "C1", "balance": -5, "as_of": date(2026, 1, 1),
        "called_amount": 1234, "due_date": date(2026, 2, 1),
    } | ({"building_key": building} if building else {})  # fmt: skip


def test_bank_details_keep_a_wrong_iban_and_flag_it(tmp_path: Path) -> None:
    answer = heard_row(
        tmp_path, "v_coordonnees_bancaires",
        {"iban": "fr76 3000 6000 0112 3456 7890 180", "bic": "AGRIFRPP", "rum": "RUM-1",
         "date_signature_mandat": "2024-01-02"},
    )  # fmt: skip
    assert _only(answer.row("bank_detail")) == {
        "source_key": "5000", "person_key": "1004", "iban": "FR7630006000011234567890180", "bic": "AGRIFRPP",
        "mandate_reference": "RUM-1", "signed_on": date(2024, 1, 2),
    }  # fmt: skip
    assert answer.flags("v_coordonnees_bancaires") == {"iban_mod97"}


@pytest.mark.parametrize(("word", "audience"), [("TOUS", "all"), ("INDIVIDUEL", "individual"), ("CONSEIL", "council")])
def test_a_document_names_the_copropriete_whose_building_it_is_about(word: str, audience: str, tmp_path: Path) -> None:
    row = heard_row(
        tmp_path, "v_document",
        {"application": "G", "type_courrier": "AG", "categorie": "PV", "libelle": "PV d'assemblée",
         "date_document": "2025-06-01", "id_copropriete": 81, "id_tiers": 1004, "audience": word,
         "nom_fichier": "pv.pdf", "sha256": "ab" * 32},
    ).row("document")  # fmt: skip
    assert _only(row) == {
        "source_key": "40000", "kind": "PV", "label": "PV d'assemblée", "document_date": date(2025, 6, 1),
        "via:building_key": "81", "person_key": "1004", "audience": audience, "file_name": "pv.pdf",
        "sha256": "ab" * 32,
    }  # fmt: skip


def test_blanks_of_fixed_width_columns_and_empty_texts_are_nothing(tmp_path: Path) -> None:
    row = _person(
        tmp_path, type_tiers="P ", accord_demat=" ", code_pays="FR ", siren="         ", nom="\u00a0", prenom=""
    )
    assert _only(row) == {"source_key": "1004", "kind": "natural", "country": "FR"}


def test_several_deliveries_are_read_as_one_and_each_line_knows_its_own(tmp_path: Path) -> None:
    first, second = Installation(), Installation()
    first.add("v_tiers", nom="UN")
    first.add("v_lot")
    second.add("v_tiers", nom="DEUX", id_tiers_remplace_par=7)
    days = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (6, 9)]
    both = [opened(source, tmp_path, at=day) for source, day in zip((first, second), days, strict=True)]
    answer = Answer(Spilasuite().read(both, Recalled()))
    whose = {line["line"]: line["d"] for line in answer.lines()}
    assert [(whose[row["line"]], row["last_name"]) for row in answer.rows("person")] == [(0, "UN"), (1, "DEUX")]
    assert [(end["d"], end["on"]) for end in answer.endings()] == [(1, date(2026, 1, 9))]
    assert sorted(whose) == [0, 1, 2]


def test_no_batch_at_all_is_an_empty_reading() -> None:
    reading = Spilasuite().read([], Recalled())
    assert (reading.lines.num_rows, reading.rows, reading.endings.num_rows) == (0, {}, 0)


def test_what_each_view_can_yield_is_what_it_yields() -> None:
    expected = {view: frozenset({record}) for view, record in RECORD.items()}
    expected["v_tiers"] |= {"contact"}
    assert Spilasuite().yields == {**expected, "v_suppression": frozenset()}
    assert set().union(*Spilasuite().yields.values()) <= RECORDS.keys()
