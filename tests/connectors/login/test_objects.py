"""What each element becomes (login.md, table of elements; canonical §3–§4)."""

from datetime import date
from typing import Any

import pytest

from tests.connectors.login.conftest import Agency

PERSON = '<PersonnePhysique id="p-1" action="C"><Nom>ROY</Nom></PersonnePhysique>'
BUILDING = '<Immeuble id="im-1" action="C"><Code>I1</Code></Immeuble>'
LOT = '<Lot id="l-1" action="C" immeuble="im-1" numero="1"/>'
STAFF = '<Collaborateur id="g-1" action="C"/>'
NOBODY = {
    "title_raw": None, "title": None, "last_name": None, "birth_name": None, "first_names": None, "company_name": None,
    "legal_form": None, "siren": None, "label_raw": None, "birth_date": None, "birth_place": None, "address_1": None,
    "address_2": None, "address_3": None, "address_4": None, "postal_code": None, "city": None, "country": None,
    "digital_consent": None, "merged_into": None, "ended_reason": None, "ended_on": None,
}  # fmt: skip


def test_a_natural_person_comes_with_names_birth_and_address(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><Civilite>Mme</Civilite><Nom>LE  GOUAREC</Nom>'
        "<NomNaissance>ROY</NomNaissance><Prenoms>Jeanne</Prenoms><NeLe>1964-08-09</NeLe><NeA>BREST</NeA>"
        "<Adresse><Ligne2>APT 3</Ligne2><Ligne3>ENTRÉE C</Ligne3><Ligne4>1 RUE DU BAC</Ligne4><Ligne5>LE BOURG</Ligne5>"
        "<CodePostal>29200</CodePostal><Localite>BREST</Localite><CodeInsee>29019</CodeInsee><Pays>FR</Pays></Adresse>"
        "<AccordDemat>1</AccordDemat></PersonnePhysique>"
    )
    assert agency.row("person", "p-1") == {
        **NOBODY, "kind": "natural", "title_raw": "Mme", "title": "MME", "last_name": "LE GOUAREC", "birth_name": "ROY",
        "first_names": "Jeanne", "birth_date": date(1964, 8, 9), "birth_place": "BREST", "address_1": "APT 3",
        "address_2": "ENTRÉE C", "address_3": "1 RUE DU BAC", "address_4": "LE BOURG", "postal_code": "29200",
        "city": "BREST", "country": "FR", "digital_consent": True,
    }  # fmt: skip


def test_a_company_comes_with_its_representative(agency: Agency) -> None:
    agency.says(
        PERSON,
        '<PersonneMorale id="p-2" action="C" siren="912345678"><Civilite>STE</Civilite><RaisonSociale>LE BAC'
        '</RaisonSociale><FormeJuridique>SCI</FormeJuridique><Representant ref="p-1"/></PersonneMorale>',
    )
    assert agency.row("person", "p-2") == {
        **NOBODY, "kind": "legal", "title_raw": "STE", "title": "COMPANY", "company_name": "LE BAC",
        "legal_form": "SCI", "siren": "912345678",
    }  # fmt: skip
    assert agency.row("person_link", "p-2:p-1:representative") == {
        "group_key": "p-2", "member_key": "p-1", "kind": "representative", "share_num": None, "share_den": None,
        "ended_reason": None, "ended_on": None,
    }  # fmt: skip


@pytest.mark.parametrize("siren", ["", "000000000"])
def test_a_siren_of_nothing_is_none(agency: Agency, siren: str) -> None:
    agency.says(f'<PersonneMorale id="p-2" action="C" siren="{siren}"/>')
    assert agency.row("person", "p-2")["siren"] is None


def test_a_group_comes_with_its_members_and_agents(agency: Agency) -> None:
    persons = [f'<PersonnePhysique id="p-{n}" action="C"/>' for n in range(1, 6)]
    agency.says(
        *persons,
        '<Indivision id="p-9" action="C"><Civilite>INDIVISION</Civilite><Libelle>CONSORTS ROY</Libelle><Membres>'
        '<Membre ref="p-1" droit="IN" quotePart="1/4"/><Membre ref="p-2" droit="PP" quotePart="003/4"/>'
        '<Membre ref="p-3" droit="US"/><Membre ref="p-4" droit="NP"/><Membre ref="p-5" droit="CO"/></Membres>'
        '<MandataireCommun ref="p-1"/><Representant ref="p-2"/></Indivision>',
    )
    assert agency.row("person", "p-9") == {
        **NOBODY, "kind": "group", "title_raw": "INDIVISION", "title": "JOINT_OWNERS", "label_raw": "CONSORTS ROY",
    }  # fmt: skip
    links = agency.shelf.table("person_link")
    assert {key: (row["share_num"], row["share_den"]) for key, row in links.items()} == {
        "p-9:p-1:joint_owner": (1, 4),
        "p-9:p-2:joint_owner": (3, 4),
        "p-9:p-3:usufructuary": (None, None),
        "p-9:p-4:bare_owner": (None, None),
        "p-9:p-5:spouse": (None, None),
        "p-9:p-1:common_agent": (None, None),
        "p-9:p-2:representative": (None, None),
    }


@pytest.mark.parametrize("written", ["<Representant/>", '<Representant xsi:nil="true"/>'])
def test_a_representative_who_is_not_named_is_nobody(agency: Agency, written: str) -> None:
    agency.says(f'<Indivision id="p-9" action="C">{written}</Indivision>')
    assert agency.keys("person_link") == set()


def test_the_title_autre_is_other_and_an_empty_one_is_none(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><Civilite>AUTRE</Civilite></PersonnePhysique>',
        '<PersonnePhysique id="p-2" action="C"><Civilite/></PersonnePhysique>',
    )
    assert [agency.row("person", key)["title"] for key in ("p-1", "p-2")] == ["OTHER", None]


def _contacts(agency: Agency) -> dict[str, tuple[Any, Any]]:
    return {key: (row["value"], row["value_raw"]) for key, row in agency.shelf.table("contact").items()}


def test_the_principal_email_comes_first_then_the_order_of_the_document(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><Courriels><Courriel>a@Bac.example</Courriel>'
        '<Courriel principal="false">b@bac.example ; c@bac.example</Courriel>'
        '<Courriel principal="true">d@bac.example</Courriel></Courriels></PersonnePhysique>'
    )
    assert _contacts(agency) == {
        "p-1:email:1": ("d@bac.example", "d@bac.example"),
        "p-1:email:2": ("a@bac.example", "a@Bac.example"),
        "p-1:email:3": ("b@bac.example", "b@bac.example"),
        "p-1:email:4": ("c@bac.example", "c@bac.example"),
    }
    assert agency.outcome.flags == {"multi_value": 1}


def test_a_phone_is_read_in_the_region_of_the_address(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><Telephones><Telephone type="mobile">0696 00 10 73</Telephone>'
        "<Telephone>+33 1 99 00 31 92</Telephone><Telephone>néant</Telephone></Telephones>"
        "<Adresse><CodePostal>97200</CodePostal></Adresse></PersonnePhysique>",
        '<PersonnePhysique id="p-2" action="C"><Telephones><Telephone>0696001073</Telephone></Telephones>'
        "<Adresse><CodePostal>75011</CodePostal><Pays>FR</Pays></Adresse></PersonnePhysique>",
        '<PersonnePhysique id="p-3" action="C"><Telephones><Telephone>0199003192</Telephone></Telephones>'
        "<Adresse><CodePostal>1050</CodePostal><Pays>BE</Pays></Adresse></PersonnePhysique>",
    )
    assert _contacts(agency) == {
        "p-1:phone:1": ("+596696001073", "0696 00 10 73"),
        "p-1:phone:2": ("+33199003192", "+33 1 99 00 31 92"),
        "p-2:phone:1": (None, "0696001073"),
        "p-3:phone:1": (None, "0199003192"),
    }
    assert agency.outcome.flags == {"placeholder": 1, "phone_unparsed": 2}


@pytest.mark.parametrize(
    ("address", "postal_code", "country", "flags"),
    [
        pytest.param("<CodePostal>1000</CodePostal>", "01000", None, {"excel_zero": 1}, id="a lost zero"),
        pytest.param("<CodePostal>1000</CodePostal><Pays>BE</Pays>", "1000", "BE", {}, id="four digits abroad"),
        pytest.param("<CodePostal>'01000</CodePostal>", "01000", None, {"apostrophe": 1}, id="an apostrophe"),
        pytest.param("<CodePostal>2A004</CodePostal><Pays>FR</Pays>", "2A004", "FR", {}, id="kept as it came"),
        pytest.param("<Pays>ZZ</Pays>", None, None, {"country_unknown": 1}, id="a country that does not exist"),
    ],
)
def test_postal_codes_and_countries_follow_the_common_rules(
    agency: Agency, address: str, postal_code: str | None, country: str | None, flags: dict[str, int]
) -> None:
    agency.says(f'<PersonnePhysique id="p-1" action="C"><Adresse>{address}</Adresse></PersonnePhysique>')
    person = agency.row("person", "p-1")
    assert (person["postal_code"], person["country"]) == (postal_code, country)
    assert agency.outcome.flags == flags


def test_a_building_comes_with_its_registers_and_manager(agency: Agency) -> None:
    agency.says(
        STAFF,
        '<Immeuble id="im-1" action="C" immatriculation="AA0499062" siret="912 345 678 00021" syndic="true" gerance="0"'
        ' gestionnaire="g-1"><Code>I0001</Code><Nom>LE BAC</Nom><Adresse><Ligne3>LE BOURG</Ligne3><Ligne4>55 RUE DU BAC'
        "</Ligne4><CodePostal>1590</CodePostal><Localite>LAVANCIA</Localite><CodeInsee>39283</CodeInsee><Pays>FR</Pays>"
        "</Adresse></Immeuble>",
    )
    assert agency.row("building", "im-1") == {
        "code": "I0001", "name": "LE BAC", "registry_number": "AA0499062", "siret": "91234567800021",
        "address_4": "55 RUE DU BAC", "postal_code": "01590", "city": "LAVANCIA", "insee_code": "39283",
        "is_syndic": True, "is_rental": False, "manager_key": "g-1", "ended_reason": None, "ended_on": None,
    }  # fmt: skip


def test_empty_attributes_are_nothing(agency: Agency) -> None:
    agency.says(
        '<Immeuble id="im-1" action="C" immatriculation="" siret="" syndic="" gerance="" gestionnaire="">'
        "<Code>I1</Code></Immeuble>"
    )
    row = agency.row("building", "im-1")
    assert {name for name, value in row.items() if value is not None} == {"code"}


def test_a_lot_comes_with_its_shares(agency: Agency) -> None:
    agency.says(
        BUILDING,
        '<Lot id="l-1" action="C" immeuble="im-1" numero="007" nature="STUDIO" batiment="B" escalier="2" etage="-1"'
        ' porte="G" surface="88.75"><Cles><Tantiemes cle="GEN" valeur="0760" base="10000"/>'
        '<Tantiemes cle="ASC" valeur="79" base="1000"/></Cles></Lot>',
    )
    assert agency.row("lot", "l-1") == {
        "building_key": "im-1", "number": "007", "nature": "STUDIO", "block": "B", "staircase": "2", "floor": "-1",
        "door": "G", "area_m2": 8875, "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.row("lot_share", "l-1:GEN") == {
        "lot_key": "l-1", "share_code": "GEN", "shares": 760, "base": 10000, "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.keys("lot_share") == {"l-1:GEN", "l-1:ASC"}


def test_a_co_owner_holds_rights_and_sits_in_the_council_of_the_role_s_building(agency: Agency) -> None:
    lots = [f'<Lot id="l-{n}" action="C" immeuble="im-1" numero="{n}"/>' for n in range(1, 6)]
    agency.says(
        PERSON, BUILDING, *lots,
        '<Coproprietaire id="c-1" action="C" personne="p-1" immeuble="im-1"><Lots>'
        '<LotRef ref="l-1" droit="PP" depuis="2020-09-21" jusqua="2025-12-31"/><LotRef ref="l-2" droit="US"/>'
        '<LotRef ref="l-3" droit="NP"/><LotRef ref="l-4" droit="IN"/><LotRef ref="l-5"/></Lots>'
        '<ConseilSyndical depuis="2024-12-01" jusqua="2027-05-20" fonction="PRESIDENT"/></Coproprietaire>',
    )  # fmt: skip
    assert agency.row("co_ownership", "c-1:l-1") == {
        "lot_key": "l-1", "person_key": "p-1", "right": "full", "start_date": date(2020, 9, 21),
        "end_date": date(2025, 12, 31), "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    rights = {key: row["right"] for key, row in agency.shelf.table("co_ownership").items()}
    assert rights == {
        "c-1:l-1": "full", "c-1:l-2": "usufruct", "c-1:l-3": "bare", "c-1:l-4": "joint", "c-1:l-5": "unknown",
    }  # fmt: skip
    assert agency.row("council_membership", "c-1:CS") == {
        "person_key": "p-1", "building_key": "im-1", "function": "PRESIDENT", "start_date": date(2024, 12, 1),
        "end_date": date(2027, 5, 20), "ended_reason": None, "ended_on": None,
    }  # fmt: skip


def test_a_seat_may_say_nothing_of_itself_but_a_nil_one_is_none(agency: Agency) -> None:
    role = '<Coproprietaire id="c-{}" action="C" personne="p-1" immeuble="im-1"><ConseilSyndical{}/></Coproprietaire>'
    agency.says(PERSON, BUILDING, role.format(1, ""), role.format(2, ' xsi:nil="true" fonction="PRESIDENT"'))
    assert agency.keys("council_membership") == {"c-1:CS"}


def test_a_mandate_names_the_person_behind_its_landlord(agency: Agency) -> None:
    agency.says(
        PERSON, BUILDING, LOT, STAFF, '<Bailleur id="b-1" action="C" personne="p-1"/>',
        '<Mandat id="md-1" action="C" registre="1001" bailleur="b-1" debut="2023-11-17" fin="2026-11-16"'
        ' honoraires="8.23" gestionnaire="g-1"><Lots><LotRef ref="l-1"/></Lots></Mandat>',
    )  # fmt: skip
    assert agency.row("mandate", "md-1") == {
        "register_number": "1001", "landlord_key": "p-1", "start_date": date(2023, 11, 17),
        "end_date": date(2026, 11, 16), "fee_rate": 823, "manager_key": "g-1", "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.keys("mandate_lot") == {"md-1:l-1"}


def test_a_lease_names_the_persons_behind_its_tenants_and_its_guarantors(agency: Agency) -> None:
    agency.says(
        PERSON, PERSON.replace("p-1", "p-2"), BUILDING, LOT,
        '<Locataire id="lo-1" action="C" personne="p-1"/>', '<Locataire id="lo-2" action="C" personne="p-2"/>',
        '<Bail id="ba-1" action="C" lot="l-1" type="NU_89" effet="2021-08-28"><Parties>'
        '<Titulaire ref="lo-1" principal="true" solidaire="true" depuis="2021-08-28"/><Titulaire ref="lo-2"/>'
        '<Garant personne="p-2"/></Parties><Loyer>1298.34</Loyer><Charges>-1.00</Charges></Bail>',
    )  # fmt: skip
    assert agency.row("lease", "ba-1") == {
        "lot_key": "l-1", "mandate_key": None, "lease_type": "NU_89", "start_date": date(2021, 8, 28), "end_date": None,
        "rent": 129834, "charges": -100, "deposit": None, "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.row("lease_party", "ba-1:lo-1:principal") == {
        "lease_key": "ba-1", "person_key": "p-1", "quality": "principal", "jointly_liable": True,
        "start_date": date(2021, 8, 28), "end_date": None, "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    parties = {key: (row["person_key"], row["quality"]) for key, row in agency.shelf.table("lease_party").items()}
    assert parties == {
        "ba-1:lo-1:principal": ("p-1", "principal"),
        "ba-1:lo-2:co_tenant": ("p-2", "co_tenant"),
        "ba-1:p-2:guarantor": ("p-2", "guarantor"),
    }


def test_a_member_of_staff_has_one_email_and_a_phone_of_the_mainland(agency: Agency) -> None:
    agency.says(
        '<Collaborateur id="g-1" action="C" identifiant="jroy" fonction="COMPTABLE" administrateur="true"'
        ' inactifDepuis="2026-01-01"><Nom>ROY</Nom><Prenoms>Jean</Prenoms><Courriel>jean@Bac.example</Courriel>'
        "<Telephone>01 99 00 85 17</Telephone></Collaborateur>"
    )
    assert agency.row("staff", "g-1") == {
        "login": "jroy", "last_name": "ROY", "first_names": "Jean", "email": "jean@bac.example",
        "phone": "+33199008517", "function": "COMPTABLE", "is_administrator": True, "inactive_from": date(2026, 1, 1),
        "ended_reason": None, "ended_on": None,
    }  # fmt: skip


def test_the_sense_gives_the_sign_of_a_balance(agency: Agency) -> None:
    account = (
        '<Compte id="ct-{0}" action="C" titulaire="c-1" immeuble="im-1" numero="45{0}" montant="152.37" sens="{0}"'
        ' au="2026-01-04" appel="20.00" echeance="2026-01-11"/>'
    )
    role = '<Coproprietaire id="c-1" action="C" personne="p-1" immeuble="im-1"/>'
    agency.says(PERSON, BUILDING, role, account.format("D"), account.format("C"))
    assert agency.row("account", "ct-C") == {
        "person_key": "p-1", "building_key": "im-1", "number": "45C", "balance": -15237, "as_of": date(2026, 1, 4),
        "called_amount": 2000, "due_date": date(2026, 1, 11), "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.row("account", "ct-D")["balance"] == 15237


def test_a_bank_account_is_kept_and_its_keys_are_checked(agency: Agency) -> None:
    agency.says(
        PERSON,
        '<CoordonneesBancaires id="rib-1" action="C" personne="p-1" iban="FR76 3000 6000 0112 3456 7890 189"'
        ' bic="AGRIFRPP" rum="RUM1" signeLe="2025-04-24"/>',
        '<CoordonneesBancaires id="rib-2" action="C" personne="p-1" iban="FR7630006000011234567890188"/>',
    )
    assert agency.row("bank_detail", "rib-1") == {
        "person_key": "p-1", "iban": "FR7630006000011234567890189", "bic": "AGRIFRPP", "mandate_reference": "RUM1",
        "signed_on": date(2025, 4, 24), "ended_reason": None, "ended_on": None,
    }  # fmt: skip
    assert agency.row("bank_detail", "rib-2")["iban"] == "FR7630006000011234567890188"
    assert agency.outcome.flags == {"iban_mod97": 1}


def test_a_document_says_who_may_see_it(agency: Agency) -> None:
    agency.says(
        PERSON, BUILDING,
        '<Document id="d-1" action="C" type="PVAG" audience="CONSEIL" immeuble="im-1" personne="p-1" date="2024-03-07"'
        ' sha256="ab" fichier="d-1.pdf"><Libelle>Procès-verbal</Libelle></Document>',
        '<Document id="d-2" action="C" audience="TOUS"/>', '<Document id="d-3" action="C" audience="INDIVIDUEL"/>',
    )  # fmt: skip
    assert agency.row("document", "d-1") == {
        "kind": "PVAG", "label": "Procès-verbal", "document_date": date(2024, 3, 7), "building_key": "im-1",
        "person_key": "p-1", "audience": "council", "file_name": "d-1.pdf", "sha256": "ab", "ended_reason": None,
        "ended_on": None,
    }  # fmt: skip
    assert [agency.row("document", key)["audience"] for key in ("d-2", "d-3")] == ["all", "individual"]


def test_text_keeps_its_accents_and_loses_its_white_space(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><Nom>\u00a0 DU\r\n<!-- not text --> PONT\u202f</Nom>'
        "<Prenoms><![CDATA[Zoé & ]]>Léa</Prenoms></PersonnePhysique>"
    )
    person = agency.row("person", "p-1")
    assert (person["last_name"], person["first_names"]) == ("DU PONT", "Zoé & Léa")
    assert agency.outcome.flags == {"newline": 1}


@pytest.mark.parametrize("damaged", ["CH?TEAU", "CH\ufffdTEAU", "CHÃ¢TEAU"])
def test_damaged_accents_are_flagged_and_kept(agency: Agency, damaged: str) -> None:
    agency.says(f'<PersonnePhysique id="p-1" action="C"><Nom>{damaged}</Nom></PersonnePhysique>')
    assert agency.row("person", "p-1")["last_name"] == damaged
    assert agency.outcome.flags == {"mojibake": 1}


def test_what_is_not_read_raises_no_flag(agency: Agency) -> None:
    """`NeA` is no column of N3; a building has no line 2."""
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><NeA>CH?TEAU</NeA></PersonnePhysique>',
        '<Immeuble id="im-1" action="C"><Code>I1</Code><Adresse><Ligne2>CH?TEAU</Ligne2></Adresse></Immeuble>',
    )
    assert agency.outcome.flags == {}


def test_a_sentinel_date_is_none_and_flagged(agency: Agency) -> None:
    agency.says(
        '<PersonnePhysique id="p-1" action="C"><NeLe>1900-01-01</NeLe></PersonnePhysique>', BUILDING, LOT,
        '<Coproprietaire id="c-1" action="C" personne="p-1"><Lots><LotRef ref="l-1" jusqua="9999-12-31"/></Lots>'
        "</Coproprietaire>",
    )  # fmt: skip
    assert agency.row("person", "p-1")["birth_date"] is None
    assert agency.row("co_ownership", "c-1:l-1")["end_date"] is None
    assert agency.outcome.flags == {"sentinel": 2}
