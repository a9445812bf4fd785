"""What every connector is: it proves that a delivery is whole, then hears what it says. It knows no store and no
clock.

Two steps, so that many agencies are read as one frame: `open` takes one delivery and proves it complete or refuses it
with a reason code of its contract; `read` takes any number of opened deliveries and normalises them together, by
column.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from schemas.capability import Act, Capability
from schemas.frames import Arrived, Reading
from schemas.ids import AgencyCode, System


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to read: a file of the inbox, or (SpiLaSuite) a source to connect to.

    `at` is the instant of processing; `source` an ODBC connection string (a secret: never log or raise it). `beside`:
    files that belong to it, by name; None when they lie in its folder.
    """

    agency: AgencyCode | None
    system: System
    name: str
    at: datetime
    path: Path | None = None
    source: str | None = field(default=None, repr=False)
    beside: Mapping[str, Path] | None = field(default=None, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Permitted(Delivery):
    """A delivery that may be read: the only thing that `Connector.open` takes.

    Raises Refused when the capability is not to synchronise this system for this agency (or to inspect a file, of which
    nothing is kept), or not at this instant. `now`: the clock, where it has moved on since `at`.
    """

    under: Capability = field(kw_only=True)
    now: InitVar[datetime | None] = field(default=None, kw_only=True)

    def __post_init__(self, now: datetime | None) -> None:
        self.under.demand_at(self.at if now is None else now)
        if self.under.act is not Act.INSPECT:
            self.under.demand(Act.SYNCHRONISE, self.agency, self.system)

    @classmethod
    def of(
        cls, delivery: Delivery, under: Capability, source: str | None = None, now: datetime | None = None
    ) -> "Permitted":
        d = delivery
        told = source or d.source
        return cls(d.agency, d.system, d.name, d.at, d.path, told, beside=d.beside, under=under, now=now)


@dataclass(frozen=True, slots=True)
class Known:
    """What must be known to prove a delivery: the agency's SIRET in the register and the flow's cursor (None: none
    yet).

    `settled`: told what arrived, with its likeness, whether the outcome is known without reading on (docs/decisions,
    0018). A connector asks once its own proofs of the new bytes are made, all but those that bytes of the same likeness
    passed before.
    """

    siret: str | None = None
    cursor: str | None = None
    settled: Callable[[Arrived], bool] | None = field(default=None, repr=False)

    def knows(self, arrived: Arrived) -> bool:
        return self.settled is not None and arrived.likeness is not None and self.settled(arrived)


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery proved complete. `raw` is the connector's own; nobody else looks into it.

    `known`: its outcome is known (`Known.settled`). There is nothing to read then, and the flags of what arrived are
    those of the last time.
    """

    arrived: Arrived
    raw: Any = field(repr=False)
    known: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """Held rows that a connector needs to understand a delivery: the rows owned by these source lines.

    `keys` maps a source table to line keys, for the delivery at position `d` of the batch.
    """

    d: int
    keys: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer: one table a record with columns d, source (source table), owner (line key), source_key and the
    record's fields.

    Only rows that their line still owns; rows of a line that has ended are there too (a change brings them back). A
    record of which nothing was found is absent.
    """

    rows: Mapping[str, pa.Table] = field(default_factory=dict)


class Connector(Protocol):
    """One system. `yields`: which records each of its source tables can yield (memories included, ends excluded)."""

    @property
    def system(self) -> System: ...

    @property
    def yields(self) -> Mapping[str, frozenset[str]]: ...

    def day_of(self, delivery: Delivery) -> date | None:
        """The day of delivery (contracts README, "Gate"); None when it cannot be told because the name is wrong."""

    def named(self, delivery: Delivery) -> bool:
        """Whether the name fits the pattern of the contract (else `delivery.name`)."""

    def fingerprint(self, delivery: Delivery) -> str | None:
        """SHA-256 of what arrived, before anything of it is believed; None where there is no file (SpiLaSuite)."""

    def open(self, delivery: Permitted, known: Known) -> Opened:
        """Prove completeness, under a capability. Raises `schemas.errors.DeliveryRefused` with the first failing reason
        of the contract's table."""

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:
        """What of the store `read` needs; usually nothing."""

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        """All lines of all these deliveries, normalised. Never raises for a bad line: it is quarantined."""

    @property
    def a_byte(self) -> int:
        """About how many bytes of memory each byte of a file takes, as far as can be told before it may be opened."""

    def weight(self, delivery: Delivery) -> int:
        """About how many bytes of memory reading, checking and keeping it at once takes; 0 when nobody can tell. Asked
        of a delivery that was opened: it may look inside."""

    def slices(self, opened: Opened, recalled: Recalled, lines: int) -> Iterator[Reading]:
        """The same as `read` of one delivery, at most so many lines at a time and in the same order; in each, lines are
        numbered 0, 1, 2 …, and a line and all its rows are in one. What was opened may be used up."""


def digest_of_file(delivery: Delivery) -> str | None:
    """The SHA-256 of a delivery that is one file."""
    if delivery.path is None:
        return None
    with delivery.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(system: System) -> Connector:
    """The connector of a system; imported when asked for, since some bring heavy libraries."""
    loaders: dict[System, Callable[[], Connector]] = {
        System.SDGI: _sdgi, System.GPI: _gpi, System.LOGIN: _login,
        System.SPILASUITE: _spilasuite, System.PORTAL: _portal,
    }  # fmt: skip
    return loaders[system]()


def _sdgi() -> Connector:
    from connectors.sdgi import Sdgi

    return Sdgi()


def _gpi() -> Connector:
    from connectors.gpi import Gpi

    return Gpi()


def _login() -> Connector:
    from connectors.login import Login

    return Login()


def _spilasuite() -> Connector:
    from connectors.spilasuite import Spilasuite

    return Spilasuite()


def _portal() -> Connector:
    from connectors.portal import Portal

    return Portal()
