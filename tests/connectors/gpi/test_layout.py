"""The layout as data, and the bytes that become text by it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from connectors.gpi.cells import decode, decode_whole
from connectors.gpi.layout import layout
from connectors.gpi.records import TYPES


@pytest.mark.parametrize("kind", list(layout().records))
def test_no_two_fields_of_a_record_share_a_byte(kind: str) -> None:
    spans = sorted(layout().records[kind].values(), key=lambda span: span.start)
    assert spans[0].start == 0
    assert all(before.stop <= after.start for before, after in pairwise(spans))
    assert spans[-1].stop <= layout().record_length


def test_every_field_has_a_kind_of_the_contract() -> None:
    kinds = {span.kind for fields in layout().records.values() for span in fields.values()}
    assert kinds == {"text", "number", "date6", "amount", "unread"}


def test_every_type_between_header_and_trailer_is_heard_and_counted() -> None:
    assert set(TYPES) == set(layout().body)
    assert {f"NB{kind}" for kind in layout().body} < set(layout().records[layout().trailer])


@given(st.lists(st.binary(min_size=9, max_size=9), min_size=1, max_size=20), st.sampled_from([b"", b"    "]))
def test_a_column_of_bytes_decodes_to_what_python_reads_field_by_field(fields: list[bytes], padding: bytes) -> None:
    """Python's own codec is the judge; the padding behind a value goes, nothing else does."""
    padded = [field + padding for field in fields]
    cells = np.frombuffer(b"".join(padded), np.uint8).reshape(len(padded), -1)
    assert decode(cells, "cp850").to_pylist() == [field.decode("cp850").rstrip(" ") for field in padded]
    assert decode_whole(cells, "cp850").to_pylist() == [field.decode("cp850") for field in padded]


def test_fields_lose_their_padding_also_when_all_of_them_are_blank() -> None:
    cells = np.full((3, 8), ord(" "), np.uint8)
    assert decode(cells, "cp850").to_pylist() == ["", "", ""]


def test_a_slice_of_wider_records_decodes_like_a_copy_of_it() -> None:
    records = np.frombuffer(b"xxAnne   yy" + b"xxZo\x82    yy", np.uint8).reshape(2, 11)
    assert decode(records[:, 2:9], "cp850").to_pylist() == ["Anne", "Zoé"]
    assert decode_whole(records[:, 2:6], "cp850").to_pylist() == ["Anne", "Zoé "]
