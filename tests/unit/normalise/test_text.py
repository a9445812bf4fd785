"""Text: white space, control characters, damaged accents, spreadsheet damage, keys (canonical §1, N1–N3, N7)."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from connectors.normalise import text
from schemas.frames import BIT
from schemas.ids import source_key


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def one_n1(value: str | None) -> tuple[str | None, bool]:
    got, newline = text.n1(column("avant", value, "après"))
    assert got[0].as_py() == "avant"
    assert got[2].as_py() == "après"
    return got[1].as_py(), bool(newline[1])


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("RUE DU CHÂTEAU", "RUE DU CHÂTEAU"),
        ("  12  RUE\tDU CHÂTEAU ", "12 RUE DU CHÂTEAU"),
        ("12\u00a0\u00a0RUE\u202fDU PRÉ", "12 RUE DU PRÉ"),
        ("\u00a0", None),
        (" \t\r\n", None),
        ("", None),
        (None, None),
        ("à", "à"),  # its last byte is that of a no-break space
        ("ï ¯", "ï ¯"),  # so do these, for the narrow one
        ("a\u2009b", "a\u2009b"),
    ],
)
def test_runs_of_the_six_spaces_become_one_space_and_no_other_character_changes(
    raw: str | None, kept: str | None
) -> None:
    assert one_n1(raw) == (kept, False)


@pytest.mark.parametrize("inside", ["12 RUE\r\nBAT A", "12 RUE\nBAT A", "12 RUE\rBAT A"])
def test_a_line_break_inside_a_value_becomes_a_space_and_raises_newline(inside: str) -> None:
    assert one_n1(inside) == ("12 RUE BAT A", True)


def test_a_line_break_at_the_edge_of_a_value_raises_nothing() -> None:
    assert one_n1("\r\n12 RUE \n") == ("12 RUE", False)


@given(st.lists(st.none() | st.text(alphabet=" \t\r\n\u00a0\u202fàïÃ?aB’€", max_size=8), max_size=8))
def test_n1_does_to_a_column_what_python_does_to_each_value(values: list[str | None]) -> None:
    def expected(value: str | None) -> str | None:
        words = "".join(" " if sign in text.SPACES else sign for sign in value or "").split(" ")
        return " ".join(word for word in words if word) or None

    got, newline = text.n1(pa.array(values, pa.string()))
    assert got.to_pylist() == [expected(value) for value in values]
    breaks = [value is not None and any(sign in value.strip(text.SPACES) for sign in "\r\n") for value in values]
    assert newline.tolist() == breaks


def test_a_slice_of_a_column_is_normalised_like_a_column_of_its_own() -> None:
    whole = column(" a ", "b\nc", None, "d  e", "f")
    got, newline = text.n1(whole[1:4])
    assert got.to_pylist() == ["b c", None, "d e"]
    assert newline.tolist() == [True, False, False]
    assert text.mojibake(column("x", "Ch?teau", "y")[1:]).tolist() == [True, False]
    assert text.nul(column("\0", "y", "z\0")[1:]).tolist() == [False, True]


def test_nul_is_told_apart_from_other_control_characters_and_tab_cr_lf_are_none_of_them() -> None:
    raw = column("a\0b", "a\x1fb", "a\tb\r\n", "\x0b", "\x7f", None, "")
    assert text.nul(raw).tolist() == [True, False, False, False, False, False, False]
    assert text.control(raw).tolist() == [False, True, False, True, False, False, False]


@pytest.mark.parametrize(
    ("raw", "damaged"),
    [
        ("Ch?teau", True),
        ("É?Œ", True),
        ("Ch\ufffdteau", True),
        ("ChÃ¢teau", True),
        ("Ã\u00a0", True),
        ("\u00c3\u0089cole", True),
        ("Ã‰COLE", False),  # U+2030 is not in the range
        ("Où ?", False),
        ("Où? Là", False),
        ("?cole", False),
        ("12?b", False),
        ("Ã", False),
        ("Ão", False),
        ("\ufeffa", False),
        (None, False),
    ],
)
def test_mojibake_is_what_the_rule_names_and_nothing_else(raw: str | None, damaged: bool) -> None:
    assert text.mojibake(column("x", raw)).tolist() == [False, damaged]


def test_one_leading_apostrophe_goes_and_is_flagged() -> None:
    got, flagged = text.apostrophe(column("'0012", "''1", "0'1", "'", None, "12"))
    assert got.to_pylist() == ["0012", "'1", "0'1", None, None, "12"]
    assert flagged.tolist() == [True, True, False, True, False, False]


@pytest.mark.parametrize("raw", ["4,5E+11", "6,00E+08", "1E+12", "4.5e+11", "-1,2E-05"])
def test_scientific_notation_of_a_spreadsheet_is_recognised(raw: str) -> None:
    assert text.scientific(column(None, raw)).tolist() == [False, True]


@pytest.mark.parametrize("raw", ["1E5", "12E", "E+11", "4,5E+", "4,5 E+11", "A4,5E+11", "+33600000001", "-", ""])
def test_an_ordinary_code_is_not_scientific_notation(raw: str) -> None:
    assert text.scientific(column(raw)).tolist() == [False]


def test_fold_compares_without_case_accents_points_and_extra_spaces() -> None:
    folded = text.fold(column("M. et  Mme", "é.t.é", " Royaume-Uni ", "ŒUVRE", "...", None))
    assert folded.to_pylist() == ["M ET MME", "ETE", "ROYAUME-UNI", "ŒUVRE", None, None]


def test_nc_is_null_only_when_it_is_the_whole_value() -> None:
    assert text.without_nc(column("NC", "NC1", "nc", None)).to_pylist() == [None, "NC1", "nc", None]


def test_a_key_escapes_percent_and_colon_and_writes_a_missing_part_as_a_hyphen() -> None:
    assert text.key(column("a:b", "100%", None), column("1", None, "%3A")).to_pylist() == [
        "a%3Ab:1",
        "100%25:-",
        "-:%253A",
    ]
    assert text.key(column("a:b", None)).to_pylist() == ["a%3Ab", "-"]


part = st.none() | st.text(alphabet=":%-3A25é ", min_size=1, max_size=5)
pair = st.tuples(part, part)


@given(pair, pair)
def test_two_keys_are_equal_only_when_their_parts_are(
    left: tuple[str | None, str | None], right: tuple[str | None, str | None]
) -> None:
    keys = text.key(column(left[0], right[0]), column(left[1], right[1])).to_pylist()
    assert keys == [source_key(*left), source_key(*right)]
    # A missing part and the text `-` are written alike: the contract says so.
    assert (keys[0] == keys[1]) == ([p or "-" for p in left] == [p or "-" for p in right])


def test_a_flag_is_its_bit_where_the_mask_is_true() -> None:
    assert text.flag(np.array([True, False]), "newline").tolist() == [BIT["newline"], 0]
