"""What is erased on an agency's order: rows, the lines that yielded them, keys, and what is left in the file."""

from pathlib import Path

import pytest
from sqlalchemy import insert, select

from schemas.errors import NotVerified
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from store.agency import OpenShelf
from store.ordered import erase_persons, erase_tables
from store.tables import DOOMED_KEY, LINE, QUARANTINE, ROWS
from tests.leave import NOON

CODE = AgencyCode("A0001")
KIDS = dict(zip(AGENCY_SYSTEMS, range(1, len(AGENCY_SYSTEMS) + 1), strict=True))
DAY = NOON.date()
DIGEST = bytes(16)


@pytest.fixture
def shelf(shelf: OpenShelf) -> OpenShelf:
    """In every system one person with a contact, which another line yields, and a lot; one line put aside."""
    assert list(shelf.keyring.allocate(len(KIDS))) == list(KIDS.values())
    with shelf.writing() as db:
        for system, kid in KIDS.items():
            for n, (name, refs, key) in enumerate(
                (("person", {}, kid), ("contact", {"person_key": f"p-{system}"}, kid), ("lot", {}, 0))
            ):
                line = {"id": 10 * kid + n, "system": str(system), "source": name, "key": "k", "live": 1}
                db.execute(insert(LINE).values(**line, signature=DIGEST))
                row = {"system": str(system), "source_key": f"{name[0]}-{system}", "owner": line["id"], "kid": key}
                own = {"digest": DIGEST, "sealed": b"x", "delivery": 1, "loc": "1"}
                db.execute(insert(ROWS[name]).values(**row, **own, **refs))
        aside = {"delivery": 1, "system": "gpi", "source": "60", "loc": "1", "reason": "row.bad_date"}
        db.execute(insert(QUARANTINE).values(**aside, key="k", sealed=b"x"))
    return shelf


def held(shelf: OpenShelf, name: str) -> set[str]:
    return set(shelf.db.scalars(select(ROWS[name].c.system)))


def lines(shelf: OpenShelf, source: str) -> set[str]:
    return set(shelf.db.scalars(select(LINE.c.system).where(LINE.c.source == source)))


def opened_by(shelf: OpenShelf) -> set[System]:
    """The systems whose person's key is still there."""
    there = set()
    for system, kid in KIDS.items():
        try:
            shelf.keyring.cipher(kid)
        except NotVerified:
            continue
        there.add(system)
    return there


def test_a_table_goes_with_its_lines_and_leaves_neither_key_nor_residue_and_takes_nothing_else(
    shelf: OpenShelf, tmp_path: Path
) -> None:
    path = Home.at(tmp_path).shelf(CODE)
    everywhere = set(AGENCY_SYSTEMS)
    assert erase_tables(shelf, ["contact"], DAY) == {"contact": len(KIDS)}
    assert held(shelf, "contact") == lines(shelf, "contact") == set()
    assert held(shelf, "person") == lines(shelf, "person") == held(shelf, "lot") == everywhere
    assert opened_by(shelf) == everywhere, "what else is sealed with them is still held"
    files = b"".join(p.read_bytes() for p in path.parent.glob(f"{path.name}*"))
    assert b"p-gpi" in files
    assert b"c-gpi" not in files, "nor in a page that is free now"
    assert erase_tables(shelf, ["contact"], DAY) == {}


@pytest.mark.parametrize("tables", [["*"], ["person"], ["person", "contact"]])
def test_when_nothing_of_a_person_is_left_the_key_is_destroyed(shelf: OpenShelf, tables: list[str]) -> None:
    erase_tables(shelf, tables, DAY)
    assert opened_by(shelf) == set()
    assert shelf.db.scalars(select(DOOMED_KEY.c.kid)).all() == []
    assert held(shelf, "contact") == set()
    assert (held(shelf, "lot") == set()) == ("*" in tables)


def test_erasing_everything_empties_what_was_put_aside_and_keeps_that_it_was(shelf: OpenShelf) -> None:
    erase_tables(shelf, ["*"], DAY)
    (aside,) = shelf.db.execute(select(QUARANTINE)).all()
    assert (aside.reason, aside.key, aside.sealed) == ("row.bad_date", None, None)


@pytest.mark.parametrize("system", AGENCY_SYSTEMS)
def test_a_person_goes_in_its_own_system_alone(shelf: OpenShelf, system: System) -> None:
    reference = shelf.keyring.reference(system, "person", f"p-{system}")
    assert erase_persons(shelf, frozenset({reference}), DAY) == {"person": 1, "contact": 1}
    others = set(AGENCY_SYSTEMS) - {system}
    assert held(shelf, "person") == held(shelf, "contact") == opened_by(shelf) == others
    assert len(shelf.erased_marks(system)) == 1
    assert erase_persons(shelf, frozenset({reference}), DAY) == {}
