"""Records are found in bytes as the standard reader would find them, each on the line where it starts."""

import csv
import io

import pytest
from hypothesis import given, settings, strategies as st

from connectors.sdgi.columns import parse_many, read_columns, split_few
from connectors.sdgi.layout import Header
from connectors.sdgi.records import misencoded, split

WIDE = Header(("A", "B", "C"), ("a", "b", "c"), False)
# What decides where a record ends, and something beyond ASCII.
TEXT = st.text(st.sampled_from('ab;"é€\r\n\x00 '), max_size=60)


def standard(text: str) -> list[list[str]]:
    """What Python's csv reader makes of the same text, blank lines apart."""
    return [record for record in csv.reader(io.StringIO(text, newline=""), delimiter=";") if record]


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_records_are_those_of_the_standard_reader(text: str) -> None:
    records = split(text.encode("cp1252"), "cp1252")
    assert [records.fields(at) for at in range(len(records))] == standard(text)


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_columns_are_those_of_the_standard_reader(text: str) -> None:
    records = split(text.encode("cp1252"), "cp1252")
    positions, columns = read_columns([records], WIDE, ("a", "c"))
    by_position = {
        position: (first, last)
        for position, first, last in zip(
            positions.tolist(), columns["a"].to_pylist(), columns["c"].to_pylist(), strict=True
        )
    }
    expected = {at: (record[0], record[2]) for at, record in enumerate(standard(text)) if len(record) == 3}
    assert by_position == expected


# A body that reaches the two parsers is made of whole lines: none of them is blank or has a quoted field.
FIELD = st.text(st.sampled_from("ab é€\x00\t'?\""), max_size=6).filter(lambda field: not field.startswith('"'))
BODY = st.lists(st.tuples(st.lists(FIELD, min_size=3, max_size=3), st.sampled_from(["\r\n", "\n", "\r"])), min_size=1)


@settings(max_examples=60, deadline=None)
@given(BODY)
def test_small_and_large_bodies_are_parsed_alike(lines: list[tuple[list[str], str]]) -> None:
    body = "".join(";".join(fields) + end for fields, end in lines).encode("cp1252")
    few, many = (parse(body, WIDE, ("a", "b", "c"), "cp1252") for parse in (split_few, parse_many))
    assert few == many
    assert few["b"].to_pylist() == [fields[1] for fields, _ in lines]


def places(text: str) -> list[tuple[int, list[str]]]:
    records = split(text.encode("cp1252"), "cp1252")
    return [(int(line), records.fields(at)) for at, line in enumerate(records.line)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\r\nc;d\r\n", [(1, ["a", "b"]), (2, ["c", "d"])]),
        ("a;b\r\nc;d", [(1, ["a", "b"]), (2, ["c", "d"])]),
        ("a\nb\rc\r\n", [(1, ["a"]), (2, ["b"]), (3, ["c"])]),
        ("\r\n\r\na\r\n\r\nb\r\n\r\n", [(3, ["a"]), (5, ["b"])]),
        (' \r\n""\r\n', [(1, [" "]), (2, [""])]),
        ('a;"x\r\ny"\r\nb;z\r\n', [(1, ["a", "x\r\ny"]), (3, ["b", "z"])]),
        ('"x\r\n\r\ny";"z\r\n;""é"""\r\nb\r\n', [(1, ["x\r\n\r\ny", 'z\r\n;"é"']), (5, ["b"])]),
        ('LE "CLOS";b\r\n5";6"\r\n', [(1, ['LE "CLOS"', "b"]), (2, ['5"', '6"'])]),
        ('"LE" CLOS;b\r\n', [(1, ["LE CLOS", "b"])]),
        ('a;b"c;"d;e"\r\n', [(1, ["a", 'b"c', "d;e"])]),
        ('a;"x\r\n', [(1, ["a", "x\r\n"])]),
        ("", []),
    ],
    ids=[
        "ordinary", "no last line end", "other line ends", "blank lines", "lines that are not blank",
        "a line end in quotes", "blank line and doubled quotes in quotes", "quotes inside a field",
        "text behind a quote", "both kinds of quote", "never closed", "nothing",
    ],
)  # fmt: skip
def test_a_record_is_on_the_line_where_it_starts(text: str, expected: list[tuple[int, list[str]]]) -> None:
    assert places(text) == expected


def test_the_text_of_a_record_is_what_was_sent() -> None:
    records = split('a;"x;\r\n""y"""\r\nb;c'.encode("cp1252"), "cp1252")
    assert [records.text(at) for at in range(2)] == ['a;"x;\r\n""y"""', "b;c"]


def test_fields_are_counted_in_large_files_too() -> None:
    lines = [";" * (number % 5) for number in range(1, 40_000)]
    records = split("\r\n".join(line or "x" for line in lines).encode(), "cp1252")
    assert records.widths.tolist() == [number % 5 + 1 for number in range(1, 40_000)]


def test_a_control_character_is_found_in_its_record_and_in_no_header() -> None:
    records = split(b'h\x01\r\na\x00\r\n\r\n"b\r\n\x02"\r\n\tc\r\nd\x1f\x00', "cp1252").after_header(
        split(b"", "").ignored
    )
    nul, other = records.controls()
    assert nul.tolist() == [True, False, False, True]
    assert other.tolist() == [False, True, False, True]


ENCODINGS = {
    "nothing": (b"", False),
    "ASCII": (b"RUE", False),
    "UTF-8": ("é".encode(), True),
    "cp1252": ("é, €, ’".encode("cp1252"), False),
    "cp1252 that is also UTF-8": ("Ã©".encode("cp1252"), True),
    "a byte order mark": (b"\xef\xbb\xbfRUE", True),
    "an undefined byte": (b"\xe9\x81", True),
    "its defined neighbour": (b"\xe9\x80", False),
}


@pytest.mark.parametrize(("raw", "wrong"), ENCODINGS.values(), ids=ENCODINGS)
def test_what_cannot_be_cp1252_is_seen(raw: bytes, wrong: bool) -> None:
    assert misencoded(raw) is wrong
