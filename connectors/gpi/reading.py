"""Many proved envois become one reading: the records of each type together, whatever delivery they came in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Opened
from connectors.gpi.cells import SPACE, Bytes, Ints, Mask, decode_whole
from connectors.gpi.envoi import Kinds, kind_code, kinds_of
from connectors.gpi.heard import Heard
from connectors.gpi.layout import Layout
from connectors.gpi.records import TYPES
from connectors.normalise import contacts, frame, text
from connectors.normalise.octets import none, truth
from schemas.frames import CONTENT, ENDINGS, LINES, Reading
from schemas.ids import System

SORTIE = "SORTIE"


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of all deliveries, one below the other: `d` says whose, `offset` where they begin in their file."""

    cells: Bytes = field(repr=False)
    kinds: Kinds = field(repr=False)
    d: np.ndarray[Any, np.dtype[np.int32]] = field(repr=False)
    offset: Ints = field(repr=False)
    days: pa.Array = field(repr=False)

    @classmethod
    def of(cls, opened: Sequence[Opened]) -> "Batch":
        envois = [o.raw for o in opened]
        counts = [len(e.cells) for e in envois]
        cells = envois[0].cells if len(envois) == 1 else np.concatenate([e.cells for e in envois])
        offset = np.concatenate([np.arange(n) * e.step for n, e in zip(counts, envois, strict=True)])
        d = np.repeat(np.arange(len(envois), dtype=np.int32), counts)
        return cls(cells, kinds_of(cells), d, offset, pa.array([o.arrived.day for o in opened], pa.date32()))


@dataclass(frozen=True, slots=True)
class Parts:
    """What the types of records add, one after the other."""

    lines: list[pa.Table] = field(default_factory=list)
    rows: defaultdict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    endings: list[pa.Table] = field(default_factory=list)
    content: list[pa.Table] = field(default_factory=list)


def read(opened: Sequence[Opened], layout: Layout) -> Reading:
    """All records between header and trailer. One that is bad is quarantined and says why; nothing is raised."""
    parts = Parts()
    if opened:
        batch = Batch.of(opened)
        for kind in layout.body:
            line = np.flatnonzero(batch.kinds == kind_code(kind))
            if len(line):
                _hear(kind, line, batch, layout, parts)
    return Reading(
        System.GPI,
        "offset",
        tuple(o.arrived for o in opened),
        pa.concat_tables([LINES.empty_table(), *parts.lines]),
        {record: pa.concat_tables(tables) for record, tables in parts.rows.items()},
        pa.concat_tables([ENDINGS.empty_table(), *parts.endings]),
        pa.concat_tables([CONTENT.empty_table(), *parts.content]),
    )


def _hear(kind: str, line: Ints, batch: Batch, layout: Layout, parts: Parts) -> None:
    """The records of one type: judged first, then their rows and ends taken from the ones that are accepted."""
    cells, d = batch.cells[line], batch.d[line]
    # The number of a record is not part of what it says: without it, a repeated record is the same text.
    sequence = layout.prefix["NUMSEQ"]
    cells[:, sequence.start : sequence.stop] = SPACE
    heard = Heard(kind, layout, cells, batch.days.take(pa.array(d)))
    TYPES[kind][1](heard)

    key = pc.if_else(pa.array(heard.keyless), None, heard.key)
    reason = frame.first_reason(heard.verdict(), len(line))
    repeats, conflicts = frame.repeated(d, key, _as_binary(cells), truth(reason.is_null()))
    reason = pc.if_else(pa.array(conflicts), "row.duplicate_key", reason)
    quarantined = truth(reason.is_valid())
    accepted = ~quarantined & ~repeats

    parts.lines.append(
        frame.lines_table(
            line=line, d=d, source=kind, key=key, loc=pa.array(batch.offset[line]).cast(pa.string()), reason=reason,
            ignored=repeats, flags=np.where(accepted, heard.flags, 0) | text.flag(repeats, "row_repeated"),
        )
    )  # fmt: skip
    _keep_rows(heard, line, accepted & ~heard.ends, parts)
    parts.endings.extend(_endings(heard, key, line, d, accepted))
    if quarantined.any():
        parts.content.append(_content(line[quarantined], batch, layout))


def _keep_rows(heard: Heard, line: Ints, living: Mask, parts: Parts) -> None:
    for sheet in heard.sheets:
        keep = living if sheet.when is None else living & sheet.when
        rows = frame.rows(
            sheet.record, line=line, source_key=sheet.source_key, soft=sheet.soft, keep=keep, **sheet.columns
        )
        parts.rows[sheet.record].append(rows)
    for person in heard.reached:
        rows = contacts.contact_rows(line, person.person_key, person.emails, person.phones, living)
        parts.rows["contact"].append(rows)


def _endings(heard: Heard, key: pa.Array, line: Ints, d: Any, accepted: Mask) -> list[pa.Table]:
    """Records S end their own line on the day of delivery; records 80 end a person's line as they say themselves."""
    told = {"line": pa.array(line), "d": pa.array(d, pa.int32()), "key": key, "implied": pa.array(none(len(line)))}
    if heard.departures is not None:
        told |= heard.departures
        which = accepted
    else:
        nobody = pa.nulls(len(line), pa.string())
        own = {"source": pa.repeat(heard.kind, len(line)), "reason": pa.repeat(SORTIE, len(line)), "on": heard.day}
        told |= own | {"merged_into": nobody, "person": nobody}
        which = accepted & heard.ends
    if not which.any():
        return []
    return [pa.table({f.name: told[f.name] for f in ENDINGS}, schema=ENDINGS).filter(pa.array(which))]


def _content(line: Ints, batch: Batch, layout: Layout) -> pa.Table:
    return pa.table({"line": pa.array(line), "content": decode_whole(batch.cells[line], layout.codec)}, schema=CONTENT)


def _as_binary(cells: Bytes) -> pa.Array:
    """The records as they lie in memory: no byte is copied unless two of them are compared."""
    return pa.Array.from_buffers(pa.binary(cells.shape[1]), len(cells), [None, pa.py_buffer(cells)])
