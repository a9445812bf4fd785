"""Great Expectations on what is about to be kept: what the connectors already guarantee, checked by other means.

What is accepted or quarantined follows the export contracts alone, so every rule here is one that a contract already
makes true; a broken one is a fault of this house, and then nothing of that delivery is kept (`quality.invariant`).

Great Expectations never sees a record. It is handed observations: for each table and column the distinct *shapes*
that occur (`+999` for a phone, `x:x` for a key), the members of closed lists, the first and the last day, and counts
of what must not occur. There are few of them whatever the number of rows, so its cost is fixed (it hashes every frame
twice: 6 s for a million rows of 8 columns), and neither its results, its exceptions nor the frame that it keeps alive
can hold a person.

`docs/specs/checks.md` lists the rules. Sources: canonical model 1.0 §1, N6, N8, N9, N10, N12, N14; R52.
"""

import gc
import importlib.util
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import Field, Kind, Record
from schemas.ids import System
from schemas.records import RECORDS

_DIGITS, _CAPITALS, _SMALL = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a text must be formed once every byte of it is replaced by a sign (`rest` where none is named)."""

    words: str
    formed: str
    signs: Mapping[str, str]
    rest: str = "x"
    runs: bool = True  # whether a run of letters or digits counts as one

    def table(self) -> npt.NDArray[np.uint8]:
        table = np.full(256, ord(self.rest), np.uint8)
        for sources, sign in self.signs.items():
            table[list(sources.encode())] = ord(sign)
        return table


SHAPES: dict[str, _Shape] = {
    "key": _Shape("parts joined by a colon, none of them empty", r"x(?::x)*", {":": ":"}),
    "phone": _Shape(
        "an international number (E.164)", r"\+9[09]{1,14}", {"+": "+", "0": "0", "123456789": "9"}, runs=False
    ),
    "email": _Shape(
        "an address whose domain is in small letters",
        r"[xA.]+@[x.]+\.x",
        {"@": "@", ".": ".", " ": " ", _CAPITALS: "A"},
    ),
    "siren": _Shape("nine digits", r"9{9}", {_DIGITS: "9"}, runs=False),
    "iban": _Shape(
        "without blanks, points, hyphens and small letters",
        r"[9Ax]+",
        {_DIGITS: "9", _CAPITALS: "A", _SMALL: "a", " .-": " "},
    ),
}

_SHAPED: dict[tuple[str, str], str] = {
    ("person", "siren"): "siren",
    ("bank_detail", "iban"): "iban",
    ("staff", "phone"): "phone",
    ("staff", "email"): "email",
}

_EPOCH = date(1970, 1, 1)
# N10: the first and the last day of the calendar are sentinels in every format, so they never arrive. GPI writes two
# digits.
_DAYS: dict[System, tuple[date, date]] = {System.GPI: (date(1900, 1, 1), date(2049, 12, 31))}
_ANY_DAY = (date(1, 1, 2), date(9999, 12, 30))


class NotComputed(RuntimeError):
    """A rule could not be computed: a fault of the check, not of the data. Names the kind of rule and nothing else."""


@dataclass(frozen=True, slots=True)
class Findings:
    """(table, rule) -> delivery -> rows that break it. `rules`: how many rules were looked at, by table."""

    broken: Mapping[tuple[str, str], Mapping[int, int]] = field(default_factory=dict)
    rules: Mapping[str, int] = field(default_factory=dict)


class Examination:
    """Looks at admitted rows of many deliveries, table by table; only if a rule is broken, at each delivery by itself.
    `one`: they are slices of one delivery, and nothing of them is kept here."""

    def __init__(self, system: System, one: bool = False) -> None:
        self._seen = _Seen(system)
        self._tables: dict[str, pa.Table] | None = None if one else {}
        self.rows: Counter[str] = Counter()

    def look(self, name: str, table: pa.Table) -> None:
        """A table has the columns d (the delivery), line, source_key and the fields of its record."""
        if name not in RECORDS:
            return
        self.rows[name] += len(table)
        self._seen.look(RECORDS[name], table)
        if self._tables is not None:
            self._tables[name] = table

    def findings(self) -> Findings:
        if not self.rows:
            return Findings()
        rules = {name: len({rule for t, rule, _, _ in self._seen.rows if t == name}) for name in self.rows}
        if not _judge(self._seen.frame(), self._seen.system):
            return Findings({}, rules)
        if self._tables is None:
            return Findings(_broken(self._seen.frame().assign(d=0), self._seen.system), rules)
        return Findings(_by_delivery(self._tables, self._seen.system), rules)


def examine(admitted: Mapping[str, "pd.DataFrame | pa.Table"], system: System) -> Findings:
    """Look at all of these tables."""
    examination = Examination(system)
    for name, frame in admitted.items():
        if len(frame):
            examination.look(name, _arrow(frame))
    return examination.findings()


def _arrow(frame: "pd.DataFrame | pa.Table") -> pa.Table:
    return frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)


def _by_delivery(tables: Mapping[str, pa.Table], system: System) -> dict[tuple[str, str], dict[int, int]]:
    frames = []
    for d in sorted({d for table in tables.values() for d in pc.unique(table["d"]).to_pylist()}):
        seen = _Seen(system)
        for name, table in tables.items():
            seen.look(RECORDS[name], table.filter(pc.equal(table["d"], d)))
        frames.append(seen.frame().assign(d=d))
    return _broken(pd.concat(frames, ignore_index=True), system)


def _broken(frame: pd.DataFrame, system: System) -> dict[tuple[str, str], dict[int, int]]:
    broken: dict[tuple[str, str], dict[int, int]] = {}
    for found in _judge(frame, system):
        rows = broken.setdefault((found["table"], found["rule"]), {})
        d = int(found["d"])
        rows[d] = rows.get(d, 0) + int(found["rows"])
    return broken


# -- what is observed --------------------------------------------------------------------------------------------------


class _Seen:
    """Observations: each row says how many rows of a table show one thing. No row can be traced to a person."""

    def __init__(self, system: System) -> None:
        self.system = system
        # By table, rule, kind of rule, and what that kind judges.
        self.rows: Counter[tuple[str, str, str, int | str]] = Counter()

    def look(self, record: Record, table: pa.Table) -> None:
        for rule in rules_of(record, self.system):
            for kind, judged, rows in rule.look(table):
                self.rows[record.name, rule.name, kind, judged] += rows

    def frame(self) -> pd.DataFrame:
        types = {"none": pa.int64(), "listed": pa.string(), "shape": pa.string(), "day": pa.int64()}
        seen = list(self.rows)
        columns = {
            name: pa.array([j if kind == name else None for _, _, kind, j in seen], types[name]) for name in types
        }
        labels = {
            "table": pa.array([table for table, _, _, _ in seen], pa.string()),
            "rule": pa.array([rule for _, rule, _, _ in seen], pa.string()),
            "rows": pa.array(self.rows.values(), pa.int64()),
        }
        frame: pd.DataFrame = pa.table(columns | labels).to_pandas(types_mapper=pd.ArrowDtype)
        return frame


Look = Callable[[pa.Table], Iterator[tuple[str, int | str, int]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that always holds for a table, in words, and how to observe it."""

    name: str
    words: str
    look: Look = field(repr=False)


@cache
def rules_of(record: Record, system: System) -> tuple[Rule, ...]:
    """The rules of one table, derived from its declaration."""
    rules = [
        _shaped("source_key", "key") if system is not System.PORTAL else _filled("source_key"),
        Rule("source_key once", "a source line yields a key once", _repeated),
    ]
    for f in record.fields:
        rules += _rules_of_field(record, f, system)
    if record.name == "contact":
        rules.append(_nested("contact", ("person_key", "kind", "rank")))
    if record.name == "person_link" and system is not System.SPILASUITE:  # SpiLaSuite writes the source's own word
        rules.append(_nested("person_link", ("group_key", "member_key", "kind")))
    return tuple(rules)


def _rules_of_field(record: Record, f: Field, system: System) -> Iterator[Rule]:
    # References are resolved later, by the store; `merged_into` is written by an end.
    if f.kind is not Kind.REF and not f.nullable:
        yield _filled(f.name)
    if f.kind is Kind.ENUM:
        yield _listed(record, f)
    if f.kind is Kind.DATE:
        yield _dated(f, *_DAYS.get(system, _ANY_DAY))
    if f.kind is Kind.REF and f.name != "merged_into":
        yield _shaped(f.name, "key")
    if (record.name, f.name) in _SHAPED:
        yield _shaped(f.name, _SHAPED[record.name, f.name])
    if (record.name, f.name) == ("contact", "value"):
        yield _shaped(f.name, "email", kind="email")
        yield _shaped(f.name, "phone", kind="phone")


def _filled(column: str) -> Rule:
    def look(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
        empty = table[column].null_count if column in table.column_names else len(table)
        yield "none", empty, empty

    return Rule(f"{column} filled", f"{column} is never empty", look)


def _repeated(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
    distinct = table.select(["line", "source_key"]).group_by(["line", "source_key"]).aggregate([]).num_rows
    yield "none", len(table) - distinct, len(table) - distinct


def _listed(record: Record, f: Field) -> Rule:
    def look(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
        for value, rows in _counted(table[f.name]) if f.name in table.column_names else ():
            yield "listed", f"{record.name}.{f.name}={value}", rows

    return Rule(f"{f.name} listed", f"{f.name} is one of {', '.join(f.values)}", look)


def _dated(f: Field, first: date, last: date) -> Rule:
    def look(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
        if f.name not in table.column_names:
            return
        ends = pc.min_max(table[f.name].cast(pa.int32())).as_py()
        for day in {ends["min"], ends["max"]} - {None}:
            yield "day", day, 1

    return Rule(f"{f.name} dated", f"{f.name} lies between {first:%d/%m/%Y} and {last:%d/%m/%Y}", look)


def _shaped(column: str, shape: str, kind: str | None = None) -> Rule:
    def look(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
        if kind is not None:
            table = table.filter(pc.equal(table["kind"], kind))
        if column not in table.column_names:
            return
        formed: Counter[str] = Counter()
        for masked, rows in _counted(_masked(table[column], SHAPES[shape])):
            formed[_runs_as_one(masked) if SHAPES[shape].runs else masked] += rows
        for text, rows in formed.items():
            yield "shape", f"{shape} {text}", rows

    label = column if kind is None else f"{kind} {column}"
    return Rule(f"{label} shaped", f"{label}: {SHAPES[shape].words}", look)


def _nested(table_name: str, parts: Sequence[str]) -> Rule:
    """Nested keys, canonical §1."""

    def look(table: pa.Table) -> Iterator[tuple[str, int | str, int]]:
        wanted = pc.binary_join_element_wise(*(table[p].cast(pa.string()) for p in parts), ":")
        wrong = pc.sum(pc.not_equal(wanted, table["source_key"])).as_py() or 0
        yield "none", wrong, wrong

    return Rule("source_key nested", f"the key of a {table_name} is {':'.join(parts)}", look)


def _counted(texts: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """Distinct texts, nulls apart, with their numbers of rows."""
    for each in pc.value_counts(texts.drop_null()).to_pylist():
        yield each["values"], each["counts"]


def _masked(texts: pa.ChunkedArray, shape: _Shape) -> pa.ChunkedArray:
    """Every byte replaced by its sign: a look-up over the column's bytes, since a regex over a million texts takes a
    second.
    """
    signs = shape.table()
    chunks = []
    for chunk in texts.drop_null().cast(pa.string()).chunks:
        _, offsets, data = chunk.buffers()
        if data is not None:
            replaced = pa.py_buffer(signs[np.frombuffer(data, np.uint8)])
            chunks.append(
                pa.Array.from_buffers(pa.string(), len(chunk), [None, offsets, replaced], offset=chunk.offset)
            )
    return pa.chunked_array(chunks, pa.string())


def _runs_as_one(text: str) -> str:
    """Runs of letters and digits as one sign; punctuation is what a shape is about and stays."""
    return "".join(sign if sign.isalnum() else "".join(run) for sign, run in groupby(text))


# -- how it is judged --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bench:
    """Great Expectations once set up: where a frame goes in, and the suite of each system."""

    batches: Any
    suites: dict[System, Any]


def _judge(frame: pd.DataFrame, system: System) -> list[dict[str, Any]]:
    """The observations that break a rule (d, table, rule, rows). Empty: all hold.

    First a yes or no; only then the labels of what failed, which are columns of ours and hold counts.
    """
    batch = _bench().batches.get_batch(batch_parameters={"dataframe": frame})
    try:
        held = batch.validate(_suite(system), result_format="BOOLEAN_ONLY")
        _must_be_computed(held)
        if held.success:
            return []
        if "d" not in frame.columns:
            return [{}]
        told = batch.validate(_suite(system), result_format=_LABELS_ONLY)
        _must_be_computed(told)
        return [row for r in told.results for labels in r.result["unexpected_index_list"] for row in _rows(labels)]
    finally:
        # The data source keeps its last frame alive.
        _bench().batches.get_batch(batch_parameters={"dataframe": frame.iloc[:0]})


_LABELS_ONLY = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["d", "table", "rule", "rows"],
    "exclude_unexpected_values": True,
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}


def _rows(labels: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns of labels as one dictionary an observation."""
    return [dict(zip(labels, row, strict=True)) for row in zip(*labels.values(), strict=True)]


def _must_be_computed(results: Any) -> None:
    for r in results.results:
        info = r.exception_info or {}
        nested = [v for v in info.values() if isinstance(v, dict)]
        if info.get("raised_exception") or any(v.get("raised_exception") for v in nested):
            # The traceback may quote what was being looked at: only the kind of the rule goes on.
            raise NotComputed(f"the rule {r.expectation_config.type} could not be computed")


@cache
def _bench() -> _Bench:
    gx = _great_expectations()
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    # Everything in memory: by default a folder for documentation pages is made as well.
    settings = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults())
    context = gx.get_context(mode="ephemeral", project_config=settings)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("observations")
    return _Bench(asset.add_batch_definition_whole_dataframe("all"), {})


def _suite(system: System) -> Any:
    """Four expectations for all tables: their number is what costs (7–12 ms each), not what they look at."""
    suites = _bench().suites
    if system not in suites:
        gx, rules = _great_expectations(), _great_expectations().expectations
        first, last = ((day - _EPOCH).days for day in _DAYS.get(system, _ANY_DAY))
        listed = [f"{r.name}.{f.name}={value}" for r in RECORDS.values() for f in r.fields for value in f.values]
        shapes = "|".join(f"{name} {shape.formed}" for name, shape in SHAPES.items())
        suites[system] = gx.ExpectationSuite(f"kept from {system}", expectations=[
            rules.ExpectColumnValuesToBeBetween(column="none", min_value=0, max_value=0),
            rules.ExpectColumnValuesToBeInSet(column="listed", value_set=listed),
            rules.ExpectColumnValuesToMatchRegex(column="shape", regex=f"^(?:{shapes})$"),
            rules.ExpectColumnValuesToBeBetween(column="day", min_value=first, max_value=last),
        ])  # fmt: skip
    return suites[system]


# -- bringing the library in -------------------------------------------------------------------------------------------


@cache
def _great_expectations() -> Any:
    """Great Expectations, in 1.3 s of CPU instead of 3.5: scipy and altair, which no rule here uses, come when asked
    for.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _at_need("scipy", "scipy.stats", "altair"), _uncollected():
        import great_expectations
        import great_expectations.expectations
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    return great_expectations


class _Deferred:
    """Finds the modules named and lets the standard library's `LazyLoader` run them at their first use."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self.names else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextmanager
def _at_need(*names: str) -> Iterator[None]:
    finder = _Deferred(tuple(n for n in names if n not in sys.modules))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Importing makes many objects and no garbage: looking for it costs a tenth of the import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
