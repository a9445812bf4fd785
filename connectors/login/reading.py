"""A batch of proved documents becomes one Reading: lines, rows, ends, and the text of what is quarantined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from connectors.base import Recalled
from connectors.login.layout import Layout
from connectors.login.objects import Objects, collect, serialised
from connectors.login.recall import Recall
from connectors.login.sheets import SHEETS, Rows
from connectors.login.values import columns
from connectors.normalise import frame, text
from connectors.normalise.octets import Bits, Mask, none, nulls, truth
from schemas.frames import CONTENT, ENDINGS, Arrived, Reading
from schemas.ids import System

# DOUBLON and EFFACEMENT speak of persons (login.md, canonical §7).
_OF_PERSONS = pa.array(["DOUBLON", "EFFACEMENT"])


@dataclass(slots=True)
class _Told:
    """The lines of all sheets, one after the other."""

    line: np.ndarray[tuple[int], np.dtype[np.int64]]
    d: np.ndarray[tuple[int], np.dtype[np.int32]]
    source: pa.Array
    key: pa.Array
    loc: pa.Array
    partial: Mask
    flags: Bits
    reason: pa.Array


def _nothing_held(column: str) -> pa.Array:
    raise LookupError(f"an end is complete in itself: no {column} is held")


def _ends(objects: Objects, layout: Layout) -> tuple[pa.Table, pa.Array]:
    """The rows of `endings`, and where each end is to be found: at the object that it names."""
    found = columns(objects, layout, _nothing_held)
    known = pa.array([element for sheet in layout.sheets.values() if sheet.record for element in sheet.elements])
    of_person = truth(pc.is_in(found["source"], value_set=pa.array(list(layout.kinds))))
    objects.wrong(~truth(pc.is_in(found["source"], value_set=known)), "row.bad_enum")
    objects.wrong(truth(pc.is_in(found["reason"], value_set=_OF_PERSONS)) & ~of_person, "row.bad_enum")
    for reference in (found["key"], found["merged_into"]):
        objects.scientific |= text.scientific(reference)
    columns_of_ends = {
        "line": pa.array(objects.line),
        "d": pa.array(objects.d),
        **{name: found[name] for name in ("source", "key", "reason", "on")},
        "merged_into": pc.if_else(pc.equal(found["reason"], "DOUBLON"), found["merged_into"], None),
        "person": pc.if_else(pc.equal(found["reason"], "EFFACEMENT"), found["key"], None),
        "implied": pa.repeat(pa.scalar(False), len(objects)),
    }
    objects.key = text.key(found["source"], found["key"])
    return pa.table([columns_of_ends[f.name] for f in ENDINGS], schema=ENDINGS), found["key"]


def _together(parts: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)


def _told(heard: Sequence[tuple[Objects, pa.Array]]) -> _Told:
    """`heard`: the objects of each sheet, and the location of each of them."""
    return _Told(
        line=np.concatenate([np.empty(0, np.int64), *(objects.line for objects, _ in heard)]),
        d=np.concatenate([np.empty(0, np.int32), *(objects.d for objects, _ in heard)]),
        source=_together([objects.source for objects, _ in heard], pa.string()),
        key=_together([objects.key for objects, _ in heard], pa.string()),
        loc=_together([loc for _, loc in heard], pa.string()),
        partial=np.concatenate([none(0), *(objects.partial for objects, _ in heard)]),
        flags=np.concatenate([np.empty(0, np.int64), *(objects.flags for objects, _ in heard)]),
        reason=_together([objects.reasons() for objects, _ in heard], pa.string()),
    )


def _twice(told: _Told, documents: Sequence[etree._Element]) -> tuple[Mask, Mask]:
    """Repeated keys (canonical §5). Only lines whose key stands more than once are written out to be compared."""
    ok = truth(pc.is_null(told.reason))
    owner = text.key(told.source, told.key)
    _, suspect = frame.repeated(told.d, owner, nulls(len(owner)), ok)
    if not suspect.any():
        return suspect, suspect
    again = truth(pc.is_in(owner, value_set=owner.filter(pa.array(suspect)).unique())) & ok
    lines = set(told.line[again].tolist())
    written = serialised(documents, lines.__contains__)
    return frame.repeated(told.d, owner, pa.array([written.get(line) for line in told.line.tolist()], pa.string()), ok)


def _judged(told: _Told, documents: Sequence[etree._Element]) -> pa.Table:
    """The lines with their outcomes."""
    ignored, conflicting = _twice(told, documents)
    told.flags |= text.flag(ignored, "row_repeated")
    if conflicting.any():
        told.reason = pc.if_else(pa.array(conflicting), "row.duplicate_key", told.reason)
    unkeyed = pa.array(text.scientific(told.key))
    table = frame.lines_table(
        line=told.line, d=told.d, source=told.source, key=pc.if_else(unkeyed, None, told.key), loc=told.loc,
        reason=told.reason, ignored=ignored, flags=told.flags, partial=told.partial,
    )  # fmt: skip
    return table.take(pa.array(np.argsort(told.line))).combine_chunks()


def _content(lines: pa.Table, documents: Sequence[etree._Element]) -> pa.Table:
    """What quarantined lines say, to be sealed."""
    quarantined = lines.filter(pc.equal(lines["outcome"], "quarantined"))["line"].to_pylist()
    written = serialised(documents, set(quarantined).__contains__) if quarantined else {}
    return pa.table({"line": list(written), "content": list(written.values())}, schema=CONTENT)


def _of_lines(table: pa.Table, good: Mask) -> pa.Table:
    """The rows of lines that are accepted as far as the connector can tell."""
    if good.all():
        return table
    return table.filter(pa.array(good[table["line"].to_numpy()]))


def _joined(tables: Sequence[pa.Table], good: Mask) -> pa.Table:
    """Tables of one record as one; a column `via` that only some have is null in the others."""
    filled = [table for table in tables if table.num_rows] or list(tables[:1])
    return _of_lines(pa.concat_tables(filled, promote_options="default").combine_chunks(), good)


def _known(lines: pa.Table, recall: Recall) -> Mask:
    """Whole objects, and changes of objects of which something is held."""
    partial = truth(lines["partial"].combine_chunks())
    if not partial.any():
        return ~partial
    return ~partial | recall.holds(*(lines[name].combine_chunks() for name in ("d", "source", "key")))


def heard(
    layout: Layout, arrived: Sequence[Arrived], documents: Sequence[tuple[etree._Element, bool]], recalled: Recalled
) -> Reading:
    """Everything that the documents (tree, whether a delta) say."""
    roots = [root for root, _ in documents]
    recall = Recall(recalled)
    sheets = collect(layout, documents)
    tables: Rows = {}
    endings, told = ENDINGS.empty_table(), []
    for sheet, objects in sheets.items():
        loc = objects.key
        if sheet in SHEETS:
            for record, found in SHEETS[sheet](objects, layout, recall).items():
                tables.setdefault(record, []).extend(found)
        else:
            endings, loc = _ends(objects, layout)
        told.append((objects, loc))
    lines = _judged(_told(told), roots)
    good = truth(pc.equal(lines["outcome"], "ok").combine_chunks())  # lines stand in the order of their numbers
    known = _known(lines, recall)
    return Reading(
        system=System.LOGIN,
        locus="ref",
        deliveries=tuple(arrived),
        lines=lines,
        # A change of a person of whom nothing is held still says who: row.erased_key comes before row.unknown_key.
        rows={name: _joined(found, good if name == "person" else good & known) for name, found in tables.items()},
        endings=_of_lines(endings, good),
        content=_content(lines, roots),
    )
