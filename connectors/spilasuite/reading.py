"""Readings of many deliveries: every view once, all deliveries together; the views' own ends last."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import contacts, frame
from connectors.normalise.octets import truth
from connectors.spilasuite import ends
from connectors.spilasuite.layout import ENDS, Layout
from connectors.spilasuite.lines import Lines, hear, keyed
from schemas.frames import CONTENT, ENDINGS, LINES, Arrived, Reading
from schemas.ids import System

Tables = dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Heard:
    """The lines of one view and their numbers in the batch."""

    lines: Lines
    number: npt.NDArray[np.int64]


def _gathered(layout: Layout, name: str, opened: Sequence[Tables]) -> Lines:
    """One view of all deliveries as one table; `d` says whose line each is."""
    found = [(d, tables[name]) for d, tables in enumerate(opened) if name in tables]
    d = np.repeat(np.array([d for d, _ in found], np.int32), [table.num_rows for _, table in found])
    return Lines(layout.views[name], layout, pa.concat_tables([table for _, table in found]).combine_chunks(), d)


def _hear_all(layout: Layout, opened: Sequence[Tables]) -> dict[str, Lines]:
    """Every view that holds lines. v_suppression comes last: a tombstone is void when its row is there again."""
    heard: dict[str, Lines] = {}
    filled = {name for tables in opened for name, table in tables.items() if table.num_rows}
    for name in sorted((v.name for v in layout.incremental if v.name in filled), key=lambda name: name == ENDS):
        lines = _gathered(layout, name, opened)
        if name == ENDS:
            # `cle` already is a key, escaped; what is written here is written plainly.
            hear(lines, escaped=False, also=ends.check_reasons)
            lines.ignored |= ends.void(lines, heard)
        else:
            hear(lines)
        heard[name] = lines
    return heard


def _numbered(heard: dict[str, Lines]) -> Iterator[Heard]:
    start = 0
    for lines in heard.values():
        yield Heard(lines, np.arange(start, start + len(lines), dtype=np.int64))
        start += len(lines)


def _lines(heard: Heard) -> pa.Table:
    lines = heard.lines
    return frame.lines_table(
        line=heard.number,
        d=lines.d,
        source=lines.view.name,
        key=keyed(lines),
        loc=lines.key,
        reason=lines.reason,
        ignored=lines.ignored,
        flags=lines.flags,
    )


def _rows(heard: Heard) -> Iterator[tuple[str, pa.Table]]:
    """The rows that the accepted lines of a view yield, by record."""
    lines, view, keep = heard.lines, heard.lines.view, heard.lines.ok
    if not view.record or not keep.any():
        return
    values = {name: value for name, value in lines.values.items() if name not in lines.via}
    yield (
        view.record,
        frame.rows(view.record, line=heard.number, source_key=lines.key, via=lines.via, keep=keep, **values),
    )
    if view.emails or view.phones:
        emails, phones = ([lines.tokens[name] for name in names] for names in (view.emails, view.phones))
        yield "contact", contacts.contact_rows(heard.number, lines.key, emails, phones, keep)


def _endings(heard: Heard, days: Sequence[date]) -> pa.Table:
    if heard.lines.view.name == ENDS:
        return ends.told(heard.lines, heard.number)
    if heard.lines.view.replaced_by:
        return ends.replaced(heard.lines, heard.number, days)
    return ENDINGS.empty_table()


def _content(heard: Heard) -> pa.Table:
    """The quarantined lines as they came, to be sealed."""
    lines = heard.lines
    at = np.flatnonzero(truth(pc.is_valid(lines.reason)))
    cells = lines.raw.select([c.name for c in lines.view.read]).take(pa.array(at)).to_pylist()
    content = [json.dumps(row, ensure_ascii=False) for row in cells]
    return pa.Table.from_arrays([pa.array(heard.number[at]), pa.array(content, pa.string())], schema=CONTENT)


def read(layout: Layout, arrived: Sequence[Arrived], opened: Sequence[Tables]) -> Reading:
    """All lines of all these deliveries, normalised (canonical §3–§5). A bad line never raises: it is quarantined."""
    all_heard = list(_numbered(_hear_all(layout, opened)))
    rows: dict[str, list[pa.Table]] = {}
    for heard in all_heard:
        for record, table in _rows(heard):
            rows.setdefault(record, []).append(table)
    days = [delivery.day for delivery in arrived]
    return Reading(
        system=System.SPILASUITE,
        locus="key",
        deliveries=tuple(arrived),
        lines=pa.concat_tables([LINES.empty_table(), *map(_lines, all_heard)]),
        rows={record: pa.concat_tables(found) for record, found in rows.items()},
        endings=pa.concat_tables([ENDINGS.empty_table(), *(_endings(heard, days) for heard in all_heard)]),
        content=pa.concat_tables([CONTENT.empty_table(), *map(_content, all_heard)]),
    )
