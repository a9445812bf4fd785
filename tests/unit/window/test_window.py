"""The contract window: R22 as the register's contract reads it."""

import datetime as dt

import pytest

from schemas.errors import Malformed
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.window import (
    LAST_END,
    Contract,
    RestrictionScope,
    State,
    closed,
    closes_at,
    gate,
    is_new_start,
    return_days,
    state,
)

DAY = dt.date.fromisoformat
SECOND = dt.timedelta(seconds=1)


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def contract(
    end: str | None = "2026-01-06", restriction: str | None = None, scope: RestrictionScope | None = None
) -> Contract:
    return Contract(
        AgencyCode("A0003"), DAY("2023-07-20"), DAY(end) if end else None, DAY(restriction) if restriction else None,
        scope, frozenset(AGENCY_SYSTEMS),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "closes"),
    [
        pytest.param("2026-01-06", "2026-01-13T23:00:00+00:00", id="winter"),
        pytest.param("2026-06-30", "2026-07-07T22:00:00+00:00", id="summer"),
        pytest.param("2026-03-21", "2026-03-28T23:00:00+00:00", id="it closes on the day summer time begins"),
        pytest.param("2026-03-22", "2026-03-29T22:00:00+00:00", id="the seven days hold a day of 23 hours"),
        pytest.param("2026-10-17", "2026-10-24T22:00:00+00:00", id="it closes on the day summer time ends"),
        pytest.param("2026-10-18", "2026-10-25T23:00:00+00:00", id="the seven days hold a day of 25 hours"),
        pytest.param("2028-02-21", "2028-02-28T23:00:00+00:00", id="it closes on a leap day"),
        pytest.param("2028-02-29", "2028-03-07T23:00:00+00:00", id="it ends on a leap day"),
        pytest.param("2027-02-22", "2027-03-01T23:00:00+00:00", id="a February without leap day"),
        pytest.param("2025-12-31", "2026-01-07T23:00:00+00:00", id="the end of a year"),
    ],
)
def test_the_window_closes_at_midnight_in_paris_of_the_eighth_day(end: str, closes: str) -> None:
    assert closes_at(DAY(end)) == instant(closes)
    assert closes_at(DAY(end)).isoformat().startswith(str(DAY(end) + dt.timedelta(days=8)) + "T00:00:00+0")
    assert not closed(DAY(end), instant(closes) - SECOND)
    assert closed(DAY(end), instant(closes))


def test_a_running_contract_never_closes() -> None:
    assert not closed(None, instant("2999-01-01T00:00:00+00:00"))


def test_the_return_pack_is_offered_on_the_seven_days_after_the_end() -> None:
    assert return_days(DAY("2026-01-06")) == (DAY("2026-01-07"), DAY("2026-01-13"))


def test_the_last_end_that_can_be_written_still_closes() -> None:
    assert closes_at(LAST_END).year == 9999


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2023-07-19T23:59:59+02:00", State.NOT_STARTED),
        ("2023-07-20T00:00:00+02:00", State.RUNNING),
        ("2026-01-06T23:59:59+01:00", State.RUNNING),
        ("2026-01-07T00:00:00+01:00", State.RETURN),
        ("2026-01-13T23:59:59+01:00", State.RETURN),
        ("2026-01-14T00:00:00+01:00", State.CLOSED),
        # The same instants told from elsewhere.
        ("2026-01-06T23:00:00+00:00", State.RETURN),
        ("2026-01-13T12:59:59-10:00", State.RETURN),
        ("2026-01-13T13:00:00-10:00", State.CLOSED),
    ],
)
def test_a_contract_has_not_started_runs_returns_and_closes_by_the_calendar_of_paris(at: str, expected: State) -> None:
    assert state(contract(), instant(at)) is expected


def test_an_erased_agency_is_closed_whatever_the_instant() -> None:
    erased = Contract(AgencyCode("A0003"), dt.date.min, DAY("2026-01-06"), erased=True)
    assert state(erased, instant("2020-01-01T00:00:00+00:00")) is State.CLOSED


def test_a_time_without_a_zone_is_refused_because_it_is_no_instant() -> None:
    with pytest.raises(Malformed, match="time zone"):
        state(contract(), dt.datetime(2026, 1, 6))


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2023-07-19", "agency.contract_not_started"),
        ("2023-07-20", None),
        ("2026-01-06", None),
        ("2026-01-07", "agency.contract_ended"),
    ],
)
def test_the_gate_looks_at_the_day_of_delivery(day: str, reason: str | None) -> None:
    assert gate(contract(), System.SDGI, DAY(day), instant("2026-01-08T09:00:00+01:00")) == reason


def test_a_delivery_of_the_contracts_days_may_still_be_read_during_the_seven_days_and_no_later() -> None:
    closing = instant("2026-01-14T00:00:00+01:00")
    assert gate(contract(), System.SDGI, DAY("2026-01-05"), closing - SECOND) is None
    assert gate(contract(), System.SDGI, DAY("2026-01-05"), closing) == "agency.contract_ended"


def test_the_gate_gives_its_reasons_in_the_order_of_the_contract() -> None:
    at = instant("2026-01-05T09:00:00+01:00")
    restricted = contract("2026-01-06", "2020-01-01", RestrictionScope.SYNCHRO)
    without_gpi = Contract(AgencyCode("A0003"), DAY("2023-07-20"), systems=frozenset({System.SDGI}))
    assert gate(None, System.SDGI, DAY("2026-01-05"), at) == "agency.unknown"
    assert gate(without_gpi, System.GPI, DAY("1999-01-01"), at) == "agency.system_disabled"
    assert gate(restricted, System.SDGI, DAY("2023-07-19"), at) == "agency.contract_not_started"
    assert gate(restricted, System.SDGI, DAY("2026-01-07"), at) == "agency.contract_ended"
    assert gate(restricted, System.SDGI, DAY("2026-01-06"), at) == "agency.restricted"


def test_an_erased_agency_is_refused_as_ended_whatever_the_system() -> None:
    erased = Contract(AgencyCode("A0003"), dt.date.min, DAY("2026-01-06"), erased=True)
    assert gate(erased, System.GPI, DAY("2026-01-05"), instant("2026-02-01T00:00:00+01:00")) == "agency.contract_ended"


def test_a_restriction_refuses_deliveries_from_its_day_on_only_when_it_says_so() -> None:
    at = instant("2026-01-05T09:00:00+01:00")
    synchro = contract(None, "2026-01-04", RestrictionScope.SYNCHRO)
    access = contract(None, "2026-01-04", RestrictionScope.ACCES)
    assert gate(synchro, System.SDGI, DAY("2026-01-03"), at) is None
    assert gate(synchro, System.SDGI, DAY("2026-01-04"), at) == "agency.restricted"
    assert gate(access, System.SDGI, DAY("2026-01-04"), at) is None


@pytest.mark.parametrize("scope", list(RestrictionScope))
def test_a_restriction_moves_neither_the_end_nor_the_erasure(scope: RestrictionScope) -> None:
    for at in ("2026-01-06T23:59:59+01:00", "2026-01-13T23:59:59+01:00", "2026-01-14T00:00:00+01:00"):
        assert state(contract("2026-01-06", "2024-01-01", scope), instant(at)) is state(contract(), instant(at))
    assert state(contract(None, "2024-01-01", scope), instant("2030-01-01T00:00:00+01:00")) is State.RUNNING


def test_a_restriction_has_a_date_and_a_scope_or_neither() -> None:
    with pytest.raises(Malformed, match="restriction"):
        contract(None, "2024-01-01", None)


def test_after_an_erasure_only_a_later_end_or_none_is_a_new_start() -> None:
    assert is_new_start(DAY("2026-01-06"), None)
    assert is_new_start(DAY("2026-01-06"), DAY("2026-01-07"))
    assert not is_new_start(DAY("2026-01-06"), DAY("2026-01-06"))
    assert not is_new_start(DAY("2026-01-06"), DAY("2026-01-05"))
