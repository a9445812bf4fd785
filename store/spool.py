"""A large delivery between hearing and keeping: its slices, sealed, in a file without a name.

What the lines say lies on the disk, under a key that is nowhere but in memory and dies with it; what is needed to
settle references and to compare stays here, by column. A slice comes in through the gate only
(`schemas.admission.Admitted`).
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.admission import Admitted, Excess
from schemas.errors import Refused
from schemas.frames import CONTENT, ENDINGS, Arrived
from schemas.mandate import Mandate
from schemas.records import RECORDS
from store.batch import OUTCOMES, flat
from store.fixed import until
from store.sealing import framed

# Beside keys and references: what the store itself reads of a row before it is written (`store.derive`).
_ASKED_FOR = {"holding": ("right",)}
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
_CONTENT = "quarantined lines"


def of_settling(name: str, table: pa.Table) -> pa.Table:
    """The columns of rows that references are settled by."""
    named = [f.name for f in RECORDS[name].refs if f.name in table.column_names]
    via = [c for c in table.column_names if c.startswith("via:")]
    return table.select(["line", "soft", "source_key", *named, *via, *_ASKED_FOR.get(name, ())])


@dataclass(slots=True)
class Kept:
    """What stays in memory of all slices. Arrays are by line, tables by row; `bounds[i]` is the first line of slice i,
    `starts[name][i]` its first row of a record."""

    sources: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    source_code: list[np.ndarray] = field(default_factory=list)
    outcome: list[np.ndarray] = field(default_factory=list)
    reason: list[np.ndarray] = field(default_factory=list)
    flags: list[np.ndarray] = field(default_factory=list)
    partial: list[np.ndarray] = field(default_factory=list)
    key: list[pa.Array] = field(default_factory=list)
    loc: list[pa.Array] = field(default_factory=list)
    rows: dict[str, list[pa.Table]] = field(default_factory=dict)
    endings: list[pa.Table] = field(default_factory=lambda: [ENDINGS.empty_table()])
    bounds: list[int] = field(default_factory=lambda: [0])
    starts: dict[str, list[int]] = field(default_factory=dict)


class Spool:
    """The slices of one delivery, in the order of its lines. Use as a context manager: afterwards nothing is left."""

    def __init__(self, folder: Path) -> None:
        # Without a name: nobody else opens it, no crash leaves it.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 — closed with the spool
        self._cipher = AESGCM(os.urandom(32))
        self._frames: list[dict[str, tuple[int, int]]] = []
        self._at = 0
        self._whose: tuple[tuple[Arrived, ...], tuple[Mandate | None, ...]] | None = None
        self.snapshot: frozenset[str] = frozenset()
        self._held: frozenset[str] | None = None
        self._lines: Counter[str] = Counter()
        self._values: Counter[str] = Counter()
        self.kept = Kept()
        self.until: date | None = None  # the first day on which the bytes of the delivery may read otherwise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    # -- slices in -----------------------------------------------------------------------------------------------------

    def take(self, admitted: Admitted) -> None:
        """The next slice, its lines numbered 0, 1, 2 … Raises Refused when it is not of the same one delivery, allowed
        by the same."""
        self._must_belong(admitted)
        self.until = min((d for d in (self.until, until(admitted.reading, 0)) if d is not None), default=None)
        reading, kept, first = admitted.reading, self.kept, self.kept.bounds[-1]
        lines = reading.lines
        kept.source_code.append(_codes(lines["source"], kept.sources).astype(np.int16))
        kept.reason.append(_codes(lines["reason"], kept.reasons))
        kept.outcome.append(_codes(lines["outcome"], list(OUTCOMES)).astype(np.uint8))
        kept.flags.append(lines["flags"].to_numpy())
        kept.partial.append(pc.fill_null(lines["partial"], False).to_numpy(zero_copy_only=False))
        kept.key.append(flat(lines["key"]))
        kept.loc.append(flat(lines["loc"]))
        for name, table in reading.rows.items():
            number = pa.array(table["line"].to_numpy() + first, pa.int32())
            kept.rows.setdefault(name, []).append(of_settling(name, table).set_column(0, "line", number))
        self._count_rows({name: len(table) for name, table in reading.rows.items()})
        ends = reading.endings
        at = ends.column_names.index("line")
        kept.endings.append(ends.set_column(at, "line", pa.array(ends["line"].to_numpy() + first)))
        kept.bounds.append(first + len(lines))
        self._write({**reading.rows, **({_CONTENT: reading.content} if len(reading.content) else {})})

    def _must_belong(self, admitted: Admitted) -> None:
        whose, (held,), (excess,) = (admitted.reading.deliveries, admitted.mandates), admitted.held, admitted.excess
        if self._whose not in (None, whose):
            raise Refused("a slice of another delivery, or allowed by another mandate")
        self._whose, self.snapshot = whose, admitted.reading.snapshot
        # What one slice may not keep because lines of it are held back may be missing for all.
        self._held = held if self._held is None else self._held & held
        self._lines.update(excess.lines)
        self._values.update(excess.values)

    def _count_rows(self, rows: dict[str, int]) -> None:
        for name in rows.keys() - self.kept.starts.keys():
            self.kept.starts[name] = [0] * len(self.kept.bounds)
        for name, starts in self.kept.starts.items():
            starts.append(starts[-1] + rows.get(name, 0))

    # -- what all slices have in common --------------------------------------------------------------------------------

    @property
    def whose(self) -> tuple[Arrived, Mandate | None]:
        """The delivery, and what allowed it. Raises Refused when nothing was taken."""
        if self._whose is None:
            raise Refused("nothing of this delivery was taken in")
        ((delivery,), (mandate,)) = self._whose
        return delivery, mandate

    @property
    def held(self) -> tuple[frozenset[str], ...]:
        return (self._held or frozenset(),)

    @property
    def excess(self) -> Excess:
        return Excess(dict(sorted(self._lines.items())), dict(sorted(self._values.items())))

    def __len__(self) -> int:
        return len(self._frames)

    # -- slices out ----------------------------------------------------------------------------------------------------

    def rows(self, part: int) -> dict[str, pa.Table]:
        """The rows of one slice as they were taken, in the same order."""
        return {name: self._read(part, name) for name in self._frames[part] if name != _CONTENT}

    def content(self, part: int) -> pa.Table:
        """What the quarantined lines of one slice said."""
        return self._read(part, _CONTENT) if _CONTENT in self._frames[part] else CONTENT.empty_table()

    def _write(self, tables: dict[str, pa.Table]) -> None:
        self._file.seek(self._at)
        frames = {}
        for number, (name, table) in enumerate(tables.items()):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema, options=_LZ4) as stream:
                stream.write_table(table)
            sealed = self._cipher.encrypt(*self._bound(len(self._frames), number, sink.getvalue().to_pybytes(), name))
            self._file.write(sealed)
            frames[name] = (self._at, len(sealed))
            self._at += len(sealed)
        self._frames.append(frames)

    def _read(self, part: int, name: str) -> pa.Table:
        number = list(self._frames[part]).index(name)
        at, size = self._frames[part][name]
        self._file.seek(at)
        plain = self._cipher.decrypt(*self._bound(part, number, self._file.read(size), name))
        return pa.ipc.open_stream(plain).read_all().combine_chunks()

    def _bound(self, part: int, number: int, said: bytes, name: str) -> tuple[bytes, bytes, bytes]:
        """Nonce, text, additional data. The key seals nothing else, so that the place of a frame is its nonce."""
        nonce = part.to_bytes(8, "big") + number.to_bytes(4, "big")
        return nonce, said, framed("spool", name)


def _codes(column: pa.ChunkedArray, names: list[str]) -> np.ndarray:
    """Texts as their places in a list of names, which takes up new ones; -1 where there is none."""
    coded = pc.dictionary_encode(flat(column))
    said = coded.dictionary.to_pylist()
    names += [name for name in said if name not in names]
    places = np.array([*(names.index(name) for name in said), -1], np.int32)
    return np.asarray(places[pc.fill_null(coded.indices, len(said)).to_numpy()])


def joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], pa.string())


def emptied(tables: dict[str, list[pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """Each record's tables as one, and let go of."""
    for name in list(tables):
        yield name, pa.concat_tables(tables.pop(name)).combine_chunks()
