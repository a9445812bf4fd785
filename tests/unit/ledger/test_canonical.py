"""One value, one sequence of bytes."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ledger.canonical import canonical, instant, parse, read_instant
from schemas.errors import Malformed

texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)


@given(objects)
def test_an_object_comes_back_from_its_bytes(value: dict[str, Any]) -> None:
    assert parse(canonical(value)) == value


@given(objects)
def test_the_order_in_which_fields_were_given_does_not_count(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1}', b'{"b":1,"a":1}', b'{"a":1,"a":1}', b'{"a":1.0}', b'{"a":1e2}', b'{"a":NaN}',
        b'{"a":9007199254740993}',
        b'{"a":"\\u00e9"}', b'{"a":"\xe9"}', b'{"a":"\\ud800"}', b"[]", b"null", b"", b'{"a":1}\n', b"[" * 100_000,
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse(raw)


@pytest.mark.parametrize("value", [1.5, 2**53 + 1, b"x", {1: "a"}, "\ud800", dt.date(2026, 1, 1)])
def test_what_readers_would_read_differently_has_no_bytes(value: Any) -> None:
    with pytest.raises(Malformed):
        canonical({"a": value})


@given(st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=2))])))
def test_an_instant_comes_back_from_its_text(at: dt.datetime) -> None:
    assert read_instant(instant(at)) == at


@pytest.mark.parametrize(
    "text",
    ["2026-01-05", "2026-01-05T00:00:00", "2026-01-05T00:00:00+00:00", "2026-01-05T00:00:00.5Z", "today", "", 5, None],
)
def test_any_other_spelling_of_an_instant_is_refused(text: Any) -> None:
    with pytest.raises(Malformed):
        read_instant(text)
