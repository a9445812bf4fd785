"""What a capability is minted from: the instructions that are in force for its act, and until when they are."""

import datetime as dt

import pytest

from ledger.entry import Entry, Head, History, Instruction, Line, Withdrawal
from ledger.minting import GROUNDS, mint
from ledger.orders import Return
from schemas.capability import Act
from schemas.errors import Refused
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Purpose
from tests.unit.ledger.orders_made import AT, CODE, GIVEN, erase, synchronise

DAY = dt.timedelta(days=1)
NOON = AT + DAY / 2


def history(*entries: Entry) -> History:
    lines = tuple(Line(n, AT, e, "00" * 32) for n, e in enumerate(entries, 1))
    return History(CODE, Head(len(lines), bytes(32)), lines)


def first_form(*systems: System, until: dt.datetime | None = None) -> Instruction:
    return Instruction(CODE, systems, ("*",), (Purpose.EXTRANET,), AT, until, "ANNEXE", "gerance", AT)


def test_who_looks_needs_an_instruction_for_support_and_who_synchronises_any() -> None:
    only = history(synchronise(purposes=(Purpose.EXTRANET,)))
    assert mint(only, Act.SYNCHRONISE, NOON).purposes == {Purpose.EXTRANET}
    with pytest.raises(Refused, match="no instruction in force"):
        mint(only, Act.LOOK, NOON)
    helped = synchronise(systems=(System.GPI,), purposes=(Purpose.SUPPORT,))
    look = mint(history(*only.entries, helped), Act.LOOK, NOON)
    assert look.systems == {System.GPI}
    assert look.ground == (helped.id,)


def test_it_is_for_the_systems_that_an_instruction_names_and_for_one_when_one_is_asked_for() -> None:
    said = history(synchronise(systems=(System.SDGI, System.LOGIN)))
    assert mint(said, Act.SYNCHRONISE, NOON).systems == {System.SDGI, System.LOGIN}
    assert mint(said, Act.SYNCHRONISE, NOON, System.LOGIN).systems == {System.LOGIN}
    with pytest.raises(Refused, match="no instruction in force"):
        mint(said, Act.SYNCHRONISE, NOON, System.GPI)


def test_it_ends_with_the_first_of_its_instructions_that_ends() -> None:
    one, other = synchronise(valid_until=AT + 9 * DAY), first_form(System.GPI, until=AT + 5 * DAY)
    both = history(one, other)
    assert mint(both, Act.SYNCHRONISE, NOON).until == AT + 5 * DAY
    assert mint(both, Act.SYNCHRONISE, NOON, System.SDGI).until == AT + 9 * DAY
    assert mint(history(synchronise()), Act.SYNCHRONISE, NOON).until is None


def test_it_ends_with_a_withdrawal_that_is_told_for_later() -> None:
    given = synchronise(valid_until=AT + 9 * DAY)
    told = history(given, Withdrawal(given.id, AT + 2 * DAY, AT))
    assert mint(told, Act.SYNCHRONISE, NOON).until == AT + 2 * DAY
    another = history(given, first_form(System.GPI), Withdrawal(first_form(System.GPI).id, AT + 2 * DAY, AT))
    assert mint(another, Act.SYNCHRONISE, NOON, System.SDGI).until == AT + 9 * DAY


def test_giving_back_and_erasing_stand_on_their_own_orders_and_on_the_law() -> None:
    back, gone = Return(**GIVEN, tables=("*",)), erase("contact")
    said = history(back, gone)
    assert mint(said, Act.RETURN, NOON).ground == (back.id, GROUNDS[Act.RETURN])
    assert mint(said, Act.ERASE, NOON).ground == (gone.id, GROUNDS[Act.ERASE])
    assert mint(said, Act.ERASE, NOON).systems == set(AGENCY_SYSTEMS)
