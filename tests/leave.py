"""Capabilities for tests, minted as everywhere else: from a log in which an agency instructs everything."""

import datetime as dt

from connectors.base import Delivery, Permitted
from ledger.entry import Head, History, Instruction, Line
from ledger.minting import mint, mint_own
from schemas.capability import Act, Capability, Standing
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
NOON = dt.datetime(2026, 1, 5, 11, tzinfo=dt.UTC)


def history(agency: AgencyCode, *purposes: Purpose) -> History:
    """A log of one leaf: everything is instructed."""
    said = Instruction(
        agency, AGENCY_SYSTEMS, ("*",), purposes or (Purpose.EXTRANET,), LONG_AGO, None, "ANNEXE-2026", "gerance",
        LONG_AGO,
    )  # fmt: skip
    return History(agency, Head(1, bytes(32)), (Line(1, LONG_AGO, said, "00" * 32),))


def capability(agency: str | None, act: Act = Act.SYNCHRONISE, at: dt.datetime = NOON) -> Capability:
    return mint_own(act, at) if agency is None else mint(history(AgencyCode(agency)), act, at)


def warrant(agency: str | None, act: Act = Act.SYNCHRONISE) -> Standing:
    return Standing(capability(agency, act))


def may_read(delivery: Delivery) -> Permitted:
    """The same delivery, with what allows reading it."""
    return Permitted.of(delivery, capability(delivery.agency, at=delivery.at))
