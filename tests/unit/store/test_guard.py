"""The database refuses what no capability allows."""

import datetime as dt
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, LargeBinary, insert, text
from sqlalchemy.exc import IntegrityError

from schemas.capability import MINT, Act, Capability, Standing
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.agency import OpenShelf, Shelf
from store.engine import on
from store.keys import Keyring
from store.sqlite.engine import connect
from store.sqlite.guard import VERSION
from store.tables import HOLDING_TABLES, LINE, META, ROWS
from tests.leave import capability, warrant

CODE = AgencyCode("A0001")


def a_line(shelf: Shelf) -> None:
    row = {"system": "sdgi", "source": "x", "key": "k", "signature": b"", "live": 1}
    shelf.db.execute(insert(LINE).values(row))


def as_of(size: int, root: str = "00" * 32) -> Standing:
    return Standing(replace(capability(CODE), proof=MINT, size=size, root=root))


def test_no_table_takes_a_row_without_a_capability_and_every_one_does_with_it(shelf: OpenShelf) -> None:
    for name in HOLDING_TABLES:
        if name == "signatory":  # noted before there is an instruction
            continue
        columns = {c.name: b"x" if isinstance(c.type, LargeBinary) else 1 for c in META.tables[name].c}
        with pytest.raises(IntegrityError, match="no capability"), shelf.noting() as db:
            db.execute(insert(META.tables[name]).values(columns))
        with shelf.writing() as db:
            db.execute(insert(META.tables[name]).values(columns))


def test_in_no_table_is_a_row_changed_or_deleted_without_a_capability(shelf: OpenShelf) -> None:
    with shelf.writing() as db:
        for name in HOLDING_TABLES:
            columns = {c.name: b"x" if isinstance(c.type, LargeBinary) else 1 for c in META.tables[name].c}
            db.execute(insert(META.tables[name]).values(columns))
    bookkeeping = {'UPDATE "delivery" SET receipted = receipted', 'DELETE FROM "doomed_key"'}
    for name in HOLDING_TABLES:
        changes = [f'UPDATE "{name}" SET {c.name} = {c.name}' for c in META.tables[name].c]
        for statement in {*changes, f'DELETE FROM "{name}"'} - bookkeeping:
            with pytest.raises(IntegrityError, match="no capability"), shelf.noting() as db:
                db.execute(text(statement))
    with shelf.noting() as db:
        assert [db.execute(text(statement)).rowcount for statement in sorted(bookkeeping)] == [1, 1]


def test_nothing_is_changed_or_deleted_without_a_capability(shelf: OpenShelf) -> None:
    with shelf.writing():
        a_line(shelf)
    for statement in ("UPDATE line SET live = 0", "DELETE FROM line"):
        with pytest.raises(IntegrityError, match="no capability"), shelf.noting() as db:
            db.execute(text(statement))
    assert shelf.db.scalar(text("SELECT live FROM line")) == 1


def test_the_grant_ends_with_its_transaction(shelf: OpenShelf) -> None:
    with shelf.writing():
        a_line(shelf)
    assert shelf.db.scalar(text("SELECT count(*) FROM granted")) == 0
    with pytest.raises(RuntimeError), shelf.writing():
        raise RuntimeError
    assert shelf.db.scalar(text("SELECT count(*) FROM granted")) == 0


def test_bookkeeping_passes(shelf: OpenShelf) -> None:
    with shelf.writing() as db:
        db.execute(text("INSERT INTO doomed_key VALUES (7)"))
    with shelf.noting() as db:
        db.execute(text("DELETE FROM doomed_key"))
        db.execute(text("UPDATE delivery SET receipted = 1"))
    with pytest.raises(IntegrityError), shelf.noting() as db:
        db.execute(text("INSERT INTO doomed_key VALUES (7)"))


def test_a_capability_of_an_older_head_is_refused_also_by_the_database_itself(
    home: Home, keyring: Keyring, shelf: OpenShelf
) -> None:
    old = as_of(3)
    with OpenShelf.open(home, keyring, as_of(5)) as newer, newer.writing():
        a_line(newer)
    stale = OpenShelf.open(home, keyring, old)
    with stale, pytest.raises(Refused, match="another head of the log"), stale.writing():
        pass
    values = "('d', 'synchronise', '', 3, '', '')"
    with pytest.raises(IntegrityError, match="out of date"), shelf.noting() as db:
        db.execute(text(f"INSERT INTO capability VALUES {values}"))
    with pytest.raises(IntegrityError, match="out of date"), shelf.noting() as db:
        db.execute(text("INSERT INTO granted VALUES ('d')"))
    for statement in ("UPDATE capability SET size = 9", "DELETE FROM capability"):
        with pytest.raises(IntegrityError, match="kept as they were"), shelf.noting() as db:
            db.execute(text(statement))


def test_a_capability_that_was_in_order_once_opens_nothing_after_a_newer_one(
    home: Home, keyring: Keyring, shelf: OpenShelf
) -> None:
    for each in (as_of(3), as_of(5)):
        with OpenShelf.open(home, keyring, each) as opened, opened.writing():
            pass
    with pytest.raises(IntegrityError, match="out of date"), shelf.noting() as db:
        db.execute(text("INSERT INTO granted SELECT digest FROM capability WHERE size = 3"))
    between = OpenShelf.open(home, keyring, as_of(4))
    with between, pytest.raises(Refused, match="another head"), between.writing():
        pass


def test_two_heads_of_one_size_are_a_fork(home: Home, keyring: Keyring, shelf: OpenShelf) -> None:
    with OpenShelf.open(home, keyring, as_of(5, "11" * 32)) as one, one.writing():
        a_line(one)
    other = OpenShelf.open(home, keyring, as_of(5, "22" * 32))
    with other, pytest.raises(Refused, match="another head"), other.writing():
        pass
    values = f"('d', 'synchronise', '', 5, '{'22' * 32}', '')"
    with pytest.raises(IntegrityError, match="out of date"), shelf.noting() as db:
        db.execute(text(f"INSERT INTO capability VALUES {values}"))
    assert shelf.db.scalar(text("SELECT count(*) FROM line")) == 1


@pytest.mark.parametrize("act", [Act.RETURN, Act.LOOK])
def test_who_may_read_may_not_write(home: Home, keyring: Keyring, shelf: OpenShelf, act: Act) -> None:
    only = replace(capability(CODE, Act.RETURN), proof=MINT, act=act)
    reader = OpenShelf.open(home, keyring, Standing(only))
    with reader, pytest.raises(Refused, match="writes nothing"), reader.writing():
        pass


@pytest.mark.parametrize("act", [Act.CONFIGURE, Act.INSPECT])
def test_who_may_neither_read_nor_write_opens_no_shelf(
    home: Home, keyring: Keyring, shelf: OpenShelf, act: Act
) -> None:
    other = replace(capability(CODE, Act.RETURN), proof=MINT, act=act)
    with pytest.raises(Refused, match="opens no record"):
        OpenShelf.open(home, keyring, Standing(other))


def test_keys_and_capability_are_of_one_agency(home: Home, keyring: Keyring, shelf: OpenShelf) -> None:
    with pytest.raises(Refused):
        OpenShelf.open(home, keyring, warrant("A0002"), create=True)
    assert not home.shelf(AgencyCode("A0002")).exists()


def test_only_a_capability_to_erase_destroys(home: Home, keyring: Keyring) -> None:
    with pytest.raises(Refused):
        Keyring.destroy(home, capability(CODE))
    assert home.keyring(CODE).exists()


def test_a_capability_is_not_made_by_hand() -> None:
    good = capability(CODE)
    with pytest.raises(TypeError, match=r"ledger\.minting alone"):
        Capability(CODE, Act.ERASE, good.systems, good.purposes, (), None, good.minted_at, None, 0, "", object())


@pytest.mark.files
def test_a_shelf_of_the_first_version_gets_its_guards(tmp_path: Path, home: Home, keyring: Keyring) -> None:
    path = home.shelf(CODE)
    path.parent.mkdir(parents=True)
    db = connect(path)
    for name in ("line", "delivery"):
        META.tables[name].create(db)
    db.execute(text("ALTER TABLE delivery DROP COLUMN capability"))
    db.execute(text("INSERT INTO line VALUES (1, 'sdgi', 'x', 'k', x'', 1)"))
    db.commit()
    db.close()
    with OpenShelf.open(home, keyring, warrant(CODE)) as shelf:
        assert shelf.db.scalar(text("SELECT count(*) FROM line")) == 1
        assert shelf.db.scalar(text("PRAGMA user_version")) == VERSION
        with pytest.raises(IntegrityError, match="no capability"), shelf.noting() as db:
            db.execute(text("DELETE FROM line"))


@pytest.mark.files
def test_a_shelf_of_a_later_version_is_left_as_it_is(home: Home, keyring: Keyring, shelf: OpenShelf) -> None:
    shelf.db.execute(text(f"PRAGMA user_version = {VERSION + 1}"))
    shelf.db.commit()
    with pytest.raises(Refused, match="later version"):
        OpenShelf.open(home, keyring, warrant(CODE))
    assert shelf.db.scalar(text("PRAGMA user_version")) == VERSION + 1


@pytest.mark.files
def test_a_shelf_of_the_second_version_gets_the_guards_of_the_third(home: Home, keyring: Keyring) -> None:
    with OpenShelf.open(home, keyring, warrant(CODE), create=True) as shelf:
        with shelf.writing():
            a_line(shelf)
        names = shelf.db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
        for name in names:
            shelf.db.execute(text(f'DROP TRIGGER "{name}"'))
        shelf.db.execute(
            text(
                "CREATE TRIGGER line_insert BEFORE INSERT ON line WHEN NOT EXISTS (SELECT 1 FROM granted)"
                " BEGIN SELECT RAISE(ABORT, 'of the second version'); END"
            )
        )
        shelf.db.execute(text("PRAGMA user_version = 2"))
        shelf.db.commit()
    with OpenShelf.open(home, keyring, warrant(CODE)) as shelf:
        found = shelf.db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
        assert sorted(found) == sorted(names)
        with pytest.raises(IntegrityError, match="no capability"), shelf.noting():
            a_line(shelf)
        assert shelf.db.scalar(text("SELECT count(*) FROM line")) == 1


@pytest.mark.files
def test_a_filled_shelf_of_the_third_version_gets_generations(home: Home, keyring: Keyring) -> None:
    with OpenShelf.open(home, keyring, warrant(CODE), create=True) as shelf:
        with shelf.writing():
            a_line(shelf)
        for name in shelf.db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            shelf.db.execute(text(f'DROP TRIGGER "{name}"'))
        for column in ("generation", "proof", "until", "excess"):
            shelf.db.execute(text(f"ALTER TABLE flow DROP COLUMN {column}"))
        shelf.db.execute(text("INSERT INTO flow VALUES ('sdgi', '202601050210')"))
        shelf.db.execute(text("PRAGMA user_version = 3"))
        shelf.db.commit()
    with OpenShelf.open(home, keyring, warrant(CODE)) as shelf:
        flow = "SELECT cursor, generation, proof FROM flow"
        assert tuple(shelf.db.execute(text(flow)).one()) == ("202601050210", 0, None)
        assert shelf.db.scalar(text("SELECT count(*) FROM line")) == 1
        with shelf.writing():
            pass
        assert tuple(shelf.db.execute(text(flow)).one()) == ("202601050210", 1, None)


def test_a_refused_write_ends_its_transaction_whole(shelf: OpenShelf) -> None:
    with shelf.noting() as db:
        db.execute(text("INSERT INTO signatory VALUES ('r', x'00')"))
        with pytest.raises(IntegrityError, match="no capability"):
            a_line(shelf)
    assert shelf.db.scalar(text("SELECT count(*) FROM signatory")) == 0


def test_what_is_written_in_bulk_is_refused_in_the_same_way(shelf: OpenShelf) -> None:
    line: dict[str, list[Any]] = {
        "id": [1],
        "system": ["sdgi"],
        "source": ["x"],
        "key": ["k"],
        "signature": [b""],
        "live": [1],
    }
    row = {c.name: [b"x" if isinstance(c.type, LargeBinary) else 1] for c in ROWS["lot"].c}
    engine = on(shelf.db)
    writes: list[Callable[[Connection], None]] = [
        lambda db: engine.put_lines(db, line),
        lambda db: engine.put_rows(db, ROWS["lot"], row, new=True),
        lambda db: engine.put_rows(db, ROWS["lot"], row),
    ]
    for write in writes:
        with pytest.raises(sqlite3.IntegrityError, match="no capability"), shelf.noting() as db:
            write(db)
    with shelf.writing() as db:
        for write in writes:
            write(db)
    assert [shelf.db.scalar(text(f"SELECT count(*) FROM {name}")) for name in ("line", "lot")] == [1, 1]


def test_a_digest_says_everything_and_an_authority_everything_but_the_head_and_the_moment() -> None:
    one = capability(CODE)
    later = replace(one, proof=MINT, minted_at=one.minted_at + dt.timedelta(hours=1), size=9)
    assert one.digest != later.digest
    assert one.authority == later.authority
    assert replace(one, proof=MINT, root="11" * 32).digest != one.digest
    for changed in (
        replace(one, proof=MINT, systems=frozenset()),
        replace(one, proof=MINT, purposes=frozenset()),
        replace(one, proof=MINT, until=one.minted_at),
        replace(one, proof=MINT, ground=()),
        replace(one, proof=MINT, act=Act.LOOK),
        replace(one, proof=MINT, mandate=None),
    ):
        assert changed.authority != one.authority
        assert changed.digest != one.digest
    assert capability("A0002").authority != one.authority


def test_a_capability_is_for_one_act_one_agency_and_its_systems() -> None:
    one = replace(capability(CODE), proof=MINT, systems=frozenset({System.GPI}))
    one.demand(Act.SYNCHRONISE, CODE)
    one.demand(Act.SYNCHRONISE, CODE, System.GPI)
    for act, agency, system in (
        (Act.RETURN, CODE, None), (Act.SYNCHRONISE, AgencyCode("A0002"), None), (Act.SYNCHRONISE, None, None),
        (Act.SYNCHRONISE, CODE, System.SDGI),
    ):  # fmt: skip
        with pytest.raises(Refused, match="what was allowed is not this"):
            one.demand(act, agency, system)


def test_a_capability_is_of_its_time() -> None:
    one = replace(capability(CODE), proof=MINT, until=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
    one.demand_at(one.minted_at)
    with pytest.raises(Refused, match="gone back"):
        one.demand_at(one.minted_at - dt.timedelta(seconds=1))
    with pytest.raises(Refused, match="is over"):
        one.demand_at(dt.datetime(2026, 2, 1, tzinfo=dt.UTC))


def test_an_error_of_the_database_does_not_say_what_was_written(shelf: OpenShelf) -> None:
    row = {"system": "sdgi", "source": "LOCATAIRE", "key": "Dupont-Témoin", "signature": b"Dupont-Temoin", "live": 1}
    with pytest.raises(IntegrityError) as told, shelf.noting() as db:
        db.execute(insert(LINE).values(row))
    assert "moin" not in str(told.value)
    assert "no capability" in str(told.value)
