"""The name of a LOGIN delivery tells its agency and its day (login.md "Transport", contracts README "Gate")."""

from datetime import UTC, date, datetime

import pytest

from connectors.base import Delivery
from connectors.login import Login
from schemas.ids import System
from tests.connectors.login.document import AGENCY


def _named(name: str) -> Delivery:
    return Delivery(AGENCY, System.LOGIN, name, datetime(2026, 1, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("stamp", "day"),
    [
        pytest.param("20260105T010000Z", date(2026, 1, 5), id="in the night"),
        pytest.param("20260105T225959Z", date(2026, 1, 5), id="before midnight in winter"),
        pytest.param("20260105T230000Z", date(2026, 1, 6), id="midnight in winter"),
        pytest.param("20260705T220000Z", date(2026, 7, 6), id="midnight in summer"),
    ],
)
def test_the_day_of_delivery_is_that_of_the_instant_in_paris(stamp: str, day: date) -> None:
    assert Login().day_of(_named(f"LOGIN-A0009-{stamp}.xml.gz")) == day


@pytest.mark.parametrize(
    "name",
    [
        "LOGIN-A0009-20260105T010000.xml.gz",
        "LOGIN-A0009-20260105T010000Z.xml",
        "LOGIN-a0009-20260105T010000Z.xml.gz",
        "LOGIN-A00091-20260105T010000Z.xml.gz",
        "LOGIN-A0009-20260230T010000Z.xml.gz",
        "LOGIN-A0009-99991231T233000Z.xml.gz",
        "LOGIN-A0009-20260105T010000Z.xml.gz\n",
        "xLOGIN-A0009-20260105T010000Z.xml.gz",
    ],
)
def test_a_name_that_does_not_fit_has_no_day(name: str) -> None:
    assert not Login().named(_named(name))
    assert Login().day_of(_named(name)) is None


def test_a_name_that_fits_is_named() -> None:
    assert Login().named(_named("LOGIN-A0009-20260105T010000Z.xml.gz"))
