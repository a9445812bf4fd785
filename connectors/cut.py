"""A reading in slices, for connectors that read a delivery whole: what comes after reading is bounded all the same."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from connectors.base import Delivery, Opened, Recalled
from schemas.frames import Reading


class ReadWhole(ABC):
    """Half of a connector: what it reads whole is cut afterwards. `a_byte`: bytes of memory for each of the file's."""

    a_byte: ClassVar[int]

    def weight(self, delivery: Delivery) -> int:
        return self.a_byte * delivery.path.stat().st_size if delivery.path is not None and delivery.path.exists() else 0

    def slices(self, opened: Opened, recalled: Recalled, lines: int) -> Iterator[Reading]:
        yield from cut(self.read([opened], recalled), lines)

    @abstractmethod
    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        """As `connectors.base.Connector.read`."""


def cut(reading: Reading, lines: int) -> Iterator[Reading]:
    """Slices of so many lines, in the order of their numbers; lines are numbered anew in each."""
    numbers = reading.lines["line"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    ranked = numbers[order]
    tables = {name: _Cut(table, ranked, lines) for name, table in reading.rows.items()}
    endings, content = _Cut(reading.endings, ranked, lines), _Cut(reading.content, ranked, lines)
    count = max(1, -(-len(numbers) // lines))
    for number in range(count):
        first = number * lines
        some = reading.lines.take(pa.array(order[first : first + lines]))
        at = some.column_names.index("line")
        yield replace(
            reading,
            lines=some.set_column(at, some.schema.field(at), pa.array(np.arange(len(some)), pa.int64())),
            rows={name: part for name, each in tables.items() if len(part := each.part(number))},
            endings=endings.part(number),
            content=content.part(number),
        )


class _Cut:
    """A table with a column `line`, sorted into slices once; the order within a slice stays."""

    def __init__(self, table: pa.Table, ranked: np.ndarray, lines: int) -> None:
        place = np.searchsorted(ranked, table["line"].to_numpy())
        self._table, self._lines = table, lines
        self._within = place % lines
        number = place // lines
        self._order = np.argsort(number, kind="stable")
        self._sorted = number[self._order]

    def part(self, number: int) -> pa.Table:
        low, high = np.searchsorted(self._sorted, [number, number + 1])
        at = self._order[low:high]
        some = self._table.take(pa.array(at)).combine_chunks()
        line = some.column_names.index("line")
        return some.set_column(line, some.schema.field(line), pa.array(self._within[at], pa.int64()))
