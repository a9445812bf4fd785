"""The doors, and who stands before each without a valid instruction, in nine ways. An attempt returns when it is
refused as it must be, and raises otherwise.
"""

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from connectors.base import Permitted
from ledger.entry import Head, History, Instruction, Line, Withdrawal
from ledger.mandate import fold
from ledger.minting import mint, mint_end, mint_inspection, mint_own
from schemas.admission import Admitted, admit
from schemas.capability import Act, Capability, Standing
from schemas.errors import Refused
from schemas.fields import Category, Kind
from schemas.frames import Reading
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Mandate
from schemas.records import RECORDS
from store.agency import OpenShelf, drop
from store.keep import keep
from store.keys import Keyring
from store.tables import HOLDING_TABLES
from tests.generative.test_shelf_model import YIELDS
from tests.generative.without_instruction import (
    ENDS,
    ERRAND,
    FEW,
    FIRST,
    NIGHT,
    NOBODY,
    A,
    B,
    C,
    World,
    arrived,
    instruction,
    of_agency,
)

Attempt = Callable[[World], None]
ATTEMPTED: dict[str, list[Attempt]] = {
    name: []
    for name in (
        "none", "expired", "withdrawn", "another agency's", "another system's", "another table's", "replayed",
        "the clock went back", "withdrawn meanwhile",
    )
}  # fmt: skip


def at_the_door(*kinds: str) -> Callable[[Attempt], Attempt]:
    def listed(attempt: Attempt) -> Attempt:
        for kind in kinds:
            ATTEMPTED[kind].append(attempt)
        return attempt

    return listed


@contextmanager
def refused(words: str, kind: type[Exception] = Refused) -> Iterator[None]:
    with pytest.raises(kind, match=words):
        yield


def later(w: World) -> dt.datetime:
    return ENDS + w.rng.randrange(1_000_000) * dt.timedelta(seconds=1)


def earlier(w: World) -> dt.datetime:
    return FIRST - dt.timedelta(seconds=1 + w.rng.randrange(1_000_000))


@at_the_door("none")
def an_agency_that_instructed_nothing(w: World) -> None:
    with refused("no instruction in force"):
        w.warrants(later(w)).grant(NOBODY, w.rng.choice((Act.SYNCHRONISE, Act.LOOK)), w.rng.choice(AGENCY_SYSTEMS))


@at_the_door("none", "the clock went back")
def before_the_instruction_begins(w: World) -> None:
    with refused("no instruction in force"):
        w.warrants(earlier(w)).grant(w.anyone(), w.rng.choice((Act.SYNCHRONISE, Act.LOOK)))


@at_the_door("none")
def a_capability_written_by_hand(w: World) -> None:
    proof = w.rng.choice((None, object(), True, "mint"))
    with refused("minted", TypeError):
        Capability(w.anyone(), Act.SYNCHRONISE, frozenset(System), frozenset(), (), None, NIGHT, None, 0, "", proof)


@at_the_door("none", "another agency's", "replayed")
def a_capability_copied_with_other_words(w: World) -> None:
    one, other = w.two()
    changes: dict[str, Any] = w.rng.choice(({"agency": other}, {"act": Act.ERASE}, {"until": None, "minted_at": NIGHT}))
    with refused("proof", ValueError):
        replace(w.valid[one].capability, **changes)


@at_the_door("none", "another table's")
def an_admission_written_by_hand(w: World) -> None:
    made = w.a_reading()
    with refused("admit", TypeError):
        Admitted(made, (frozenset(YIELDS),), (None,), (), object())
    whole = admit(made, [w.mandates[whose(made)]], YIELDS)
    with refused("proof", ValueError):
        replace(whole, reading=w.a_reading(), held=(frozenset({"bank_detail"}),))  # type: ignore[call-arg]


@at_the_door("none")
def a_delivery_of_which_nothing_is_allowed(w: World) -> None:
    d = w.a_delivery(w.anyone(), System.LOGIN, NIGHT)
    with refused("under", TypeError):
        Permitted(d.agency, d.system, d.name, d.at, d.path)  # type: ignore[call-arg]


@at_the_door("none", "another agency's")
def an_agencys_reading_admitted_without_its_mandate(w: World) -> None:
    made = w.a_reading()
    others = [m for a, m in w.mandates.items() if a != whose(made)]
    with refused("another agency"):
        admit(made, [w.rng.choice([None, *others])], YIELDS)


@at_the_door("none")
def a_write_that_nobody_allowed(w: World) -> None:
    db = w.shelves[w.anyone()].db
    table = w.rng.choice([t for t in HOLDING_TABLES if t not in ("doomed_key", "signatory")])
    statement = w.rng.choice((insertion, deletion, change))(db, table)
    if statement is None:
        return write_into_a_whole_table(w)
    with refused("no capability", IntegrityError):
        db.exec_driver_sql(statement)
    db.commit()
    return None


def write_into_a_whole_table(w: World) -> None:
    """Into one that has no row to change yet."""
    db = w.shelves[w.anyone()].db
    with refused("no capability", IntegrityError):
        db.exec_driver_sql(insertion(db, w.rng.choice(("person", "line", "flow", "erased_key"))))
    db.commit()


def insertion(db: Any, table: str) -> str:
    columns = [row[1] for row in db.exec_driver_sql(f"PRAGMA table_info({table})") if row[1] != "id"]
    verb = random.Random(len(table)).choice(("INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"))
    return f'{verb} INTO "{table}" ({", ".join(columns)}) VALUES ({", ".join(["1"] * len(columns))})'


def deletion(db: Any, table: str) -> str | None:
    return f'DELETE FROM "{table}"' if _filled(db, table) else None


def change(db: Any, table: str) -> str | None:
    columns = [row[1] for row in db.exec_driver_sql(f"PRAGMA table_info({table})") if row[1] != "receipted"]
    return f'UPDATE "{table}" SET "{columns[-1]}" = 1' if _filled(db, table) else None


def _filled(db: Any, table: str) -> bool:
    return db.exec_driver_sql(f'SELECT 1 FROM "{table}" LIMIT 1').first() is not None


@at_the_door("expired")
def an_instruction_that_has_ended(w: World) -> None:
    with refused("no instruction in force"):
        w.warrants(later(w)).grant(A, w.rng.choice((Act.SYNCHRONISE, Act.LOOK)), w.rng.choice(AGENCY_SYSTEMS))


@at_the_door("expired")
def a_delivery_after_the_end_of_what_allowed_it(w: World) -> None:
    agency = w.rng.choice((A, C))
    with refused("is over"):
        Permitted.of(w.a_delivery(agency, System.LOGIN, later(w)), w.valid[agency].capability)


@at_the_door("withdrawn")
def an_instruction_that_was_withdrawn(w: World) -> None:
    with refused("no instruction in force"):
        w.warrants(later(w)).grant(B, w.rng.choice((Act.SYNCHRONISE, Act.LOOK)), w.rng.choice(AGENCY_SYSTEMS))


@at_the_door("withdrawn")
def a_delivery_after_the_withdrawal_that_was_known(w: World) -> None:
    known = mint(w.installation.log(B).read(), Act.SYNCHRONISE, NIGHT)
    with refused("is over"):
        Permitted.of(w.a_delivery(B, w.rng.choice(AGENCY_SYSTEMS), later(w)), known)


@at_the_door("withdrawn", "replayed")
def a_warrant_kept_beyond_the_withdrawal(w: World) -> None:
    with refused("has changed"):
        w.valid[B].confirm()


@at_the_door("withdrawn", "replayed")
def a_shelf_opened_under_a_warrant_kept_for_later(w: World) -> None:
    with refused("has changed"):
        OpenShelf.open(w.home, w.keyring(B), w.valid[B])


@at_the_door("withdrawn", "replayed")
def a_shelf_left_open_beyond_the_withdrawal(w: World) -> None:
    with refused("has changed"), w.shelves[B].writing():
        raise AssertionError("it was written")


@at_the_door("withdrawn", "replayed")
def a_batch_kept_beyond_the_withdrawal(w: World) -> None:
    made = of_agency(w.a_reading(), B)
    assert list(keep(admit(made, [w.mandates[B]], YIELDS), [w.shelves[B]], ERRAND)) == [(0, None)]


@at_the_door("another agency's")
def a_delivery_under_another_agencys_capability(w: World) -> None:
    one, other = w.two()
    with refused("is not this"):
        Permitted.of(w.a_delivery(one, w.rng.choice(AGENCY_SYSTEMS), NIGHT), w.valid[other].capability)


@at_the_door("another agency's")
def a_shelf_with_another_agencys_keys(w: World) -> None:
    one, other = w.two()
    with refused("is not this"):
        OpenShelf.open(w.home, w.keyring(one), Standing(w.valid[other].capability))


@at_the_door("another agency's")
def a_batch_kept_on_another_agencys_shelf(w: World) -> None:
    made = w.a_reading()
    other = w.rng.choice([a for a in (A, B, C) if a != whose(made)])
    with refused("is not this"):
        list(keep(admit(made, [w.mandates[whose(made)]], YIELDS), [w.shelves[other]], ERRAND))


@at_the_door("another agency's", "another system's")
def the_portals_own_capability_for_an_agency(w: World) -> None:
    with refused("is not this"):
        Permitted.of(w.a_delivery(w.anyone(), w.rng.choice(AGENCY_SYSTEMS), NIGHT), mint_own(Act.SYNCHRONISE, NIGHT))


@at_the_door("another system's")
def a_system_that_was_not_instructed(w: World) -> None:
    with refused("no instruction in force"):
        w.warrants(later(w)).grant(C, Act.SYNCHRONISE, w.rng.choice((System.SDGI, System.GPI, System.SPILASUITE)))


@at_the_door("another system's")
def a_delivery_under_another_systems_capability(w: World) -> None:
    one, other = w.rng.sample((*AGENCY_SYSTEMS, System.PORTAL), 2)
    if other is System.PORTAL:
        one, other = other, one
    agency = w.anyone()
    narrow = w.warrants(NIGHT).grant(A, Act.SYNCHRONISE, other).capability if agency == A else _narrow(w, agency, other)
    with refused("is not this"):
        Permitted.of(w.a_delivery(agency, one, NIGHT), narrow)


@at_the_door("another system's")
def a_batch_of_another_system(w: World) -> None:
    made = of_agency(w.a_reading(), A)
    other = w.rng.choice((System.SDGI, System.GPI, System.SPILASUITE))
    with (
        OpenShelf.open(w.home, w.keyring(A), Standing(_narrow(w, A, other))) as shelf,
        refused("is not this"),
    ):
        list(keep(admit(made, [w.mandates[A]], YIELDS), [shelf], ERRAND))


def _narrow(w: World, agency: AgencyCode, system: System) -> Capability:
    return mint(w.installation.log(agency).read(), Act.SYNCHRONISE, NIGHT, system)


@at_the_door("another table's")
def a_table_that_was_not_instructed(w: World) -> None:
    made = of_agency(w.a_reading(), C)
    few = w.warrants(later(w)).grant(C, Act.SYNCHRONISE, System.LOGIN).capability.mandate
    through = admit(made, [few], YIELDS)
    assert set(through.reading.rows) <= set(FEW)
    kept = {n for table in through.reading.rows.values() for n in table["line"].to_pylist()}
    outcomes = through.reading.lines["outcome"].to_pylist()
    ending = set(made.endings["line"].to_pylist())
    assert {outcomes[n] for n in range(len(outcomes)) if n not in kept | ending} <= {"withheld"}


@at_the_door("another table's")
def a_column_that_was_not_instructed(w: World) -> None:
    made = of_agency(w.a_reading(), A)
    category = w.rng.choice(("location", "contact", "property", "financial"))
    said = replace(w.instructions[A], tables=(category,))
    through = admit(made, [_mandate_of(said)], YIELDS).reading
    for table, rows in through.rows.items():
        for f in RECORDS[table].fields:
            if f.category not in (category, Category.TECHNICAL) and f.kind not in (Kind.REF, Kind.KEY):
                assert f.name not in rows.column_names or rows[f.name].null_count == len(rows), f"{table}.{f.name}"


def _mandate_of(said: Instruction) -> Mandate:
    return fold(History(said.agency, Head(1, bytes(32)), (Line(1, FIRST, said, "00" * 32),)), NIGHT)


@at_the_door("another table's", "replayed")
def an_act_that_opens_or_writes_nothing(w: World) -> None:
    agency = w.anyone()
    history_ = w.installation.log(agency).read()
    act = w.rng.choice((Act.CONFIGURE, Act.RETURN, Act.SYNCHRONISE))
    leave = mint(history_, act, NIGHT)
    match act:
        case Act.CONFIGURE:
            with refused("opens no record"):
                OpenShelf.open(w.home, w.keyring(agency), Standing(leave))
        case Act.RETURN:
            with (
                OpenShelf.open(w.home, w.keyring(agency), Standing(leave)) as shelf,
                refused("writes nothing"),
                shelf.writing(),
            ):
                raise AssertionError("it was written")
        case _:
            with refused("is not this"):
                Keyring.destroy(w.home, leave)
            with refused("is not this"):
                drop(w.home, leave)


@at_the_door("none", "another system's")
def what_may_only_be_inspected(w: World) -> None:
    looked = mint_inspection(NIGHT)
    with refused("is not this"):
        OpenShelf.open(w.home, w.keyring(w.anyone()), Standing(looked))


@at_the_door("replayed")
def a_capability_older_than_what_the_shelf_has_seen(w: World) -> None:
    """The shelf was written under later heads of the log: the one of the first night's receipts and after."""
    agency = w.anyone()
    first = w.instructions[agency]
    stale = _stale(w, agency, first)
    with (
        OpenShelf.open(w.home, w.keyring(agency), Standing(stale)) as shelf,
        refused("another head"),
        shelf.writing(),
    ):
        raise AssertionError("it was written")


@at_the_door("replayed", "withdrawn")
def an_end_that_is_not_there(w: World) -> None:
    """To erase at the end of a contract writes no row: keys and shelf go whole, or nothing does."""
    agency = w.anyone()
    with (
        OpenShelf.open(w.home, w.keyring(agency), Standing(mint_end(agency, NIGHT))) as shelf,
        refused("another head"),
        shelf.writing(),
    ):
        raise AssertionError("it was written")


def _stale(w: World, agency: AgencyCode, first: Instruction) -> Capability:
    lines = w.installation.log(agency).read().lines
    return mint(History(agency, Head(1, bytes.fromhex(lines[0].hash)), lines[:1]), Act.SYNCHRONISE, NIGHT)


@at_the_door("replayed")
def a_grant_replayed_by_hand(w: World) -> None:
    db = w.shelves[w.anyone()].db
    older = "SELECT digest FROM capability WHERE size < (SELECT max(size) FROM capability) LIMIT 1"
    n = w.rng.randrange(10_000)
    statement, words = w.rng.choice(
        (
            ("INSERT INTO granted VALUES ('0123')", "out of date"),
            (f"INSERT INTO granted SELECT coalesce(({older}), 'x')", "out of date"),
            (f"INSERT INTO capability VALUES ('d{n}', 'erase', '', 0, '{n}', '')", "out of date"),
            (f"INSERT INTO capability SELECT 'd{n}', act, '', size, 'other', '' FROM capability", "out of date"),
            ("UPDATE capability SET size = 0", "as they were"),
            ("DELETE FROM capability", "as they were"),
        )
    )
    with refused(words, IntegrityError):
        db.exec_driver_sql(statement)
    db.commit()


@at_the_door("the clock went back")
def a_delivery_before_what_allows_it_was_minted(w: World) -> None:
    agency = w.anyone()
    before = NIGHT - dt.timedelta(seconds=1 + w.rng.randrange(10**6))
    with refused("clock has gone back"):
        Permitted.of(w.a_delivery(agency, w.rng.choice(AGENCY_SYSTEMS), before), w.valid[agency].capability)


@at_the_door("withdrawn meanwhile")
def an_instruction_withdrawn_by_somebody_else_at_work(w: World) -> None:
    """A fresh agency each time the last one's warrants are used up: granted first, withdrawn then, tried after."""
    if not w.waiting:
        w.waiting += withdrawn_meanwhile(w)
    w.waiting.pop()(w)


def withdrawn_meanwhile(w: World) -> list[Attempt]:
    w.agencies += 1
    agency = AgencyCode(f"T{w.agencies:04}")
    log = w.installation.log(agency)
    said = instruction(agency)
    log.append(said, FIRST)
    first = w.warrants(NIGHT).grant(agency, Act.SYNCHRONISE)
    keyring = w.stack.enter_context(Keyring.open(w.home, w.root, first.capability, create=True))
    shelf = w.stack.enter_context(OpenShelf.open(w.home, keyring, first, create=True))
    reader = w.warrants(NIGHT).grant(agency, Act.LOOK)
    made, mandate = of_agency(w.a_reading(), agency), first.capability.mandate
    admitted = admit(made, [mandate], YIELDS)
    others = [w.warrants(NIGHT).grant(agency, Act.SYNCHRONISE, s) for s in AGENCY_SYSTEMS]
    withdrawing = threading.Thread(target=log.append, args=(Withdrawal(said.id, NIGHT, NIGHT), NIGHT))
    withdrawing.start()
    withdrawing.join()

    def confirming(_: World) -> None:
        with refused("has changed"):
            w.rng.choice([first, reader, *others]).confirm()

    def granting(_: World) -> None:
        with refused("no instruction in force"):
            w.warrants(NIGHT).grant(agency, Act.SYNCHRONISE)

    def writing(_: World) -> None:
        with refused("has changed"), shelf.writing():
            raise AssertionError("it was written")

    def keeping(_: World) -> None:
        assert list(keep(admitted, [shelf], ERRAND)) == [(0, None)]
        assert sum(shelf.counts().values()) == 0

    def opening(_: World) -> None:
        with refused("has changed"):
            OpenShelf.open(w.home, keyring, w.rng.choice([first, reader, *others]))

    return [confirming, granting, writing, keeping, opening] * 8


def whose(made: Reading) -> AgencyCode:
    agency = arrived(made).agency
    assert agency is not None
    return agency
