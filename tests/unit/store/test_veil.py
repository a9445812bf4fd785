"""What a restriction hides on a shelf, system by system, and what the agency gets back all the same."""

import pytest
from sqlalchemy import insert, select

from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Mandate, RestrictedBy, Restriction, Task
from store.agency import OpenShelf
from store.tables import ROWS
from store.veil import Standing, Veil
from tests.leave import NOON

CODE = AgencyCode("A0001")


def reference(system: System, table: str, key: str) -> str:
    return f"{system}/{table}/{key}"


@pytest.fixture
def shelf(shelf: OpenShelf) -> OpenShelf:
    """In every system the same keys: one person, one lot in one building, one lease on it with that person."""
    rows = {
        "building": {}, "person": {}, "lot": {"building_key": "1"}, "lease": {"lot_key": "1"},
        "lease_party": {"lease_key": "1", "person_key": "1"},
    }  # fmt: skip
    own = {"source_key": "1", "owner": 1, "kid": 0, "digest": b"", "sealed": b"", "delivery": 1, "loc": "1"}
    with shelf.writing() as db:
        for name, refs in rows.items():
            db.execute(insert(ROWS[name]), [{**own, **refs, "system": str(s)} for s in AGENCY_SYSTEMS])
    return shelf


def veil(shelf: OpenShelf, scope: RestrictedBy, target: str, *tasks: Task) -> Veil:
    restriction = Restriction("INS-1", scope, frozenset({target}))
    return Veil(shelf.db, Mandate(CODE, NOON, (), (restriction,), tasks=tasks), reference)


def hidden(shelf: OpenShelf, over: Veil, table: str) -> list[str]:
    found = shelf.db.execute(select(ROWS[table]).order_by(ROWS[table].c.system)).all()
    return [row.system for row, closed in zip(found, over.hidden(table, found), strict=True) if closed]


def given_back(*tables: str, does: str = "return") -> Task:
    return Task("INS-2", does, frozenset(tables))


@pytest.mark.parametrize("system", AGENCY_SYSTEMS)
def test_a_row_is_hidden_in_its_own_system_alone_with_what_stands_on_it(shelf: OpenShelf, system: System) -> None:
    over = veil(shelf, RestrictedBy.BUILDING, reference(system, "building", "1"))
    for table in ("building", "lot", "lease", "lease_party"):
        assert hidden(shelf, over, table) == [system], table
    assert hidden(shelf, over, "person") == []


def test_what_stands_on_a_key_is_looked_up_in_its_system_alone(shelf: OpenShelf) -> None:
    with shelf.writing() as db:
        db.execute(ROWS["lot"].update().where(ROWS["lot"].c.system == "gpi").values(source_key="2"))
    assert Standing(shelf.db, System.SDGI).standing_on("lot", "building_key", ["1"]) == {"1"}
    assert Standing(shelf.db, System.GPI).standing_on("lot", "building_key", ["1"]) == {"2"}


def test_a_row_given_back_on_order_is_not_hidden_and_the_rest_stays_hidden(shelf: OpenShelf) -> None:
    target = reference(System.LOGIN, "person", "1")
    some = veil(shelf, RestrictedBy.PERSON, target, given_back("lease_party"))
    assert (hidden(shelf, some, "lease_party"), hidden(shelf, some, "person")) == ([], ["login"])
    everything = veil(shelf, RestrictedBy.PERSON, target, given_back("*"))
    assert (hidden(shelf, everything, "lease_party"), hidden(shelf, everything, "person")) == ([], [])


def test_a_table_given_back_on_order_shows_all_its_columns(shelf: OpenShelf) -> None:
    assert veil(shelf, RestrictedBy.TABLE, "lot").columns("lot") is None
    for ordered in ("lot", "*"):
        assert veil(shelf, RestrictedBy.TABLE, "lot", given_back(ordered)).columns("lot") == frozenset()
    assert veil(shelf, RestrictedBy.TABLE, "lot", given_back("lot", does="rectify")).columns("lot") is None
