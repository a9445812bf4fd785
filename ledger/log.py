"""An agency's ledger: append only, chained by digests, one writer. docs/specs/ledger.md shows the bytes.

First form (R46): later entries may replace the body by a commitment and the chain by a tree; numbers, kinds and the
digest of the body are already apart in each line for that.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger.canonical import canonical, instant, parse, read_instant, sha256
from ledger.entry import FORMAT, KINDS, Entry, Head, History, Line, body_of, entry_of, genesis
from ledger.lines import Appender, appending, read_lines
from schemas.errors import Malformed, NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode

FIELDS = frozenset({"at", "body", "body_sha256", "hash", "key", "kind", "line", "prev"})


class Log:
    """The ledger of one agency. Opening reads nothing; a ledger without lines is an empty history."""

    def __init__(self, path: Path, agency: AgencyCode) -> None:
        self.path = path
        self.agency = agency

    @classmethod
    def at(cls, home: Home, agency: AgencyCode) -> "Log":
        return cls(home.ledger(agency), agency)

    def append(self, entry: Entry, at: datetime, key: str | None = None) -> Line:
        """Record one entry; returns when it is on disk. With a key that stands already, returns that line: twice is
        once."""
        return self.append_all([(entry, key)], at)[0]

    def append_all(self, items: Sequence[tuple[Entry, str | None]], at: datetime) -> tuple[Line, ...]:
        """Record several entries with one write to disk. Raises NotVerified when the last line does not hold."""
        with appending(self.path, _is_whole) as file:
            head = self._begin(file)
            out = []
            fresh = b""
            for entry, key in items:
                known = self._find(file.whole + fresh, key)
                if known is None:
                    line, raw = _write(entry, at, key, head)
                    fresh += raw + b"\n"
                    head = Head(line.number, line.hash)
                    known = line
                out.append(known)
            if fresh:
                file.append(fresh)
            return tuple(out)

    def read(self) -> History:
        """Everything, verified from the first byte. Raises NotVerified naming the line.

        To believe a ledger we must know that
        1. its first line is the header of this agency;
        2. lines are numbered from 1 without a gap, each spelled in its canonical bytes;
        3. each line's digest is that of its content, and it names the digest of the line before;
        4. each body has the digest that its line states, and is a whole entry of a known kind.
        What this cannot show is that the last lines are missing: a head kept elsewhere (a certificate, `ledger.fsck`)
        does.
        """
        raw = read_lines(self.path, _is_whole)
        head = Head(0, sha256(genesis(self.agency)))
        if raw and raw[0] != genesis(self.agency):  # 1
            raise NotVerified(f"{self.path.name}: line 0 is not the header of this agency's ledger")
        lines = []
        for text in raw[1:]:
            line = _verified(self.path.name, text, head)  # 2, 3, 4
            head = Head(line.number, line.hash)
            lines.append(line)
        return History(self.agency, head, tuple(lines))

    def head(self) -> Head:
        """Where the ledger stands, from its last line alone."""
        raw = read_lines(self.path, _is_whole)
        return self._head_of(raw[-1]) if raw else Head(0, sha256(genesis(self.agency)))

    def _begin(self, file: Appender) -> Head:
        if not file.whole:
            file.append(genesis(self.agency) + b"\n")
        if not file.whole.startswith(genesis(self.agency) + b"\n"):
            raise NotVerified(f"{self.path.name}: line 0 is not the header of this agency's ledger")
        return self._head_of(file.whole[file.whole.rfind(b"\n", 0, -1) + 1 : -1])

    def _head_of(self, last: bytes) -> Head:
        if last == genesis(self.agency):
            return Head(0, sha256(last))
        line = _parsed(self.path.name, last, None)
        return Head(line["line"], line["hash"])

    def _find(self, whole: bytes, key: str | None) -> Line | None:
        if key is None:
            return None
        # `key` stands between `hash` and `kind` in canonical order, and a quote inside a text is escaped: this is the
        # field.
        at = whole.find(b'","key":' + canonical({"key": key})[len(b'{"key":') : -1] + b',"kind":')
        if at < 0:
            return None
        text = whole[whole.rfind(b"\n", 0, at) + 1 : whole.index(b"\n", at)]
        return _line(self.path.name, _parsed(self.path.name, text, None))


def _write(entry: Entry, at: datetime, key: str | None, head: Head) -> tuple[Line, bytes]:
    body = body_of(entry)
    content = {
        "at": instant(at),
        "body": body,
        "body_sha256": sha256(canonical(body)),
        "key": key,
        "kind": KINDS[type(entry)],
        "line": head.line + 1,
        "prev": head.hash,
    }
    digest = sha256(canonical(content))
    return Line(head.line + 1, at, entry, digest, key), canonical(content | {"hash": digest})


def _verified(name: str, text: bytes, before: Head) -> Line:
    return _line(name, _parsed(name, text, before))


def _parsed(name: str, text: bytes, before: Head | None) -> dict[str, Any]:
    """The content of a line, once it holds by itself and, when the head before it is given, in its place."""
    where = f"{name}: line {before.line + 1}" if before else f"{name}: a line"
    try:
        content = parse(text)
        if set(content) != FIELDS:
            raise Malformed("fields")
        bare = {k: v for k, v in content.items() if k != "hash"}
        holds = content["hash"] == sha256(canonical(bare)) and content["body_sha256"] == sha256(
            canonical(content["body"])
        )
    except (Malformed, AttributeError):
        raise NotVerified(f"{where} is not a line of a ledger", "Restore the ledger from a copy.") from None
    if not holds:
        raise NotVerified(f"{where} does not have the digest that it states", "Restore the ledger from a copy.")
    if before is not None and (content["line"], content["prev"]) != (before.line + 1, before.hash):
        raise NotVerified(f"{where} does not follow the line before it", "Restore the ledger from a copy.")
    return content


def _line(name: str, content: dict[str, Any]) -> Line:
    try:
        entry = entry_of(content["kind"], content["body"])
        at = read_instant(content["at"])
    except Malformed as no:
        raise NotVerified(f"{name}: line {content['line']}: {no.what}", no.hint) from None
    return Line(content["line"], at, entry, content["hash"], content["key"])


def _is_whole(tail: bytes) -> bool:
    """Whether a last line without its newline is a complete line all the same."""
    try:
        content = parse(tail)
    except Malformed:
        return False
    bare = {k: v for k, v in content.items() if k != "hash"}
    return content.get("format") == FORMAT or content.get("hash") == sha256(canonical(bare))
