"""Writes GPI envois for tests, field by field, with a header and a trailer that agree unless told otherwise.

What this writer puts in a trailer is counted here, not by the connector.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.base import Delivery, Known, Opened, Permitted, Recalled
from connectors.gpi import Gpi
from connectors.gpi.layout import Span, layout
from schemas.frames import FLAGS, Reading
from schemas.ids import AgencyCode, System
from tests.leave import may_read

AGENCY, SIRET = "A0001", "91234567800013"
Value = str | bytes | int
PLUS, MINUS = "{ABCDEFGHI", "}JKLMNOPQR"


def record(kind: str, movement: Value = "C", agency: Value = AGENCY, **fields: Value) -> bytes:
    """One record of 512 bytes. Text is left-justified, numbers are zero-padded, amounts are signed by overpunch."""
    cells = bytearray(b" " * 512)
    for name, value in {"TYPENR": kind, "CODMVT": movement, "CODAGE": agency, **fields}.items():
        span = layout().records[kind][name]
        cells[span.start : span.stop] = _written(span, value)
    return bytes(cells)


def _written(span: Span, value: Value) -> bytes:
    if isinstance(value, int):
        value = overpunched(value, span.width) if span.kind == "amount" else f"{value:0{span.width}}"
    raw = value if isinstance(value, bytes) else value.encode("cp850")
    assert len(raw) <= span.width, "the field is too narrow for its value"
    return raw.ljust(span.width)


def overpunched(cents: int, width: int) -> str:
    digits = f"{abs(cents):0{width}}"
    return digits[:-1] + (MINUS if cents < 0 else PLUS)[int(digits[-1])]


def cents(raw: bytes) -> int:
    """What an amount is worth; a blank or unreadable one adds nothing."""
    said = raw.decode("cp850").strip()
    if not said[:-1].isdigit():
        return 0
    for sign, letters in ((1, PLUS), (-1, MINUS), (1, "0123456789")):
        if said[-1] in letters:
            return sign * int(said[:-1] + str(letters.index(said[-1])))
    return 0


def numbered(records: Sequence[bytes]) -> list[bytes]:
    return [r[:3] + f"{i:07}".encode() + r[10:] for i, r in enumerate(records, start=1)]


def envoi(
    *body: bytes,
    number: str = "000001",
    previous: str = "000000",
    mode: str = "C",
    day: str = "080126",
    end: bytes = b"\r\n",
    head: dict[str, Value] | None = None,
    tail: dict[str, Value] | None = None,
) -> bytes:
    """A whole file. `head` and `tail` replace what the header and the trailer would rightly say."""
    return end.join([*numbered(framed(body, number, previous, mode, day, head or {}, tail or {})), b""])


def framed(
    body: Sequence[bytes],
    number: str,
    previous: str,
    mode: str,
    day: str,
    head: dict[str, Value],
    tail: dict[str, Value],
) -> list[bytes]:
    first: dict[str, Value] = {
        "SIRET": SIRET, "RAISOC": "AGENCE DES ESSAIS", "NUMENV": number, "DATENV": day, "HEUENV": "021500",
        "TYPENV": mode, "NUMPRE": previous, "VERSTR": "0102", "JEUCAR": "CP850",
    }  # fmt: skip
    span = layout().records["60"]["SOLDE"]
    counted = Counter(r[:2].decode() for r in body)
    last: dict[str, Value] = {
        "NBRENR": len(body) + 2,
        **{f"NB{kind}": counted[kind] for kind in layout().body},
        "CTLSOL": sum(cents(span.of(r)) for r in body if r[:2] == b"60"),
    }
    return [record("00", "I", **first | head), *body, record("99", "I", **last | tail)]


# ---------------------------------------------------------------- reading


def delivered(path: Path, agency: str = AGENCY) -> Permitted:
    return may_read(Delivery(AgencyCode(agency), System.GPI, path.name, datetime(2026, 1, 9, 12, tzinfo=UTC), path))


def opened(folder: Path, data: bytes, number: str = "000001", cursor: str | None = None) -> Opened:
    """The file, put into the inbox and proved."""
    path = folder / f"GPI{AGENCY}.{number}"
    path.write_bytes(data)
    return Gpi().open(delivered(path), Known(SIRET, cursor))


@dataclass(frozen=True)
class Answer:
    """A reading, seen as a person would tell it."""

    reading: Reading

    def rows(self, record: str) -> list[dict[str, Any]]:
        table = self.reading.rows.get(record)
        return [] if table is None else table.drop_columns(["line"]).to_pylist()

    def row(self, record: str) -> dict[str, Any]:
        (only,) = self.rows(record)
        return only

    def row_at(self, record: str, key: str) -> dict[str, Any]:
        (only,) = [row for row in self.rows(record) if row["source_key"] == key]
        return only

    @property
    def lines(self) -> list[dict[str, Any]]:
        return sorted(self.reading.lines.to_pylist(), key=lambda line: line["line"])

    @property
    def reasons(self) -> list[str | None]:
        return [line["reason"] for line in self.lines]

    @property
    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.lines]

    @property
    def flags(self) -> list[set[str]]:
        return [{name for i, name in enumerate(FLAGS) if line["flags"] >> i & 1} for line in self.lines]

    @property
    def endings(self) -> list[dict[str, Any]]:
        endings: list[dict[str, Any]] = self.reading.endings.drop_columns(["line", "d", "implied"]).to_pylist()
        return endings


def heard(folder: Path, *body: bytes, **how: Any) -> Answer:
    """What the connector hears in an envoi of these records."""
    return Answer(Gpi().read([opened(folder, envoi(*body, **how))], Recalled()))
