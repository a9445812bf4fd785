"""What becomes of a line: reasons, repeated objects, ends, locations (canonical §5–§7, login.md)."""

from datetime import date
from pathlib import Path

import pytest

from connectors.base import Known, Recalled
from connectors.login import Login
from schemas.frames import ENDINGS, LINES, Reading, row_schema
from schemas.records import RECORDS
from tests.connectors.login.conftest import Agency
from tests.connectors.login.document import KNOWN, SIRET, delivered, delta, envoi

PERSON = '<PersonnePhysique id="p-1" action="C"><Nom>ROY</Nom></PersonnePhysique>'
BUILDING = '<Immeuble id="im-1" action="C"><Code>I1</Code></Immeuble>'


def read(folder: Path, *objects: str) -> Reading:
    connector = Login()
    return connector.read([connector.open(delivered(folder, envoi(*objects)), KNOWN)], Recalled())


def outcomes(reading: Reading) -> list[tuple[str, str | None, str, str | None]]:
    """Location, key, outcome and reason of each line."""
    return [(line["loc"], line["key"], line["outcome"], line["reason"]) for line in reading.lines.to_pylist()]


_SHARE = (
    '<Lot id="x" action="C" immeuble="im-1" numero="1"><Cles><Tantiemes cle="G" valeur="{}" base="{}"/></Cles></Lot>'
)
_INCOMPLETE = [
    ('<Immeuble id="x" action="C"/>', "row.missing_key"),
    ('<Immeuble id="x" action="C"><Code> </Code></Immeuble>', "row.missing_key"),
    ('<Lot id="x" action="C" numero="1"/>', "row.missing_key"),
    ('<Lot id="x" action="C" immeuble="im-1"/>', "row.missing_key"),
    ('<Lot id="x" action="C" immeuble="im-1" numero=" "/>', "row.missing_key"),
    ('<Coproprietaire id="x" action="C" immeuble="im-1"/>', "row.missing_key"),
    ('<Coproprietaire id="x" action="C" personne="p-1"><ConseilSyndical/></Coproprietaire>', "row.missing_key"),
    ('<Bailleur id="x" action="C"/>', "row.missing_key"),
    ('<Locataire id="x" action="C"/>', "row.missing_key"),
    ('<Bail id="x" action="C"/>', "row.missing_key"),
    ('<Compte id="x" action="C" numero="1" montant="1.00" sens="D"/>', "row.missing_key"),
    ('<Compte id="x" action="C" titulaire="c-1" numero="" montant="1.00" sens="D"/>', "row.missing_key"),
    ('<Compte id="x" action="C" titulaire="c-1" numero="1" sens="D"/>', "row.bad_amount"),
    ('<Compte id="x" action="C" titulaire="c-1" numero="1" montant="1.00"/>', "row.bad_enum"),
    ('<Compte id="x" action="C" titulaire="c-1" numero="1"/>', "row.bad_amount"),
    ('<Compte id="x" action="C"/>', "row.missing_key"),
    ('<CoordonneesBancaires id="x" action="C"/>', "row.missing_key"),
    ('<Document id="x" action="C"/>', "row.bad_enum"),
    (_SHARE.format("+1", "9"), "row.bad_number"),
    (_SHARE.format("1", "99999999999999999999"), "row.bad_number"),
    ('<Lot id="x" action="C" immeuble="4.5E-11" numero="1"/>', "row.scientific_key"),
    ('<Mandat id="x" action="C"><Lots><LotRef ref="4.5E-11"/></Lots></Mandat>', "row.scientific_key"),
]  # fmt: skip


@pytest.mark.parametrize(("xml", "reason"), _INCOMPLETE, ids=[xml for xml, _ in _INCOMPLETE])
def test_an_object_without_what_it_needs_is_put_aside_with_its_text(tmp_path: Path, xml: str, reason: str) -> None:
    reading = read(tmp_path, xml)
    assert outcomes(reading) == [("x", "x", "quarantined", reason)]
    assert sum(table.num_rows for table in reading.rows.values()) == 0
    (content,) = reading.content.to_pylist()
    assert content["line"] == 0
    assert content["content"].startswith(xml.partition(" ")[0])
    assert 'id="x"' in content["content"]


def test_an_erased_value_that_may_not_be_empty_puts_a_change_aside(agency: Agency) -> None:
    agency.says(PERSON, BUILDING, '<Lot id="l-1" action="C" immeuble="im-1" numero="1"/>')
    outcome = agency.changes(
        '<Lot id="l-1" action="M" numero=""/>', '<Immeuble id="im-1" action="M"><Code/></Immeuble>'
    )
    assert outcome.quarantined == [("Immeuble", "im-1", "row.missing_key"), ("Lot", "l-1", "row.missing_key")]
    assert agency.row("lot", "l-1")["number"] == "1"


def test_a_key_in_scientific_notation_is_no_key(tmp_path: Path) -> None:
    reading = read(tmp_path, PERSON.replace("p-1", "1E-5"))
    assert outcomes(reading) == [("1E-5", None, "quarantined", "row.scientific_key")]


def test_a_key_is_read_without_the_spaces_that_the_schema_allows(tmp_path: Path) -> None:
    reading = read(tmp_path, PERSON.replace('"p-1"', '" p-1 "'))
    assert outcomes(reading) == [("p-1", "p-1", "ok", None)]
    assert reading.rows["person"]["source_key"].to_pylist() == ["p-1"]


def test_the_same_object_again_is_ignored_and_another_one_with_its_key_put_aside(agency: Agency) -> None:
    other = PERSON.replace("ROY", "BAC")
    outcome = agency.says(PERSON, other, PERSON, '<PersonneMorale id="p-2" action="C"/>')
    assert outcome.tables["PersonnePhysique"] == {"stored": 1, "quarantined": 1, "ignored": 1}
    assert outcome.quarantined == [("PersonnePhysique", "p-1", "row.duplicate_key")]
    assert outcome.flags == {"row_repeated": 1}
    assert agency.row("person", "p-1")["last_name"] == "ROY"
    assert [row["content"].count("BAC") for row in agency.reading.content.to_pylist()] == [1]


def test_an_object_put_aside_does_not_count_as_the_first(agency: Agency) -> None:
    """Canonical §5: a key repeats among lines that passed every earlier check."""
    wrong, right = '<Lot id="l-1" action="C" immeuble="im-1"/>', '<Lot id="l-1" action="C" immeuble="im-1" numero="1"/>'
    outcome = agency.says(BUILDING, wrong, right)
    assert outcome.quarantined == [("Lot", "l-1", "row.missing_key")]
    assert agency.row("lot", "l-1")["number"] == "1"


def test_the_second_change_of_an_object_still_finds_what_is_held_when_the_first_is_put_aside(agency: Agency) -> None:
    agency.says(BUILDING, '<Lot id="l-1" action="C" immeuble="im-1" numero="1" porte="G"/>')
    agency.changes('<Lot id="l-1" action="M" numero=""/>', '<Lot id="l-1" action="M" nature="CAVE"/>')
    row = agency.row("lot", "l-1")
    assert (row["number"], row["nature"], row["door"]) == ("1", "CAVE", "G")


def test_one_key_in_two_elements_is_two_objects(agency: Agency) -> None:
    outcome = agency.says(BUILDING.replace("im-1", "x"), '<Document id="x" action="C" audience="TOUS"/>')
    assert outcome.quarantined == []


def test_the_same_item_twice_in_an_object_is_one_row(agency: Agency) -> None:
    lot = '<Lot id="l-1" action="C" immeuble="im-1" numero="1"/>'
    role = (
        '<Coproprietaire id="c-1" action="C" personne="p-1"><Lots><LotRef ref="l-1" droit="US"/>'
        '<LotRef ref="l-1" droit="NP"/></Lots></Coproprietaire>'
    )
    agency.says(PERSON, BUILDING, lot, role)
    assert agency.row("co_ownership", "c-1:l-1")["right"] == "usufruct"


def test_lines_and_rows_have_the_shape_of_the_house(tmp_path: Path) -> None:
    reading = read(tmp_path, PERSON, BUILDING, '<Mandat id="md-1" action="C" bailleur="b-1"/>')
    assert reading.lines.schema == LINES
    assert reading.endings.schema == ENDINGS
    assert reading.locus == "ref"
    for name, table in reading.rows.items():
        own = table.select([column for column in table.column_names if not column.startswith("via:")])
        assert own.schema == row_schema(RECORDS[name]), name
    assert reading.rows["mandate"].select(["landlord_key", "via:landlord_key"]).to_pylist() == [
        {"landlord_key": None, "via:landlord_key": "b-1"}
    ]


def test_documents_of_many_agencies_are_read_together_and_kept_apart(tmp_path: Path) -> None:
    connector, names = Login(), ("LOGIN-A0009-20260105T010000Z.xml.gz", "LOGIN-A0009-20260106T010000Z.xml.gz")
    texts = (envoi(PERSON, BUILDING), envoi(BUILDING, PERSON.replace("ROY", "BAC")))
    opened = [connector.open(delivered(tmp_path, text, name), KNOWN) for text, name in zip(texts, names, strict=True)]
    reading = connector.read(opened, Recalled())
    lines = reading.lines.to_pylist()
    assert [(line["line"], line["d"], line["source"]) for line in lines] == [
        (0, 0, "PersonnePhysique"), (1, 0, "Immeuble"), (2, 1, "PersonnePhysique"), (3, 1, "Immeuble"),
    ]  # fmt: skip
    assert {line["outcome"] for line in lines} == {"ok"}
    persons = reading.rows["person"].select(["line", "last_name"]).to_pylist()
    assert persons == [{"line": 0, "last_name": "ROY"}, {"line": 2, "last_name": "BAC"}]
    assert [arrived.name for arrived in reading.deliveries] == list(names)


def test_a_document_that_says_nothing_is_read_as_nothing(tmp_path: Path) -> None:
    connector = Login()
    opened = connector.open(delivered(tmp_path, delta()), KNOWN)
    reading = connector.read([opened], Recalled())
    assert (reading.lines.num_rows, reading.rows, reading.endings.num_rows) == (0, {}, 0)


def test_every_source_table_says_what_it_can_yield(tmp_path: Path) -> None:
    """The gate trusts this list: a record that a line yields and the list does not name would pass unseen."""
    reading = read(
        tmp_path,
        '<Indivision id="p-9" action="C"><Courriels><Courriel>a@bac.example</Courriel></Courriels>'
        '<Representant ref="p-1"/></Indivision>',
        '<Coproprietaire id="c-1" action="C" personne="p-1" immeuble="im-1"><Lots><LotRef ref="l-1"/></Lots>'
        "<ConseilSyndical/></Coproprietaire>",
        '<Lot id="l-1" action="C" immeuble="i" numero="1"><Cles><Tantiemes cle="G" valeur="1" base="1"/></Cles></Lot>',
        '<Mandat id="md-1" action="C"><Lots><LotRef ref="l-1"/></Lots></Mandat>',
        '<Bail id="ba-1" action="C" lot="l-1"><Parties><Garant personne="p-1"/></Parties></Bail>',
        '<Compte id="ct-1" action="C" titulaire="c-1" numero="1" montant="1.00" sens="D"/>',
        PERSON, BUILDING, '<Bailleur id="b-1" action="C" personne="p-1"/>', '<Collaborateur id="g-1" action="C"/>',
        '<CoordonneesBancaires id="r-1" action="C" personne="p-1"/>', '<Document id="d-1" action="C" audience="TOUS"/>',
    )  # fmt: skip
    source = {line["line"]: line["source"] for line in reading.lines.to_pylist()}
    yielded: dict[str, set[str]] = {}
    for record, table in reading.rows.items():
        for line in table["line"].to_pylist():
            yielded.setdefault(source[line], set()).add(record)
    said = Login().yields
    assert all(records <= said[element] for element, records in yielded.items())
    assert set().union(*yielded.values()) == set().union(*said.values())


# -- ends -------------------------------------------------------------------------------------------------------------


def _end(element: str, ref: str, reason: str, more: str = "") -> str:
    return f'<Suppression objet="{element}" ref="{ref}" motif="{reason}" date="2026-01-06"{more}/>'


def test_an_end_names_its_object_its_reason_and_its_day(tmp_path: Path) -> None:
    reading = read(
        tmp_path, _end("Bail", "ba-1", "SORTIE", ' remplacePar="ba-2"'), _end("Indivision", "p-1", "EFFACEMENT"),
        _end("PersonneMorale", "p-2", "DOUBLON", ' remplacePar="p-3"'), _end("PersonnePhysique", "p-4", "DOUBLON"),
    )  # fmt: skip
    day = date(2026, 1, 6)
    assert [tuple(end.values())[2:] for end in reading.endings.to_pylist()] == [
        ("Bail", "ba-1", "SORTIE", day, None, None, False),
        ("Indivision", "p-1", "EFFACEMENT", day, None, "p-1", False),
        ("PersonneMorale", "p-2", "DOUBLON", day, "p-3", None, False),
        ("PersonnePhysique", "p-4", "DOUBLON", day, None, None, False),
    ]
    assert [line[:3] for line in outcomes(reading)] == [
        ("ba-1", "Bail:ba-1", "ok"), ("p-1", "Indivision:p-1", "ok"), ("p-2", "PersonneMorale:p-2", "ok"),
        ("p-4", "PersonnePhysique:p-4", "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        pytest.param(_end("Lot", "x", "EFFACEMENT"), "row.bad_enum", id="the erasure of a thing"),
        pytest.param(_end("Bailleur", "x", "DOUBLON"), "row.bad_enum", id="the double of a role"),
        pytest.param(_end("Voiture", "x", "SORTIE"), "row.bad_enum", id="an element that does not exist"),
        pytest.param(_end("Lot", "4.5E-11", "SORTIE"), "row.scientific_key", id="no key"),
    ],
)
def test_an_end_that_means_nothing_is_put_aside(tmp_path: Path, xml: str, reason: str) -> None:
    reading = read(tmp_path, xml)
    assert [(line["outcome"], line["reason"]) for line in reading.lines.to_pylist()] == [("quarantined", reason)]
    assert reading.endings.num_rows == 0


def test_an_end_twice_is_one_end(tmp_path: Path) -> None:
    reading = read(tmp_path, _end("Lot", "l-1", "SORTIE"), _end("Lot", "l-1", "SORTIE"), _end("Bail", "l-1", "SORTIE"))
    assert [line["outcome"] for line in reading.lines.to_pylist()] == ["ok", "ignored", "ok"]
    assert reading.endings.num_rows == 2


def test_ends_of_persons_reach_what_names_them(agency: Agency) -> None:
    persons = [PERSON.replace("p-1", f"p-{n}") for n in (1, 2, 3)]
    agency.says(*persons, BUILDING, '<Locataire id="lo-1" action="C" personne="p-1"/>')
    agency.changes(
        _end("PersonnePhysique", "p-1", "EFFACEMENT"), _end("Locataire", "lo-1", "SORTIE"),
        _end("PersonnePhysique", "p-2", "DOUBLON", ' remplacePar="p-3"'), _end("Immeuble", "im-1", "SORTIE"),
    )  # fmt: skip
    assert set(agency.shelf.table("person")) == {"p-2", "p-3"}
    assert (agency.row("person", "p-2")["ended_reason"], agency.row("person", "p-2")["merged_into"]) == (
        "DOUBLON",
        "p-3",
    )
    assert agency.row("building", "im-1")["ended_on"] == date(2026, 1, 6)


def test_the_delivery_knows_its_day_digest_and_cursor(tmp_path: Path) -> None:
    delivery = delivered(tmp_path, envoi())
    arrived = Login().open(delivery, Known(SIRET)).arrived
    assert (arrived.agency, arrived.system, arrived.name) == (delivery.agency, "login", delivery.name)
    assert (arrived.day, arrived.cursor, arrived.layout) == (date(2026, 1, 6), "2026-01-05T01:00:00Z", "login-2.3")
    assert arrived.sha256 is not None
    assert len(arrived.sha256) == 64
