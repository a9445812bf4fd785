"""From trees to columns: one pass over the objects of a batch of documents, then never an object again.

A document is a tree, so this is where Python loops: once over each element, collecting text into lists. What comes
after works on whole columns. `None` in a column is an absent element or attribute, the empty text an empty or nil one
(login.md, action M).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from connectors.login.layout import Layout, ListSpec, SheetSpec
from connectors.normalise import frame, text
from connectors.normalise.octets import Bits, Mask, none, truth

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_WHITE = " \t\r\n"
Positions = npt.NDArray[np.int64]


def is_nil(element: etree._Element) -> bool:
    return (element.get(_NIL) or "").strip(_WHITE) in ("true", "1")


def _said(element: etree._Element) -> Sequence[tuple[str, str]]:
    """The attributes of an element (of a parsed document: texts)."""
    return cast("Sequence[tuple[str, str]]", element.items())


def objects_of(root: etree._Element) -> Iterator[etree._Element]:
    """The source lines of a document, in its order: what stands in a section (Agence and Totaux hold nothing)."""
    for section in root:
        yield from section


class _Items:
    """The items of one container, in lists: `parent` is the object of each, `tag` its element."""

    def __init__(self, tag: str, spec: ListSpec) -> None:
        self.names = spec.items or (tag,)
        self.whole = not spec.items
        self.present: list[bool] = []
        self.parent: list[int] = []
        self.tags: list[str] = []
        self.values: dict[str, list[str | None]] = {name: [] for name in spec.values}
        self._attributes = [(name[1:], column) for name, column in self.values.items() if name != "."]
        self._text = self.values.get(".")

    def take(self, item: etree._Element, name: str, parent: int) -> None:
        # A nil container has no items; one that is itself what is read says by `nil` that there is nothing.
        if self.whole and is_nil(item):
            return
        self.parent.append(parent)
        self.tags.append(name)
        said = dict(_said(item))
        for attribute, column in self._attributes:
            column.append(said.get(attribute))
        if self._text is not None:
            self._text.append(item.text)


class _Sheet:
    """The objects of one sheet while they are collected: lists of one length, filled where an object says something."""

    def __init__(self, spec: SheetSpec, namespace: str) -> None:
        self.spec = spec
        self.line: list[int] = []
        self.d: list[int] = []
        self.delta: list[bool] = []
        self.source: list[str] = []
        self.key: list[str | None] = []
        self.action: list[str | None] = []
        self.raw: dict[str, list[str | None]] = {column.source: [] for column in spec.columns}
        self.groups: dict[str, list[bool]] = {name.partition("/")[0]: [] for name in self.raw if "/" in name}
        self.items = {tag: _Items(tag, list_spec) for tag, list_spec in spec.lists.items()}
        # What each attribute and each element means inside an object of this sheet; the schema lets it mean one thing.
        self.names = {f"{{{namespace}}}{element}": element for element in spec.elements}
        self._attributes = {name[1:]: column for name, column in self.raw.items() if name.startswith("@")}
        self._attributes |= {"id": self.key, "action": self.action}
        self._texts = {
            f"{{{namespace}}}{name.rpartition('/')[2]}": column for name, column in self.raw.items() if name[0] != "@"
        }
        self._present = {f"{{{namespace}}}{name}": present for name, present in self.groups.items()}
        self._present |= {f"{{{namespace}}}{tag}": items.present for tag, items in self.items.items()}
        self._items = {f"{{{namespace}}}{name}": (items, name) for items in self.items.values() for name in items.names}

    def _grow(self, n: int, d: int, delta: bool, line: int) -> None:
        self.line.extend(range(line, line + n))
        self.d.extend([d] * n)
        self.delta.extend([delta] * n)
        for column in (self.key, self.action, *self.raw.values()):
            column.extend([None] * n)
        for present in self._present.values():
            present.extend([False] * n)

    def take(self, section: etree._Element, d: int, delta: bool, line: int) -> int:
        """The objects of one section, numbered from `line`; returns the next number. One loop over what it holds."""
        at, objects, texts, found, items = len(self.line) - 1, self.names, self._texts, self._present, self._items
        self._grow(len(section), d, delta, line)
        for element in section.iterdescendants():
            tag = str(element.tag)
            if (column := texts.get(tag)) is not None:
                column[at] = element.text or ""
            elif (name := objects.get(tag)) is not None:
                at += 1
                self.source.append(name)
                self._attributes_of(element, at)
            else:
                if (present := found.get(tag)) is not None:
                    present[at] = True
                if (item := items.get(tag)) is not None:
                    item[0].take(element, item[1], at)
        return line + len(section)

    def _attributes_of(self, element: etree._Element, at: int) -> None:
        for attribute, value in _said(element):
            if (column := self._attributes.get(attribute)) is not None:
                column[at] = value


@dataclass(slots=True)
class Items:
    """The items of one container of all objects, in columns."""

    present: Mask
    parent: Positions
    tag: pa.Array
    values: dict[str, pa.Array]


@dataclass(slots=True)
class Objects:
    """The objects of one sheet in columns, and what was noticed about them: flags, reasons in the contract's order."""

    spec: SheetSpec
    line: Positions
    d: npt.NDArray[np.int32]
    source: pa.Array
    key: pa.Array
    partial: Mask
    raw: dict[str, pa.Array]
    groups: dict[str, Mask]
    items: dict[str, Items]
    flags: Bits = field(init=False)
    missing: list[tuple[Mask, str]] = field(default_factory=list)
    bad: list[tuple[Mask, str]] = field(default_factory=list)
    scientific: Mask = field(init=False)
    _texts: dict[str, pa.Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flags = np.zeros(len(self), np.int64)
        self.scientific = text.scientific(self.key)

    def __len__(self) -> int:
        return len(self.line)

    def present(self, source: str) -> Mask:
        """Which objects say something of this value, were it that it is empty. Parts of a group go with their group."""
        outer, _, inner = source.partition("/")
        return self.groups[outer] if inner else truth(pc.is_valid(self.raw[source]))

    def flag(self, mask: Mask, name: str) -> None:
        if mask.any():
            self.flags |= text.flag(mask, name)

    def note(self, parent: Positions, bits: Bits) -> None:
        """Flags that the items of a container raise for their object."""
        at = np.flatnonzero(bits)
        np.bitwise_or.at(self.flags, parent[at], bits[at])

    def wrong(self, mask: Mask, reason: str) -> None:
        """A value is wrong: the first such call that is true of an object gives its reason, a missing key apart."""
        if mask.any():
            (self.missing if reason == "row.missing_key" else self.bad).append((mask, reason))

    def wrong_item(self, parent: Positions, mask: Mask, reason: str) -> None:
        if mask.any():
            of_object = none(len(self))
            of_object[parent[mask]] = True
            self.wrong(of_object, reason)

    def text(self, source: str) -> pa.Array:
        """The text of one value after N1."""
        if self.raw[source].null_count == len(self):
            return self.raw[source]
        if source not in self._texts:
            self._texts[source], newline = text.n1(self.raw[source])
            self.flag(newline, "newline")
        return self._texts[source]

    def item_text(self, tag: str, name: str) -> pa.Array:
        """The text of one value of the items of a container after N1."""
        items = self.items[tag]
        value, newline = text.n1(items.values[name])
        if newline.any():
            self.note(items.parent, text.flag(newline, "newline"))
        return value

    def reasons(self) -> pa.Array:
        """The reason of each object, in the order of canonical §5; null where nothing is wrong."""
        return frame.first_reason([(self.scientific, "row.scientific_key"), *self.missing, *self.bad], len(self))


def _texts(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _frozen(sheet: _Sheet) -> Objects:
    return Objects(
        spec=sheet.spec,
        line=np.array(sheet.line, np.int64),
        d=np.array(sheet.d, np.int32),
        source=_texts(sheet.source),
        key=text.n1(_texts(sheet.key))[0],
        partial=np.array(sheet.delta, np.bool_) & truth(pc.equal(_texts(sheet.action), "M")),
        raw={name: _texts(column) for name, column in sheet.raw.items()},
        groups={name: np.array(present, np.bool_) for name, present in sheet.groups.items()},
        items={
            tag: Items(
                present=np.array(items.present, np.bool_),
                parent=np.array(items.parent, np.int64),
                tag=_texts(items.tags),
                values={name: _texts(column) for name, column in items.values.items()},
            )
            for tag, items in sheet.items.items()
        },
    )


def key_of(element: etree._Element) -> str:
    """The key of an object: its `id`, which the schema allows to stand between spaces."""
    return (element.get("id") or "").strip(_WHITE)


def is_change(element: etree._Element) -> bool:
    """Action M: what the object does not say is unchanged (meant so in a delta only)."""
    return element.get("action") == "M"


def collect(layout: Layout, documents: Sequence[tuple[etree._Element, bool]]) -> dict[str, Objects]:
    """The objects of documents (tree, whether a delta) by sheet; lines are numbered from 0 in their order."""
    sheets = {name: _Sheet(spec, layout.namespace) for name, spec in layout.sheets.items()}
    placed = {tag: sheet for sheet in sheets.values() for tag in sheet.names}
    line = 0
    for d, (root, delta) in enumerate(documents):
        for section in root:
            if len(section):  # Agence and Totaux hold nothing; no other section may be empty
                line = placed[str(section[0].tag)].take(section, d, delta, line)
    return {name: _frozen(sheet) for name, sheet in sheets.items() if sheet.line}


def serialised(documents: Sequence[etree._Element], wanted: Callable[[int], bool]) -> dict[int, str]:
    """The text of some lines, by line."""
    found: dict[int, str] = {}
    line = 0
    for root in documents:
        for element in objects_of(root):
            if wanted(line):
                found[line] = str(etree.tostring(element, encoding="unicode", with_tail=False))
            line += 1
    return found
