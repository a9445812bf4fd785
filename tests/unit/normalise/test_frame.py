"""Frames of a reading: reasons, repeated keys, lines and rows (canonical §5, schemas.frames)."""

import numpy as np
import pyarrow as pa
import pytest

from connectors.normalise.frame import first_reason, lines_table, repeated, rows
from schemas.frames import BIT, LINES, row_schema
from schemas.records import RECORDS


def mask(*values: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array(values, dtype=np.bool_)


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def test_the_first_reason_of_a_line_wins() -> None:
    pairs = [
        (mask(0, 1, 0, 1), "row.field_count"),
        (mask(1, 1, 0, 0), "row.bad_date"),
        (mask(0, 0, 0, 1), "row.nul_byte"),
    ]
    assert first_reason(pairs, 4).to_pylist() == ["row.bad_date", "row.field_count", None, "row.field_count"]


def test_the_same_reason_may_be_asked_twice() -> None:
    pairs = [(mask(1, 0), "row.bad_date"), (mask(0, 1), "row.bad_date")]
    assert first_reason(pairs, 2).to_pylist() == ["row.bad_date", "row.bad_date"]


def test_the_same_line_again_is_ignored_and_another_text_with_its_key_conflicts() -> None:
    keys = column("a", "b", "a", "a", "b", "a", "c")
    texts = column("x", "y", "x", "z", "y", "x", "x")
    ignored, conflicting = repeated(np.zeros(7, np.int64), keys, texts, mask(1, 1, 1, 1, 1, 1, 1))
    assert ignored.tolist() == [False, False, True, False, True, True, False]
    assert conflicting.tolist() == [False, False, False, True, False, False, False]


def test_a_key_repeats_only_inside_its_delivery() -> None:
    ignored, conflicting = repeated(np.array([0, 1, 1]), column("a", "a", "a"), column("x", "x", "y"), mask(1, 1, 1))
    assert ignored.tolist() == [False, False, False]
    assert conflicting.tolist() == [False, False, True]


def test_a_line_that_failed_before_neither_repeats_nor_is_repeated() -> None:
    ignored, conflicting = repeated(
        np.zeros(4, np.int64), column("a", "a", "a", "a"), column("x", "y", "x", "y"), mask(0, 1, 0, 1)
    )
    assert ignored.tolist() == [False, False, False, True]
    assert not conflicting.any()


def test_lines_without_a_key_do_not_repeat_each_other() -> None:
    ignored, conflicting = repeated(
        np.zeros(3, np.int64), column(None, None, "a"), column("x", "x", "x"), mask(1, 1, 1)
    )
    assert not ignored.any()
    assert not conflicting.any()


def test_a_reason_quarantines_a_line_even_when_it_would_be_ignored() -> None:
    table = lines_table(
        line=np.arange(4),
        d=np.array([0, 0, 1, 1]),
        source="BAUX.CSV",
        key=column("a", None, "b", "c"),
        loc=column("2", "3", "2", "3"),
        reason=column(None, "row.field_count", "row.bad_date", None),
        ignored=mask(0, 0, 1, 1),
        flags=np.array([0, 0, BIT["newline"], 0]),
        partial=mask(1, 0, 0, 0),
    )
    assert table.schema == LINES
    assert table["outcome"].to_pylist() == ["ok", "quarantined", "quarantined", "ignored"]
    assert table["reason"].to_pylist() == [None, "row.field_count", "row.bad_date", None]
    assert table["source"].to_pylist() == ["BAUX.CSV"] * 4
    assert table["d"].to_pylist() == [0, 0, 1, 1]
    assert table["flags"].to_pylist() == [0, 0, BIT["newline"], 0]
    assert table["partial"].to_pylist() == [True, False, False, False]


def test_rows_have_the_shape_of_their_record_with_null_for_what_is_not_given() -> None:
    table = rows(
        "lot_share",
        line=np.array([3, 5]),
        source_key=column("1:GEN", "2:GEN"),
        share_code="GEN",
        shares=pa.array([7, None], pa.int32()),
    )
    assert table.schema == row_schema(RECORDS["lot_share"])
    assert table["share_code"].to_pylist() == ["GEN", "GEN"]
    assert table["shares"].to_pylist() == [7, None]
    assert table["base"].null_count == 2
    assert table["soft"].to_pylist() == [False, False]


def test_a_record_may_have_a_column_called_name() -> None:
    table = rows("building", line=np.array([0]), source_key=column("1"), name=column("LES TILLEULS"))
    assert table["name"].to_pylist() == ["LES TILLEULS"]


def test_a_second_row_with_the_same_key_on_the_same_line_is_dropped() -> None:
    table = rows(
        "mandate_lot",
        soft=True,
        line=np.array([0, 0, 0, 1, 1]),
        source_key=column("a", "b", "a", "a", "a"),
        lot_key=column("1", "2", "3", "4", "5"),
    )
    assert table["line"].to_pylist() == [0, 0, 1]
    assert table["lot_key"].to_pylist() == ["1", "2", "4"]
    assert table["soft"].to_pylist() == [True, True, True]


def test_rows_that_are_not_kept_are_left_out_before_repetitions_are_sought() -> None:
    table = rows(
        "mandate_lot",
        line=np.array([0, 0, 0]),
        source_key=column("a", "a", "b"),
        lot_key=column("1", "2", "3"),
        keep=mask(0, 1, 1),
    )
    assert table["lot_key"].to_pylist() == ["2", "3"]


def test_columns_that_the_store_looks_up_travel_beside_the_record() -> None:
    table = rows("account", line=np.array([0]), source_key=column("1"), via={"person_key": column("r-1")})
    assert table.column_names == [*row_schema(RECORDS["account"]).names, "via:person_key"]
    assert table["via:person_key"].to_pylist() == ["r-1"]


def test_a_column_that_the_record_does_not_have_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no column colour"):
        rows("building", line=np.array([0]), source_key=column("1"), colour=column("red"))
