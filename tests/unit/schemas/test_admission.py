"""The field gate: what the agency did not instruct falls before anything is kept, and is counted."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from connectors.normalise import frame
from schemas.admission import Admitted, admit
from schemas.frames import CONTENT, ENDINGS, LINES, Arrived, Reading
from schemas.ids import AgencyCode, System
from schemas.mandate import Grant, Mandate, Purpose, RestrictedBy, Restriction

A = AgencyCode("A0001")
AT = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
YIELDS = {"People": frozenset({"person", "contact"}), "Buildings": frozenset({"building"})}


def mandate(*tables: str, systems: Sequence[System] = (System.SDGI,)) -> Mandate:
    grant = Grant("INS-1", frozenset(systems), frozenset(tables), frozenset({Purpose.EXTRANET}))
    return Mandate(A, AT, (grant,) if tables else ())


def reading() -> Reading:
    """One person with an e-mail, one building, one line that could not be read, one that the contract ignores."""
    lines = pa.table(
        [
            [0, 1, 2, 3], [0] * 4, ["People", "Buildings", "People", "People"], ["p", "b", "q", None],
            ["2", "2", "3", "4"],
            ["ok", "ok", "quarantined", "ignored"], [None, None, "row.bad_date", None], [0] * 4, [False] * 4,
        ],
        schema=LINES,
    )  # fmt: skip
    rows = {
        "person": frame.rows(
            "person",
            line=np.array([0]),
            source_key=pa.array(["p"]),
            kind=pa.array(["natural"]),
            last_name=pa.array(["X"]),
            city=pa.array(["Y"]),
        ),
        "contact": frame.rows(
            "contact",
            line=np.array([0]),
            source_key=pa.array(["p:email:1"]),
            person_key=pa.array(["p"]),
            kind=pa.array(["email"]),
            rank=pa.array([1]),
            value_raw=pa.array(["z"]),
        ),
        "building": frame.rows("building", line=np.array([1]), source_key=pa.array(["b"]), code=pa.array(["b"])),
    }
    content = pa.table([[2], ["q;31/02/2026"]], schema=CONTENT)
    arrived = Arrived(A, System.SDGI, "d", AT.date(), None, "sdgi 1.4", "1")
    return Reading(System.SDGI, "line", (arrived,), lines, rows, ENDINGS.empty_table(), content)


def outcomes(admitted: Admitted) -> list[str]:
    return list(admitted.reading.lines["outcome"].to_pylist())


def test_everything_is_admitted_when_everything_is_instructed() -> None:
    admitted = admit(reading(), [mandate("*")], YIELDS)
    assert outcomes(admitted) == ["ok", "ok", "quarantined", "ignored"]
    assert sorted(admitted.reading.rows) == ["building", "contact", "person"]
    assert len(admitted.reading.content) == 1


def test_lines_of_tables_that_are_not_instructed_are_withheld_also_when_they_could_not_be_read() -> None:
    admitted = admit(reading(), [mandate("building")], YIELDS)
    assert outcomes(admitted) == ["withheld", "ok", "withheld", "ignored"]
    assert sorted(admitted.reading.rows) == ["building"]
    assert admitted.reading.lines["reason"].to_pylist() == [None] * 4
    assert len(admitted.reading.content) == 0


def test_columns_of_other_categories_become_null() -> None:
    admitted = admit(reading(), [mandate("identity")], YIELDS)
    [person] = admitted.reading.rows["person"].to_pylist()
    assert (person["last_name"], person["city"], person["source_key"]) == ("X", None, "p")
    assert "contact" not in admitted.reading.rows


def test_a_table_is_not_held_when_a_column_that_may_not_be_null_is_not_instructed() -> None:
    admitted = admit(reading(), [mandate("contact")], YIELDS)
    assert sorted(admitted.reading.rows) == ["contact"]
    assert outcomes(admitted)[0] == "ok"


def test_a_partly_instructed_line_that_cannot_be_read_is_put_aside_without_its_text() -> None:
    admitted = admit(reading(), [mandate("contact")], YIELDS)
    assert outcomes(admitted)[2] == "quarantined"
    assert len(admitted.reading.content) == 0


def test_without_a_grant_for_the_system_nothing_is_admitted() -> None:
    admitted = admit(reading(), [mandate("*", systems=[System.GPI])], YIELDS)
    assert outcomes(admitted) == ["withheld", "withheld", "withheld", "ignored"]
    assert admitted.reading.rows == {}


def test_two_instructions_add_up() -> None:
    both = Mandate(A, AT, (*mandate("identity").grants, *mandate("building").grants))
    assert sorted(admit(reading(), [both], YIELDS).reading.rows) == ["building", "person"]


def test_an_admitted_reading_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError):
        Admitted(reading(), (frozenset(),), (None,), (), object())


def restricted(scope: RestrictedBy, *targets: str) -> Mandate:
    return replace(mandate("*"), restrictions=(Restriction("INS-2", scope, frozenset(targets)),))


def test_a_line_that_can_yield_something_restricted_is_withheld_whole() -> None:
    admitted = admit(reading(), [restricted(RestrictedBy.TABLE, "contact")], YIELDS)
    assert outcomes(admitted) == ["withheld", "ok", "withheld", "ignored"]
    assert sorted(admitted.reading.rows) == ["building"], "a row without its contacts would write over what is held"
    assert len(admitted.reading.content) == 0


def test_a_restricted_category_freezes_the_tables_that_have_it() -> None:
    admitted = admit(reading(), [restricted(RestrictedBy.CATEGORY, "property")], YIELDS)
    assert outcomes(admitted) == ["ok", "withheld", "quarantined", "ignored"]
    assert sorted(admitted.reading.rows) == ["contact", "person"]


def test_a_restricted_agency_lets_nothing_in() -> None:
    admitted = admit(reading(), [restricted(RestrictedBy.AGENCY)], YIELDS)
    assert outcomes(admitted) == ["withheld", "withheld", "withheld", "ignored"]


def test_a_reference_to_what_a_restriction_keeps_out_is_no_fault() -> None:
    admitted = admit(reading(), [restricted(RestrictedBy.TABLE, "contact")], YIELDS)
    assert not admitted.held[0] & {"person", "contact"}
    assert "building" in admitted.held[0]


@pytest.mark.parametrize(("implied", "outcome"), [(False, "ok"), (True, "withheld")])
def test_an_end_comes_in_against_a_restriction_but_not_one_that_rides_on_a_row(implied: bool, outcome: str) -> None:
    said = reading()
    end = {"line": 0, "reason": "EFFACEMENT", "source": "People", "key": "p", "implied": implied}
    ends = pa.Table.from_pylist([{name: end.get(name) for name in ENDINGS.names}], schema=ENDINGS)
    admitted = admit(replace(said, endings=ends), [restricted(RestrictedBy.TABLE, "contact")], YIELDS)
    assert outcomes(admitted)[0] == outcome
    assert len(admitted.reading.endings) == (not implied)


def test_what_falls_at_the_gate_is_counted_by_source_table_and_by_column() -> None:
    (few,) = admit(reading(), [mandate("identity")], YIELDS).excess
    assert (few.lines, few.values) == ({"Buildings": 1}, {"person.city": 1})
    (none,) = admit(reading(), [mandate("building")], YIELDS).excess
    assert (none.lines, none.values) == ({"People": 2}, {})
    assert not admit(reading(), [mandate("*")], YIELDS).excess[0]


def test_what_a_restriction_holds_back_is_no_excess_of_the_source() -> None:
    for all_of_it in (restricted(RestrictedBy.TABLE, "contact"), restricted(RestrictedBy.CATEGORY, "property")):
        assert not admit(reading(), [all_of_it], YIELDS).excess[0]
    by_row = restricted(RestrictedBy.PERSON, f"REF-{'0' * 32}")
    assert not admit(reading(), [by_row], YIELDS, np.array([True, False, False, False])).excess[0]
    closed = replace(mandate("building"), restrictions=restricted(RestrictedBy.TABLE, "building").restrictions)
    assert admit(reading(), [closed], YIELDS).excess[0].lines == {"People": 2}, "what was never instructed still is"


def test_each_delivery_is_told_what_it_held_beyond_its_own_instructions() -> None:
    said, at = reading(), LINES.get_field_index("d")
    lines = said.lines.set_column(at, LINES.field(at), pa.array([1, 1, 0, 0], LINES.field(at).type))
    code = AgencyCode("A0002")
    other = replace(said.deliveries[0], agency=code)
    two = replace(said, lines=lines, deliveries=(*said.deliveries, other))
    first, second = admit(two, [mandate("building"), replace(mandate("identity"), agency=code)], YIELDS).excess
    assert (first.lines, first.values) == ({"People": 1}, {})
    assert (second.lines, second.values) == ({"Buildings": 1}, {"person.city": 1})
