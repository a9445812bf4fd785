"""Deliveries of one agency in an object store: every version, every mark of a deletion, every upload that was never
finished.

Where deliveries lie is as in a folder (`retention.files`). A plain deletion only hides an object of a bucket that keeps
versions: each is named by its version here. A bucket that keeps none calls the only one it has `null`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote_plus

from retention.files import named, portal_day
from schemas.home import PORTAL
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.inbox import Bucket

AT_ONCE = 8


class ObjectStore(Protocol):
    """A bucket, connected. Everything raises one of our ways to say no (`schemas.errors.Say`) when it cannot."""

    @property
    def bucket(self) -> Bucket: ...

    def there(self) -> bool: ...

    def call(self, method: str, **kwargs: Any) -> Mapping[str, Any]:
        """One call of S3's interface about this bucket, by the names of AWS's library for Python."""

    def opened(self, key: str, version: str, size: int) -> AbstractContextManager[BinaryIO]: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A version of an object, the mark of a deletion, or an upload that was never finished. `parts`: its key below the
    inbox, taken apart at the slashes."""

    kind: str
    key: str
    parts: tuple[str, ...]
    version: str
    size: int = 0


VERSION, MARK, UPLOAD = "deliveries", "delete_markers", "unfinished_uploads"


class Emptying:
    """What a bucket keeps, listed once for many agencies; an agency's own folder is listed anew for each."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def remove(self, agency: AgencyCode, portal_before: date | None) -> dict[str, int]:
        """Remove whatever is the agency's. Returns how many of which kind there were."""
        gone = {VERSION: 0, MARK: 0, UPLOAD: 0, "portal_snapshots": 0}
        if not self._store.there():
            return gone
        own = [*kept(self._store, f"{agency}/"), *(k for k in self.everything if agency in _elsewhere(k))]
        for one in self._removed(own):
            gone[one.kind] += 1
        for pair in self.superseded(portal_before).values():
            if agency in self._attached(pair, {agency}):
                gone["portal_snapshots"] += len(list(self._removed(pair)))
        return gone

    def late(self, agencies: Collection[AgencyCode], portal_before: date | None, since: date) -> set[AgencyCode]:
        """Those of these agencies of which something is there."""
        wanted = frozenset(agencies)
        if not wanted or not self._store.there():
            return set()
        found = {AgencyCode(k.parts[0]) for k in self.everything if k.parts[0] in wanted}
        found |= {a for k in self.everything for a in _elsewhere(k) & wanted}
        for pair in self.superseded(portal_before, since).values():
            found |= self._attached(pair, wanted)
        return found

    @cached_property
    def everything(self) -> tuple[Kept, ...]:
        return tuple(kept(self._store, ""))

    def superseded(self, before: date | None, since: date = date.min) -> dict[date, list[Kept]]:
        """Files of the portal's pairs by day, as `retention.files.superseded`."""
        pairs: dict[date, list[Kept]] = {}
        for one in self.everything:
            day = portal_day(one.parts[1]) if len(one.parts) == 2 and one.parts[0] == PORTAL else None
            if day is not None and before is not None and since <= day < before:
                pairs.setdefault(day, []).append(one)
        return pairs

    def _attached(self, pair: Iterable[Kept], agencies: Collection[AgencyCode]) -> set[AgencyCode]:
        """As `retention.files.attached`, of every version."""
        found: set[AgencyCode] = set()
        wanted = {a.encode(): a for a in agencies}
        for one in pair:
            if one.kind == VERSION and one.parts[-1].startswith("PORTAIL_RATTACHEMENTS"):
                with self._store.opened(one.key, one.version, one.size) as file:
                    found |= {wanted[column] for line in file for column in line.split(b";")[1:2] if column in wanted}
        return found

    def _removed(self, those: Iterable[Kept]) -> Iterator[Kept]:
        """Each once it is gone; the first that cannot be removed stops the rest."""
        with ThreadPoolExecutor(AT_ONCE) as hands:
            yield from hands.map(self._remove, dict.fromkeys(those))

    def _remove(self, one: Kept) -> Kept:
        if one.kind == UPLOAD:
            self._store.call("abort_multipart_upload", Key=one.key, UploadId=one.version)
        else:
            self._store.call("delete_object", Key=one.key, VersionId=one.version)
        return one


def kept(store: ObjectStore, below: str) -> Iterator[Kept]:
    """All that a bucket keeps of the keys that begin so, below the inbox."""
    under = store.bucket.key(below)
    for page in _pages(store, "list_object_versions", under, ("KeyMarker", "VersionIdMarker")):
        for kind, listed in ((VERSION, "Versions"), (MARK, "DeleteMarkers")):
            for each in page.get(listed) or ():
                yield _kept(store, kind, each["Key"], str(each["VersionId"]), int(each.get("Size") or 0))
    for page in _pages(store, "list_multipart_uploads", under, ("KeyMarker", "UploadIdMarker"), EncodingType="url"):
        plain: Callable[[str], str] = unquote_plus if page.get("EncodingType") == "url" else str
        for each in page.get("Uploads") or ():
            yield _kept(store, UPLOAD, plain(each["Key"]), str(each["UploadId"]))


def _kept(store: ObjectStore, kind: str, key: str, version: str, size: int = 0) -> Kept:
    return Kept(kind, key, tuple(store.bucket.below(key).split("/")), version, size)


def _pages(
    store: ObjectStore, method: str, under: str, markers: tuple[str, str], **kwargs: str
) -> Iterator[Mapping[str, Any]]:
    more: dict[str, str] = {}
    while True:
        page = store.call(method, Prefix=under, **kwargs, **more)
        yield page
        if not page.get("IsTruncated"):
            return
        more = {m: page[f"Next{m}"] for m in markers if page.get(f"Next{m}")}


def _elsewhere(one: Kept) -> frozenset[AgencyCode]:
    """The agencies after which an object in another's folder is named."""
    match one.parts:
        case (folder, system, name) if folder != PORTAL and system in AGENCY_SYSTEMS:
            return named(name)
        case _:
            return frozenset()
