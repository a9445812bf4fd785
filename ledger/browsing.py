"""A log for somebody who looks at pages of it: verified whole once, then as it grows, and opened where it is looked at.

`ledger.stored.hold` makes an object of every entry. Of 100,000 that takes half a minute and half a gigabyte, and a page
shows twenty-five. Here the same is verified by column: the tree against its signed head, every leaf's place, every
commitment against its salt and its content; what is kept is the tree, a few numbers a leaf, and the entries that say
what is allowed. A receipt (of which there are many) is opened again when it is shown, and verified again.

A later head is believed when the tree grown by the new leaves has its root: the log extends the one that was read.
"""

import json
import mmap
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ledger.commitment import TAG, commit_bytes
from ledger.entry import FORGETTABLE, KINDS, Entry, Head, History, Line, Receipt
from ledger.leaf import Leaf
from ledger.salts import FORMAT, SLOT_BYTES
from ledger.stored import LENGTH_BYTES, RESTORE, Keys, opened_line, stated_head
from ledger.tree import EMPTY_ROOT, CompactRange, Tree, leaf_hash
from schemas.errors import NotVerified
from schemas.ids import AgencyCode

Column = np.ndarray[Any, np.dtype[Any]]
RECEIPT = KINDS[Receipt]
COUNTS = ("read", "stored", "unchanged", "quarantined", "withheld")
FORGOTTEN = "forgotten"
_LAST = 10  # deliveries of an instruction that are named
_STEP = 20_000  # leaves that are in memory at once
# The one spelling of a leaf (`ledger.leaf`).
_LEAF = re.compile(
    rb'\{"agency":"([^"]+)","at":"(\d{4})-(\d\d)-(\d\d)T[^"]+","commitment":"([0-9a-f]{64})","format":"depositaire-leaf",'
    rb'"index":(\d+),"kind":(\d+),"version":1\}'
)
_WRAPPED = 0xA6A6A6A6A6A6A6A6  # RFC 3394 §2.2.3.1


@dataclass(frozen=True, slots=True)
class Under:
    """What came in under one instruction: deliveries, the last of them by number, and their lines by `COUNTS`."""

    deliveries: int = 0
    last: tuple[int, ...] = ()
    counts: tuple[int, ...] = (0,) * len(COUNTS)

    def and_(self, number: int, counts: Sequence[int]) -> "Under":
        summed = tuple(a + b for a, b in zip(self.counts, counts, strict=True))
        return Under(self.deliveries + 1, (*self.last, number)[-_LAST:], summed)


def _none(kind: type) -> Callable[[], Column]:
    return lambda: np.empty(0, kind)


@dataclass(frozen=True)
class Browsed:
    """One log as of a head. Columns have a row for each leaf: where its bytes begin, its kind, its day (20260105), the
    word for it in `words`, and the systems that it speaks of as bits of `systems`.

    `kept`: the lines that are no receipts. The tree is shared with later heads: ask it for `size` leaves.
    """

    agency: AgencyCode
    folder: Path
    keys: Keys = field(repr=False)
    head: Head = field(default_factory=lambda: Head(0, EMPTY_ROOT))
    checkpoint: bytes = b""
    ends: tuple[int, int] = (0, 0)
    tree: Tree = field(default_factory=Tree, repr=False)
    edge: CompactRange = field(default_factory=CompactRange, repr=False)
    leaves_at: Column = field(default_factory=_none(np.int64), repr=False)
    contents_at: Column = field(default_factory=_none(np.int64), repr=False)
    kinds: Column = field(default_factory=_none(np.uint8), repr=False)
    days: Column = field(default_factory=_none(np.int32), repr=False)
    named: Column = field(default_factory=_none(np.uint8), repr=False)
    systems: Column = field(default_factory=_none(np.uint8), repr=False)
    words: tuple[str, ...] = (FORGOTTEN,)
    kept: tuple[Line, ...] = field(default=(), repr=False)
    under: Mapping[str, Under] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        return self.head.size

    @cached_property
    def counting(self) -> History:
        """All that says what is allowed: the entries that are no receipts."""
        return History(self.agency, self.head, self.kept)

    def grown(self, checkpoint: bytes, naming: "Naming") -> "Browsed":
        """The log as of a later head, once what is new is verified. Raises NotVerified."""
        head = stated_head(checkpoint, self.agency, self.keys.verifier)
        if head.size < self.size:
            raise NotVerified("the log has fewer leaves than it had", RESTORE)
        growing = _Growing(self, naming)
        with (
            _mapped(self.folder / "entries") as leaves,
            _mapped(self.folder / "contents") as contents,
            _opened(self.folder / "salts") as salts,
        ):
            for first in range(self.size, head.size, _STEP):
                growing.take(leaves, contents, salts, min(_STEP, head.size - first))
        return growing.done(head, checkpoint)

    def line(self, number: int) -> Line | None:
        """One line, verified; None for one that was destroyed. Raises NotVerified."""
        at = number - 1
        raw = self.leaf(number)
        if self.tree.node(0, at) != leaf_hash(raw):
            raise NotVerified(f"leaf {at} was changed", RESTORE)
        leaf = Leaf.parse(raw)
        opened = self.content(number)
        if opened is None:
            return None
        content, salt = opened
        if commit_bytes(salt, at, content) != leaf.commitment:
            raise NotVerified(f"leaf {at} does not commit to the content that stands for it", RESTORE)
        return opened_line(leaf, content, leaf_hash(raw))

    def leaf(self, number: int) -> bytes:
        """The bytes of a leaf, as they are on disk."""
        with _opened(self.folder / "entries") as handle:
            length = int.from_bytes(os.pread(handle, LENGTH_BYTES, int(self.leaves_at[number - 1])), "big")
            return os.pread(handle, length, int(self.leaves_at[number - 1]) + LENGTH_BYTES)

    def content(self, number: int) -> tuple[bytes, bytes] | None:
        """The bytes of a content, and its salt; None when it was destroyed. Raises NotVerified."""
        at = number - 1
        begin = int(self.contents_at[at])
        end = int(self.contents_at[at + 1]) if at + 1 < self.size else self.ends[1]
        # The salt after the content: it is destroyed first, so that a content that is half gone has none.
        with _opened(self.folder / "contents") as contents, _opened(self.folder / "salts") as salts:
            content = os.pread(contents, end - begin - 1, begin)
            slot = os.pread(salts, SLOT_BYTES, (at + 1) * SLOT_BYTES)
        if not any(slot):
            return None
        found, holds = _unwrapped(slot, self.keys.salts)
        if not holds.all():
            raise NotVerified(f"the salt of leaf {at} was changed, or another key wraps it")
        return content, bytes(found[0])

    def naming(self, secrets: frozenset[bytes]) -> frozenset[int]:
        """Numbers of the receipts whose content has one of these texts."""
        found: set[int] = set()
        if not secrets or not self.size:
            return frozenset()
        with _mapped(self.folder / "contents") as contents:
            for text in secrets:
                at = contents.find(text, 0, self.ends[1])
                while at >= 0:
                    found.add(int(np.searchsorted(self.contents_at, at, "right")))
                    at = contents.find(text, at + 1, self.ends[1])
        return frozenset(n for n in found if self.kinds[n - 1] == RECEIPT)


@dataclass(frozen=True, slots=True)
class Naming:
    """How whoever shows a log calls its entries: a word, and the systems that it speaks of, in their order of bits."""

    word: Callable[[Entry], str]
    systems: tuple[str, ...]
    of: Callable[[Entry], Sequence[str]]

    def bits(self, names: Sequence[str]) -> int:
        return sum(1 << self.systems.index(name) for name in set(names) if name in self.systems)


class _Growing:
    """The columns of the leaves that are new."""

    def __init__(self, before: Browsed, naming: Naming) -> None:
        self._before, self._naming = before, naming
        self._ends = before.ends
        self._size = before.size
        self._hashes: list[bytes] = []
        self._rows: list[tuple[Column, ...]] = []
        self._words = list(before.words)
        self._kept: list[Line] = []
        self._under = dict(before.under)

    def take(self, leaves: mmap.mmap | bytes, contents: mmap.mmap | bytes, salts: int, count: int) -> None:
        first = self._size
        raws, leaves_at, leaves_end = _leaves(leaves, self._ends[0], count)
        lines, contents_at, contents_end = _lines(contents, self._ends[1], count)
        if len(raws) < count or len(lines) < count:
            raise NotVerified("the log has fewer leaves or contents than its checkpoint counts", RESTORE)
        slots = os.pread(salts, count * SLOT_BYTES, (first + 1) * SLOT_BYTES)
        if os.pread(salts, SLOT_BYTES, 0) != FORMAT.ljust(SLOT_BYTES, b"\x00") or len(slots) < count * SLOT_BYTES:
            raise NotVerified("salts are missing", RESTORE)
        found, holds = _unwrapped(slots, self._before.keys.salts)
        gone: Column = np.logical_not(np.frombuffer(slots, np.uint8).reshape(count, SLOT_BYTES).any(axis=1))
        kinds, days = np.empty(count, np.uint8), np.empty(count, np.int32)
        named, systems = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        for n, (raw, content) in enumerate(zip(raws, lines, strict=True)):
            kinds[n], days[n], commitment = self._placed(raw, first + n)
            self._hashes.append(leaf_hash(raw))
            if gone[n] and kinds[n] in FORGETTABLE:
                continue
            salted = TAG + bytes(found[n]) + (first + n).to_bytes(8, "big") + content
            if not holds[n] or sha256(salted).digest() != commitment:
                raise NotVerified(f"leaf {first + n} does not commit to the content that stands for it", RESTORE)
            word, spoken = self._told(int(kinds[n]), raw, content, first + n + 1)
            named[n], systems[n] = self._word(word), self._naming.bits(spoken)
        self._rows.append((leaves_at, contents_at, kinds, days, named, systems))
        self._ends, self._size = (leaves_end, contents_end), first + count

    def _placed(self, raw: bytes, index: int) -> tuple[int, int, bytes]:
        """Kind, day and commitment of a leaf that is of this log and in its place."""
        found = _LEAF.fullmatch(raw)
        if found is None or (found[1].decode(), int(found[6])) != (self._before.agency, index) or int(found[7]) > 255:
            raise NotVerified(f"leaf {index} is not a leaf of this log in its place", RESTORE)
        return int(found[7]), int(found[2] + found[3] + found[4]), bytes.fromhex(found[5].decode())

    def _told(self, kind: int, raw: bytes, content: bytes, number: int) -> tuple[str, Sequence[str]]:
        """A word and systems for a content that was committed to."""
        if kind != RECEIPT:
            line = opened_line(Leaf.parse(raw), content, self._hashes[-1])
            self._kept.append(line)
            return self._naming.word(line.entry), self._naming.of(line.entry)
        body = json.loads(content)["body"]
        counts = [sum(t.get(name, 0) for t in body["tables"].values()) for name in COUNTS]
        for instruction in body["instructions"]:
            self._under[instruction] = self._under.get(instruction, Under()).and_(number, counts)
        return "receipt", (body["system"],)

    def _word(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)

    def done(self, head: Head, checkpoint: bytes) -> Browsed:
        """Nothing of what was taken counts before the tree has the root that was signed."""
        before = self._before
        edge = before.edge.extend(self._hashes)
        if edge.root() != head.root:
            raise NotVerified("the log does not have the root that its checkpoint states", RESTORE)
        for digest in self._hashes:
            before.tree.append(digest)
        was = (before.leaves_at, before.contents_at, before.kinds, before.days, before.named, before.systems)
        names = ("leaves_at", "contents_at", "kinds", "days", "named", "systems")
        grown: dict[str, Any] = {
            name: np.concatenate([old, *(row[n] for row in self._rows)])
            for n, (name, old) in enumerate(zip(names, was, strict=True))
        }
        return replace(
            before, head=head, checkpoint=checkpoint, ends=self._ends, edge=edge, words=tuple(self._words),
            kept=(*before.kept, *self._kept), under=self._under, **grown,
        )  # fmt: skip


def _leaves(raw: mmap.mmap | bytes, begin: int, count: int) -> tuple[list[bytes], Column, int]:
    """The next leaves, where each begins, and where they end."""
    found, places, at = [], np.empty(count, np.int64), begin
    for n in range(count):
        length = int.from_bytes(raw[at : at + LENGTH_BYTES], "big")
        leaf = raw[at + LENGTH_BYTES : at + LENGTH_BYTES + length]
        if not leaf or len(leaf) < length:
            break
        found.append(leaf)
        places[n] = at
        at += LENGTH_BYTES + length
    return found, places, at


def _lines(raw: mmap.mmap | bytes, begin: int, count: int) -> tuple[list[bytes], Column, int]:
    """The same of the contents, each without its newline."""
    found, places, at = [], np.empty(count, np.int64), begin
    for n in range(count):
        end = raw.find(b"\n", at)
        if end < 0:
            break
        found.append(raw[at:end])
        places[n] = at
        at = end + 1
    return found, places, at


def _unwrapped(slots: bytes, key: bytes) -> tuple[Column, Column]:
    """Salts of 32 bytes, and whether each slot holds: RFC 3394 §2.2.2 for all of them at once, since one at a time is
    most of the time that a log takes to read."""
    words = np.frombuffer(slots, np.uint8).reshape(-1, SLOT_BYTES // 8, 8).copy()
    first, rest = words[:, 0, :].copy(), words[:, 1:, :]
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305 - the primitive of RFC 3394
    steps = rest.shape[1]
    for j in range(5, -1, -1):
        for i in range(steps, 0, -1):
            first[:, 7] ^= np.uint8(steps * j + i)
            blocks = np.concatenate([first, rest[:, i - 1, :]], axis=1)
            opened = np.frombuffer(decryptor.update(blocks.tobytes()), np.uint8).reshape(-1, 16)
            first, rest[:, i - 1, :] = opened[:, :8].copy(), opened[:, 8:]
    holds = (first == np.frombuffer(_WRAPPED.to_bytes(8, "big"), np.uint8)).all(axis=1)
    return rest.reshape(-1, SLOT_BYTES - 8), holds


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotVerified("a file of the log is missing", RESTORE) from None
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The bytes of a file, read where they are looked at."""
    with _opened(path) as handle:
        if not os.fstat(handle).st_size:
            yield b""
            return
        with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as raw:
            yield raw
