"""Rows of `contact` from the fields of persons (canonical §1, nested keys)."""

import numpy as np
import pyarrow as pa

from connectors.normalise.contacts import contact_rows, emails, first_value, phones
from schemas.frames import row_schema
from schemas.records import RECORDS

LINE = np.array([10, 11, 12])
PERSON = pa.array(["C:IM%3A1:1", "C:IM:2", "C:IM:3"])


def test_ranks_follow_reading_order_field_after_field_and_start_anew_for_each_person_and_kind() -> None:
    first = emails(pa.array(["b@x.test a@x.test", None, "bad"]))
    second = emails(pa.array(["c@x.test", "d@x.test", "nc"]))
    mobile, fixed = phones(pa.array([None, "0600000001", None])), phones(pa.array(["0199000001", "0199000002", ""]))
    table = contact_rows(LINE, PERSON, [first, second], [mobile, fixed])
    assert table.schema == row_schema(RECORDS["contact"])
    got = [(r["line"], r["source_key"], r["kind"], r["rank"], r["value"], r["value_raw"]) for r in table.to_pylist()]
    assert got == [
        (10, "C:IM%3A1:1:email:1", "email", 1, "b@x.test", "b@x.test"),
        (10, "C:IM%3A1:1:email:2", "email", 2, "a@x.test", "a@x.test"),
        (10, "C:IM%3A1:1:email:3", "email", 3, "c@x.test", "c@x.test"),
        (11, "C:IM:2:email:1", "email", 1, "d@x.test", "d@x.test"),
        (12, "C:IM:3:email:1", "email", 1, None, "bad"),
        (10, "C:IM%3A1:1:phone:1", "phone", 1, "+33199000001", "0199000001"),
        (11, "C:IM:2:phone:1", "phone", 1, "+33600000001", "0600000001"),
        (11, "C:IM:2:phone:2", "phone", 2, "+33199000002", "0199000002"),
    ]
    assert set(table["soft"].to_pylist()) == {False}
    assert [r["person_key"] for r in table.to_pylist()] == [
        key.rsplit(":", 2)[0] for key in table["source_key"].to_pylist()
    ]


def test_fields_that_are_not_kept_give_no_row_and_leave_the_ranks_of_others_alone() -> None:
    found = emails(pa.array(["a@x.test b@x.test", "c@x.test", "d@x.test"]))
    table = contact_rows(LINE, PERSON, [found], [], keep=np.array([True, False, True]))
    assert table["source_key"].to_pylist() == ["C:IM%3A1:1:email:1", "C:IM%3A1:1:email:2", "C:IM:3:email:1"]


def test_the_first_value_of_a_field_is_that_of_its_first_token_even_when_it_is_not_valid() -> None:
    found = emails(pa.array(["B@X.test a@x.test", None, "bad a@x.test", "nc"]))
    assert first_value(found, 4).to_pylist() == ["B@x.test", None, None, None]
