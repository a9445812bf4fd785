"""A batch on its way into the shelves: what was admitted, line by line, and what becomes of each line.

What becomes of a line is a small whole number (`OUTCOMES`), why it was put aside another; their names come back where
somebody is told.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.admission import Admitted
from schemas.frames import BIT, Arrived
from schemas.ids import System
from store.agency import OpenShelf

OUTCOMES = ("ok", "stored", "unchanged", "quarantined", "ignored", "withheld")
CODE = {name: np.uint8(i) for i, name in enumerate(OUTCOMES)}


@dataclass(slots=True)
class Batch:
    """Mutable on purpose, and only here: outcomes and flags of lines settle step by step.

    Arrays of `outcome`, `reason`, `flags`, `d`, `source_code`, `key` are indexed by line number. `outcome` counts in
    `OUTCOMES`, `reason` in `reasons` (-1: none), `source_code` in `sources`. At most one delivery an agency.

    What is compared and written is a part at a time. A batch is its own only part; a large delivery has many
    (`store.slices`), each a batch of which `first` is the number of its first line in the whole.
    """

    system: System
    deliveries: tuple[Arrived, ...]
    shelves: Sequence[OpenShelf]
    held: tuple[frozenset[str], ...]
    d: np.ndarray
    sources: list[str]
    source_code: np.ndarray
    key: pa.Array
    loc: pa.Array
    outcome: np.ndarray
    reason: np.ndarray
    reasons: list[str]
    flags: np.ndarray
    partial: np.ndarray
    rows: dict[str, pa.Table]
    endings: pa.Table
    content: dict[int, str]
    snapshot: frozenset[str]
    ending_lines: np.ndarray = field(repr=False)
    first: int = 0
    once: frozenset[str] | None = None  # records of which no key comes twice in all parts; None: no parts
    changed_references: dict[str, list[str]] = field(default_factory=dict, repr=False)  # columns, by record
    _held_lines: dict[int, pa.Table] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, admitted: Admitted, shelves: Sequence[OpenShelf]) -> "Batch":
        r = admitted.reading
        lines = r.lines
        ending = np.zeros(len(lines), bool)
        own = r.endings.filter(pc.invert(r.endings["implied"]))
        ending[own["line"].to_numpy()] = True
        source, reason = (pc.dictionary_encode(flat(lines[name])) for name in ("source", "reason"))
        return cls(
            system=r.system,
            deliveries=r.deliveries,
            shelves=shelves,
            held=admitted.held,
            d=lines["d"].to_numpy(),
            sources=source.dictionary.to_pylist(),
            source_code=source.indices.to_numpy(),
            key=flat(lines["key"]),
            loc=flat(lines["loc"]),
            outcome=pc.index_in(flat(lines["outcome"]), value_set=pa.array(OUTCOMES)).to_numpy().astype(np.uint8),
            reason=pc.fill_null(reason.indices, -1).to_numpy().copy(),
            reasons=reason.dictionary.to_pylist(),
            flags=lines["flags"].to_numpy().copy(),
            partial=pc.fill_null(lines["partial"], False).to_numpy(zero_copy_only=False),
            rows={name: t.combine_chunks() for name, t in r.rows.items()},
            endings=r.endings.combine_chunks(),
            content=dict(zip(r.content["line"].to_pylist(), r.content["content"].to_pylist(), strict=True)),
            snapshot=r.snapshot,
            ending_lines=ending,
        )

    def parts(self) -> Iterator["Batch"]:
        """In the order of the lines; a line and all its rows are in one."""
        yield self

    def settled(self) -> None:
        """References are settled: nothing more is asked of rows but part by part."""

    def source(self, line: int) -> str:
        return self.sources[int(self.source_code[line])]

    def is_of(self, source: str) -> np.ndarray:
        """Per line: whether it is of this source table."""
        return np.asarray(self.source_code == (self.sources.index(source) if source in self.sources else -1))

    @property
    def ok(self) -> np.ndarray:
        return self.came_to("ok")

    def came_to(self, outcome: str) -> np.ndarray:
        """Per line: whether this became of it."""
        return np.asarray(self.outcome == CODE[outcome])

    def settle(self, lines: np.ndarray | int, outcome: str) -> None:
        self.outcome[lines] = CODE[outcome]

    def quarantine(self, lines: np.ndarray, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.settle(lines, "quarantined")
        self.reason[lines] = self.reasons.index(reason)

    def held_lines(self, d: int) -> pa.Table:
        """Every line that the shelf of delivery d holds of this system, read once and before it is written to."""
        if d not in self._held_lines:
            self._held_lines[d] = self.shelves[d].lines(self.system)
        return self._held_lines[d]

    def forget_held_lines(self, d: int) -> None:
        self._held_lines.pop(d, None)

    def raise_flag(self, lines: np.ndarray, name: str) -> None:
        self.flags[lines] |= BIT[name]

    def d_of(self, table: pa.Table) -> np.ndarray:
        return np.asarray(self.d[table["line"].to_numpy()])

    def remember_lost_rows(self) -> None:
        """What a line said that falls only now: put aside, sealed, like one that could not be read."""
        self.content |= said_by(self.rows, ~self.ok)

    def drop_rows_of_lost_lines(self) -> bool:
        """Whether there were any."""
        ok, dropped = self.ok, False
        for name, table in self.rows.items():
            keep = ok[table["line"].to_numpy()]
            if not keep.all():
                self.rows[name], dropped = table.filter(pa.array(keep)), True
        return dropped

    def composite(self, d: np.ndarray, keys: pa.Array) -> pa.Array:
        """Keys of many agencies in one column: the delivery in front, so that no agency meets another's key."""
        if len(self.deliveries) == 1:
            return keys
        return pc.binary_join_element_wise(pa.array(d).cast(pa.string()), keys, "|")


def said_by(rows: Mapping[str, pa.Table], lines: np.ndarray) -> dict[int, str]:
    """What the rows of some lines say, as JSON, by line."""
    said: dict[int, list[dict[str, object]]] = {}
    for name, table in rows.items():
        of_these = lines[table["line"].to_numpy()]
        for row in table.filter(pa.array(of_these)).to_pylist() if of_these.any() else ():
            said.setdefault(row.pop("line"), []).append(
                {"table": name} | {k: str(v) for k, v in row.items() if v is not None}
            )
    return {line: json.dumps(each, ensure_ascii=False) for line, each in said.items()}


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def by_delivery(d: np.ndarray, count: int) -> Iterable[tuple[int, np.ndarray]]:
    """(delivery, positions) for each delivery that occurs."""
    if count == 1:
        if len(d):
            yield 0, np.arange(len(d))
        return
    order = np.argsort(d, kind="stable")
    bounds = np.searchsorted(d[order], np.arange(count + 1))
    for i in range(count):
        if bounds[i] < bounds[i + 1]:
            yield i, order[bounds[i] : bounds[i + 1]]
