"""SDGI: a ZIP of semicolon CSV files a day, each with the whole portfolio of its agency (working contract SDGI 1.x)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled, digest_of_file
from connectors.sdgi import accounts, contracts, people
from connectors.sdgi.archive import unfolded
from connectors.sdgi.draft import Before, Draft
from connectors.sdgi.layout import Layout
from connectors.sdgi.proof import Proved, Sent, name_parts, prove
from connectors.sdgi.sheet import gather
from schemas.frames import CONTENT, ENDINGS, LINES, Reading
from schemas.ids import System

_PERSON = ("person", "contact", "person_link")
_YIELDS = {
    "IMMEUBLES.CSV": ("building",),
    "LOTS.CSV": ("lot", "lot_share"),
    "COPROPRIETAIRES.CSV": (*_PERSON, "co_ownership", "council_membership", "bank_detail"),
    "PROPRIETAIRES.CSV": (*_PERSON, "bank_detail"),
    "MANDATS.CSV": ("mandate", "mandate_lot"),
    "LOCATAIRES.CSV": _PERSON,
    "BAUX.CSV": ("lease", "lease_party"),
    "GESTIONNAIRES.CSV": ("staff",),
    "SOLDES.CSV": ("account",),
    "DOCUMENTS.CSV": ("document",),
    "SORTIES.CSV": (),
}
# Bytes of memory for each byte that an archive unfolds to, which is eight times its size or so.
_UNFOLDED_BYTE = 20
Placed = list[tuple[int, Proved]]
Read = TypeVar("Read")


class Sdgi:
    """The connector of SDGI (`connectors.base.Connector`)."""

    a_byte = 8 * _UNFOLDED_BYTE

    @property
    def system(self) -> System:
        return System.SDGI

    @property
    def yields(self) -> Mapping[str, frozenset[str]]:
        return {source: frozenset(records) for source, records in _YIELDS.items()}

    def day_of(self, delivery: Delivery) -> date | None:
        """The day of delivery is the date in the name (contracts README, "Gate")."""
        named = name_parts(delivery.name)
        return named[1] if named else None

    def named(self, delivery: Delivery) -> bool:
        return name_parts(delivery.name) is not None

    def fingerprint(self, delivery: Delivery) -> str | None:
        return digest_of_file(delivery)

    def open(self, delivery: Permitted, known: Known) -> Opened:
        """Prove that the delivery is whole, or raise DeliveryRefused with the first failing code of the contract."""
        return prove(delivery, known)

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:
        """The held rows of staff that are no longer active: the day since when is nowhere but in the store."""
        asked = []
        for layout, placed in _by_layout(opened):
            sheet = gather(layout.files[contracts.STAFF], placed, 0, only=("code", "active"))
            draft = Draft(sheet, layout, _days(opened))
            key, left = contracts.inactive(draft)
            gone = pa.table({"d": pa.array(draft.d), "key": key}).filter(pc.fill_null(left, False))
            for d in pc.unique(gone.column("d")).to_pylist():
                keys = gone.filter(pc.equal(gone.column("d"), d)).column("key").to_pylist()
                asked.append(Asked(d, {contracts.STAFF: keys}))
        return asked

    def weight(self, delivery: Delivery) -> int:
        """Some twenty bytes of memory for each byte that the archive unfolds to."""
        return _UNFOLDED_BYTE * unfolded(delivery.path) if delivery.path is not None else 0

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        """All lines of all these deliveries. Deliveries of one layout are read together, as one frame a file."""
        heard = _Heard()
        for layout, placed in _by_layout(opened):
            for _ in _Reader(layout, placed, _days(opened), recalled, heard).read():
                pass
        return heard.said(opened)

    def slices(self, opened: Opened, recalled: Recalled, lines: int) -> Iterator[Reading]:
        """File after file, each in slices. A file is let go of once it is read."""
        heard, days = _Heard(), _days([opened])
        for layout, placed in _by_layout([opened]):
            for _ in _Reader(layout, placed, days, recalled, heard, lines).read():
                yield heard.said([opened])
                heard.forget()


@dataclass(frozen=True, slots=True)
class _Heard:
    """What has been read so far, a table a file."""

    lines: list[pa.Table] = field(default_factory=lambda: [LINES.empty_table()])
    content: list[pa.Table] = field(default_factory=lambda: [CONTENT.empty_table()])
    endings: list[pa.Table] = field(default_factory=lambda: [ENDINGS.empty_table()])
    rows: dict[str, list[pa.Table]] = field(default_factory=dict)

    def said(self, opened: Sequence[Opened]) -> Reading:
        return Reading(
            system=System.SDGI,
            locus="line",
            deliveries=tuple(one.arrived for one in opened),
            lines=_joined(self.lines),
            rows={record: _joined(self.rows.pop(record)) for record in sorted(self.rows)},
            endings=_joined(self.endings),
            content=_joined(self.content),
            # SORTIES.CSV announces; it holds no portfolio, so what it no longer says means nothing.
            snapshot=frozenset(source for source, records in _YIELDS.items() if records),
        )

    def forget(self) -> None:
        """Of each, the empty table stays."""
        for tables in (self.lines, self.content, self.endings):
            del tables[1:]
        self.rows.clear()

    def keep(self, draft: Draft) -> None:
        """The draft itself, with the columns of the file, is let go before the next file is read."""
        lines = draft.lines()
        self.lines.append(lines)
        self.content.append(draft.content(lines))
        for record, tables in draft.rows.items():
            filled = [table for table in tables if len(table)]
            if filled:
                self.rows.setdefault(record, []).extend(filled)


class _Reader:
    """Reads the deliveries of one layout, file after file, or one delivery in slices of so many lines."""

    def __init__(
        self,
        layout: Layout,
        placed: Placed,
        days: pa.Array,
        recalled: Recalled,
        heard: _Heard,
        lines: int | None = None,
    ) -> None:
        self._layout, self._placed, self._days, self._recalled = layout, placed, days, recalled
        self._heard, self._lines = heard, lines

    def _file(self, name: str, understand: Callable[[Draft], Read]) -> Iterator[Read]:
        """What is understood of a file, once for each of its slices."""
        if self._lines is None:
            first = sum(len(lines) for lines in self._heard.lines)
            draft = Draft(gather(self._layout.files[name], self._placed, first), self._layout, self._days)
            found = understand(draft)
            self._heard.keep(draft)
            yield found
            return
        ((d, proved),) = self._placed
        sent = proved.files[name]
        before = Before(sent.records)
        for first in range(0, max(len(sent.records), 1), self._lines):
            some = Sent(sent.header, sent.records.window(first, first + self._lines))
            slice_of = Proved(proved.layout, {name: some}, proved.attachments)
            sheet = replace(gather(self._layout.files[name], [(d, slice_of)], 0), first=first)
            draft = Draft(sheet, self._layout, self._days, before)
            found = understand(draft)
            self._heard.keep(draft)
            del draft, sheet
            yield found

    def read(self) -> Iterator[None]:
        """Stops after each slice. Tenants come before leases, which need to know who has a guarantor."""
        guaranteed: list[pa.Array] = []
        brought = [(d, proved.attachments) for d, proved in self._placed]
        understand: list[tuple[str, Callable[[Draft], object]]] = [
            ("IMMEUBLES.CSV", contracts.buildings),
            ("LOTS.CSV", contracts.lots),
            ("COPROPRIETAIRES.CSV", people.co_owners),
            ("PROPRIETAIRES.CSV", people.landlords),
            ("MANDATS.CSV", contracts.mandates),
            ("LOCATAIRES.CSV", lambda draft: guaranteed.append(people.tenants(draft))),
            ("BAUX.CSV", lambda draft: contracts.leases(draft, guaranteed=pa.concat_arrays(guaranteed))),
            (contracts.STAFF, partial(contracts.staff, recalled=self._recalled)),
            ("SOLDES.CSV", accounts.balances),
            ("DOCUMENTS.CSV", partial(accounts.documents, attachments=brought)),
            ("SORTIES.CSV", lambda draft: self._heard.endings.append(accounts.departures(draft))),
        ]
        for name, understood in understand:
            for _ in self._file(name, understood):
                yield
            if self._lines is not None:
                for _, proved in self._placed:
                    proved.let_go(name)


def _by_layout(opened: Sequence[Opened]) -> list[tuple[Layout, Placed]]:
    """Deliveries with their position in the batch, by the layout that reads them."""
    groups: dict[str, tuple[Layout, Placed]] = {}
    for d, one in enumerate(opened):
        proved: Proved = one.raw
        groups.setdefault(proved.layout.name, (proved.layout, []))[1].append((d, proved))
    return list(groups.values())


def _days(opened: Sequence[Opened]) -> pa.Array:
    return pa.array([one.arrived.day for one in opened], pa.date32())


def _joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()
