"""Action M in a delta: what is absent is unchanged, what is nil or empty is erased (login.md "Objects and deltas")."""

from typing import Any

import pytest

from connectors.base import Recalled
from connectors.login import Login
from tests.connectors.login.conftest import Agency
from tests.connectors.login.document import KNOWN, delivered, delta, envoi

STAFF = '<Collaborateur id="g-1" action="C"><Nom>BAC</Nom><Courriel>g@bac.example</Courriel></Collaborateur>'
PERSON = (
    '<PersonnePhysique id="p-{0}" action="C"><Civilite>M</Civilite><Nom>ROY</Nom><NomNaissance>BAC</NomNaissance>'
    "<Prenoms>Jean</Prenoms><NeLe>1964-08-09</NeLe><Courriels><Courriel>a{0}@bac.example</Courriel>"
    "<Courriel>b{0}@bac.example</Courriel></Courriels><Telephones><Telephone>0696001073</Telephone></Telephones>"
    "<Adresse><Ligne4>1 RUE DU BAC</Ligne4><CodePostal>97200</CodePostal><Localite>LE FORT</Localite><Pays>FR</Pays>"
    "</Adresse><AccordDemat>true</AccordDemat></PersonnePhysique>"
)
GROUP = (
    '<Indivision id="p-9" action="C"><Libelle>CONSORTS</Libelle><Membres><Membre ref="p-1" droit="IN" quotePart="1/2"/>'
    '<Membre ref="p-2" droit="US"/></Membres><MandataireCommun ref="p-1"/><Representant ref="p-2"/></Indivision>'
)
_BUILDING = (
    '<Immeuble id="im-{0}" action="C" siret="91234567800021" syndic="true" gestionnaire="g-1"><Code>I{0}</Code>'
    "<Nom>LE BAC</Nom><Adresse><Ligne4>55 RUE</Ligne4><CodePostal>35000</CodePostal></Adresse></Immeuble>"
)
_LOT = (
    '<Lot id="l-{0}" action="C" immeuble="im-1" numero="{0}" nature="STUDIO" surface="10.00"><Cles>'
    '<Tantiemes cle="GEN" valeur="1" base="10"/></Cles></Lot>'
)
_CO_OWNER = (
    '<Coproprietaire id="c-1" action="C" personne="p-1" immeuble="im-1"><Lots><LotRef ref="l-1" droit="PP"/></Lots>'
    '<ConseilSyndical fonction="PRESIDENT"/></Coproprietaire>'
)
_LANDLORD, _TENANT = (
    '<Bailleur id="b-1" action="C" personne="p-1"/>',
    '<Locataire id="lo-1" action="C" personne="p-2"/>',
)
_MANDATE = (
    '<Mandat id="md-1" action="C" registre="1001" bailleur="b-1" debut="2023-11-17" honoraires="8.23"'
    ' gestionnaire="g-1"><Lots><LotRef ref="l-1"/></Lots></Mandat>'
)
_LEASE = (
    '<Bail id="ba-1" action="C" lot="l-1" mandat="md-1" type="NU_89" effet="2021-08-28"><Parties>'
    '<Titulaire ref="lo-1" principal="true"/><Garant personne="p-1"/></Parties><Loyer>500.00</Loyer></Bail>'
)
_ACCOUNT = (
    '<Compte id="ct-1" action="C" titulaire="c-1" immeuble="im-1" numero="450" montant="10.00" sens="C"'
    ' au="2026-01-04"/>'
)
_ZERO = '<Compte id="ct-0" action="C" titulaire="c-1" numero="451" montant="0.00" sens="C"/>'
_BANK = '<CoordonneesBancaires id="rib-1" action="C" personne="p-1" iban="FR7630006000011234567890189" bic="AGRIFRPP"/>'
_DOCUMENT = (
    '<Document id="d-1" action="C" type="PVAG" audience="CONSEIL" immeuble="im-1" personne="p-1" fichier="d.pdf">'
    "<Libelle>Procès-verbal</Libelle></Document>"
)
EVERYTHING = [
    STAFF, PERSON.format(1), PERSON.format(2), GROUP, _BUILDING.format(1), _BUILDING.format(2), _LOT.format(1),
    _LOT.format(2), _CO_OWNER, _LANDLORD, _TENANT, _MANDATE, _LEASE, _ACCOUNT, _ZERO, _BANK, _DOCUMENT,
]  # fmt: skip
Tables = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture
def held(agency: Agency) -> Agency:
    """An agency that holds one of everything."""
    assert not agency.says(*EVERYTHING).quarantined
    return agency


def _differences(before: Tables, after: Tables) -> dict[str, dict[str, Any]]:
    """`table key` of rows that differ, with the columns that do (a row that came or went: all it has)."""
    found: dict[str, dict[str, Any]] = {}
    for table, rows in after.items():
        for key in rows.keys() | before[table].keys():
            old, new = before[table].get(key, {}), rows.get(key, {})
            if old != new:
                found[f"{table} {key}"] = {name: value for name, value in new.items() if old.get(name) != value}
    return found


_NOTHING_SAID = [
    '<PersonnePhysique id="p-1" action="M"/>', '<Indivision id="p-9" action="M"/>', '<Immeuble id="im-1" action="M"/>',
    '<Lot id="l-1" action="M"/>', '<Coproprietaire id="c-1" action="M"/>', '<Bailleur id="b-1" action="M"/>',
    '<Locataire id="lo-1" action="M"/>', '<Mandat id="md-1" action="M"/>', '<Bail id="ba-1" action="M"/>',
    '<Collaborateur id="g-1" action="M"/>', '<Compte id="ct-1" action="M"/>', '<Compte id="ct-0" action="M"/>',
    '<CoordonneesBancaires id="rib-1" action="M"/>', '<Document id="d-1" action="M"/>',
]  # fmt: skip


def test_a_change_that_says_nothing_changes_nothing(held: Agency) -> None:
    before = held.shelf.tables()
    outcome = held.changes(*_NOTHING_SAID)
    assert _differences(before, held.shelf.tables()) == {}
    assert {name: dict(count) for name, count in outcome.tables.items()} == {
        **{_name(xml): {"unchanged": 1} for xml in _NOTHING_SAID}, "Compte": {"unchanged": 2},
    }  # fmt: skip


def _name(xml: str) -> str:
    return xml[1:].partition(" ")[0]


_ONE_VALUE = [
    (
        '<PersonnePhysique id="p-1" action="M"><Nom>LE BAC</Nom></PersonnePhysique>',
        "person p-1",
        {"last_name": "LE BAC"},
    ),
    ('<PersonnePhysique id="p-1" action="M"><Nom/></PersonnePhysique>', "person p-1", {"last_name": None}),
    (
        '<PersonnePhysique id="p-1" action="M"><NomNaissance xsi:nil="true"/></PersonnePhysique>',
        "person p-1",
        {"birth_name": None},
    ),
    (
        '<PersonnePhysique id="p-1" action="M"><Civilite>MME</Civilite></PersonnePhysique>',
        "person p-1",
        {"title_raw": "MME", "title": "MME"},
    ),
    (
        '<PersonnePhysique id="p-1" action="M"><NeLe xsi:nil="1"/></PersonnePhysique>',
        "person p-1",
        {"birth_date": None},
    ),
    (
        '<PersonnePhysique id="p-1" action="M"><AccordDemat>false</AccordDemat></PersonnePhysique>',
        "person p-1",
        {"digital_consent": False},
    ),
    (
        '<PersonnePhysique id="p-1" action="M"><Adresse><CodePostal>97200</CodePostal></Adresse></PersonnePhysique>',
        "person p-1",
        {"address_3": None, "city": None, "country": None},
    ),
    (
        '<PersonnePhysique id="p-1" action="M"><Adresse xsi:nil="true"/></PersonnePhysique>',
        "person p-1",
        {"address_3": None, "postal_code": None, "city": None, "country": None},
    ),
    ('<Immeuble id="im-1" action="M" siret=""/>', "building im-1", {"siret": None}),
    ('<Immeuble id="im-1" action="M" gerance="true"/>', "building im-1", {"is_rental": True}),
    ('<Immeuble id="im-1" action="M" gestionnaire=""/>', "building im-1", {"manager_key": None}),
    ('<Lot id="l-1" action="M" surface=""/>', "lot l-1", {"area_m2": None}),
    ('<Mandat id="md-1" action="M" fin="2026-01-06"/>', "mandate md-1", {"end_date": "2026-01-06"}),
    ('<Mandat id="md-1" action="M" bailleur=""/>', "mandate md-1", {"landlord_key": None}),
    ('<Bail id="ba-1" action="M" mandat=""/>', "lease ba-1", {"mandate_key": None}),
    ('<Bail id="ba-1" action="M"><Loyer xsi:nil="true"/></Bail>', "lease ba-1", {"rent": None}),
    ('<Collaborateur id="g-1" action="M"><Courriel/></Collaborateur>', "staff g-1", {"email": None}),
    ('<Compte id="ct-1" action="M" montant="12.34"/>', "account ct-1", {"balance": -1234}),
    ('<Compte id="ct-1" action="M" sens="D"/>', "account ct-1", {"balance": 1000}),
    ('<Compte id="ct-0" action="M" montant="5.00"/>', "account ct-0", {"balance": -500}),
    ('<Compte id="ct-1" action="M" au="" immeuble=""/>', "account ct-1", {"as_of": None, "building_key": None}),
    ('<CoordonneesBancaires id="rib-1" action="M" rum="R2"/>', "bank_detail rib-1", {"mandate_reference": "R2"}),
    ('<Document id="d-1" action="M" audience="TOUS"/>', "document d-1", {"audience": "all"}),
    ('<Document id="d-1" action="M" personne=""/>', "document d-1", {"person_key": None}),
]


@pytest.mark.parametrize(("change", "row", "columns"), _ONE_VALUE, ids=[change for change, _, _ in _ONE_VALUE])
def test_a_change_changes_what_it_says_and_nothing_else(
    held: Agency, change: str, row: str, columns: dict[str, Any]
) -> None:
    before = held.shelf.tables()
    outcome = held.changes(change)
    changed = _differences(before, held.shelf.tables())
    written = {name: str(value) if name.endswith("_date") and value else value for name, value in changed[row].items()}
    assert (list(changed), written) == ([row], columns)
    assert outcome.tables[_name(change)] == {"stored": 1}


def test_a_sense_alone_turns_a_zero_and_is_remembered(held: Agency) -> None:
    held.changes('<Compte id="ct-0" action="M" sens="D"/>')
    held.changes('<Compte id="ct-0" action="M" montant="5.00"/>')
    assert held.row("account", "ct-0")["balance"] == 500


_PHONE, _FIRST, _SECOND = (
    {"p-1:phone:1": "+596696001073"}, {"p-1:email:1": "a1@bac.example"}, {"p-1:email:2": "b1@bac.example"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "values"),
    [
        pytest.param(
            "<Courriels><Courriel>c@bac.example</Courriel></Courriels>",
            {"p-1:email:1": "c@bac.example", **_PHONE},
            id="e-mails replaced",
        ),
        pytest.param('<Courriels xsi:nil="true"/>', _PHONE, id="no e-mails"),
        pytest.param("<Telephones/>", {**_FIRST, **_SECOND}, id="no phones"),
    ],
)
def test_a_container_of_contacts_replaces_its_own_kind_only(held: Agency, said: str, values: dict[str, str]) -> None:
    held.changes(f'<PersonnePhysique id="p-1" action="M">{said}</PersonnePhysique>')
    mine = {key: row["value"] for key, row in held.shelf.table("contact").items() if key.startswith("p-1:")}
    assert mine == values


def test_a_new_phone_without_address_is_read_in_the_region_of_the_held_one(held: Agency) -> None:
    held.changes(
        '<PersonnePhysique id="p-1" action="M"><Telephones><Telephone>0696007611</Telephone></Telephones>'
        "</PersonnePhysique>"
    )
    assert held.row("contact", "p-1:phone:1")["value"] == "+596696007611"


def test_a_new_address_without_phones_leaves_the_contacts_alone(held: Agency) -> None:
    before = held.shelf.table("contact")
    held.changes(
        '<PersonnePhysique id="p-1" action="M"><Adresse><CodePostal>75011</CodePostal></Adresse></PersonnePhysique>'
    )
    assert held.shelf.table("contact") == before


def test_a_new_address_comes_with_its_region_for_new_phones(held: Agency) -> None:
    held.changes(
        '<PersonnePhysique id="p-1" action="M"><Telephones><Telephone>0696007611</Telephone></Telephones><Adresse>'
        "<CodePostal>75011</CodePostal></Adresse></PersonnePhysique>"
    )
    assert held.row("contact", "p-1:phone:1")["value"] is None
    assert held.outcome.flags == {"phone_unparsed": 1}


_LINKS = {"p-9:p-1:joint_owner", "p-9:p-2:usufructuary", "p-9:p-1:common_agent", "p-9:p-2:representative"}


@pytest.mark.parametrize(
    ("said", "links"),
    [
        pytest.param(
            '<Membres><Membre ref="p-2" droit="CO"/></Membres>',
            {"p-9:p-2:spouse", "p-9:p-1:common_agent", "p-9:p-2:representative"},
            id="members",
        ),
        pytest.param(
            '<Membres xsi:nil="true"/>', _LINKS - {"p-9:p-1:joint_owner", "p-9:p-2:usufructuary"}, id="no members"
        ),
        pytest.param(
            '<MandataireCommun ref="p-2"/>', _LINKS - {"p-9:p-1:common_agent"} | {"p-9:p-2:common_agent"}, id="agent"
        ),
        pytest.param('<MandataireCommun xsi:nil="true"/>', _LINKS - {"p-9:p-1:common_agent"}, id="no agent"),
        pytest.param('<Representant xsi:nil="true"/>', _LINKS - {"p-9:p-2:representative"}, id="no representative"),
    ],
)
def test_links_are_replaced_each_kind_by_its_own_element(held: Agency, said: str, links: set[str]) -> None:
    held.changes(f'<Indivision id="p-9" action="M">{said}</Indivision>')
    assert held.keys("person_link") == links


_SHARE = '<Cles><Tantiemes cle="ASC" valeur="1" base="2"/></Cles>'
_OTHER_LOT = '<Lots><LotRef ref="l-2"/></Lots>'
_OTHER_PARTY = '<Parties><Titulaire ref="lo-1"/></Parties>'


@pytest.mark.parametrize(
    ("element", "key", "said", "table", "keys"),
    [
        ("Lot", "l-1", _SHARE, "lot_share", {"l-1:ASC", "l-2:GEN"}),
        ("Lot", "l-1", '<Cles xsi:nil="true"/>', "lot_share", {"l-2:GEN"}),
        ("Coproprietaire", "c-1", _OTHER_LOT, "co_ownership", {"c-1:l-2"}),
        ("Coproprietaire", "c-1", '<Lots xsi:nil="true"/>', "co_ownership", set()),
        ("Coproprietaire", "c-1", '<ConseilSyndical xsi:nil="true"/>', "council_membership", set()),
        ("Mandat", "md-1", _OTHER_LOT, "mandate_lot", {"md-1:l-2"}),
        ("Bail", "ba-1", _OTHER_PARTY, "lease_party", {"ba-1:lo-1:co_tenant"}),
        ("Bail", "ba-1", '<Parties xsi:nil="true"/>', "lease_party", set()),
    ],
)
def test_a_container_replaces_the_whole_set(
    held: Agency, element: str, key: str, said: str, table: str, keys: set[str]
) -> None:
    held.changes(f'<{element} id="{key}" action="M">{said}</{element}>')
    assert held.keys(table) == keys


def test_another_person_of_a_role_takes_its_lots_and_its_seat(held: Agency) -> None:
    held.changes('<Coproprietaire id="c-1" action="M" personne="p-2"/>')
    assert held.row("co_ownership", "c-1:l-1")["person_key"] == "p-2"
    assert held.row("council_membership", "c-1:CS")["person_key"] == "p-2"
    assert held.row("council_membership", "c-1:CS")["function"] == "PRESIDENT"


def test_another_building_of_a_role_moves_its_seat_and_not_its_lots(held: Agency) -> None:
    before = held.shelf.table("co_ownership")
    held.changes('<Coproprietaire id="c-1" action="M" immeuble="im-2"/>')
    assert held.row("council_membership", "c-1:CS")["building_key"] == "im-2"
    assert held.shelf.table("co_ownership") == before


def test_a_new_seat_takes_the_building_that_the_role_holds(held: Agency) -> None:
    held.changes('<Coproprietaire id="c-1" action="M"><ConseilSyndical fonction="MEMBRE"/></Coproprietaire>')
    assert held.row("council_membership", "c-1:CS")["building_key"] == "im-1"
    assert held.row("council_membership", "c-1:CS")["function"] == "MEMBRE"


def test_a_new_holder_is_looked_up_by_its_role(held: Agency) -> None:
    held.changes('<Compte id="ct-1" action="M" titulaire="lo-1"/>', '<Bail id="ba-1" action="M" fin="2026-01-06"/>')
    assert held.row("account", "ct-1")["person_key"] == "p-2"
    assert held.row("lease_party", "ba-1:lo-1:principal")["person_key"] == "p-2"


def test_flags_come_from_what_the_line_says_and_not_from_what_is_held(agency: Agency) -> None:
    agency.says('<PersonnePhysique id="p-1" action="C"><Nom>CH?TEAU</Nom></PersonnePhysique>')
    assert (
        agency.changes('<PersonnePhysique id="p-1" action="M"><Prenoms>Jean</Prenoms></PersonnePhysique>').flags == {}
    )
    assert agency.row("person", "p-1")["last_name"] == "CH?TEAU"


def test_in_a_complete_document_what_is_absent_is_nothing_whatever_the_action_says(held: Agency) -> None:
    outcome = held.says('<PersonnePhysique id="p-1" action="M"><Nom>ROY</Nom></PersonnePhysique>')
    assert outcome.tables["PersonnePhysique"] == {"stored": 1}
    assert held.row("person", "p-1")["first_names"] is None
    assert {key for key in held.shelf.table("contact") if key.startswith("p-1:")} == set()


def test_a_complete_object_in_a_delta_replaces_all_of_it(held: Agency) -> None:
    held.changes('<PersonnePhysique id="p-1" action="C"><Nom>ROY</Nom></PersonnePhysique>')
    assert held.row("person", "p-1")["city"] is None


def test_a_change_of_an_object_that_was_never_held_is_put_aside(held: Agency) -> None:
    outcome = held.changes('<Document id="d-9" action="M"><Libelle>Bail</Libelle></Document>')
    assert outcome.quarantined == [("Document", "d-9", "row.unknown_key")]


def test_a_seat_of_a_role_that_was_never_held_waits_for_the_role_and_not_for_a_building(held: Agency) -> None:
    outcome = held.changes('<Coproprietaire id="c-9" action="M"><ConseilSyndical/></Coproprietaire>')
    assert outcome.quarantined == [("Coproprietaire", "c-9", "row.unknown_key")]


def test_a_change_brings_back_what_had_left(held: Agency) -> None:
    held.changes('<Suppression objet="Document" ref="d-1" motif="SORTIE" date="2026-01-06"/>')
    assert held.row("document", "d-1")["ended_reason"] == "SORTIE"
    held.changes('<Document id="d-1" action="M"><Libelle>Bail</Libelle></Document>')
    assert held.row("document", "d-1")["ended_reason"] is None
    assert held.row("document", "d-1")["file_name"] == "d.pdf"


def test_the_object_of_another_element_with_the_same_key_is_another_object(agency: Agency) -> None:
    """A key is unique within its source table: `x` the building tells nothing of `x` the document."""
    agency.says(
        '<Immeuble id="x" action="C"><Code>I1</Code></Immeuble>', '<Document id="x" action="C" audience="TOUS"/>'
    )
    agency.changes(
        '<Immeuble id="x" action="M"><Nom>LE BAC</Nom></Immeuble>', '<Document id="x" action="M" type="BAIL"/>'
    )
    assert (agency.row("building", "x")["code"], agency.row("document", "x")["audience"]) == ("I1", "all")


def test_changes_are_marked_and_their_held_rows_asked_for(agency: Agency) -> None:
    connector = Login()
    opened = connector.open(
        delivered(
            agency.folder, delta('<Lot id="l-1" action="M"/>', '<Lot id="l-2" action="C" immeuble="i" numero="2"/>')
        ),
        KNOWN,
    )
    assert [(asked.d, dict(asked.keys)) for asked in connector.asks([opened])] == [(0, {"Lot": ["l-1"]})]
    lines = connector.read([opened], Recalled()).lines.to_pylist()
    assert [(line["key"], line["partial"]) for line in lines] == [("l-1", True), ("l-2", False)]


def test_a_complete_document_asks_for_nothing(agency: Agency) -> None:
    connector = Login()
    opened = connector.open(delivered(agency.folder, envoi('<Lot id="l-1" action="M"/>')), KNOWN)
    assert connector.asks([opened]) == []
    assert connector.read([opened], Recalled()).lines["partial"].to_pylist() == [False]
