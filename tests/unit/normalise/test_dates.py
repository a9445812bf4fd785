"""Dates whose format belongs to the field (N10), and instants (portal.md)."""

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from connectors.normalise.dates import instant, parse

DAY = date(2026, 1, 5)


def read(value: str | None, form: str, window: str | None = None) -> date | str | None:
    """The date of one text, or the word `bad` or `sentinel`."""
    days = pa.array([DAY, DAY], pa.date32()) if window == "birth" else None
    got, bad, sentinel = parse(pa.array([None, value], pa.string()), form, window=window, day=days)
    assert (got[0].as_py(), bool(bad[0]), bool(sentinel[0])) == (None, False, False)
    answer: date | None = got[1].as_py()
    assert not (bad[1] and sentinel[1])
    if bad[1] or sentinel[1]:
        assert answer is None
    return "bad" if bad[1] else "sentinel" if sentinel[1] else answer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("14/03/2019", date(2019, 3, 14)),
        ("29/02/2024", date(2024, 2, 29)),
        ("29/02/2000", date(2000, 2, 29)),
        ("02/01/0001", date(1, 1, 2)),
        ("30/12/9999", date(9999, 12, 30)),
        ("", None),
        (None, None),
        ("01/01/1900", "sentinel"),
        ("01/01/1970", "sentinel"),
        ("01/01/0001", "sentinel"),
        ("31/12/9999", "sentinel"),
        ("00/00/0000", "sentinel"),
        ("31/02/2020", "bad"),
        ("29/02/2023", "bad"),
        ("29/02/1900", "bad"),
        ("31/04/2020", "bad"),
        ("00/01/2020", "bad"),
        ("01/00/2020", "bad"),
        ("01/13/2020", "bad"),
        ("01/01/0000", "bad"),
        ("1/1/2020", "bad"),
        ("14/03/19", "bad"),
        ("14-03-2019", "bad"),
        ("2019-03-14", "bad"),
        ("14/03/2019 ", "bad"),
        ("14/03/201é", "bad"),
        ("NC", "bad"),
        ("0000000000", "bad"),
    ],
)
def test_a_french_date_with_four_digit_years_is_strict(value: str | None, expected: date | str | None) -> None:
    assert read(value, "JJ/MM/AAAA") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-03-14", date(2019, 3, 14)),
        ("1900-01-01", "sentinel"),
        ("1970-01-01", "sentinel"),
        ("0001-01-01", "sentinel"),
        ("9999-12-31", "sentinel"),
        ("0000-00-00", "bad"),
        ("2019-02-29", "bad"),
        ("14/03/2019", "bad"),
        ("2019-3-14", "bad"),
    ],
)
def test_an_iso_date_is_strict_and_knows_the_same_sentinels(value: str, expected: date | str) -> None:
    assert read(value, "AAAA-MM-JJ") == expected


@pytest.mark.parametrize("form", ["JJ/MM/AA", "JJ/MM/AA(AA)"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("14/03/19", date(2019, 3, 14)),
        ("31/12/49", date(2049, 12, 31)),
        ("01/01/50", date(1950, 1, 1)),
        ("01/01/99", date(1999, 1, 1)),
        ("01/01/00", date(2000, 1, 1)),
        ("29/02/00", date(2000, 2, 29)),
        ("01/01/70", date(1970, 1, 1)),  # two digits are no sentinel
        ("00/00/00", "bad"),
        ("31/02/20", "bad"),
    ],
)
def test_two_digit_years_of_a_lease_lie_between_1950_and_2049(form: str, value: str, expected: date | str) -> None:
    assert read(value, form, "lease") == expected


def test_an_entry_date_may_have_ten_characters_too() -> None:
    assert read("14/03/1949", "JJ/MM/AA(AA)", "lease") == date(1949, 3, 14)
    assert read("31/12/9999", "JJ/MM/AA(AA)", "lease") == "sentinel"
    assert read("14/03/019", "JJ/MM/AA(AA)", "lease") == "bad"
    assert read("14/03/2019", "JJ/MM/AA", "lease") == "bad"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("05/01/26", date(2026, 1, 5)),
        ("06/01/26", date(1926, 1, 6)),
        ("31/12/25", date(2025, 12, 31)),
        ("01/01/27", date(1927, 1, 1)),
        ("24/09/46", date(1946, 9, 24)),
        ("29/02/00", date(2000, 2, 29)),
        ("29/02/28", date(1928, 2, 29)),
        ("29/02/26", "bad"),
    ],
)
def test_a_birth_is_of_this_century_only_when_it_is_not_after_the_day_of_delivery(
    value: str, expected: date | str
) -> None:
    assert read(value, "JJ/MM/AA", "birth") == expected
    assert read(value.replace("/", ""), "JJMMAA", "birth") == expected


def test_each_birth_is_compared_with_its_own_day_of_delivery() -> None:
    days = pa.array([date(2026, 1, 5), date(2026, 1, 6)])
    got, _, _ = parse(pa.array(["06/01/26", "06/01/26"]), "JJ/MM/AA", window="birth", day=days)
    assert got.to_pylist() == [date(1926, 1, 6), date(2026, 1, 6)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("140319", date(2019, 3, 14)), ("000000", None), ("", None), ("310220", "bad"), ("14/03/", "bad"),
        ("14031", "bad"),
        ("010170", date(1970, 1, 1)),
    ],
)  # fmt: skip
def test_zeros_are_the_ordinary_way_of_gpi_to_say_none(value: str, expected: date | str | None) -> None:
    assert read(value, "JJMMAA", "lease") == expected


def test_a_two_digit_year_without_a_window_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="window"):
        parse(pa.array(["14/03/19"]), "JJ/MM/AA")
    with pytest.raises(ValueError, match="window"):
        parse(pa.array(["14/03/19"]), "JJ/MM/AA", window="birth")


SENTINELS = {date(1900, 1, 1), date(1970, 1, 1), date(1, 1, 1), date(9999, 12, 31)}


@given(st.lists(st.dates().filter(lambda day: day not in SENTINELS), max_size=8))
def test_a_date_written_in_a_form_is_read_back(days: list[date]) -> None:
    for form, written in (
        ("JJ/MM/AAAA", [f"{d.day:02d}/{d.month:02d}/{d.year:04d}" for d in days]),
        ("AAAA-MM-JJ", [d.isoformat() for d in days]),
    ):
        got, bad, sentinel = parse(pa.array(written, pa.string()), form)
        assert got.to_pylist() == days
        assert not bad.any()
        assert not sentinel.any()


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999))
def test_a_date_is_bad_exactly_when_the_calendar_does_not_have_it(day: int, month: int, year: int) -> None:
    answer = read(f"{day:02d}/{month:02d}/{year:04d}", "JJ/MM/AAAA")
    try:
        expected: date | str = date(year, month, day)
    except ValueError:
        expected = "sentinel" if (day, month, year) == (0, 0, 0) else "bad"
    assert answer == ("sentinel" if expected in SENTINELS else expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-10-07T09:12:44+01:00", "2025-10-07T08:12:44"),
        ("2025-10-07T09:12:44-05:30", "2025-10-07T14:42:44"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00"),
        ("2025-10-07T09:12:44Z", "2025-10-07T09:12:44"),
        ("2025-10-07T09:12:44.987Z", "2025-10-07T09:12:44"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59"),
        ("2025-10-07T09:12+02:00", "2025-10-07T07:12:00"),
        ("2025-10-07T09:12:44+0200", "2025-10-07T07:12:44"),
    ],
)
def test_an_instant_is_stored_in_utc(value: str, expected: str) -> None:
    got, bad = instant(pa.array([None, value, "2025-10-07T09:12:44+01:00"]))
    assert got.type == pa.timestamp("s", tz="UTC")
    assert bad.tolist() == [False, False, False]
    assert got[0].as_py() is None
    assert got[1].as_py() == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert got[2].as_py() == datetime(2025, 10, 7, 8, 12, 44, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2025-10-07T09:12:44", "2025-10-07", "2025-10-07 09:12:44+01:00", "2025-02-29T09:12:44+01:00",
        "2025-10-07T24:12:44+01:00", "2025-10-07T09:60:44+01:00", "2025-10-07T09:12:60Z", "2025-10-07T09:12:44+25:00",
        "2025-10-07T09:12:44+01:60", "2025-10-07T09:12:44*01:00", "2025-10-07T09:12:44é", "hier",
    ],
)  # fmt: skip
def test_what_is_no_instant_with_an_offset_is_bad(value: str) -> None:
    got, bad = instant(pa.array([value, ""]))
    assert got.to_pylist() == [None, None]
    assert bad.tolist() == [True, False]


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-1439, 1439))
def test_an_instant_written_with_any_offset_is_read_back(naive: datetime, minutes: int) -> None:
    local = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    got, bad = instant(pa.array([local.isoformat()]))
    assert not bad.any()
    assert got.cast(pa.int64())[0].as_py() == int((local - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
