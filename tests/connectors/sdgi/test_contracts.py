"""IMMEUBLES, LOTS, GESTIONNAIRES, MANDATS and BAUX."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from connectors.base import Recalled
from connectors.sdgi import Sdgi
from tests.connectors.sdgi.sending import Export, flags, opened, outcomes, read, read_lines, rows

STAFF = "GESTIONNAIRES.CSV"


def test_a_building(tmp_path: Path) -> None:
    line = ["IM001", "RÉSIDENCE", "1 RUE", "1000", "BOURG", "AA8583667", "sept", "O", "N", "G01"]
    reading = read_lines(tmp_path, "IMMEUBLES.CSV", line)
    assert reading.rows["building"].to_pylist() == [
        {
            "line": 0, "soft": False, "source_key": "IM001", "code": "IM001", "name": "RÉSIDENCE",
            "registry_number": "AA8583667", "siret": None, "address_4": "1 RUE", "postal_code": "01000",
            "city": "BOURG", "insee_code": None, "is_syndic": True, "is_rental": False, "manager_key": "G01",
        }
    ]  # fmt: skip
    assert flags(reading)[0] == {"excel_zero"}


def test_a_building_of_which_little_is_known(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "IMMEUBLES.CSV", {"Code immeuble": "IM:1", "N° immatriculation": "NC"})
    columns = ("source_key", "code", "registry_number", "is_syndic", "is_rental", "manager_key", "name")
    assert rows(reading, "building", *columns) == [("IM%3A1", "IM:1", None, None, None, None, None)]


def test_a_lot_and_its_shares(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "LOTS.CSV", ["IM001", "'01", "CAVE", "A", "-1", "12", "37,8", "0576", "10000", "9"])
    columns = ("source_key", "building_key", "number", "nature", "block", "staircase", "floor", "door", "area_m2")
    assert rows(reading, "lot", *columns) == [("IM001:01", "IM001", "01", "CAVE", "A", None, "-1", "12", 3780)]
    assert rows(reading, "lot_share", "source_key", "lot_key", "share_code", "shares", "base") == [
        ("IM001:01:GEN", "IM001:01", "GEN", 576, 10000)
    ]
    assert flags(reading)[0] == {"apostrophe"}


@pytest.mark.parametrize("shares", ["", "NC"])
def test_a_lot_without_shares(tmp_path: Path, shares: str) -> None:
    reading = read_lines(tmp_path, "LOTS.CSV", ["IM001", "1", "", "", "", "", "NC", shares, "10000", ""])
    assert rows(reading, "lot", "area_m2") == [(None,)]
    assert "lot_share" not in reading.rows


def manager(code: str, active: str, **more: str) -> dict[str, str]:
    return {"Code": code, "Nom": "VALMONT", "Prénom": "Karim", "Actif (O/N)": active, **more}


def test_a_member_of_staff(tmp_path: Path) -> None:
    more = {"Fonction": "GESTIONNAIRE", "Téléphone": "0199008922 / 12", "Email": "G@Agence.test;g2@agence.test"}
    reading = read_lines(tmp_path, STAFF, manager("G01", "O", **more, **{"Administrateur (O/N)": "O"}))
    columns = ("source_key", "login", "last_name", "first_names", "email", "phone", "function", "is_administrator")
    assert rows(reading, "staff", *columns) == [
        ("G01", "G01", "VALMONT", "Karim", "G@agence.test", "+33199008922", "GESTIONNAIRE", True)
    ]
    assert rows(reading, "staff", "inactive_from") == [(None,)]
    assert flags(reading)[0] == {"multi_value", "phone_unparsed"}


def test_the_first_value_counts_even_when_it_is_none(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, STAFF, manager("G01", "O", Email="néant@;g@agence.test"))
    assert rows(reading, "staff", "email", "is_administrator") == [(None, None)]


def left() -> Export:
    lines = [manager("G01", "N"), manager("G:2", "N"), manager("G03", "O"), manager("G04", "")]
    return Export(lines={STAFF: lines})


def test_who_left_is_asked_for_and_nobody_else(tmp_path: Path) -> None:
    one = opened(tmp_path, left())
    empty = tmp_path / "empty"
    empty.mkdir()
    asked = Sdgi().asks([opened(empty, Export()), one])
    assert [(question.d, {source: sorted(keys) for source, keys in question.keys.items()}) for question in asked] == [
        (1, {STAFF: ["G%3A2", "G01"]})
    ]


def test_who_left_keeps_the_day_that_is_held_else_left_on_the_day_of_delivery(tmp_path: Path) -> None:
    held = pa.table(
        {
            "d": pa.array([0, 0, 1], pa.int32()),
            "source": [STAFF, STAFF, STAFF],
            "owner": ["G%3A2", "G03", "G01"],
            "inactive_from": pa.array([date(2025, 3, 1), date(2025, 4, 1), date(2025, 5, 1)]),
        }
    )
    reading = Sdgi().read([opened(tmp_path, left())], Recalled({"staff": held}))
    assert rows(reading, "staff", "source_key", "inactive_from") == [
        ("G%3A2", date(2025, 3, 1)), ("G01", date(2026, 1, 5)), ("G03", None), ("G04", None),
    ]  # fmt: skip


def test_who_was_held_as_active_left_on_the_day_of_delivery(tmp_path: Path) -> None:
    held = pa.table(
        {
            "d": pa.array([0], pa.int32()),
            "source": [STAFF],
            "owner": ["G01"],
            "inactive_from": pa.array([None], pa.date32()),
        }
    )
    export = Export(lines={STAFF: [manager("G01", "N")]})
    reading = Sdgi().read([opened(tmp_path, export)], Recalled({"staff": held}))
    assert rows(reading, "staff", "inactive_from") == [(date(2026, 1, 5),)]


def test_a_mandate_and_its_lots(tmp_path: Path) -> None:
    reading = read_lines(
        tmp_path, "MANDATS.CSV", ["00001", "00007", "IM003", "2 - 3", "13/04/2022", "31/12/9999", "4,5", "G01"]
    )
    columns = ("source_key", "register_number", "landlord_key", "start_date", "end_date", "fee_rate", "manager_key")
    assert rows(reading, "mandate", *columns) == [("00001", "00001", "P:00007", date(2022, 4, 13), None, 450, "G01")]
    assert rows(reading, "mandate_lot", "source_key", "mandate_key", "lot_key", "soft") == [
        ("00001:IM003:2", "00001", "IM003:2", True),
        ("00001:IM003:3", "00001", "IM003:3", True),
    ]
    assert flags(reading)[0] == {"sentinel"}


def test_a_mandate_of_which_little_is_known(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "MANDATS.CSV", {"N° mandat": "1"})
    assert rows(reading, "mandate", "landlord_key", "fee_rate", "manager_key") == [(None, None, None)]
    assert "mandate_lot" not in reading.rows


LEASE = ["B1", "00002", "00001", "IM003", "2", "NU_89", "25/04/2019", "", "1 648,53 €", "16,95", "NC"]


def test_a_lease_and_its_tenant(tmp_path: Path) -> None:
    reading = read_lines(tmp_path, "BAUX.CSV", LEASE)
    columns = (
        "source_key",
        "lot_key",
        "mandate_key",
        "lease_type",
        "start_date",
        "end_date",
        "rent",
        "charges",
        "deposit",
    )
    assert rows(reading, "lease", *columns) == [
        ("B1", "IM003:2", "00001", "NU_89", date(2019, 4, 25), None, 164853, 1695, None)
    ]
    party = rows(reading, "lease_party", "source_key", "lease_key", "person_key", "quality", "soft")
    assert party == [("B1:P", "B1", "L:00002", "principal", False)]
    assert rows(reading, "lease_party", "jointly_liable", "start_date", "end_date") == [(None, None, None)]


def tenant(**more: str) -> dict[str, str]:
    return {"N° locataire": "00002", "Nom": "CHATELAIN Noémie", **more}


def test_a_guarantor_of_the_tenant_is_a_party_of_the_lease(tmp_path: Path) -> None:
    reading = read(tmp_path, Export(lines={"LOCATAIRES.CSV": [tenant(Garant="FRANÇOISE")], "BAUX.CSV": [LEASE]}))
    assert rows(reading, "lease_party", "source_key", "person_key", "quality") == [
        ("B1:GA", "L:00002:GA", "guarantor"),
        ("B1:P", "L:00002", "principal"),
    ]


def test_a_quarantined_tenant_brings_no_guarantor(tmp_path: Path) -> None:
    lines = [tenant(Garant="FRANÇOISE", **{"Date naiss.": "hier"})]
    reading = read(tmp_path, Export(lines={"LOCATAIRES.CSV": lines, "BAUX.CSV": [LEASE]}))
    assert outcomes(reading, "BAUX.CSV") == [("2", "ok")]
    assert rows(reading, "lease_party", "source_key") == [("B1:P",)]


def test_a_guarantor_of_another_agency_s_tenant_is_no_party(tmp_path: Path) -> None:
    guaranteed = Export(lines={"LOCATAIRES.CSV": [tenant(Garant="FRANÇOISE")]})
    leased = Export(code="A0003", lines={"LOCATAIRES.CSV": [tenant()], "BAUX.CSV": [LEASE]})
    reading = Sdgi().read([opened(tmp_path, guaranteed), opened(tmp_path, leased)], Recalled())
    assert rows(reading, "lease_party", "source_key") == [("B1:P",)]
