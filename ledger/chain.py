"""Version 1 of the ledger: a file of lines, chained by digests. docs/specs/ledger.md shows the bytes.

It is no longer written. What was written is read here, and moved into the log's tree when that is first opened. A
certificate of version 1 names a line of it; the same entries give the same digests, so that it can be verified against
the tree as well.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.canonical import canonical, instant, parse, read_instant, sha256
from ledger.entry import KINDS, Entry, Line, body_of, entry_of
from ledger.lines import read_lines
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code

FORMAT = "depositaire-ledger"
VERSION = 1
FIELDS = frozenset({"at", "body", "body_sha256", "hash", "key", "kind", "line", "prev"})

_RESTORE = "Restore the ledger from a copy."


@dataclass(frozen=True, slots=True)
class LineHead:
    """Where a ledger of version 1 stood: number and digest of its last line (0 and the digest of the header when it
    had none)."""

    line: int
    hash: str


def header(agency: str) -> bytes:
    """Line 0, without its newline: name and version of the format, and whose ledger it is."""
    return canonical({"agency": agency_code(agency), "format": FORMAT, "version": VERSION})


def read_chain(path: Path, agency: AgencyCode) -> tuple[Line, ...]:
    """Every line, verified from the first byte; `Line.hash` is the digest in the chain. Raises NotVerified.

    To believe a ledger of version 1 we must know that
    1. its first line is the header of this agency;
    2. lines are numbered from 1 without a gap, each spelled in its canonical bytes;
    3. each line's digest is that of its content, and it names the digest of the line before;
    4. each body has the digest that its line states, and is a whole entry of a known kind.
    """
    raw = read_lines(path, _is_whole)
    head = LineHead(0, sha256(header(agency)))
    if raw and raw[0] != header(agency):  # 1
        raise NotVerified(f"{path.name}: line 0 is not the header of this agency's ledger")
    lines = []
    for text in raw[1:]:
        line = _verified(path.name, text, head)  # 2, 3, 4
        head = LineHead(line.number, line.hash)
        lines.append(line)
    return tuple(lines)


def chain(agency: AgencyCode, lines: Iterable[Line]) -> Iterator[tuple[LineHead, bytes]]:
    """The lines that version 1 wrote for these entries, the header first: where it stood, and the bytes without
    newline."""
    raw = header(agency)
    head = LineHead(0, sha256(raw))
    yield head, raw
    for line in lines:
        content = _content(line.entry, line.at, line.key, head)
        head = LineHead(head.line + 1, sha256(canonical(content)))
        yield head, canonical(content | {"hash": head.hash})


def _content(entry: Entry, at: datetime, key: str | None, before: LineHead) -> dict[str, Any]:
    body = body_of(entry)
    return {
        "at": instant(at),
        "body": body,
        "body_sha256": sha256(canonical(body)),
        "key": key,
        "kind": KINDS[type(entry)],
        "line": before.line + 1,
        "prev": before.hash,
    }


def _verified(name: str, text: bytes, before: LineHead) -> Line:
    where = f"{name}: line {before.line + 1}"
    try:
        content = parse(text)
        if set(content) != FIELDS:
            raise Malformed("fields")
        bare = {k: v for k, v in content.items() if k != "hash"}
        digests = (sha256(canonical(bare)), sha256(canonical(content["body"])))
    except (Malformed, AttributeError):
        raise NotVerified(f"{where} is not a line of a ledger", _RESTORE) from None
    if (content["hash"], content["body_sha256"]) != digests:
        raise NotVerified(f"{where} does not have the digest that it states", _RESTORE)
    if (content["line"], content["prev"]) != (before.line + 1, before.hash):
        raise NotVerified(f"{where} does not follow the line before it", _RESTORE)
    try:
        entry = entry_of(content["kind"], content["body"])
        at = read_instant(content["at"])
    except Malformed as no:
        raise NotVerified(f"{where}: {no.what}", no.hint) from None
    return Line(content["line"], at, entry, content["hash"], content["key"])


def _is_whole(tail: bytes) -> bool:
    """Whether a last line without its newline is a complete line all the same."""
    try:
        content = parse(tail)
    except Malformed:
        return False
    bare = {k: v for k, v in content.items() if k != "hash"}
    return content.get("format") == FORMAT or content.get("hash") == sha256(canonical(bare))
