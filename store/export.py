"""The return pack: one JSONL file a canonical table, exactly as canonical.md describes it (art. 28(3)(g), R24).

UTF-8, LF, one object a line, keys sorted, null for missing, every column present, rows sorted by (source_system,
source_key).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import Field, Kind
from schemas.records import RECORDS, exported_fields
from store.agency import OpenShelf

BATCH = 50_000


def write_tables(shelf: OpenShelf | None, tables: Sequence[str], folder: Path) -> dict[str, int]:
    """Write one file a table; a shelf that is not there (nothing held, or erased) gives empty files. Returns rows by
    table."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in tables:
        with (folder / f"{name}.jsonl").open("wb") as file:
            written[name] = 0
            for part in _parts(shelf, name):
                file.write(as_lines(name, part))
                written[name] += len(part)
    return written


def _parts(shelf: OpenShelf | None, name: str) -> Iterator[pa.Table]:
    if shelf is not None:
        yield from shelf.rows(name, BATCH)


def as_lines(name: str, table: pa.Table) -> bytes:
    columns = {f.name: _printable(f, table[f.name]) for f in exported_fields(RECORDS[name])}
    names = sorted(columns)
    rows = zip(*(columns[n] for n in names), strict=True)
    write = json.JSONEncoder(ensure_ascii=False).encode
    return "".join(write(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()


def _printable(field: Field, column: pa.ChunkedArray) -> list[Any]:
    match field.kind:
        case Kind.MONEY | Kind.DECIMAL2:
            return [None if v is None else hundredths(v) for v in column.to_pylist()]
        case Kind.DATE:
            return list(column.cast(pa.string()).to_pylist())
        case Kind.DATETIME:
            return list(pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ").to_pylist())
        case _:
            return list(column.to_pylist())


def hundredths(value: int) -> str:
    """Integer hundredths as text with a point and two digits: -1200 is "-12.00"."""
    whole, part = divmod(abs(value), 100)
    return f"{'-' if value < 0 else ''}{whole}.{part:02d}"
