"""The ZIP of a delivery, opened as if hostile: names, declared and real sizes, checksums (sdgi.md "Refusals")."""

import copy
import errno
import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from connectors.sdgi.layout import Limits
from schemas.errors import DeliveryRefused

CONTROL = "CONTROLE.TXT"
_ATTACHED = "PJ/"
_SAFE = re.compile(r"CONTROLE\.TXT|[A-Z]+\.CSV|PJ/[^/\x00-\x1f]+")
_CHUNK = 1 << 18
_BROKEN = (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The bytes of each required member, and the SHA-256 of each attachment (by its name without `PJ/`)."""

    members: Mapping[str, bytes]
    attachments: Mapping[str, str]


def unpack(source: BinaryIO, required: Sequence[str], limits: Limits) -> Unpacked:
    """Read an archive of which nothing is believed. Raises DeliveryRefused with the first failing code of the table.

    1. `sdgi.zip_unreadable`: it is no ZIP or has no central directory;
    2. `sdgi.unsafe_member`: a name that could lead out of the archive, or that the contract does not know;
    3. `sdgi.zip_bomb`: it declares more than it may unfold to;
    4. `sdgi.member_missing`: a required member is absent, or two members have one name;
    5. `sdgi.zip_unreadable`: a required member cannot be read whole (`sdgi.zip_bomb` when it gives more than allowed).
    """
    with _opened(source) as archive:
        members = archive.infolist()
        _refuse_unsafe(members)
        _refuse_bombs(members, limits)
        by_name = _by_name(members, required)
        budget = _Budget(limits)
        read = {name: _whole(archive, by_name[name], budget) for name in required}
        attached = [member for name, member in by_name.items() if name.startswith(_ATTACHED)]
        return Unpacked(read, dict(_digests(archive, attached, budget)))


def unfolded(path: Path) -> int:
    """The bytes that an archive says it unfolds to, before anything of it is believed; 0 when it says nothing."""
    try:
        with ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (*_BROKEN, OSError):
        return 0


def _opened(source: BinaryIO) -> ZipFile:
    try:
        return ZipFile(source)
    except _BROKEN:
        raise DeliveryRefused("sdgi.zip_unreadable", hint="Ask the agency to send the archive again.") from None
    except OSError as problem:
        # An offset before the start of the file: the directory lies. Any other failure is the disk's, not the sender's.
        if problem.errno != errno.EINVAL:
            raise
        raise DeliveryRefused("sdgi.zip_unreadable", hint="Ask the agency to send the archive again.") from None


def _refuse_unsafe(members: Sequence[ZipInfo]) -> None:
    # The name as it stands in the archive: `filename` is cut at a NUL.
    for position, member in enumerate(members, 1):
        name = member.orig_filename
        if ".." in name or ":" in name or "\\" in name or not _SAFE.fullmatch(name):
            raise DeliveryRefused("sdgi.unsafe_member", f"member {position}", "Nothing was unpacked.")


def _refuse_bombs(members: Sequence[ZipInfo], limits: Limits) -> None:
    total = sum(member.file_size for member in members)
    if total > limits.total:
        raise DeliveryRefused("sdgi.zip_bomb", "declared sizes", "Nothing was unpacked.")
    for position, member in enumerate(members, 1):
        if member.file_size > limits.of_member(member.compress_size):
            raise DeliveryRefused("sdgi.zip_bomb", f"member {position}", "Nothing was unpacked.")


def _by_name(members: Sequence[ZipInfo], required: Sequence[str]) -> dict[str, ZipInfo]:
    by_name = {member.filename: member for member in members}
    absent = next((name for name in required if name not in by_name), None)
    if absent is not None or len(by_name) != len(members):
        raise DeliveryRefused("sdgi.member_missing", absent or "two members have one name")
    return by_name


class _Budget:
    """Bytes that the whole archive may still give, whatever its directory declares."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.total

    def for_member(self, member: ZipInfo) -> int:
        return min(self._limits.of_member(member.compress_size), self._left)

    def spend(self, given: int) -> None:
        self._left -= given


def _chunks(archive: ZipFile, member: ZipInfo, budget: _Budget) -> Iterator[bytes]:
    """The bytes of a member, a chunk at a time, until it ends, breaks or has given more than it may."""
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        # Other methods can ask for gigabytes of dictionary before they give a byte.
        raise BadZipFile("compression method")
    allowed = budget.for_member(member)
    # zipfile stops at the declared size; with a larger one it shows what the member really gives.
    lying = copy.copy(member)
    lying.file_size = allowed + 4 * _CHUNK
    given = 0
    with archive.open(lying) as stream:
        while chunk := stream.read(_CHUNK):
            given += len(chunk)
            if given > allowed:
                raise DeliveryRefused("sdgi.zip_bomb", "real sizes", "The archive gives more than it declares.")
            yield chunk
    budget.spend(given)
    if given != member.file_size:
        raise BadZipFile("declared size")


def _whole(archive: ZipFile, member: ZipInfo, budget: _Budget) -> bytes:
    try:
        return b"".join(_chunks(archive, member, budget))
    except _BROKEN:
        raise DeliveryRefused("sdgi.zip_unreadable", member.filename, "Ask the agency to send it again.") from None


def _digests(archive: ZipFile, attached: Sequence[ZipInfo], budget: _Budget) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of each attachment. One that cannot be read has none: only required members refuse."""
    for member in attached:
        digest = hashlib.sha256()
        try:
            for chunk in _chunks(archive, member, budget):
                digest.update(chunk)
        except _BROKEN:
            continue
        yield member.filename.removeprefix(_ATTACHED), digest.hexdigest()
