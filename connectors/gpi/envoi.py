"""One GPI file proved whole before a record of it is read (contract GPI 01.02, "Refusals, in this order")."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from connectors.base import Delivery, Known
from connectors.gpi.cells import Bytes, decode
from connectors.gpi.layout import Layout, Span
from connectors.normalise import amounts, text
from schemas.errors import DeliveryRefused

# Five characters of any kind: a code that cannot be an agency's is a mismatch, not a wrong name (mess catalogue).
NAME = re.compile(r"GPI(?P<agency>.{5})\.(?P<number>[0-9]{6})", re.ASCII)
Kinds = np.ndarray[Any, np.dtype[np.uint16]]

NONE_YET = "000000"
# After each record: CRLF, LF or nothing, tried in this order.
LINE_ENDS = (b"\r\n", b"\n", b"")


@dataclass(frozen=True, slots=True)
class Envoi:
    """The records of a proved file, one row of 512 bytes each; `step` is the bytes from a record to the next."""

    cells: Bytes = field(repr=False)
    step: int
    number: str
    sha256: str


def day_written(data: bytes, layout: Layout) -> date | None:
    """DATENV, or None when it cannot be read: it is asked for before anything is known of the file."""
    return _day(layout.records[layout.header]["DATENV"].of(data))


def _day(raw: bytes) -> date | None:
    if not re.fullmatch(rb"[0-9]{6}", raw):
        return None
    day, month, year = int(raw[:2]), int(raw[2:4]), int(raw[4:])
    try:
        return date(year + (1900 if year >= 50 else 2000), month, day)  # N10, lease window: 1950–2049
    except ValueError:
        return None


def prove(data: bytes, delivery: Delivery, known: Known, layout: Layout) -> Envoi:
    """Believe the file or refuse it. The checks come in the order of the contract's table; the first that fails speaks.
    1 to 9 are `begin`, the rest is `finish`: what is true of a body, of which the same bytes need no second proof.

    1. the code in the name is the agency's;
    2. the file is a whole number of records;
    3. it begins with a header, 4. of a version that we read, 5. in the character set that we read;
    6. the agency, its SIRET and the number of the envoi are the ones that were announced;
    7. it ends with its trailer;
    8. it is newer than the last one accepted, 9. and none is missing between the two;
    10. the records are numbered 1, 2, 3 …, 11. and of known types;
    12. as many as the trailer says, 13. with balances that add up to what the trailer says.
    """
    begun = begin(data, delivery, known, layout)
    finish(begun, layout)
    return begun


def begin(data: bytes, delivery: Delivery, known: Known, layout: Layout) -> Envoi:
    """1 to 9: whose it is, and that it comes next."""
    named = NAME.fullmatch(delivery.name)
    # 1.
    if named is None or named["agency"] != delivery.agency:
        raise DeliveryRefused("agency.mismatch", "name")
    # 2.
    cells, step = _records(data, layout)
    head = _Record(cells, 0, layout.header, layout)
    # 3.
    if not len(cells) or head.text("TYPENR") != layout.header:
        raise DeliveryRefused("gpi.header_missing", "first record")
    # 4.
    if not head.text("VERSTR").startswith(layout.accepts):
        raise DeliveryRefused("gpi.version", "VERSTR")
    # 5.
    if head.text("JEUCAR") != layout.charset:
        raise DeliveryRefused("gpi.charset", "JEUCAR")
    # 6.
    _same_agency(cells, head, named["agency"], known, layout)
    if head.text("NUMENV") != named["number"]:
        raise DeliveryRefused("agency.mismatch", "NUMENV")
    # 7.
    kinds = kinds_of(cells)
    _framed(kinds, layout)
    # 8. and 9.
    _next_in_chain(head, known.cursor or NONE_YET, layout)
    return Envoi(cells, step, named["number"], hashlib.sha256(data).hexdigest())


def likeness(data: bytes, begun: Envoi, layout: Layout) -> bytes:
    """SHA-256 of all of it but the number, the instant and the predecessor of this envoi."""
    head = bytearray(data[: begun.step])
    for name in ("NUMENV", "DATENV", "HEUENV", "NUMPRE"):
        span = layout.records[layout.header][name]
        head[span.start : span.stop] = b" " * span.width
    told = hashlib.sha256(head)
    told.update(memoryview(data)[begun.step :])
    return told.digest()


def finish(begun: Envoi, layout: Layout) -> None:
    """10 to 13: that its records are all there."""
    cells = begun.cells
    kinds = kinds_of(cells)
    # 10.
    if not _numbered(cells, layout.prefix["NUMSEQ"]):
        raise DeliveryRefused("gpi.record_sequence", "NUMSEQ")
    # 11.
    if not np.isin(kinds, [kind_code(t) for t in layout.records]).all():
        raise DeliveryRefused("gpi.record_type", "TYPENR")
    # 12. and 13.
    tail = _Record(cells, len(cells) - 1, layout.trailer, layout)
    _counted(kinds, tail, layout)
    _balanced(cells[kinds == kind_code("60")], tail, layout)


def kinds_of(cells: Bytes) -> Kinds:
    """The type of each record as one number (`kind_code`)."""
    return (cells[:, 0].astype(np.uint16) << 8 | cells[:, 1]).astype(np.uint16)


def kind_code(kind: str) -> int:
    return int.from_bytes(kind.encode("ascii"), "big")


class _Record:
    """The header or the trailer, read field by field."""

    def __init__(self, cells: Bytes, position: int, kind: str, layout: Layout) -> None:
        self._record = cells[position].tobytes() if len(cells) else b""
        self._spans, self._codec = layout.records[kind], layout.codec

    def text(self, field_name: str) -> str:
        raw = self._spans[field_name].of(self._record)
        return raw.decode(self._codec).strip(text.SPACES)

    def number(self, field_name: str) -> int | None:
        """Digits; blank counts nothing, so it is zero (a type younger than the file's version); else None."""
        said = self.text(field_name) or "0"
        return int(said) if re.fullmatch("[0-9]+", said) else None


def _records(data: bytes, layout: Layout) -> tuple[Bytes, int]:
    for end in LINE_ENDS:
        step = layout.record_length + len(end)
        if len(data) % step == 0:
            rows = np.frombuffer(data, np.uint8).reshape(-1, step)
            if (rows[:, layout.record_length :] == list(end)).all():
                return rows[:, : layout.record_length], step
    raise DeliveryRefused("gpi.record_length", hint="Ask for the file again: bytes were lost, added or converted.")


def _same_agency(cells: Bytes, head: _Record, agency: str, known: Known, layout: Layout) -> None:
    if known.siret is not None and head.text("SIRET").replace(" ", "") != known.siret.replace(" ", ""):
        raise DeliveryRefused("agency.mismatch", "SIRET")
    span = layout.prefix["CODAGE"]
    if (cells[:, span.start : span.stop] != np.frombuffer(agency.encode(), np.uint8)).any():
        raise DeliveryRefused("agency.mismatch", "CODAGE")


def _framed(kinds: Kinds, layout: Layout) -> None:
    first, last = kind_code(layout.header), kind_code(layout.trailer)
    if kinds[-1] != last or (kinds == first).sum() != 1 or (kinds == last).sum() != 1:
        raise DeliveryRefused("gpi.trailer_missing", "last record")


def _next_in_chain(head: _Record, last: str, layout: Layout) -> None:
    """A complete envoi may start the chain anew; a differential one must follow the last that was accepted."""
    if int(head.text("NUMENV")) <= int(last):
        raise DeliveryRefused("gpi.out_of_order", "NUMENV")
    complete = head.text("TYPENV") in layout.codes["TYPENV"]
    if not complete and head.text("NUMPRE") != last:
        raise DeliveryRefused("gpi.sequence_gap", "NUMPRE", "Ask for the missing envoi, or for a complete one.")


def _numbered(cells: Bytes, span: Span) -> bool:
    digits = cells[:, span.start : span.stop] - np.uint8(ord("0"))  # what is not a digit wraps above 9
    if (digits > 9).any():
        return False
    powers = 10 ** np.arange(span.width - 1, -1, -1, dtype=np.int64)
    return bool((digits @ powers == np.arange(1, len(cells) + 1)).all())


def _counted(kinds: np.ndarray[Any, np.dtype[np.uint16]], tail: _Record, layout: Layout) -> None:
    if tail.number("NBRENR") != len(kinds):
        raise DeliveryRefused("gpi.count_mismatch", "NBRENR")
    for kind in layout.body:
        if tail.number(f"NB{kind}") != int((kinds == kind_code(kind)).sum()):
            raise DeliveryRefused("gpi.count_mismatch", f"NB{kind}")


def _balanced(accounts: Bytes, tail: _Record, layout: Layout) -> None:
    """CTLSOL against the balances of all records 60, ended ones included; a blank balance adds nothing."""
    span = layout.records["60"]["SOLDE"]
    balances = text.n1(decode(accounts[:, span.start : span.stop], layout.codec))[0]
    total = pa.array([tail.text("CTLSOL") or None], pa.string())
    cents, unreadable = amounts.overpunch(pa.concat_arrays([total, balances]))
    if unreadable.any():
        raise DeliveryRefused("gpi.total_mismatch", "CTLSOL" if unreadable[0] else "SOLDE")
    if cents[0].as_py() != _exact_sum(cents[1:].fill_null(0).to_numpy()):
        raise DeliveryRefused("gpi.total_mismatch", "CTLSOL")


def _exact_sum(cents: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """High and low halves apart: a hundred thousand balances of fourteen digits would overflow 64 bits."""
    return (int((cents >> 20).sum()) << 20) + int((cents & 0xFFFFF).sum())
