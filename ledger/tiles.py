"""A log as files that never change: tiles of 256 hashes, bundles of 256 leaves. The forms of C2SP tlog-tiles v0.1.0.

    tile/0/x001/x234/067        hashes of leaves 256 * 1234067 …
    tile/1/004.p/5              the five full tiles below, so far, of a tile at level 1
    tile/entries/000            the first 256 leaves, each after its length in two bytes

The n-th tile at level l holds the hashes of the subtrees of 256**l leaves from n * 256 on. All other nodes of the tree
are between two levels of tiles, and are hashed again when they are needed. Nothing here touches the disk.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ledger.tree import HASH_BYTES, node_hash
from schemas.errors import Malformed

WIDTH = 256
HEIGHT = 8  # 256 = 2**8: how many levels of the tree a tile stands for
MAX_LEVEL = 63
MAX_LEAF_BYTES = 2**16 - 1

_LENGTH_BYTES = 2
_KEPT_TILES = 64
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of hashes by its place; `width` is how many it has, fewer than 256 for a partial one."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise Malformed("a tile has a level from 0 to 63")
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        return f"tile/{self.level}/{_place(self.index, self.width)}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle of leaves by its place, numbered as the tiles of level 0 are."""

    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        return f"tile/entries/{_place(self.index, self.width)}"


def parse_path(path: str) -> Tile | Bundle:
    """What is at a path. Raises Malformed for any spelling but the one that its place has."""
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise Malformed("this is not the path of a tile")
    level, index, width = parts[1], int(re.sub("[x/]", "", parts[2])), int(parts[3] or WIDTH)
    found = Bundle(index, width) if level == "entries" else Tile(int(level), index, width)
    if found.path != path:
        raise Malformed("this is not the path of a tile")
    return found


def tiles(size: int, since: int = 0) -> Iterator[Tile]:
    """The tiles of a tree that were not there, or not so wide, when it had `since` leaves; by default all of them."""
    for level in range(MAX_LEVEL + 1):
        before, now = since >> HEIGHT * level, size >> HEIGHT * level
        for index, width in _places(before, now):
            yield Tile(level, index, width)


def bundles(size: int, since: int = 0) -> Iterator[Bundle]:
    """The bundles of a log that were not there, or not so long, when it had `since` leaves; by default all of them."""
    for index, width in _places(since, size):
        yield Bundle(index, width)


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """From 1 to 256 leaves, each after its length. Bundles one after the other are the whole log."""
    if not 1 <= len(leaves) <= WIDTH:
        raise Malformed("a bundle has from 1 to 256 leaves")
    return b"".join(encode_leaf(leaf) for leaf in leaves)


def encode_leaf(leaf: bytes) -> bytes:
    if len(leaf) > MAX_LEAF_BYTES:
        raise Malformed(
            "a leaf is longer than 65,535 bytes", "Keep the document elsewhere, and its digest in the leaf."
        )
    return len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf


def decode_bundle(raw: bytes, width: int) -> tuple[bytes, ...]:
    """The `width` leaves of a bundle. Raises Malformed when it holds fewer, or anything more."""
    leaves = []
    at = 0
    for _ in range(width):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(raw[at:begin], "big")
        if at > len(raw):
            raise Malformed("a bundle ends within a leaf")
        leaves.append(raw[begin:at])
    if at != len(raw):
        raise Malformed("a bundle holds more than its leaves")
    return tuple(leaves)


def decode_tile(raw: bytes, width: int) -> tuple[bytes, ...]:
    """The `width` hashes of a tile. Raises Malformed."""
    if len(raw) != width * HASH_BYTES:
        raise Malformed(f"a tile of {width} hashes has {width * HASH_BYTES} bytes")
    return tuple(raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES))


def grow(size: int, leaves: Sequence[bytes], read: Callable[[Tile], bytes]) -> dict[Tile, bytes]:
    """The bytes of every tile that is new or wider once a tree of `size` leaves has these more (their hashes).

    `read` is asked for the partial tiles at the tree's right edge, one a level at most.
    """
    written = {}
    fresh = tuple(leaves)
    for level in range(MAX_LEVEL + 1):
        if not fresh:
            break
        index, width = divmod(size >> HEIGHT * level, WIDTH)
        row = (decode_tile(read(Tile(level, index, width)), width) if width else ()) + fresh
        parts = [row[at : at + WIDTH] for at in range(0, len(row), WIDTH)]
        for n, part in enumerate(parts):
            written[Tile(level, index + n, len(part))] = b"".join(part)
        fresh = tuple(perfect_root(part) for part in parts if len(part) == WIDTH)
    return written


class TiledTree:
    """The nodes of a tree of `size` leaves, found in its tiles: what `ledger.tree` makes roots and proofs from.

    What `read` gives is not verified. A root made from it and compared with a checkpoint's is.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self.size = size
        self._read = read
        self._tile = lru_cache(maxsize=_KEPT_TILES)(self._load)

    def node(self, level: int, index: int) -> bytes:
        """The hash of the perfect subtree of 2**level leaves from leaf index * 2**level on."""
        if level < 0 or index < 0 or (index + 1) << level > self.size:
            raise Malformed(f"there is no node {index} at level {level} in a tree of {self.size} leaves")
        tile_level, above = divmod(level, HEIGHT)
        tile_index, at = divmod(index << above, WIDTH)
        return perfect_root(self._tile(tile_level, tile_index)[at : at + (1 << above)])

    def _load(self, level: int, index: int) -> tuple[bytes, ...]:
        width = min(WIDTH, (self.size >> HEIGHT * level) - index * WIDTH)
        return decode_tile(self._read(Tile(level, index, width)), width)


def _places(before: int, now: int) -> Iterator[tuple[int, int]]:
    """Index and width of each row of up to 256 that changed when `before` things became `now`."""
    if now > before:
        for index in range(before // WIDTH, (now + WIDTH - 1) // WIDTH):
            yield index, min(WIDTH, now - index * WIDTH)


def _place(index: int, width: int) -> str:
    """Groups of three figures, all but the last after an `x`, so that a folder never has the name of a file."""
    figures = str(index)
    figures = figures.zfill(-(-len(figures) // 3) * 3)
    *folders, name = (figures[at : at + 3] for at in range(0, len(figures), 3))
    return "".join(f"x{f}/" for f in folders) + name + ("" if width == WIDTH else f".p/{width}")


def _check_place(index: int, width: int) -> None:
    if not 0 <= index < 2**64 or not 1 <= width <= WIDTH:
        raise Malformed("a tile has a number of 64 bits and from 1 to 256 hashes")


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[n], hashes[n + 1]) for n in range(0, len(hashes), 2)]
    return hashes[0]
