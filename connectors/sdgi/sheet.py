"""One file of the contract across all deliveries of a batch: its lines, and its columns as they came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.normalise.octets import Mask, nulls
from connectors.sdgi.columns import read_columns
from connectors.sdgi.layout import FileLayout, Header
from connectors.sdgi.proof import Proved, Sent
from connectors.sdgi.records import Places


@dataclass(frozen=True)
class Sheet:
    """Every record after the header is a line; `at` are the positions of the whole ones, whose columns these are."""

    layout: FileLayout
    sent: Sequence[Sent] = field(repr=False)
    offsets: Places  # of the first line of each delivery, and of the end
    line: Places
    d: npt.NDArray[np.int32]
    place: Places  # physical line in the file
    ignored: Mask
    at: Places
    columns: Mapping[str, pa.Array] = field(repr=False)
    first: int = 0  # of the file's records, when these are a slice of one file

    @property
    def name(self) -> str:
        return self.layout.name

    def column(self, name: str) -> pa.Array:
        """A column as it came; without values when the layout of this version has none of that name."""
        return self.columns.get(name, nulls(len(self.at)))

    def fields(self, at: int) -> list[str]:
        sent, within = self._find(at)
        return sent.records.fields(within)

    def text(self, at: int) -> str:
        sent, within = self._find(at)
        return sent.records.text(within)

    def _find(self, at: int) -> tuple[Sent, int]:
        part = int(np.searchsorted(self.offsets, at, side="right")) - 1
        return self.sent[part], at - int(self.offsets[part])

    def controls(self) -> tuple[Mask, Mask]:
        """Whole lines that hold a NUL, and those that hold another control character (N2)."""
        found = [sent.records.controls() for sent in self.sent]
        nul, other = (np.concatenate([pair[i] for pair in found])[self.at] for i in (0, 1))
        return nul, other


def gather(
    layout: FileLayout, proved: Sequence[tuple[int, Proved]], base: int, only: Sequence[str] | None = None
) -> Sheet:
    """The sheet of one file. `proved` are deliveries with their position in the batch, `base` is the number of its
    first line, `only` names the columns to read (None: all).
    """
    sent = [delivery.files[layout.name] for _, delivery in proved]
    sizes = np.array([len(one.records) for one in sent], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    at, columns = _columns(sent, offsets, {c for c in layout.columns if c} if only is None else set(only))
    return Sheet(
        layout,
        sent,
        offsets,
        line=base + np.arange(offsets[-1]),
        d=np.repeat(np.array([d for d, _ in proved], np.int32), sizes),
        place=np.concatenate([np.zeros(0, np.int64), *(one.records.line for one in sent)]),
        ignored=np.concatenate([np.zeros(0, np.bool_), *(one.records.ignored for one in sent)]),
        at=at,
        columns=columns,
    )


def _columns(sent: Sequence[Sent], offsets: Places, wanted: set[str]) -> tuple[Places, dict[str, pa.Array]]:
    """Columns in the order of the lines. Deliveries with the same header are parsed together."""
    groups: dict[Header, list[int]] = {}
    for part, one in enumerate(sent):
        groups.setdefault(one.header, []).append(part)
    found = []
    for header, parts in groups.items():
        local, columns = read_columns([sent[part].records for part in parts], header, wanted)
        found.append((local + _shift(parts, offsets, local), columns))
    at = np.concatenate([np.zeros(0, np.int64), *(positions for positions, _ in found)])
    # `pop`: a column that has been copied is let go, so that a large file is not held twice.
    joined = {name: pa.concat_arrays([columns.pop(name) for _, columns in found]) for name in wanted} if found else {}
    if len(at) > 1 and bool((at[1:] < at[:-1]).any()):
        order = np.argsort(at, kind="stable")
        at, joined = at[order], {name: joined.pop(name).take(pa.array(order)) for name in list(joined)}
    return at, joined


def _shift(parts: Sequence[int], offsets: Places, local: Places) -> Places:
    """How far each line of some deliveries lies from where it would lie if they were the whole batch."""
    sizes = np.diff(offsets)[parts]
    firsts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)[:-1]])
    part = np.searchsorted(firsts, local, side="right") - 1
    # An empty delivery shares its first line with the next one: the last of them is the one that holds the line.
    shift: Places = (offsets[np.array(parts)] - firsts)[part]
    return shift
