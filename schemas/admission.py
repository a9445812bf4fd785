"""The field gate: what the agency did not instruct falls here, before anything is kept, and is counted (R46, art.
28(3)(a)).

`Admitted` can only be made here, and the store keeps nothing else.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import Refused
from schemas.frames import Reading
from schemas.ids import System
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
    excess: tuple["Excess", ...]
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _MADE_BY_THE_GATE:
            raise TypeError("an Admitted is made by schemas.admission.admit alone")


@dataclass(frozen=True, slots=True)
class Excess:
    """What one delivery held beyond the instructions. `lines`: withheld lines of each source table; `values`: values
    that fell from lines that came in, by canonical table and column, written table.column."""

    lines: Mapping[str, int]
    values: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.lines or self.values)


def admit(
    reading: Reading,
    mandates: Sequence[Mandate | None],
    yields: Mapping[str, frozenset[str]],
    closed: np.ndarray | None = None,
) -> Admitted:
    """Drop tables and null columns that no grant covers; lines of which nothing is allowed become `withheld`.

    `mandates` has one mandate a delivery (None for the portal's own data, which needs no instruction: R40). `yields`
    says which records a source table can yield, so that a line that could not be read is withheld too when nothing of
    its source table is instructed. `closed`: per line of a `numbered` reading, whether it yields a row that a restriction
    names (`schemas.restriction`). Raises Refused when a mandate is not of the agency whose delivery it is.
    """
    if [m.agency if m is not None else None for m in mandates] != [a.agency for a in reading.deliveries]:
        raise Refused("what was allowed is of another agency", "Admit each delivery under its own agency's mandate.")
    reading = numbered(reading)
    fields = [_fields_by_record(reading, m) for m in mandates]
    by_row = _not_ending(reading, closed) if closed is not None else np.zeros(len(reading.lines), bool)
    frozen = _frozen(reading, mandates, yields) | by_row
    missing = _tables_of(reading, by_row)
    reading = _without(reading, frozen)
    line_d = reading.lines["d"].to_numpy()
    rows = {
        name: kept for name, table in reading.rows.items() if len(kept := _admitted_rows(name, table, line_d, fields))
    }
    lines = _withhold(reading, rows, frozen | ~_some_source(reading, fields, yields))
    held = tuple(
        frozenset(name for name, f in each.items() if f is not None)
        - _kept_out(reading.system, mandate, yields)
        - missing.get(d, frozenset())
        for d, (each, mandate) in enumerate(zip(fields, mandates, strict=True))
    )
    content = reading.content
    if len(content):
        # A line put aside is kept as it came only where everything its source table can yield is instructed.
        whole = _whole_sources(reading, fields, yields) & ~frozen
        content = content.filter(pa.array(whole[content["line"].to_numpy()]))
    left = Reading(
        reading.system, reading.locus, reading.deliveries, lines, rows, reading.endings, content, reading.snapshot
    )
    excess = _excess(reading, left, mandates, frozen)
    return Admitted(left, held, tuple(mandates), excess, _MADE_BY_THE_GATE)


def _excess(came: Reading, left: Reading, mandates: Sequence[Mandate | None], frozen: np.ndarray) -> tuple[Excess, ...]:
    """By delivery. `came` is the reading without what is frozen, and frozen lines are not counted: a restriction is no
    excess of the source."""
    nothing = Excess({}, {})
    if all(m is None or _everything(came.system, m) for m in mandates):
        return (nothing,) * len(mandates)
    d = left.lines["d"].to_numpy()
    withheld = (left.lines["outcome"].to_numpy(zero_copy_only=False) == WITHHELD) & ~frozen
    lines: list[Counter[str]] = [Counter() for _ in mandates]
    for n, source in zip(
        d[withheld].tolist(), left.lines["source"].filter(pa.array(withheld)).to_pylist(), strict=True
    ):
        lines[n][source] += 1
    values: list[Counter[str]] = [Counter() for _ in mandates]
    for name, table in came.rows.items():
        kept = left.rows.get(name)
        if not RECORDS[name].exported or kept is None:
            continue
        for f in RECORDS[name].fields:
            if f.name in table.column_names:
                fell = _filled(table, f.name, d, len(mandates)) - _filled(kept, f.name, d, len(mandates))
                for n in np.flatnonzero(fell).tolist():
                    values[n][f"{name}.{f.name}"] += int(fell[n])
    return tuple(Excess(dict(sorted(a.items())), dict(sorted(b.items()))) for a, b in zip(lines, values, strict=True))


def _everything(system: System, mandate: Mandate) -> bool:
    return any("*" in g.tables for g in mandate.for_system(system)) and not mandate.restrictions


def _filled(table: pa.Table, column: str, line_d: np.ndarray, deliveries: int) -> np.ndarray:
    """How many values of a column each delivery has."""
    there = table["line"].to_numpy()[pc.is_valid(table[column]).to_numpy(zero_copy_only=False)]
    return np.bincount(line_d[there], minlength=deliveries)


def numbered(reading: Reading) -> Reading:
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


def _withhold(reading: Reading, rows: Mapping[str, pa.Table], closed: np.ndarray) -> pa.Table:
    """Lines of which nothing was let in; `closed` are those whose source table may give nothing, read or not."""
    lines = reading.lines
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


def _frozen(reading: Reading, mandates: Sequence[Mandate | None], yields: Mapping[str, frozenset[str]]) -> np.ndarray:
    """Lines whose source table can yield something that is restricted: nothing of them comes in (R2).

    Not those that end something: a restriction holds back neither an end nor an erasure that a person asked for.
    """
    if not any(m is not None and m.restrictions for m in mandates):
        return np.zeros(len(reading.lines), bool)
    closed = [_restricted(reading.system, m, yields) for m in mandates]
    return _not_ending(reading, _by_source(reading, lambda d, source: source in closed[d]))


def _not_ending(reading: Reading, lines: np.ndarray) -> np.ndarray:
    ends = reading.endings.filter(pc.invert(reading.endings["implied"]))
    return np.asarray(lines & ~_mentions(len(reading.lines), [ends["line"]]))


def _tables_of(reading: Reading, lines: np.ndarray) -> dict[int, frozenset[str]]:
    """By delivery: the records that these lines yield. A reference to one that is held back is no fault of its line."""
    if not lines.any():
        return {}
    d = reading.lines["d"].to_numpy()
    found: dict[int, set[str]] = {}
    for name, table in reading.rows.items():
        at = table["line"].to_numpy()
        for delivery in np.unique(d[at[lines[at]]]).tolist():
            found.setdefault(delivery, set()).add(name)
    return {delivery: frozenset(names) for delivery, names in found.items()}


def _restricted(system: System, mandate: Mandate | None, yields: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Source tables that can yield something restricted."""
    if mandate is None:
        return frozenset()
    return frozenset(s for s, tables in yields.items() if any(mandate.freezes(system, t) for t in tables))


def _kept_out(system: System, mandate: Mandate | None, yields: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Records that may be missing because their lines are frozen: a reference to one is no fault of its line."""
    return frozenset(t for source in _restricted(system, mandate, yields) for t in yields[source])


def _without(reading: Reading, frozen: np.ndarray) -> Reading:
    """The reading without what the frozen lines yield."""
    if not frozen.any():
        return reading

    def thawed(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(~frozen[table["line"].to_numpy()]))

    rows = {name: kept for name, table in reading.rows.items() if len(kept := thawed(table))}
    return replace(reading, rows=rows, endings=thawed(reading.endings))


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
