"""An agency's log: append only, one writer, a Merkle tree over salted commitments. docs/specs/instruction-log.md shows
the files and the bytes.

A writer puts salts, contents and leaves on disk, in this order, and the leaves acknowledge; tiles and the signed
checkpoint follow from them. Whatever instant it is stopped at, the next writer adopts the leaves that are whole and
cuts what is left of one that is not: an acknowledged leaf is never cut, whatever the checkpoint says.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from ledger.canonical import canonical
from ledger.chain import read_chain
from ledger.checkpoint import sign_checkpoint
from ledger.commitment import commit_bytes, fresh_salt
from ledger.entry import FORGETTABLE, KINDS, Entry, Head, History, Line, body_of
from ledger.keys import LogKeys
from ledger.leaf import Leaf
from ledger.lines import lock, sync_folder, write_all
from ledger.salts import Destroyed, Kept, Salts, is_destroyed
from ledger.stored import (
    LENGTH_BYTES,
    RESTORE,
    Held,
    Keys,
    Stored,
    checkpoint_of,
    hold,
    line_of,
    split,
    stated_head,
)
from ledger.tiles import HEIGHT, MAX_LEAF_BYTES, WIDTH, Tile, TiledTree, encode_leaf, grow
from ledger.tree import EMPTY_ROOT, HASH_BYTES, CompactRange, leaf_hash
from schemas.errors import Malformed, NotVerified, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode

Item = tuple[Entry, datetime, str | None]

_CHUNK = 2**16
_LEAF_BEGINS = b'{"agency":'


@dataclass(frozen=True, slots=True)
class _Edge:
    """All that a writer needs to know of what is there: the tree's right edge, and where the contents end."""

    range: CompactRange
    contents_end: int

    @property
    def head(self) -> Head:
        return Head(self.range.size, self.range.root())


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A leaf that is not written yet, what it commits to (canonical JSON), and its salt."""

    leaf: bytes
    content: bytes
    salt: bytes = field(repr=False)


class Log:
    """The log of one agency. Opening reads nothing; a log that was never begun is an empty history.

    `path`: its folder. A ledger of version 1 beside it is moved into it when it is first read or written.
    """

    def __init__(self, path: Path, agency: AgencyCode, keys: LogKeys) -> None:
        self.path = path
        self.agency = agency
        self._keys = keys
        self._entries = path / "entries"
        self._contents = path / "contents"
        self._checkpoint = path / "checkpoint"
        self._first = path.with_name(f"{path.name}.jsonl")

    @classmethod
    def at(cls, home: Home, agency: AgencyCode, keys: LogKeys) -> "Log":
        return cls(home.ledger(agency), agency, keys)

    @property
    def exists(self) -> bool:
        return self._entries.exists() or self._first.exists()

    # -- writing -------------------------------------------------------------------------------------------------------

    def append(self, entry: Entry, at: datetime, key: str | None = None) -> Line:
        """Record one entry; returns when it is on disk. With a key that stands already, returns that line: twice is
        once."""
        return self.append_all([(entry, key)], at)[0]

    def append_all(
        self, items: Sequence[tuple[Entry, str | None]], at: datetime, expected: Head | None = None,
        foreseen: Foreseen | None = None,
    ) -> tuple[Line, ...]:  # fmt: skip
        """Record several entries with one write to disk.

        `expected`: the head that the decision to write was made on; when the log stands elsewhere nothing is written,
        and TryAgain raised. `foreseen`: the leaf that the first entry becomes, with the salt that was drawn for it.
        Raises NotVerified when the log's edge does not hold.
        """
        with self._writing() as (handle, edge):
            if expected is not None and expected != edge.head:
                raise TryAgain("the log has grown since it was read", "Read it again, and decide anew.")
            return self._record(handle, edge, [(entry, at, key) for entry, key in items], foreseen)

    def foresee(self, head: Head, entry: Entry, at: datetime, key: str | None) -> Foreseen:
        """The leaf that an entry becomes when it is the next one after this head. Nothing is written."""
        salt, content = fresh_salt(), _content(entry, key)
        leaf = Leaf(self.agency, head.size, at, KINDS[type(entry)], commit_bytes(salt, head.size, content))
        return Foreseen(leaf.raw, content, salt)

    def checkpoint(self) -> bytes:
        """The signed head, for somebody to keep: who has it can tell later whether the log still extends it."""
        with self._writing():
            return self._checkpoint.read_bytes()

    def files(self) -> Stored:
        """The bytes of every file, whole and covered by the checkpoint: for an evidence pack."""
        with self._writing():
            return Stored.load(self.path)

    def forget(self, numbers: Iterable[int]) -> int:
        """Destroy what these lines say: first the salt, then the content. Returns how many were there; twice is once.

        The leaves stay, and so does every proof about them; what they committed to can be neither read nor confirmed.
        Refused for a line that says something of what is allowed, and for a log that was moved from version 1, whose
        chain of digests needs every line.
        """
        if (self.path / "version-1.jsonl").exists():
            raise Refused("a log that began as version 1 forgets nothing", "Its certificates stand on every line.")
        wanted = sorted(set(numbers))
        with self._writing():
            stored = Stored.load(self.path)
            leaves = [Leaf.parse(raw) for raw in split(stored.entries)]
            if any(not 1 <= n <= len(leaves) or leaves[n - 1].kind not in FORGETTABLE for n in wanted):
                raise Refused("only lines that say what was done can be forgotten", "Receipts, for instance.")
            ends = list(accumulate(len(line) + 1 for line in stored.contents.split(b"\n")[:-1]))
            fresh = 0
            for n in wanted:
                fresh += not is_destroyed(stored.salts, n - 1)
                self._salts().destroy(n - 1)
                _blank(self._contents, ends[n - 2] if n > 1 else 0, ends[n - 1] - 1)
            return fresh

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, receipts: bool = True) -> History:
        """Everything, verified (`ledger.stored.hold`). Raises NotVerified naming the leaf.

        `receipts` False leaves those out: enough, and much quicker, to know what is allowed.
        """
        with self._reading():
            held = self._hold(receipts)
        return History(self.agency, held.head, held.lines, held.hashes)

    def stated_size(self) -> int:
        """How many leaves the checkpoint counts, unverified and at once; 0 where there is none. For whoever wants to
        know later what is new."""
        try:
            return int(self._checkpoint.read_bytes().split(b"\n", 2)[1])
        except (OSError, IndexError, ValueError):
            return 0

    def standing(self) -> tuple[bytes, int, int]:
        """The checkpoint, unverified, and the sizes of leaves and contents: the same as before, nothing was written
        since."""
        try:
            return self._checkpoint.read_bytes(), self._entries.stat().st_size, self._contents.stat().st_size
        except FileNotFoundError:
            return b"", 0, 0

    def head(self) -> Head:
        """Where the log stands, from its edge alone."""
        with self._reading() as handle:
            stated = self._stated() if handle is not None else None
            if handle is None or stated is None or self._clean(handle, stated) is None:
                return self._hold().head
            return stated

    def _hold(self, receipts: bool = True) -> Held:
        stored = Stored.load(self.path)
        if stored == Stored():
            return Held(Head(0, EMPTY_ROOT), Head(0, EMPTY_ROOT), (), (), 0, 0)
        keys = Keys(str(self._keys.verifier(self.agency)), self._keys.of_salts(self.agency))
        return hold(stored, self.agency, keys, receipts)

    def _stated(self) -> Head:
        if not self._checkpoint.exists():
            return Head(0, EMPTY_ROOT)
        return stated_head(self._checkpoint.read_bytes(), self.agency, str(self._keys.verifier(self.agency)))

    # -- one writer, many readers --------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[int | None]:
        """The leaves' file while nobody writes; None when the log was never begun."""
        if self._first.exists():
            with self._writing():
                pass  # moves it
        try:
            handle = os.open(self._entries, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            lock(handle, fcntl.LOCK_SH)
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _writing(self) -> Iterator[tuple[int, _Edge]]:
        """The leaves' file for one writer, and the edge of a log that is whole."""
        (self.path / "tiles").mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._entries, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock(handle, fcntl.LOCK_EX)
            if not self._checkpoint.exists():
                self._begin(handle)
            edge = self._mended(handle)
            if self._first.exists():
                self._move(handle, edge)
                edge = self._mended(handle)
            yield handle, edge
        finally:
            os.close(handle)

    def _begin(self, handle: int) -> None:
        """Sign the head of the empty log before there is a leaf: leaves without a checkpoint are then always a loss."""
        if os.fstat(handle).st_size:
            raise NotVerified("the log has leaves and no checkpoint", RESTORE)
        self._keys.begin(self.agency)
        for folder in (self.path.parent.parent, self.path.parent, self.path):
            sync_folder(folder)
        self._sign(Head(0, EMPTY_ROOT))
        sync_folder(self.path)

    def _move(self, handle: int, edge: _Edge) -> None:
        """Take the lines of version 1 into the tree, and then their file into the folder.

        A move that was interrupted goes on where it stopped.
        """
        lines = read_chain(self._first, self.agency)
        size = edge.range.size
        there = self._hold().lines[: len(lines)]
        if [(v.entry, v.at, v.key) for v in there] != [(v.entry, v.at, v.key) for v in lines[:size]]:
            raise NotVerified("the ledger of version 1 and the log do not begin alike", RESTORE)
        self._write(handle, edge, [(v.entry, v.at, v.key) for v in lines[size:]])
        self._first.rename(self.path / "version-1.jsonl")
        for folder in (self.path, self.path.parent):
            sync_folder(folder)

    # -- the edge ------------------------------------------------------------------------------------------------------

    def _mended(self, handle: int) -> _Edge:
        """The edge, once what an interrupted writer left is adopted or cut."""
        edge = self._clean(handle, self._stated())
        if edge is not None:
            return edge
        held = self._hold()
        if os.fstat(handle).st_size > held.entries_end:
            os.ftruncate(handle, held.entries_end)
        os.fsync(handle)
        if self._contents.exists():
            _write_from(self._contents, held.contents_end, b"")
        self._publish(held.stated, held.hashes[held.stated.size :], held.head)
        return _Edge(CompactRange().extend(held.hashes), held.contents_end)

    def _clean(self, handle: int, stated: Head) -> _Edge | None:
        """The edge when the files end where the checkpoint says, from their last bytes; None when they must be read.

        The last leaf is the one that the tiles have, the tiles' edge has the checkpoint's root, and the last content is
        the one that the last leaf commits to.
        """
        contents_end = self._contents.stat().st_size if self._contents.exists() else 0
        if stated.size == 0:
            empty = os.fstat(handle).st_size == contents_end == 0
            return _Edge(CompactRange(), 0) if empty else None
        try:
            tree = TiledTree(stated.size, self._read_tile)
            edge = CompactRange.of(tree.node, stated.size)
            raw = _last_leaf(handle)
            leaf = Leaf.parse(raw)
            holds = edge.root() == stated.root and tree.node(0, stated.size - 1) == leaf_hash(raw)
        except Malformed:
            return None
        if not holds or leaf.index != stated.size - 1 or not self._is_content_of(leaf, contents_end):
            return None
        return _Edge(edge, contents_end)

    def _is_content_of(self, leaf: Leaf, contents_end: int) -> bool:
        """Whether the contents end with what this leaf commits to. Its index is in the commitment: nothing else can."""
        salt = self._salts().find(leaf.index)
        if isinstance(salt, Destroyed) and leaf.kind in FORGETTABLE:
            return bool(contents_end)
        if not isinstance(salt, Kept) or not contents_end:
            return False
        return commit_bytes(salt.salt, leaf.index, _last_line(self._contents, contents_end)) == leaf.commitment

    def _salts(self) -> Salts:
        return Salts(self.path / "salts", self._keys.of_salts(self.agency))

    # -- recording -----------------------------------------------------------------------------------------------------

    def _record(
        self, handle: int, edge: _Edge, items: Sequence[Item], foreseen: Foreseen | None = None
    ) -> tuple[Line, ...]:
        """Write what is new, and return a line for each item."""
        fresh: list[Item] = []
        places: list[Line | int] = []
        fresh_keys: dict[str, int] = {}
        for entry, at, key in items:
            known = None if key is None else fresh_keys.get(key, self._find(edge, key))
            if known is None:
                known = len(fresh)
                fresh.append((entry, at, key))
                if key is not None:
                    fresh_keys[key] = known
            places.append(known)
        lines = self._write(handle, edge, fresh, foreseen)
        return tuple(place if isinstance(place, Line) else lines[place] for place in places)

    def _write(self, handle: int, edge: _Edge, items: Sequence[Item], foreseen: Foreseen | None = None) -> list[Line]:
        if not items:
            return []
        first = edge.range.size
        salts = [fresh_salt() for _ in items]
        if foreseen is not None:
            salts[0] = foreseen.salt
        contents = [_content(entry, key) for entry, _, key in items]
        leaves = [
            Leaf(self.agency, first + n, at, KINDS[type(entry)], commit_bytes(salts[n], first + n, contents[n])).raw
            for n, (entry, at, _) in enumerate(items)
        ]
        if foreseen is not None and leaves[0] != foreseen.leaf:
            raise TryAgain("the log has grown since it was read", "Read it again, and decide anew.")
        raw = b"".join(encode_leaf(leaf) for leaf in leaves)
        self._salts().keep(first, salts)
        _write_from(self._contents, edge.contents_end, b"".join(c + b"\n" for c in contents))
        write_all(handle, raw)
        os.fsync(handle)  # from here on they are acknowledged
        hashes = [leaf_hash(leaf) for leaf in leaves]
        grown = edge.range.extend(hashes)
        self._publish(edge.head, hashes, Head(grown.size, grown.root()))
        return [Line(first + n + 1, at, entry, hashes[n].hex(), key) for n, (entry, at, key) in enumerate(items)]

    def _publish(self, before: Head, hashes: Sequence[bytes], head: Head) -> None:
        """Tiles and checkpoint for leaves that are on disk. The tiles come first: a checkpoint is never ahead of
        them."""
        if head.size == before.size:
            return
        fresh: dict[int, bytes] = {}
        for tile, raw in grow(before.size, hashes, self._read_tile).items():
            fresh[tile.level] = fresh.get(tile.level, b"") + raw
        for level, raw in fresh.items():
            # The first of these tiles may have been there in part. What a checkpoint covers is never written again.
            there = before.size >> HEIGHT * level
            _write_from(self._tile(level), there * HASH_BYTES, raw[there % WIDTH * HASH_BYTES :])
        self._sign(head)

    def _sign(self, head: Head) -> None:
        """Replace the checkpoint. The caller has made sure that this head extends every one signed before."""
        raw = sign_checkpoint(checkpoint_of(self.agency, head), self._keys.signer)
        half = self.path / ".checkpoint"
        _write_from(half, 0, raw)
        half.replace(self._checkpoint)

    def _tile(self, level: int) -> Path:
        return self.path / "tiles" / str(level)

    def _read_tile(self, tile: Tile) -> bytes:
        try:
            with self._tile(tile.level).open("rb") as f:
                f.seek(tile.index * WIDTH * HASH_BYTES)
                return f.read(tile.width * HASH_BYTES)
        except FileNotFoundError:
            return b""

    # -- entries by their key ------------------------------------------------------------------------------------------

    def _find(self, edge: _Edge, key: str) -> Line | None:
        """The line that stands under a key."""
        if not edge.contents_end:
            return None
        # `key` is the last field of a content's canonical bytes, and a quote or a newline inside a text is escaped:
        # this is the field.
        wanted = canonical({"key": key})[1:] + b"\n"
        with self._contents.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as contents:
            at = contents.find(b"," + wanted)
            if at < 0:
                return None
            begin = contents.rfind(b"\n", 0, at) + 1
            index = contents[:begin].count(b"\n")
            content = contents[begin : at + len(wanted)]
        return self._line(edge, index, content)

    def _line(self, edge: _Edge, index: int, content: bytes) -> Line:
        raws = split(self._entries.read_bytes())
        tree = TiledTree(edge.range.size, self._read_tile)
        if len(raws) <= index or tree.node(0, index) != leaf_hash(raws[index]):
            raise NotVerified(f"leaf {index} is not the one that the tiles have", RESTORE)
        try:
            leaf = Leaf.parse(raws[index])
        except Malformed as no:
            raise NotVerified(f"leaf {index}: {no.what}", no.hint) from None
        salts = (self.path / "salts").read_bytes()
        return line_of(leaf, raws[index], salts, self._keys.of_salts(self.agency), content)


def _content(entry: Entry, key: str | None) -> bytes:
    return canonical({"body": body_of(entry), "key": key})


def _last_leaf(handle: int) -> bytes:
    """The leaf that the file ends with. Raises Malformed when it ends otherwise."""
    size = os.fstat(handle).st_size
    begin = max(0, size - MAX_LEAF_BYTES - LENGTH_BYTES)
    tail = os.pread(handle, size - begin, begin)
    at = tail.rfind(_LEAF_BEGINS)
    if at < LENGTH_BYTES or int.from_bytes(tail[at - LENGTH_BYTES : at], "big") != len(tail) - at:
        raise Malformed("the file does not end with a whole leaf")
    return tail[at:]


def _last_line(path: Path, size: int) -> bytes:
    """The last line of a file of lines, without its newline; empty when the file does not end with one."""
    with path.open("rb") as f:
        length = _CHUNK
        while True:
            begin = max(0, size - length)
            f.seek(begin)
            tail = f.read(size - begin)
            if not tail.endswith(b"\n"):
                return b""
            before = tail.rfind(b"\n", 0, -1)
            if before >= 0 or begin == 0:
                return tail[before + 1 : -1]
            length *= 2


def _blank(path: Path, begin: int, end: int) -> None:
    """Overwrite a line, its newline apart; returns when that is on disk."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.lseek(handle, begin, os.SEEK_SET)
        write_all(handle, b" " * (end - begin))
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_from(path: Path, begin: int, raw: bytes) -> None:
    """Everything from `begin` on is these bytes; returns when that is on disk."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(handle, begin)
        os.lseek(handle, begin, os.SEEK_SET)
        write_all(handle, raw)
        os.fsync(handle)
    finally:
        os.close(handle)
