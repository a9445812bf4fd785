"""A thousand simulated calendars: nothing is erased a second early, nothing is left after the first tick that could
erase it.

A calendar is a contract whose end the register sets, moves earlier or later (inside the seven days too), removes and
renews, while clocks change, leap days pass and the machine is down for days. The oracle counts seconds since 1970 and
knows neither time zones nor this project's code: summer time goes from the last Sunday of March to the last Sunday of
October.
"""

import calendar
import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from retention.due import due
from schemas.ids import AgencyCode
from schemas.window import Contract, RestrictionScope, closes_at, is_new_start
from store.register import Agency

CODE = AgencyCode("A0003")
CALENDARS = 1000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass
class Calendar:
    """What happens, in seconds since 1970. `ends`: when a register was loaded, and the end that it gave (None:
    running)."""

    start: dt.date
    ends: list[tuple[int, dt.date | None]]
    ticks: list[int]
    restriction: dt.date | None = None
    downtime: set[int] = field(default_factory=set)


# -- the oracle --------------------------------------------------------------------------------------------------------


def last_sunday(year: int, month: int) -> int:
    """The day number (days since 1970) of the last Sunday of March or October."""
    last = dt.date(year, month, 31).toordinal() - dt.date(1970, 1, 1).toordinal()
    return last - (last + 4) % 7  # day 0 was a Thursday: day 3 a Sunday


def midnight_in_paris(day: int, year: int) -> int:
    """The second at which a day begins in Paris. The clocks change at two or three in the morning, after midnight."""
    summer = last_sunday(year, 3) < day <= last_sunday(year, 10)
    return day * 86400 - (7200 if summer else 3600)


def closing_second(end: dt.date) -> int:
    day = end + dt.timedelta(days=8)
    return midnight_in_paris((day - dt.date(1970, 1, 1)).days, day.year)


def expected_erasures(c: Calendar) -> list[int]:
    """The ticks at which data must go: the first one at or after each closing that no register moved before."""
    erasures: list[int] = []
    held = True
    erased_end: dt.date | None = None
    for tick in c.ticks:
        known = [e for t, e in c.ends if t <= tick]
        end = known[-1]
        if not held:
            # Anything later than the erased end, or no end at all, begins again; registers are read one after the
            # other.
            seen = [e for t, e in c.ends if erasures[-1] < t <= tick]
            held = any(e is None or (erased_end is not None and e > erased_end) for e in seen)
        if held and end is not None and tick >= closing_second(end):
            erasures.append(tick)
            held, erased_end = False, end
    return erasures


# -- the project's code ------------------------------------------------------------------------------------------------


def at(second: int) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=second)


def simulated_erasures(c: Calendar) -> list[int]:
    """The same story told with the window and with `due`."""
    agency: Agency | None = None
    waiting = list(c.ends)
    erasures: list[int] = []
    for tick in c.ticks:
        while waiting and waiting[0][0] <= tick:
            agency = loaded(c, agency, waiting.pop(0)[1])
        found = due([agency] if agency else [], at(tick))
        for d in found:
            erasures.append(tick)
            agency = Agency(Contract(CODE, dt.date.min, d.end, erased=True))
    return erasures


def loaded(c: Calendar, agency: Agency | None, end: dt.date | None) -> Agency:
    if agency and agency.contract.erased and agency.contract.end and not is_new_start(agency.contract.end, end):
        return agency
    scope = RestrictionScope.SYNCHRO if c.restriction else None
    return Agency(Contract(CODE, c.start, end, c.restriction, scope))


# -- calendars ---------------------------------------------------------------------------------------------------------


def around_clock_changes(rng: random.Random) -> dt.date:
    """An end whose window closes near a clock change, near a leap day, near a new year or on any other day."""
    year = rng.randint(2024, 2033)
    day = rng.choice([
        dt.date(1970, 1, 1) + dt.timedelta(days=last_sunday(year, 3)),
        dt.date(1970, 1, 1) + dt.timedelta(days=last_sunday(year, 10)),
        dt.date(2028, 2, 29), dt.date(2024, 2, 29), dt.date(year, 12, 31),
        dt.date(year, rng.randint(1, 12), rng.randint(1, 28)),
    ])  # fmt: skip
    return day + dt.timedelta(days=rng.randint(-10, 3))


def calendars() -> Iterator[Calendar]:
    for seed in range(CALENDARS):
        yield make(random.Random(f"calendar {seed}"))


def make(rng: random.Random) -> Calendar:
    end = around_clock_changes(rng)
    start = end - dt.timedelta(days=rng.randint(0, 900))
    noon = 43200
    first = (end - dt.date(1970, 1, 1)).days
    ends: list[tuple[int, dt.date | None]] = [((first - rng.randint(5, 40)) * 86400 + noon, None)]
    known: dt.date = end
    moment = (first - rng.randint(0, 4)) * 86400 + rng.randrange(86400)
    ends.append((moment, known))
    for _ in range(rng.randint(0, 4)):
        # Moved inside the seven days as often as not, and sometimes on the closing second itself.
        moment += rng.choice([rng.randrange(86400), rng.randrange(7 * 86400), 1, 8 * 86400])
        move = rng.choice([-30, -3, -1, 0, 1, 2, 7, 8, 30, 365])
        renewed = rng.random() < 0.2
        known = known + dt.timedelta(days=move)
        ends.append((moment, None if renewed else known))
    if rng.random() < 0.2:
        ends.append((closing_second(known), known + dt.timedelta(days=rng.choice([1, 7, 365]))))
    ends.sort(key=lambda e: e[0])
    restriction = end - dt.timedelta(days=rng.randint(-3, 60)) if rng.random() < 0.3 else None
    return Calendar(start, ends, list(ticks(rng, ends)), restriction)


def ticks(rng: random.Random, ends: list[tuple[int, dt.date | None]]) -> Iterator[int]:
    """A tick a day at a random second, and ticks one second before, at and after each closing; none while the machine
    is down."""
    first = ends[0][0]
    closings = [closing_second(e) for _, e in ends if e is not None]
    last = max([*closings, *(t for t, _ in ends)]) + 12 * 86400
    days = range(first // 86400, min(last // 86400, first // 86400 + 460))
    down: set[int] = set()
    if rng.random() < 0.4:
        begins = rng.choice([c // 86400 for c in closings] or [days.start]) - rng.randint(0, 2)
        down = set(range(begins, begins + rng.randint(1, 60)))
    found = {d * 86400 + rng.randrange(86400) for d in days} | {c + s for c in closings for s in (-1, 0, 1)}
    return iter(sorted(t for t in found if t // 86400 not in down and t >= first))


def test_nothing_is_erased_a_second_early_and_nothing_is_left_after_the_first_tick_that_could() -> None:
    erased = 0
    for seed, c in enumerate(calendars()):
        assert simulated_erasures(c) == expected_erasures(c), f"calendar {seed}"
        erased += len(expected_erasures(c))
    assert erased > CALENDARS // 2, "most calendars must come to an erasure, or they show nothing"


def test_the_calendars_hold_the_cases_that_they_are_for() -> None:
    made = list(calendars())
    on_the_second = sum(any(t == closing_second(e) for e in dict(c.ends).values() if e for t in c.ticks) for c in made)
    renewed = sum(any(e is None for _, e in c.ends[1:]) for c in made)
    twice = sum(len(expected_erasures(c)) > 1 for c in made)
    assert on_the_second > 300
    assert renewed > 100
    assert twice > 50, "some agencies start again and are erased again"
    assert sum(c.restriction is not None for c in made) > 100


@pytest.mark.parametrize("year", range(2020, 2038))
def test_the_oracle_and_the_window_agree_on_every_day(year: int) -> None:
    for n in range(366 if calendar.isleap(year) else 365):
        end = dt.date(year, 1, 1) + dt.timedelta(days=n)
        assert (closes_at(end) - EPOCH).total_seconds() == closing_second(end), end
