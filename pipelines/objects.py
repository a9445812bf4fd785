"""An inbox in an object store (S3's interface, by fsspec): listed as a whole, fetched object by object.

The bytes of a delivery never touch a disk here: they go into an anonymous file in memory that ends with this process,
however it ends. An object is fetched on the condition that it is still the one that was listed (If-Match); what its
ETag may say of its content is not believed, the connectors hash what they read.

How the store is reached: `KEYS/inbox.json`, closed to others, or else what AWS's own programmes would use (environment,
profile, role). No error of this module repeats what a server or a library said.
"""

import fcntl
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from schemas.errors import DeliveryRefused, Malformed, Refused, TryAgain
from schemas.home import PORTAL
from schemas.inbox import Bucket

CONNECT_SECONDS, SILENT_SECONDS = 10, 60
# Fetched at once; tried again after a connection that was lost; never more than this of one object.
AT_ONCE, ATTEMPTS, LARGEST = 8, 3, 2**30
# After so many fetches in a row that no server answered, nobody is asked for a while: the others would all wait.
FAILURES, REST_SECONDS = 3, 30.0
_CHUNK = 2**20
_FIELDS = frozenset({"endpoint", "region", "key", "secret", "token"})
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"})
_FORBIDDEN = frozenset(
    {
        "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId",
        "InvalidSecurity", "InvalidToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "403",
    }
)  # fmt: skip


class NotAllowed(TryAgain):
    """The object store does not let this account do it."""


class NoBucket(Malformed):
    """There is no such bucket."""


class Changed(TryAgain):
    """The object is not there any more as it was listed."""


class Unanswered(TryAgain):
    """Nobody answered, or not as an object store does."""


# -- how it is reached -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """What `KEYS/inbox.json` says; all of it None where there is no such file. Never printed."""

    endpoint: str | None = None
    region: str | None = None
    key: str | None = None
    secret: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return "Access(…)"

    @classmethod
    def read(cls, path: Path) -> "Access":
        """Raises Refused when others may read the file, Malformed when it is not what it should be."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return cls()
        with open(handle, "rb") as file:  # noqa: PTH123 - a handle
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise Refused(f"{path.name} is open to others", "Close it: chmod 600.")
            return cls._parsed(file.read(), path.name)

    @classmethod
    def _parsed(cls, raw: bytes, name: str) -> "Access":
        try:
            said = json.loads(raw)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not said.keys() <= _FIELDS or {type(v) for v in said.values()} - {str}:
            raise Malformed(f"{name} is not as it should be", f"JSON, texts for any of {', '.join(sorted(_FIELDS))}.")
        if ("key" in said) != ("secret" in said):
            raise Malformed(f"{name} has only one of key and secret", "Give both, or neither.")
        if re.fullmatch(r"https?://[^@/?#]+/?", said.get("endpoint", "https://none")) is None:
            raise Malformed(f"{name}: the endpoint is no address", "Write https://host or https://host:port.")
        return cls(**said)


# -- the store ---------------------------------------------------------------------------------------------------------


class Lying:
    """One object as it was listed, and its bytes once they were asked for. `changed`: nanoseconds, by the store's
    clock."""

    __slots__ = ("_failure", "_handle", "_objects", "changed", "etag", "key", "name", "size")

    def __init__(self, objects: "Objects", key: str, size: int, etag: str, changed: int) -> None:
        self._objects, self._handle = objects, -1
        self._failure: TryAgain | None = None
        self.key, self.name, self.size, self.etag, self.changed = key, key.rpartition("/")[2], size, etag, changed

    def fetch(self) -> Path:
        """Where the bytes can be opened, as often as wanted, until `close`; what was in the way is so until then too.
        Raises TryAgain, DeliveryRefused."""
        if self._failure is not None:
            raise self._failure
        if self._handle < 0:
            if self.size > LARGEST:
                raise DeliveryRefused("delivery.too_large", hint="Ask the agency what it sent.")
            try:
                self._handle = self._objects.fetched(self.key, self.size, self.etag)
            except TryAgain as no:
                self._failure = no
                raise
        return Path(f"/proc/{os.getpid()}/fd/{self._handle}")

    def close(self) -> None:
        """The memory is free. What is asked for again is fetched again."""
        self._failure = None
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


# Objects by folder and then by folder below; those of the portal lie in the first.
_Listing = Mapping[str, Mapping[str, list[Lying]]]


class Objects:
    """A prefix of a bucket as an inbox (`pipelines.inbox.Inbox`). Listed once, when first looked at."""

    def __init__(self, bucket: Bucket, keys: Path) -> None:
        self.bucket, self._keys = bucket, keys
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._files: Any = None
        self._listing: _Listing | None = None
        self._there = True
        self._failed, self._rests_until = 0, 0.0

    def __getstate__(self) -> tuple[Bucket, Path]:
        """Another process connects by itself."""
        return self.bucket, self._keys

    def __setstate__(self, state: tuple[Bucket, Path]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Objects({self.bucket})"

    # what an inbox is asked

    def there(self) -> bool:
        """Whether there is such a bucket. Raises TryAgain when that cannot be told."""
        if self._listing is None:
            try:
                self.call("list_objects_v2", Prefix=self.bucket.key(""), MaxKeys=1)
            except NoBucket:
                return False
        return self._there

    def folders(self) -> list[str]:
        return sorted(self._listed())

    def holds(self, folder: str, system: str) -> bool:
        return bool(self.files(folder, system))

    def has(self, folder: str, system: str) -> bool:
        return system in self._listed().get(folder, {})

    def files(self, folder: str, system: str = "") -> list[Lying]:
        found = self._listed().get(folder, {}).get(system, ())
        return sorted((o for o in found if not o.name.endswith(".tmp")), key=lambda o: o.name)

    def _listed(self) -> _Listing:
        if self._listing is None:
            listing: dict[str, dict[str, list[Lying]]] = {}
            try:
                for one in self._pages("list_objects_v2", "Contents", "ContinuationToken", "NextContinuationToken"):
                    self._sort_in(listing, one)
            except NoBucket:
                self._there = False
            self._listing = listing
        return self._listing

    def _sort_in(self, listing: dict[str, dict[str, list[Lying]]], one: Mapping[str, Any]) -> None:
        """`<folder>/<system>/<name>`, and `_portal/<name>`. What lies elsewhere is no delivery."""
        parts = self.bucket.below(one["Key"]).split("/")
        if len(parts) == 2 and parts[0] == PORTAL:
            parts.insert(1, "")
        if len(parts) < 2:
            return
        systems = listing.setdefault(parts[0], {})
        if len(parts) == 3:
            found = systems.setdefault(parts[1], [])
            if parts[2]:  # a key that ends in / is how some programmes make a folder
                changed = int(one["LastModified"].timestamp() * 1e9)
                found.append(Lying(self, one["Key"], int(one["Size"]), one["ETag"], changed))

    def _pages(self, method: str, what: str, ask: str, told: str) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self.call(method, Prefix=self.bucket.key(""), **more)
            yield from page.get(what, ())
            if not page.get("IsTruncated"):
                return
            more = {ask: page[told]}

    # what the store is asked

    def call(self, method: str, **kwargs: Any) -> Mapping[str, Any]:
        """One call about this bucket. Raises NotAllowed, NoBucket, Changed, Unanswered: never what was said."""
        failure: Exception
        try:
            answer: Mapping[str, Any] = self._connected().call_s3(method, Bucket=self.bucket.name, **kwargs)
        except (Malformed, Refused):  # of KEYS/inbox.json
            raise
        except Exception as no:  # noqa: BLE001 - several libraries, each with errors of its own
            failure = _plain(no)
        else:
            return answer
        raise failure

    def fetched(self, key: str, size: int, etag: str = "", version: str = "") -> int:
        """A handle of a sealed file in memory with the bytes of one object. Raises as `call`; Changed when it is not
        the one that was listed."""
        if time.monotonic() < self._rests_until:
            raise Unanswered("the object store did not answer a moment ago", "It is asked again later.")
        kwargs = {"Key": key} | ({"IfMatch": etag} if etag else {}) | ({"VersionId": version} if version else {})
        handle = os.memfd_create("delivery", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            self._fill(handle, size, kwargs)
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def opened(self, key: str, version: str, size: int) -> BinaryIO:
        """One version of an object, to be read."""
        handle = self.fetched(key, size, version=version)
        os.lseek(handle, 0, os.SEEK_SET)
        return open(handle, "rb")  # noqa: PTH123 - a handle

    def _fill(self, handle: int, size: int, kwargs: Mapping[str, str]) -> None:
        for attempt in range(ATTEMPTS):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            try:
                self._poured(handle, size, kwargs)
            except Unanswered:
                if attempt + 1 == ATTEMPTS:
                    self._tired()
                    raise
                time.sleep(0.2 * 4**attempt)
            else:
                self._failed = 0
                return

    def _poured(self, handle: int, size: int, kwargs: Mapping[str, str]) -> None:
        from fsspec.asyn import sync

        answer = self.call("get_object", **kwargs)
        body, loop, failure, left = answer["Body"], self._connected().loop, None, size
        try:
            while left >= 0 and (chunk := sync(loop, body.read, _CHUNK, timeout=SILENT_SECONDS)):
                left -= len(chunk)
                _written(handle, chunk)
        except Exception as no:  # noqa: BLE001 - as in `call`
            failure = _plain(no)
        finally:
            loop.call_soon_threadsafe(body.close)
        if failure is not None or left > 0:
            raise failure or Unanswered("the object store stopped in mid-object", "It is asked again later.")
        if left < 0:
            raise Changed("an object is longer than it was listed", "The next night takes it.")

    def _tired(self) -> None:
        self._failed += 1
        if self._failed >= FAILURES:
            self._failed, self._rests_until = 0, time.monotonic() + REST_SECONDS

    def _connected(self) -> Any:
        with self._lock:
            if self._files is None:
                self._files = _connection(Access.read(self._keys))
            return self._files


def _connection(access: Access) -> Any:
    import s3fs

    told = {"endpoint_url": access.endpoint, "region_name": access.region}
    files = s3fs.S3FileSystem(
        key=access.key,
        secret=access.secret,
        token=access.token,
        client_kwargs={name: text for name, text in told.items() if text},
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SILENT_SECONDS,
            "retries": {"max_attempts": ATTEMPTS, "mode": "standard"},
            "max_pool_connections": 2 * AT_ONCE,
            # Checksums beyond those of the protocol: other makers' servers do not know them.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    files.retries = 1  # the library below tries again by itself
    return files


def _written(handle: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _plain(error: BaseException) -> Exception:
    """An error of ours instead of one that may quote an address, a key or an answer."""
    code = next((c for e in (error, error.__cause__) if (c := _code(e)) is not None), "")
    if code == "NoSuchBucket":
        return NoBucket("there is no such bucket", "Check the address, and the endpoint of the object store.")
    if code in _GONE or isinstance(error, FileNotFoundError):
        return Changed("an object is not there any more as it was listed", "The next night takes it.")
    if code in _FORBIDDEN or isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        return NotAllowed("the object store does not let this account in", "Check KEYS/inbox.json and the rights.")
    return Unanswered("the object store does not answer", "Check server, network and endpoint; try again later.")


def _code(error: BaseException | None) -> str | None:
    told = getattr(error, "response", None)
    if not isinstance(told, Mapping):
        return None
    said = told.get("Error")
    return str(said.get("Code")) if isinstance(said, Mapping) else None
