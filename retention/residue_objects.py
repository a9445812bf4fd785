"""The search of an inbox in an object store: names of every version, mark of a deletion and unfinished upload. It lists
by itself, and shares no code with what removed.

The positive control is planted in the same bucket, in a folder of its own: an object, an upload that was never
finished, and in a bucket that keeps versions an object that was deleted, of which a version and a mark are left.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote_plus

from schemas.ids import AgencyCode
from schemas.inbox import Bucket

PLACE = "object names"
_CONTROL_FOLDER = "_depositaire-control"
_DEPTH = 3  # as deep as deliveries lie


class Store(Protocol):
    """A bucket, connected: one call of S3's interface by name. Raises `schemas.errors.Say` when it cannot."""

    @property
    def bucket(self) -> Bucket: ...

    def there(self) -> bool: ...

    def call(self, method: str, **kwargs: Any) -> Mapping[str, Any]: ...


Named = Callable[[str, frozenset[AgencyCode]], set[AgencyCode]]
Found = tuple[int, dict[AgencyCode, int], int, int]


def search(stores: tuple[Store, ...], codes: frozenset[AgencyCode], control: AgencyCode, named: Named) -> Found:
    """How many things were looked at, how many named each agency, how many were planted, how many of those were
    found."""
    looked_at, planted, planted_found = 0, 0, 0
    hits: dict[AgencyCode, int] = {}
    for store in stores:
        if not store.there():
            continue
        try:
            planted += _plant(store, control)
            told = _look(store, f"{_CONTROL_FOLDER}/", frozenset({control}), named)[1]
            planted_found += told.get(control, 0)
        finally:
            _clear(store)
        n, found = _look(store, "", codes, named)
        looked_at += n
        for code, m in found.items():
            hits[code] = hits.get(code, 0) + m
    return looked_at, hits, planted, planted_found


def _look(store: Store, below: str, codes: frozenset[AgencyCode], named: Named) -> tuple[int, dict[AgencyCode, int]]:
    looked_at = 0
    hits: dict[AgencyCode, int] = {}
    start = len(store.bucket.key(below))
    for _, key, _ in _everything(store, below):
        looked_at += 1
        for code in named("/" + "/".join(key[start:].split("/")[:_DEPTH]), codes):
            hits[code] = hits.get(code, 0) + 1
    return looked_at, hits


def _everything(store: Store, below: str) -> Iterator[tuple[str, str, str]]:
    """What kind of thing, its key, and its version or the number of the upload."""
    place = {"Prefix": store.bucket.key(below)}
    at: dict[str, str] = {}
    while True:
        page = store.call("list_object_versions", **place, **at)
        for each in (page.get("Versions") or []) + (page.get("DeleteMarkers") or []):
            yield "version", each["Key"], each["VersionId"]
        if not page.get("IsTruncated"):
            break
        at = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker") or ""}
    at = {}
    while True:
        page = store.call("list_multipart_uploads", **place, **at, EncodingType="url")
        for each in page.get("Uploads") or []:
            encoded = page.get("EncodingType") == "url"
            yield "upload", unquote_plus(each["Key"]) if encoded else each["Key"], each["UploadId"]
        if not page.get("IsTruncated"):
            return
        at = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


# -- the positive control ----------------------------------------------------------------------------------------------


def _plant(store: Store, control: AgencyCode) -> int:
    """Returns how many things can be found of what was planted."""

    def key(below: str) -> str:
        return store.bucket.key(f"{_CONTROL_FOLDER}/{below}")

    _clear(store)  # what a search that was killed left
    keeps = store.call("get_bucket_versioning").get("Status") == "Enabled"
    store.call("put_object", Key=key(f"{control}/sdgi/SDGI_{control}_20260105_0210.zip"), Body=b"")
    store.call("create_multipart_upload", Key=key(f"A0001/login/LOGIN-{control}-20260105T021000Z.xml.gz"))
    if keeps:  # else a deletion leaves nothing, or (versions suspended) what depends on the maker of the server
        store.call("put_object", Key=key(f"A0001/gpi/GPI{control}.000001"), Body=b"")
        store.call("delete_object", Key=key(f"A0001/gpi/GPI{control}.000001"))
    return 4 if keeps else 2


def _clear(store: Store) -> None:
    for kind, key, number in list(_everything(store, f"{_CONTROL_FOLDER}/")):
        if kind == "upload":
            store.call("abort_multipart_upload", Key=key, UploadId=number)
        else:
            store.call("delete_object", Key=key, VersionId=number)
