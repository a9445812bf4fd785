"""That a LOGIN document is whole and may be applied: the refusals of login.md, in their order.

To apply a document we must know:
1. that its gzip stream ends where it says and its CRC holds          login.gzip
2. that it does not unfold beyond the limits                          login.bomb
3. that it declares no DOCTYPE and no entity                          login.doctype
4. that its bytes are in the encoding it declares                     login.encoding
5. that it is well formed to the closing tag                          login.not_well_formed
6. that it is a LOGIN document, of a version we read                  login.namespace, login.version
7. that it is valid for the schema                                    login.schema
8. that it is this agency's                                           agency.mismatch
9. that it holds as many objects as it says                           login.totals_mismatch
10. that it begins where the last accepted one stopped                login.window_gap, login.window_overlap

No message repeats a byte of the document: what a parser complains about may be a person's name.
"""

import codecs
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from lxml import etree

from connectors.base import Known
from connectors.login.layout import Layout, Limits, schema
from schemas.errors import DeliveryRefused

_CHUNK = 1 << 20
_BOM = codecs.BOM_UTF8
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
_PROLOG = re.compile(rb"<\?xml[ \t\r\n](.*?)\?>", re.DOTALL)
_ENCODING = re.compile(rb"""\sencoding[ \t\r\n]*=[ \t\r\n]*(["'])(.*?)\1""", re.DOTALL)
_C1 = re.compile(rb"[\x80-\x9f]")
_NAMESPACE = re.compile(r"urn:login:extranet:([0-9]+)")
_ROOT = re.compile(r"(?:\{([^}]*)\})?(.*)", re.DOTALL)
# xs:dateTime with the offset that the schema asks for.
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was parsed and found valid: its tree, and what its root says."""

    root: etree._Element
    delta: bool
    since: datetime | None
    until: datetime
    flags: tuple[str, ...]


def local_name(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return etree.QName(element).localname


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bounded(file: BinaryIO, most: int) -> bytearray:
    data = bytearray()
    with gzip.GzipFile(fileobj=file) as stream:
        while chunk := stream.read(_CHUNK):
            data += chunk
            if len(data) > most:
                raise DeliveryRefused("login.bomb", hint="Ask the agency what it sent.")
    return data


def unpacked(path: Path, limits: Limits) -> bytes:
    """Proofs 1 and 2. The limit is watched while the stream unfolds: a bomb never goes off in memory."""
    size = path.stat().st_size
    if size == 0:  # Python's gzip takes an empty file for an empty document
        raise DeliveryRefused("login.gzip")
    try:
        with path.open("rb") as file:
            data = bytes(_bounded(file, limits.of(size)))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DeliveryRefused("login.gzip", hint="The transfer was cut or damaged: ask for the file again.") from None
    if data.count(b"<") > limits.tags:
        raise DeliveryRefused("login.bomb", "tags", "Ask the agency what it sent.")
    return data


def refuse_declarations(data: bytes) -> None:
    """Proof 3, on the bytes, so that no parser ever sees a declaration; in a comment it is refused as well."""
    if any(word in data for word in _FORBIDDEN):
        raise DeliveryRefused("login.doctype")


def _declared(data: bytes) -> str:
    """The encoding that the prolog names, lower-cased; UTF-8 when there is none."""
    prolog = _PROLOG.match(data)
    named = _ENCODING.search(b" " + prolog[1]) if prolog else None
    return named[2].decode("latin-1").lower() if named else "utf-8"


def _recoded(data: bytes, codec: str) -> bytes:
    """The same text in UTF-8; raises UnicodeDecodeError. In pieces: a decoded document may be four times as large."""
    decoder = codecs.getincrementaldecoder(codec)()
    if codec == "utf-8":
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", final=True)
        return data
    return b"".join(decoder.decode(data[start : start + _CHUNK]).encode() for start in range(0, len(data), _CHUNK))


def decoded(data: bytes, encodings: Mapping[str, str]) -> tuple[bytes, tuple[str, ...]]:
    """Proof 4: the document in UTF-8, and the flag of a prolog that lies (ISO-8859-1 with bytes 0x80–0x9F)."""
    marked = data.startswith(_BOM)
    if marked:
        data = data[len(_BOM) :]
    named = _declared(data)
    codec = encodings.get(named)
    # A NUL among the first bytes is UTF-16 or UTF-32, whatever a prolog in them says; a BOM is allowed in UTF-8 alone.
    if codec is None or b"\0" in data[:4] or (marked and codec != "utf-8"):
        raise DeliveryRefused("login.encoding", "prolog")
    try:
        text = _recoded(data, codec)
    except UnicodeDecodeError:
        raise DeliveryRefused("login.encoding", hint="The bytes are not what the prolog says.") from None
    lies = named == "iso-8859-1" and _C1.search(data) is not None
    return text, ("encoding_cp1252",) if lies else ()


def parsed(text: bytes) -> etree._Element:
    """Proof 5. The whole document is in memory and bounded, so the parser's own limits on depth and length may go."""
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        return etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise DeliveryRefused("login.not_well_formed", f"line {error.lineno}") from None


def check_version(root: etree._Element, layout: Layout) -> None:
    """Proof 6."""
    found = _ROOT.fullmatch(str(root.tag))
    number = _NAMESPACE.fullmatch((found[1] if found else None) or "")
    if number is None:
        raise DeliveryRefused("login.namespace")
    if number[1] != layout.accepts or not re.fullmatch(rf"{layout.accepts}\.[0-9]+", root.get("version", "")):
        raise DeliveryRefused("login.version", hint="A new version of the contract needs a layout of its own.")


def check_schema(root: etree._Element) -> None:
    """Proof 7."""
    known = schema()
    if not known.validate(root):
        lines = [entry.line for entry in cast("Iterable[etree._LogEntry]", known.error_log)]
        raise DeliveryRefused("login.schema", f"line {lines[0]}" if lines else "")


def check_agency(root: etree._Element, layout: Layout, named: str, agency: str | None, siret: str | None) -> None:
    """Proof 8: the codes in the name, the document and the register, and both SIRETs. The unknown does not agree."""
    element = root.find(f"{{{layout.namespace}}}Agence")
    said = ("", "") if element is None else (element.get("code", ""), element.get("siret", ""))
    if agency is None or siret is None or said != (agency, siret) or named != agency:
        raise DeliveryRefused("agency.mismatch")


def _same_number(text: str, count: int) -> bool:
    """Compared as text: xs:nonNegativeInteger allows a sign, leading zeros and more digits than one converts."""
    return (text.strip(" \t\r\n").lstrip("+-0") or "0") == str(count)


def check_totals(root: etree._Element, layout: Layout) -> None:
    """Proof 9."""
    counts = {local_name(section): len(section) for section in root}
    totals = root.find(f"{{{layout.namespace}}}Totaux")
    for attribute, section in layout.totals.items():
        if totals is None or not _same_number(totals.get(attribute, ""), counts.get(section, 0)):
            raise DeliveryRefused("login.totals_mismatch", attribute)


def instant(text: str) -> datetime:
    """An xs:dateTime with an offset, as UTC. Raises ValueError for a year beyond four digits: nothing can follow it."""
    found = _INSTANT.fullmatch(text.strip(" \t\r\n"))
    if found is None:
        raise ValueError("not an instant")
    day, clock, fraction, offset = found.groups()
    next_day = clock == "24:00:00"  # the end of a day, allowed by xs:dateTime
    moment = datetime.fromisoformat(f"{day}T{'00:00:00' if next_day else clock}.{(fraction or '0')[:6]:0<6}{offset}")
    return (moment + timedelta(days=next_day)).astimezone(UTC)


def window(root: etree._Element) -> tuple[bool, datetime | None, datetime]:
    """Whether the document is a delta, and the instants from which and to which it tells."""
    since = root.get("depuis")
    try:
        return root.get("mode") == "delta", None if since is None else instant(since), instant(root.get("jusqua", ""))
    except (ValueError, OverflowError):
        raise DeliveryRefused("login.schema", "line 1, window") from None


def cursor(until: datetime) -> str:
    """The instant up to which everything is known, in UTC."""
    return until.isoformat().replace("+00:00", "Z")


def check_window(document: Document, held: str | None) -> None:
    """Proof 10, as instants. A complete document restarts the chain; a delta without a beginning follows nothing."""
    if not document.delta:
        return
    if held is None or document.since is None:
        raise DeliveryRefused("login.window_gap", hint="Ask the agency for a complete document.")
    last = datetime.fromisoformat(held)
    if document.since > last:
        raise DeliveryRefused("login.window_gap", hint="A document is missing: ask for it, or for a complete one.")
    if document.since < last:
        raise DeliveryRefused("login.window_overlap")


def prove(path: Path, layout: Layout, named: str, agency: str | None, known: Known) -> Document:
    """All proofs in their order; the first that fails raises DeliveryRefused. `named`: the code in the file's name."""
    return believed(*readable(path, layout), layout, named, agency, known)


def readable(path: Path, layout: Layout) -> tuple[bytes, tuple[str, ...]]:
    """Proofs 1 to 4: the document in UTF-8, and its flags."""
    data = unpacked(path, layout.limits)
    refuse_declarations(data)
    return decoded(data, layout.encodings)


def believed(
    text: bytes, flags: tuple[str, ...], layout: Layout, named: str, agency: str | None, known: Known
) -> Document:
    """Proofs 5 to 10."""
    root = parsed(text)
    check_version(root, layout)
    check_schema(root)
    delta, since, until = window(root)
    check_agency(root, layout, named, agency, known.siret)
    check_totals(root, layout)
    document = Document(root, delta, since, until, flags)
    check_window(document, known.cursor)
    return document
