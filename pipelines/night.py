"""What one night is, and what is the same for all of it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from connectors.base import Connector, Delivery
from ledger.entry import UNNAMED
from pipelines import inbox, memory, nightly
from pipelines.books import Books
from pipelines.inbox import Inbox
from pipelines.premises import Local, Premises, served
from pipelines.warrants import Warrants
from schemas.admission import Excess
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.inbox import Place
from schemas.report import Report
from store.agency import Shelf
from store.house import House
from store.keys import Root, open_root

# Logs that are written at once.
WRITERS = 8


@dataclass(frozen=True, slots=True)
class Night:
    """What to settle: from which inbox, which systems and agencies (None: all), as if it were `at`.

    `short_cut`: a delivery that is as the last one was may be settled without reading it again (`pipelines.unchanged`),
    but for one reading in `full_reading_days`, which the home's settings say. `processes`: over how many its agencies
    may be dealt (`pipelines.crew`); 0: as many as the home's settings say. `beside`: how many processes settle this
    night, this one included.
    """

    home: Home
    at: datetime
    inbox: Place | None
    systems: tuple[System, ...]
    agencies: tuple[AgencyCode, ...] | None = None
    passphrase: str | None = field(default=None, repr=False)
    memory: int = memory.USUAL
    short_cut: bool = True
    processes: int = 0
    beside: int = 1
    # The inbox itself. One in an object store is listed once a night.
    arrivals: Inbox | None = field(init=False, repr=False, compare=False)
    full_reading_days: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrivals", inbox.of(self.home, self.inbox))
        object.__setattr__(self, "full_reading_days", nightly.full_reading_days(self.home))
        object.__setattr__(self, "processes", self.processes or nightly.processes(self.home))

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process: its inbox is asked anew there."""
        told = self.home, self.at, self.inbox, self.systems, self.agencies, self.passphrase, self.memory
        return Night, (*told, self.short_cut, self.processes, self.beside)

    @property
    def slice_lines(self) -> int:
        """Lines of a slice: a line is about 32 KiB of work at the most, all its rows and their ciphertexts included."""
        return max(1, self.memory // 32_768)


class Desk(Protocol):
    """Who wants to know how the night goes. Counts, codes and names of deliveries only."""

    def settled(self, report: Report) -> None: ...

    def checked(
        self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]
    ) -> None: ...


@dataclass(slots=True)
class Room:
    """What settling needs and does not change while one system is settled."""

    night: Night
    house: House
    connector: Connector
    premises: Premises
    run: str
    warrants: Warrants
    books: Books

    def note(self, reports: Sequence[Report]) -> None:
        """Into the journal, all of them in one transaction."""
        self.house.journal_add([self._kept(r) for r in reports], self.night.at, self.run)

    def make_up(self, shelf: Shelf) -> None:
        """For what a crash between shelf, journal and log left out."""
        due = self.books.due(shelf)
        if due and shelf.agency is not None:
            self.house.journal_make_up(shelf.agency, due)
            self.books.receipts(shelf, self.night.at, self.premises.policy(self.night.at))

    def receipt(self, kept: Sequence[tuple[Shelf, Report, Excess]]) -> list[Exception | None]:
        """Receipts of what was kept, some agencies at once: most of it is waiting for the disk. What went wrong, or
        None, one by one."""
        at, policy = self.night.at, self.premises.policy(self.night.at)

        def one(each: tuple[Shelf, Report, Excess]) -> None:
            shelf, report, excess = each
            self.books.receipts(shelf, at, policy)
            self.books.excess(report, excess, at)

        return at_once(one, kept)

    def _kept(self, report: Report) -> Report:
        """A name that breaks the contract may be a person's and is not kept."""
        told = Delivery(report.agency, self.connector.system, report.delivery, self.night.at)
        return report if self.connector.named(told) else replace(report, delivery=UNNAMED)


def at_once(one: Callable[[Any], None], every: Sequence[Any]) -> list[Exception | None]:
    """Do the same for each agency, some at once; what went wrong, or None, one by one: nobody stops the others."""

    def tried(each: Any) -> Exception | None:
        try:
            one(each)
        except Exception as no:  # noqa: BLE001 — told, and raised by whoever asked
            return no
        return None

    if len(every) < 2:
        return [tried(each) for each in every]
    with ThreadPoolExecutor(min(WRITERS, len(every))) as writers:
        return list(writers.map(tried, every))


@cache
def code_version() -> str:
    try:
        return version("depositaire")
    except PackageNotFoundError:
        return "0"


def premises_for(night: Night, run: str) -> Premises:
    """The home's keys and logs: on this machine, or on the one that serves them."""
    return served(night.home) or Local(night.home, root_of(night, run))


# The root key of the run that this process is at: stretching a passphrase takes seconds.
_ROOT: dict[tuple[Path, str, bytes], Root] = {}


def root_of(night: Night, run: str) -> Root:
    """The root key, opened once a run; anew when its file or the passphrase is another one."""
    home = night.home
    said = home.root_key.read_bytes() if home.root_key.exists() else b""
    known = (home.root_key, run, hashlib.sha256(said + b"\0" + (night.passphrase or "").encode()).digest())
    found = _ROOT.get(known)
    if found is None:
        found = open_root(home, night.passphrase)
        _ROOT.clear()
        _ROOT[known] = found
    return found
