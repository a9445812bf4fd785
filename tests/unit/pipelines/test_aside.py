"""A line put aside is opened whole, or not: what covers less, and any restriction, keeps it closed."""

import datetime as dt

import pytest

from ledger.entry import Entry, Head, History, Instruction, Line
from ledger.minting import mint
from ledger.orders import Channel, Restrict
from pipelines.aside import demand_support
from schemas.capability import Act, Capability
from schemas.errors import Refused
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose, RestrictedBy

A1 = AgencyCode("A0001")
AT = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
BEFORE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def support(*tables: str, systems: tuple[System, ...] = AGENCY_SYSTEMS) -> Entry:
    return Instruction(A1, systems, tables, (Purpose.SUPPORT,), BEFORE, None, "S", "gerance", BEFORE)


def capability(*entries: Entry) -> Capability:
    lines = tuple(Line(n, BEFORE, entry, "00" * 32) for n, entry in enumerate(entries, 1))
    return mint(History(A1, Head(len(lines), bytes(32)), lines), Act.LOOK, AT)


def test_an_instruction_for_everything_or_for_all_that_the_table_fills_opens_it() -> None:
    demand_support(capability(support("*")), System.SDGI, "LOTS.CSV")
    demand_support(capability(support("lot", "lot_share")), System.SDGI, "LOTS.CSV")
    demand_support(capability(support("lot"), support("lot_share")), System.SDGI, "LOTS.CSV")


@pytest.mark.parametrize("tables", [("lot",), ("building",), ("identity",)])
def test_one_that_covers_less_does_not(tables: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="no instruction"):
        demand_support(capability(support(*tables)), System.SDGI, "LOTS.CSV")


def test_one_for_another_system_does_not() -> None:
    with pytest.raises(Refused, match="no instruction"):
        demand_support(capability(support("*", systems=(System.GPI,))), System.SDGI, "LOTS.CSV")


def test_a_table_that_no_lineage_knows_is_opened_under_everything_alone() -> None:
    demand_support(capability(support("*")), System.SDGI, "NEUF.CSV")
    with pytest.raises(Refused, match="no instruction"):
        demand_support(capability(support("lot")), System.SDGI, "NEUF.CSV")


def test_any_restriction_keeps_every_line_closed() -> None:
    said = Restrict(
        agency=A1, reference="R", recorded_by="dpo", recorded_at=BEFORE, channel=Channel.LETTER, given_by="dpo",
        valid_from=BEFORE, scope=RestrictedBy.TABLE, targets=("bank_detail",),
    )  # fmt: skip
    with pytest.raises(Refused, match="restriction"):
        demand_support(capability(support("*"), said), System.SDGI, "LOTS.CSV")
