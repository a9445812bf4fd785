"""The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1 over SHA-256: hashes, roots, and the proofs that a log gives.

A tree is known by its nodes. `nodes(level, index)` is the hash of the perfect subtree of 2**level leaves that begins at
leaf index * 2**level; whoever can answer that, a list in memory or tiles on disk, can prove everything. The proofs are
made here from the definition in the RFC, by splitting from the root down; `ledger.proofs` checks them from the leaf up.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from schemas.errors import Malformed

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Nodes = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf. The byte before it keeps a leaf from passing for a node (RFC 6962 §2.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree reduced to the roots of its perfect subtrees, the largest first: one for each 1 in its size in binary.

    It is all that a writer needs to add leaves and to state the root, whatever the size: at most 640 bytes for
    a million leaves.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise Malformed("a compact range has one hash for each 1 in its size in binary")
        if any(len(h) != HASH_BYTES for h in self.hashes):
            raise Malformed("a hash of a tree is 32 bytes")

    @classmethod
    def of(cls, nodes: Nodes, size: int) -> "CompactRange":
        return cls(size, tuple(nodes(level, index) for level, index in perfect_subtrees(0, size)))

    def append(self, leaf: bytes) -> "CompactRange":
        """With the hash of one more leaf."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> "CompactRange":
        """With the hashes of more leaves. Each costs two hashes on average."""
        size = self.size
        hashes = list(self.hashes)
        for leaf in leaves:
            node = leaf
            for _ in range(_trailing_ones(size)):
                node = node_hash(hashes.pop(), node)
            hashes.append(node)
            size += 1
        return CompactRange(size, tuple(hashes))

    def root(self) -> bytes:
        return _fold(self.hashes)


class Tree:
    """A whole tree in memory, from the hashes of its leaves: for logs that are read at once, and for tests."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._rows: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        return len(self._rows[0])

    def append(self, leaf: bytes) -> None:
        """Add the hash of one leaf, and every perfect subtree that it completes."""
        node = leaf
        for level in range(_trailing_ones(self.size) + 1):
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(node)
            if len(row) % 2 == 0:
                node = node_hash(row[-2], row[-1])

    def node(self, level: int, index: int) -> bytes:
        if not (0 <= level < len(self._rows) and 0 <= index < len(self._rows[level])):
            raise Malformed(f"there is no node {index} at level {level} in a tree of {self.size} leaves")
        return self._rows[level][index]

    def root(self, size: int | None = None) -> bytes:
        """The root as it was when there were `size` leaves; now, when none is given."""
        return root_of(self.node, self.size if size is None else size)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return inclusion_proof(self.node, index, self.size if size is None else size)

    def consistency(self, size1: int, size2: int | None = None) -> list[bytes]:
        return consistency_proof(self.node, size1, self.size if size2 is None else size2)


def root_of(nodes: Nodes, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return subtree_hash(nodes, 0, size)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """What shows that a leaf is in the tree of `size` leaves: the siblings on its way, from the leaf to the root.

    PATH(index, D[size]) of RFC 6962 §2.1.1 and RFC 9162 §2.1.3.1.
    """
    if not 0 <= index < size:
        raise Malformed(f"there is no leaf {index} in a tree of {size}")
    begin, end = 0, size
    siblings = []
    while end - begin > 1:
        middle = begin + _left_part(end - begin)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((begin, middle))
            begin = middle
    return [subtree_hash(nodes, *s) for s in reversed(siblings)]


def consistency_proof(nodes: Nodes, size1: int, size2: int) -> list[bytes]:
    """What shows that the tree of `size2` leaves begins with the tree of `size1`; empty when they are the same.

    PROOF(size1, D[size2]) of RFC 6962 §2.1.2 and RFC 9162 §2.1.4.1.
    """
    if not 0 < size1 <= size2:
        raise Malformed(f"no proof leads from {size1} leaves to {size2}", "The first size is at least 1.")
    begin, end = 0, size2
    parts = []
    while end != size1:
        middle = begin + _left_part(end - begin)
        if size1 <= middle:
            parts.append((middle, end))
            end = middle
        else:
            parts.append((begin, middle))
            begin = middle
    if begin > 0:
        # What is left of the first tree is a subtree that the reader cannot know. From leaf 0 on it is the whole
        # first tree, and its root is known.
        parts.append((begin, end))
    return [subtree_hash(nodes, *p) for p in reversed(parts)]


def subtree_hash(nodes: Nodes, begin: int, end: int) -> bytes:
    """The hash over leaves begin … end - 1, which form one subtree of the RFC's definition."""
    if not 0 <= begin <= end:
        raise Malformed(f"there are no leaves from {begin} to {end}")
    return _fold([nodes(level, index) for level, index in perfect_subtrees(begin, end)])


def perfect_subtrees(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The fewest perfect subtrees that cover leaves begin … end - 1, from left to right: level and index of each."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The smallest subtrees are at the right, and are joined first."""
    *others, node = hashes or (EMPTY_ROOT,)
    for left in reversed(others):
        node = node_hash(left, node)
    return node


def _left_part(count: int) -> int:
    """The greatest power of two below a count of at least 2: how many leaves the left subtree has."""
    return 1 << ((count - 1).bit_length() - 1)


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1
