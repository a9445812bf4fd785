"""The field gate: what the agency did not instruct falls here, before anything is kept, and is counted (R46, art.
28(3)(a)).

`Admitted` can only be made here, and the store keeps nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frames import Reading
from schemas.mandate import Mandate
from schemas.records import RECORDS

WITHHELD = "withheld"
_MADE_BY_THE_GATE = object()


@dataclass(frozen=True, slots=True)
class Admitted:
    """A reading after the gate. `held[d]` names the records that delivery d may keep; `mandates[d]` is the ground
    (None: the portal)."""

    reading: Reading
    held: tuple[frozenset[str], ...]
    mandates: tuple[Mandate | None, ...]
    proof: object

    def __post_init__(self) -> None:
        if self.proof is not _MADE_BY_THE_GATE:
            raise TypeError("an Admitted is made by schemas.admission.admit alone")


def admit(reading: Reading, mandates: Sequence[Mandate | None], yields: Mapping[str, frozenset[str]]) -> Admitted:
    """Drop tables and null columns that no grant covers; lines of which nothing is allowed become `withheld`.

    `mandates` has one mandate a delivery (None for the portal's own data, which needs no instruction: R40). `yields`
    says which records a source table can yield, so that a line that could not be read is withheld too when nothing of
    its source table is instructed.
    """
    reading = _numbered(reading)
    fields = [_fields_by_record(reading, m) for m in mandates]
    line_d = reading.lines["d"].to_numpy()
    rows = {
        name: kept for name, table in reading.rows.items() if len(kept := _admitted_rows(name, table, line_d, fields))
    }
    lines = _withhold(reading, rows, fields, yields)
    held = tuple(frozenset(name for name, f in each.items() if f is not None) for each in fields)
    content = reading.content
    if len(content):
        # A line put aside is kept as it came only where everything its source table can yield is instructed.
        whole = _whole_sources(reading, fields, yields)
        content = content.filter(pa.array(whole[content["line"].to_numpy()]))
    left = Reading(
        reading.system, reading.locus, reading.deliveries, lines, rows, reading.endings, content, reading.snapshot
    )
    return Admitted(left, held, tuple(mandates), _MADE_BY_THE_GATE)


def _numbered(reading: Reading) -> Reading:
    """Lines in the order of their numbers and numbered 0, 1, 2 …: below here a line number is a position."""
    numbers = reading.lines["line"].to_numpy()
    if np.array_equal(numbers, np.arange(len(numbers))):
        return reading
    lines = reading.lines.sort_by("line").combine_chunks()
    numbers = lines["line"].to_numpy()
    return replace(
        reading,
        lines=_renumbered(lines, numbers),
        rows={name: _renumbered(table, numbers) for name, table in reading.rows.items()},
        endings=_renumbered(reading.endings, numbers),
        content=_renumbered(reading.content, numbers),
    )


def _renumbered(table: pa.Table, numbers: np.ndarray) -> pa.Table:
    positions = np.searchsorted(numbers, table["line"].to_numpy())
    return table.set_column(table.column_names.index("line"), "line", pa.array(positions, pa.int64()))


def _fields_by_record(reading: Reading, mandate: Mandate | None) -> dict[str, frozenset[str] | None]:
    if mandate is None:
        return {name: frozenset(f.name for f in r.fields) for name, r in RECORDS.items()}
    return {name: mandate.fields(reading.system, name) for name in RECORDS}


def _admitted_rows(
    name: str, table: pa.Table, line_d: np.ndarray, fields: Sequence[dict[str, frozenset[str] | None]]
) -> pa.Table:
    allowed = [each[name] for each in fields]
    if all(a is not None and len(a) == len(RECORDS[name].fields) for a in allowed):
        return table
    d = line_d[table["line"].to_numpy()]
    table = table.filter(pa.array(np.array([a is not None for a in allowed], bool)[d]))
    d = line_d[table["line"].to_numpy()]
    for f in RECORDS[name].fields:
        if f.name not in table.column_names:
            continue
        open_to = np.array([a is not None and f.name in a for a in allowed], bool)
        if not open_to.all():
            i = table.column_names.index(f.name)
            column = pc.if_else(pa.array(open_to[d]), table[f.name], pa.scalar(None, table.schema.field(i).type))
            table = table.set_column(i, table.schema.field(i), column)
    return table


def _withhold(
    reading: Reading,
    rows: Mapping[str, pa.Table],
    fields: Sequence[dict[str, frozenset[str] | None]],
    yields: Mapping[str, frozenset[str]],
) -> pa.Table:
    lines = reading.lines
    closed = ~_some_source(reading, fields, yields)
    outcome = lines["outcome"].to_numpy(zero_copy_only=False)
    yielding = _mentions(len(lines), (t["line"] for t in reading.rows.values()))
    kept = _mentions(len(lines), (t["line"] for t in rows.values()))
    ending = _mentions(len(lines), [reading.endings["line"]])
    withheld = ((outcome == "ok") & ~ending & ((yielding & ~kept) | closed)) | ((outcome == "quarantined") & closed)
    if not withheld.any():
        return lines
    new_outcome = np.where(withheld, WITHHELD, outcome)
    reason = pc.if_else(pa.array(withheld), pa.scalar(None, pa.string()), lines["reason"])
    at, why = lines.column_names.index("outcome"), lines.column_names.index("reason")
    return lines.set_column(at, "outcome", pa.array(new_outcome, pa.string())).set_column(why, "reason", reason)


def _mentions(n: int, columns: Iterable[pa.ChunkedArray]) -> np.ndarray:
    seen = np.zeros(n, bool)
    for column in columns:
        seen[column.to_numpy()] = True
    return seen


def _some_source(
    reading: Reading, fields: Sequence[dict[str, frozenset[str] | None]], yields: Mapping[str, frozenset[str]]
) -> np.ndarray:
    """Per line: whether anything its source table can yield is instructed. Tables of ends yield nothing themselves."""
    return _by_source(
        reading, lambda d, source: not yields.get(source) or any(fields[d][t] is not None for t in yields[source])
    )


def _whole_sources(
    reading: Reading, fields: Sequence[dict[str, frozenset[str] | None]], yields: Mapping[str, frozenset[str]]
) -> np.ndarray:
    def whole(d: int, source: str) -> bool:
        return all(
            (a := fields[d][t]) is not None and len(a) == len(RECORDS[t].fields)
            for t in yields.get(source, frozenset())
        )

    return _by_source(reading, whole)


def _by_source(reading: Reading, rule: Callable[[int, str], bool]) -> np.ndarray:
    sources = pc.dictionary_encode(reading.lines["source"].combine_chunks())
    names = sources.dictionary.to_pylist()
    answer = np.array([[rule(d, s) for s in names] for d in range(len(reading.deliveries))], dtype=np.bool_)
    if answer.size == 0:
        return np.zeros(len(reading.lines), bool)
    return np.asarray(answer[reading.lines["d"].to_numpy(), sources.indices.to_numpy()])
