"""Inboxes: what lies in a folder of this machine or in an object store, asked in the same words."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from connectors.base import Delivery
from pipelines.objects import Lying, Objects
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.inbox import Bucket, Place

Found = Path | Lying


class Inbox(Protocol):
    """Names are sorted; one that ends in .tmp is still being uploaded. An inbox that is not there is empty, but one
    that cannot be asked raises TryAgain."""

    def there(self) -> bool: ...

    def folders(self) -> list[str]:
        """Agencies, the portal, strangers."""

    def has(self, folder: str, system: str) -> bool:
        """Whether there is such a folder in a folder."""

    def holds(self, folder: str, system: str) -> bool:
        """Whether something may wait there."""

    def files(self, folder: str, system: str = "") -> Sequence[Found]: ...


class Folder:
    """A folder of this machine. It is looked at anew each time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def there(self) -> bool:
        return self.path.is_dir()

    def folders(self) -> list[str]:
        if not self.there():
            return []
        with os.scandir(self.path) as entries:
            return sorted(e.name for e in entries if e.is_dir())

    def has(self, folder: str, system: str) -> bool:
        return (self.path / folder / system).is_dir()

    def holds(self, folder: str, system: str) -> bool:
        try:
            with os.scandir(self.path / folder / system) as entries:
                return any(not e.name.endswith(".tmp") for e in entries)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False

    def files(self, folder: str, system: str = "") -> list[Path]:
        """Plain files. A link is no delivery: it may lead anywhere, and an erasure would leave what it leads to."""
        place = self.path / folder / system if system else self.path / folder
        try:
            with os.scandir(place) as entries:
                return sorted(
                    Path(e.path) for e in entries if e.is_file(follow_symlinks=False) and not e.name.endswith(".tmp")
                )
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []


def of(home: Home, place: Place | None) -> Inbox | None:
    """The inbox at a place. Nothing is asked yet."""
    match place:
        case None:
            return None
        case Bucket():
            return Objects(place, home.inbox_keys)
        case Path():
            return Folder(place)


# -- deliveries --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Afar(Delivery):
    """A delivery in an object store: no byte of it is here before `at_hand`. `beside`: what comes with it."""

    lying: Lying = field(kw_only=True)
    with_it: tuple[Lying, ...] = field(default=(), kw_only=True)

    @property
    def objects(self) -> tuple[Lying, ...]:
        return (self.lying, *self.with_it)

    def let_go(self) -> None:
        for each in self.objects:
            each.close()


def delivery(
    agency: AgencyCode | None, system: System, found: Found, at: datetime, beside: Mapping[str, Found] | None = None
) -> Delivery:
    """`beside`: files that belong to it, by name, where they cannot be found in its folder."""
    if isinstance(found, Path):
        return Delivery(agency, system, found.name, at, found)
    companions = tuple(b for b in (beside or {}).values() if isinstance(b, Lying))
    return Afar(agency, system, found.name, at, lying=found, with_it=companions)


def is_file(told: Delivery) -> bool:
    """Whether it came as a file; else it is the reading of a source."""
    return told.path is not None or isinstance(told, Afar)


def size_of(told: Delivery) -> int:
    """Bytes; 0 for a source, and for a file that is gone."""
    if isinstance(told, Afar):
        return sum(each.size for each in told.objects)
    try:
        return told.path.stat().st_size if told.path else 0
    except OSError:
        return 0


def changed_at(told: Delivery) -> int | None:
    """When a file was last written or moved, in nanoseconds; None for one that is gone.

    By the change of the inode: a file that is moved in keeps the time at which it was written.
    """
    if isinstance(told, Afar):
        return max(each.changed for each in told.objects)
    try:
        return told.path.stat().st_ctime_ns if told.path else None
    except OSError:
        return None


def at_hand(told: Delivery) -> Delivery:
    """The delivery with bytes that can be opened here. Raises as `Lying.fetch`."""
    if not isinstance(told, Afar):
        return told
    beside = {each.name: each.fetch() for each in told.with_it}
    return Delivery(told.agency, told.system, told.name, told.at, told.lying.fetch(), beside=beside)
