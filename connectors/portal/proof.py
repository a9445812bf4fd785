"""Both files of a day are whole, or neither is read (portal.md, reasons in their order)."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.portal.layout import File, Layout
from schemas.errors import DeliveryRefused


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one file: the physical line (from 1) where each starts, and its fields."""

    line: npt.NDArray[np.int64]
    fields: pa.ListArray = field(repr=False)


def pair(path: Path, layout: Layout, day: str, beside: Mapping[str, Path] | None = None) -> dict[str, bytes]:
    """The bytes of both files by name; one that does not lie in the folder (or `beside`) is left out."""
    names = [f"{file.name}_{day}.csv" for file in layout.files[1:]]
    paths = [path, *(path.with_name(n) if beside is None else beside.get(n) for n in names)]
    return {f.name: p.read_bytes() for f, p in zip(layout.files, paths, strict=True) if p is not None and p.is_file()}


def digest(found: Mapping[str, bytes]) -> str:
    """One SHA-256 for both files, each with its length in front: no byte can move from one to the other."""
    whole = hashlib.sha256()
    for raw in found.values():
        whole.update(len(raw).to_bytes(8, "big"))
        whole.update(raw)
    return whole.hexdigest()


def prove(found: Mapping[str, bytes], layout: Layout) -> dict[str, Records]:
    """The data lines of both files (DeliveryRefused: `portal.header_drift`, then `portal.count_mismatch`)."""
    for file in layout.files:
        if file.name in found and found[file.name].partition(b"\n")[0] != layout.header(file):
            # Never repeat the line found: without a header it is a person.
            raise DeliveryRefused("portal.header_drift", f"{file.name}: line 1", "Write a layout for the new columns")
    return {file.name: _data_lines(file, found.get(file.name), layout) for file in layout.files}


def _mismatch(file: File, why: str) -> DeliveryRefused:
    return DeliveryRefused("portal.count_mismatch", f"{file.name}: {why}", "Ask the portal for both files again")


def _data_lines(file: File, raw: bytes | None, layout: Layout) -> Records:
    """The records between the header and the last line, which tells how many they are."""
    if raw is None:
        raise _mismatch(file, "the file is not there")
    records = _readable(file, raw, layout.separator)
    last = records.fields[-1].as_py()
    if len(last) != 2 or last[0] != layout.last:
        raise _mismatch(file, "no last line")
    if not re.fullmatch("[0-9]{1,12}", last[1], re.ASCII) or int(last[1]) != len(records.line) - 2:
        raise _mismatch(file, "the last line tells another number of lines")
    return Records(records.line[1:-1], records.fields[1:-1])


def _readable(file: File, raw: bytes, separator: str) -> Records:
    refusal: DeliveryRefused
    try:
        return _records(raw.decode("utf-8"), separator)
    except UnicodeDecodeError:
        refusal = _mismatch(file, "lines that are not UTF-8 cannot be counted")
    except csv.Error:
        refusal = _mismatch(file, "a line cannot be taken apart")
    # Raised here, not in the handler: the error above holds the bytes.
    raise refusal


def _records(said: str, separator: str) -> Records:
    """Every record of a file, the header and the last line included. Blank lines are no records."""
    if '"' in said:
        return _quoted_records(said, separator)
    lines = pa.array(said.split("\n"), pa.string())
    filled = np.flatnonzero(pc.not_equal(pc.utf8_trim(lines, characters="\r"), "").to_numpy(zero_copy_only=False))
    return Records(filled + 1, pc.split_pattern(lines.take(pa.array(filled)), separator))


def _quoted_records(said: str, separator: str) -> Records:
    """As `_records`, one step a record: the standard reader knows what a quoted field may hold."""
    starts: list[int] = []
    rows: list[list[str]] = []
    after = 0
    reader = csv.reader(io.StringIO(said, newline="\n"), delimiter=separator)
    for fields in reader:
        if fields:
            starts.append(after + 1)
            rows.append(fields)
        after = reader.line_num
    return Records(np.array(starts, np.int64), pa.array(rows, pa.list_(pa.string())))
