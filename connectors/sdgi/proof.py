"""The proof that a delivery is whole: every refusal of the contract, in its order (sdgi.md "Refusals")."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Delivery, Known, Opened
from connectors.normalise.amounts import french
from connectors.normalise.octets import Mask, none
from connectors.normalise.text import SPACES, n1
from connectors.sdgi.archive import CONTROL, Unpacked, unpack
from connectors.sdgi.columns import read_columns
from connectors.sdgi.control import Control, read_control
from connectors.sdgi.layout import FileLayout, Header, Layout, layout_for, newest, normal
from connectors.sdgi.records import Records, misencoded, split
from schemas.errors import DeliveryRefused, Malformed
from schemas.frames import Arrived
from schemas.ids import System

_NAME = re.compile(r"SDGI_([A-Z0-9]{5})_([0-9]{8})_([0-9]{4})\.zip", re.ASCII)
_BALANCES = "SOLDES.CSV"
_TOTAL = "TOTAL"
_LETTERS = 3  # of a header, to tell the records that could repeat it


@dataclass(frozen=True, slots=True)
class Sent:
    """One file of a proved delivery: its header, and its records after the header."""

    header: Header
    records: Records = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proved delivery holds: its files, and the SHA-256 of its attachments."""

    layout: Layout
    files: dict[str, Sent]
    attachments: Mapping[str, str]

    def __copy__(self) -> "Proved":
        """One that can be read again after the other was let go."""
        return replace(self, files=dict(self.files))

    def let_go(self, name: str) -> None:
        """A file of a large delivery has been read."""
        del self.files[name]


def name_parts(name: str) -> tuple[str, date] | None:
    """Agency code and day in the name of a delivery; None when it is not `SDGI_<CODE>_<AAAAMMJJ>_<HHMM>.zip`."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        instant = datetime.strptime(found[2] + found[3], "%Y%m%d%H%M")  # noqa: DTZ007 (only the day is used)
    except ValueError:
        return None
    return found[1], instant.date()


def prove(delivery: Delivery, known: Known) -> Opened:
    """Open a delivery whose name fits. Raises DeliveryRefused with the first failing code of the contract's table.

    For a delivery to be whole we must know, in this order:
    1. that its archive is safe and complete (`archive.unpack`);
    2. that its control file can be read, and is of a version that a layout reads;
    3. that it comes from this agency, and after the last one accepted;
    4. that each file is the one listed, byte for byte (all files, before any is looked into);
    5. that each file is in the encoding, the number of records and the columns of the contract;
    6. that the balances add up to the figure of their sender.
    """
    named = name_parts(delivery.name)
    if named is None:
        raise DeliveryRefused("delivery.name", hint="Expected SDGI_<CODE>_<AAAAMMJJ>_<HHMM>.zip.")
    sha256, unpacked = _unpacked(delivery)  # 1
    control = read_control(unpacked.members[CONTROL], newest().files)  # 2
    layout = layout_for(control.version)
    if layout is None:
        raise DeliveryRefused("sdgi.version", CONTROL, "Add a layout for this version, or ask for a version 1 export.")
    code, day = named
    _check_sender(delivery, known, code, control)  # 3
    _check_digests(control, unpacked)  # 4
    arrived = Arrived(
        agency=delivery.agency,
        system=System.SDGI,
        name=delivery.name,
        day=day,
        sha256=sha256,
        layout=layout.name,
        cursor=control.stamp,
        likeness=_likeness(control, unpacked),
    )
    if known.knows(arrived):  # what follows held for these files and these counts: it held the last time
        return Opened(arrived, None, known=True)
    _refuse_too_many_lines(unpacked)
    files, flags = _files(layout, control, unpacked)  # 5
    _check_total(files[_BALANCES].header, files[_BALANCES].records)  # 6
    return Opened(replace(arrived, flags=flags), Proved(layout, files, unpacked.attachments))


def _likeness(control: Control, unpacked: Unpacked) -> bytes:
    """SHA-256 of every file and attachment with its name, and of what the control file says but for its stamp."""
    told = hashlib.sha256()
    said = [(name, str(listed.records), listed.md5) for name, listed in sorted(control.files.items())]
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in unpacked.members.items() if name != CONTROL}
    told.update(repr((control.version, control.agency, control.siret, said)).encode())
    told.update(repr((sorted(digests.items()), sorted(unpacked.attachments.items()))).encode())
    return told.digest()


def _unpacked(delivery: Delivery) -> tuple[str, Unpacked]:
    """SHA-256 of the archive and its members, read through one handle so that both are of the same bytes."""
    if delivery.path is None:
        raise Malformed("an SDGI delivery is a file", "Give its path.")
    with delivery.path.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        source.seek(0, io.SEEK_SET)
        return digest, unpack(source, (CONTROL, *newest().files), newest().limits)


def _check_sender(delivery: Delivery, known: Known, code: str, control: Control) -> None:
    if not (delivery.agency == code == control.agency) or known.siret != control.siret:
        raise DeliveryRefused("agency.mismatch", CONTROL, "Name, control file and register must name one agency.")
    if known.cursor is not None and control.stamp <= known.cursor:
        raise DeliveryRefused(
            "sdgi.out_of_order", CONTROL, "A newer delivery was accepted; each one replaces all before."
        )


def _check_digests(control: Control, unpacked: Unpacked) -> None:
    for name, listed in control.files.items():
        # MD5 is what the contract lists: it finds transfer errors, it is no defence against anybody.
        if hashlib.md5(unpacked.members[name], usedforsecurity=False).hexdigest() != listed.md5:
            raise DeliveryRefused("sdgi.md5_mismatch", name, "Ask the agency to send the archive again.")


def _refuse_too_many_lines(unpacked: Unpacked) -> None:
    """Counted before they are told apart: what is known of a line takes more memory than a short line itself."""
    if sum(max(raw.count(b"\n"), raw.count(b"\r")) for raw in unpacked.members.values()) > newest().limits.lines:
        raise DeliveryRefused("sdgi.zip_bomb", "lines", "More lines than an archive may hold.")


def _files(layout: Layout, control: Control, unpacked: Unpacked) -> tuple[dict[str, Sent], tuple[str, ...]]:
    """Each file checked in the order of the contract, and the flags of the delivery."""
    files, flags = {}, []
    for name, described in layout.files.items():
        sent, repeats = _file(layout, described, control.files[name].records, unpacked.members[name])
        files[name] = sent
        raised = {"header_reordered": sent.header.reordered, "header_repeat": bool(repeats.any())}
        flags += [f"{flag}:{name}" for flag in compress(raised, raised.values())]
    return files, tuple(flags)


def _file(layout: Layout, described: FileLayout, listed: int, raw: bytes) -> tuple[Sent, Mask]:
    if misencoded(raw):
        raise DeliveryRefused("sdgi.encoding", described.name, f"The contract says {layout.encoding}.")
    records = _split(raw, layout.encoding)
    if records is None or max(len(records) - 1, 0) != listed:
        raise DeliveryRefused("sdgi.count_mismatch", described.name, "Ask the agency to send the archive again.")
    header = described.bind(records.fields(0)) if len(records) else None
    if header is None:
        # Never say what was found: without a header, the first line is a person.
        raise DeliveryRefused(
            "sdgi.header_drift", f"{described.name}, line 1", "A new header needs a layout or an alias."
        )
    repeats = _repeated_headers(described, header, records)
    below = records.after_header(repeats[1:].copy())
    if described.name == _BALANCES:
        _mark_total(header, below)
    return Sent(header, below), repeats[1:]


def _split(raw: bytes, encoding: str) -> Records | None:
    try:
        return split(raw, encoding)
    except csv.Error:  # a quote that is never closed: the records after it cannot be counted
        return None


def _repeated_headers(described: FileLayout, header: Header, records: Records) -> Mask:
    """Records that, normalised, are the header again. The first letters tell which ones are worth normalising."""
    repeats = none(len(records))
    for at in np.flatnonzero(_like_header(described, header, records)).tolist():
        if at:
            fields = records.fields(at)
            repeats[at] = described.named(fields[0]) == header.names[0] and (
                tuple(map(described.named, fields)) == header.names
            )
    return repeats


def _like_header(described: FileLayout, header: Header, records: Records) -> Mask:
    """Records whose first bytes could be the start of the header in some spelling."""
    octets = np.frombuffer(records.raw, np.uint8)
    like = _spelled("")[octets[records.start]]
    for spelling in described.spellings(header.names[0]):
        same = records.stop - records.start >= _LETTERS
        for place, letter in enumerate(spelling[:_LETTERS]):
            here = octets[np.minimum(records.start + place, len(octets) - 1)]
            same &= _spelled(letter.strip())[here]
        like |= same
    return like


@cache
def _spelled(letter: str) -> Mask:
    """Which bytes of cp1252 header normalisation makes this letter; for none, those that it trims, and the quote."""
    said = [normal(bytes([byte]).decode("cp1252", "replace")) for byte in range(256)]
    return np.array([one == letter or (not letter and byte == ord('"')) for byte, one in enumerate(said)])


def _mark_total(header: Header, records: Records) -> None:
    """Mark the last line of SOLDES.CSV as ignored when it is the `TOTAL` line (repeated headers apart)."""
    data = np.flatnonzero(~records.ignored)
    if len(data) and _TOTAL in _first_words(header, records.fields(int(data[-1]))):
        records.ignored[data[-1]] = True


def _first_words(header: Header, fields: list[str]) -> set[str]:
    """Where `TOTAL` may stand: first in the line, or in the contract's first column when another order moved it."""
    return {fields[at].strip(SPACES) for at in (0, header.at("party")) if at < len(fields)}


def _check_total(header: Header, records: Records) -> None:
    """The figure of the `TOTAL` line is the sum of all data lines, and every one of them can be read (M7, M16)."""
    ignored = np.flatnonzero(records.ignored)
    totals = [at for at in ignored.tolist() if _TOTAL in _first_words(header, records.fields(at))]
    data_whole = (records.widths == len(header.columns)) | records.ignored
    if not totals or records.widths[totals[0]] != len(header.columns) or not data_whole.all():
        raise DeliveryRefused("sdgi.total_mismatch", _BALANCES, "A line is missing or cannot be counted.")
    _, columns = read_columns([records], header, ("balance",))
    said = records.fields(totals[0])[header.at("balance")]
    figures, _ = n1(pa.concat_arrays([columns["balance"], pa.array([said])]))
    cents, _ = french(figures)
    if cents.null_count or (pc.sum(cents[:-1]).as_py() or 0) != cents[-1].as_py():
        raise DeliveryRefused("sdgi.total_mismatch", _BALANCES, "Ask the agency to send the export again.")
