"""When each system is read next: by the wall clock of Paris, on days of 23 and 25 hours too."""

import datetime as dt

import pytest

from pipelines.timetable import TIMES, next_run
from schemas.ids import System
from schemas.window import PARIS


@pytest.mark.parametrize(
    ("at", "following"),
    [
        ("2026-01-06T12:00:00+01:00", "2026-01-07T03:15:00+01:00"),
        ("2026-01-07T03:14:59+01:00", "2026-01-07T03:15:00+01:00"),
        ("2026-01-07T03:15:00+01:00", "2026-01-08T03:15:00+01:00"),
        ("2026-03-28T12:00:00+01:00", "2026-03-29T03:15:00+02:00"),
        ("2026-10-24T12:00:00+02:00", "2026-10-25T03:15:00+01:00"),
    ],
)
def test_the_next_reading_is_at_the_hour_of_its_schedule(at: str, following: str) -> None:
    found = next_run(System.SDGI, dt.datetime.fromisoformat(at))
    assert found == dt.datetime.fromisoformat(following)
    assert found.utcoffset() == dt.datetime.fromisoformat(following).utcoffset()


def test_every_system_is_read_once_a_day_and_outside_of_the_hour_that_may_not_be() -> None:
    assert TIMES.keys() == set(System)
    for system in System:
        at = dt.datetime(2026, 3, 1, tzinfo=PARIS)
        days: list[dt.date] = []
        while len(days) < 40:
            at = next_run(system, at)
            days.append(at.date())
            assert at.hour != 2
        assert len(set(days)) == 40
