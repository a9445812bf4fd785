"""SDGI: a ZIP of semicolon CSV files a day, each with the whole portfolio of its agency (working contract SDGI 1.x)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled, digest_of_file
from connectors.sdgi import accounts, contracts, people
from connectors.sdgi.draft import Draft
from connectors.sdgi.layout import Layout
from connectors.sdgi.proof import Proved, name_parts, prove
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
Placed = list[tuple[int, Proved]]
Read = TypeVar("Read")


class Sdgi:
    """The connector of SDGI (`connectors.base.Connector`)."""

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

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        """All lines of all these deliveries. Deliveries of one layout are read together, as one frame a file."""
        heard = _Heard()
        for layout, placed in _by_layout(opened):
            _Reader(layout, placed, _days(opened), recalled, heard).read()
        return Reading(
            system=System.SDGI,
            locus="line",
            deliveries=tuple(one.arrived for one in opened),
            lines=_joined(heard.lines),
            rows={record: _joined(heard.rows.pop(record)) for record in sorted(heard.rows)},
            endings=_joined(heard.endings),
            content=_joined(heard.content),
            # SORTIES.CSV announces; it holds no portfolio, so what it no longer says means nothing.
            snapshot=frozenset(source for source, records in _YIELDS.items() if records),
        )


@dataclass(frozen=True, slots=True)
class _Heard:
    """What has been read so far, a table a file."""

    lines: list[pa.Table] = field(default_factory=lambda: [LINES.empty_table()])
    content: list[pa.Table] = field(default_factory=lambda: [CONTENT.empty_table()])
    endings: list[pa.Table] = field(default_factory=lambda: [ENDINGS.empty_table()])
    rows: dict[str, list[pa.Table]] = field(default_factory=dict)

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
    """Reads the deliveries of one layout, file after file."""

    def __init__(self, layout: Layout, placed: Placed, days: pa.Array, recalled: Recalled, heard: _Heard) -> None:
        self._layout, self._placed, self._days, self._recalled = layout, placed, days, recalled
        self._heard = heard

    def _file(self, name: str, understand: Callable[[Draft], Read]) -> Read:
        first = sum(len(lines) for lines in self._heard.lines)
        draft = Draft(gather(self._layout.files[name], self._placed, first), self._layout, self._days)
        found = understand(draft)
        self._heard.keep(draft)
        return found

    def read(self) -> None:
        """Tenants come before leases, which need to know who has a guarantor."""
        self._file("IMMEUBLES.CSV", contracts.buildings)
        self._file("LOTS.CSV", contracts.lots)
        self._file("COPROPRIETAIRES.CSV", people.co_owners)
        self._file("PROPRIETAIRES.CSV", people.landlords)
        self._file("MANDATS.CSV", contracts.mandates)
        guaranteed = self._file("LOCATAIRES.CSV", people.tenants)
        self._file("BAUX.CSV", partial(contracts.leases, guaranteed=guaranteed))
        self._file(contracts.STAFF, partial(contracts.staff, recalled=self._recalled))
        self._file("SOLDES.CSV", accounts.balances)
        brought = [(d, proved.attachments) for d, proved in self._placed]
        self._file("DOCUMENTS.CSV", partial(accounts.documents, attachments=brought))
        self._heard.endings.append(self._file("SORTIES.CSV", accounts.departures))


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
