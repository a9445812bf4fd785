"""Every function answers for a column without rows, and for one without values."""

import numpy as np
import pyarrow as pa
import pytest

from connectors.normalise import amounts, bank, contacts, dates, enums, frame, ids, names, places, text, titles
from schemas.frames import LINES, row_schema
from schemas.records import RECORDS

EMPTY = [pytest.param(0, id="no rows"), pytest.param(1, id="one null"), pytest.param(5, id="only nulls")]


@pytest.mark.parametrize("n", EMPTY)
def test_text_functions_keep_nothing_as_nothing(n: int) -> None:
    a = pa.nulls(n, pa.string())
    for got in (text.n1(a)[0], text.apostrophe(a)[0], text.fold(a), text.without_nc(a), text.blanks(a)):
        assert got.type == pa.string()
        assert got.null_count == len(got) == n
    for mask in (
        text.n1(a)[1],
        text.nul(a),
        text.control(a),
        text.mojibake(a),
        text.scientific(a),
        text.apostrophe(a)[1],
    ):
        assert mask.dtype == np.bool_
        assert mask.tolist() == [False] * n
    assert text.key(a, a).to_pylist() == ["-:-"] * n


@pytest.mark.parametrize("n", EMPTY)
def test_values_of_nothing_are_null_and_not_bad(n: int) -> None:
    a = pa.nulls(n, pa.string())
    day = pa.array([20_000] * n, pa.int32()).cast(pa.date32())
    answers = [amounts.french(a), amounts.plain(a), amounts.overpunch(a), amounts.digits(a), dates.instant(a)]
    answers += [dates.parse(a, form)[:2] for form in ("JJ/MM/AAAA", "AAAA-MM-JJ")]
    answers += [dates.parse(a, form, window="birth", day=day)[:2] for form in ("JJ/MM/AA", "JJ/MM/AA(AA)", "JJMMAA")]
    answers += [
        enums.closed(a, {"A": "a"}),
        places.country(a, {"A": "a"}),
        places.postal_code(a, a),
        places.postal_code(a),
    ]
    for got, bad in answers:
        assert got.null_count == len(got) == n
        assert bad.tolist() == [False] * n
    for got in (ids.siren(a), titles.title(a), *names.certain_split(a, a), *names.slash_split(a, np.ones(n, np.bool_))):
        assert got.null_count == len(got) == n
    iban, flags = bank.iban(a)
    assert iban.null_count == n
    assert flags.tolist() == [0] * n


@pytest.mark.parametrize("n", EMPTY)
def test_no_field_gives_no_contact(n: int) -> None:
    a = pa.nulls(n, pa.string())
    emails, phones = contacts.emails(a), contacts.phones(a, a, a)
    for tokens in (emails, phones):
        assert len(tokens.parent) == len(tokens.value) == len(tokens.raw) == 0
        assert tokens.flags.tolist() == [0] * n
        assert contacts.first_value(tokens, n).to_pylist() == [None] * n
    table = contacts.contact_rows(np.arange(n), a, [emails, emails], [phones])
    assert table.schema == row_schema(RECORDS["contact"])
    assert table.num_rows == 0
    assert contacts.contact_rows(np.arange(n), a, [], []).num_rows == 0


@pytest.mark.parametrize("n", EMPTY)
def test_frames_without_values_have_their_shape(n: int) -> None:
    a, line = pa.nulls(n, pa.string()), np.arange(n)
    assert frame.first_reason([], n).to_pylist() == [None] * n
    for mask in frame.repeated(line, a, a, np.ones(n, np.bool_)):
        assert mask.tolist() == [False] * n
    table = frame.lines_table(line=line, d=0, source="IMMEUBLES.CSV", key=a, loc=a)
    assert table.schema == LINES
    assert table.num_rows == n
    for name, record in RECORDS.items():
        assert frame.empty_rows(name).schema == row_schema(record)
        assert frame.rows(name, line=line[:0], source_key=a[:0]).equals(frame.empty_rows(name))
