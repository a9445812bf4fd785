"""The files of one log as bytes, and what must hold for them to be believed. Nothing here writes.

    entries         the leaves, each after its length in two bytes
    contents        line n: what leaf n commits to, in canonical JSON
    salts           slot n + 1: the salt of leaf n, wrapped (`ledger.salts`)
    tiles/0, 1 …    the hashes of each level of tiles, one after the other
    checkpoint      the signed head

docs/specs/instruction-log.md shows them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.canonical import parse
from ledger.checkpoint import Checkpoint, read_checkpoint
from ledger.commitment import commit_bytes
from ledger.entry import FORGETTABLE, KINDS, Head, Line, Receipt, entry_of
from ledger.leaf import Leaf, origin
from ledger.salts import Destroyed, NeverKept, in_bytes, is_destroyed
from ledger.tiles import MAX_LEVEL, WIDTH, perfect_root
from ledger.tree import EMPTY_ROOT, HASH_BYTES, CompactRange, leaf_hash
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode

LENGTH_BYTES = 2
RESTORE = "Restore the log from a copy."
_ENDS_AS_RECEIPT = b'"kind":%d,"version":1}' % KINDS[Receipt]  # the last fields of its canonical bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of every file of a log. No checkpoint: the log was never begun."""

    entries: bytes = b""
    contents: bytes = b""
    salts: bytes = b""
    tiles: tuple[bytes, ...] = ()
    checkpoint: bytes | None = None

    @classmethod
    def load(cls, folder: Path) -> "Stored":
        levels: list[bytes] = []
        while len(levels) <= MAX_LEVEL and (level := _read(folder / "tiles" / str(len(levels)))) is not None:
            levels.append(level)
        entries, contents, salts = (_read(folder / name) or b"" for name in ("entries", "contents", "salts"))
        return cls(entries, contents, salts, tuple(levels), _read(folder / "checkpoint"))


@dataclass(frozen=True, slots=True)
class Keys:
    """What reading one log takes: the verifier key of its checkpoints, and what wraps its salts."""

    verifier: str
    salts: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """A log that holds. `stated`: the head that its checkpoint signs; `head`: with the leaves that were on disk when
    a writer stopped before it could sign them; `…_end`: how many bytes of the files are of these leaves."""

    stated: Head
    head: Head
    lines: tuple[Line, ...]
    hashes: tuple[bytes, ...]
    entries_end: int
    contents_end: int


def hold(stored: Stored, agency: AgencyCode, keys: Keys, receipts: bool = True) -> Held:
    """What the files of an agency's log say, once all of it is verified. Raises NotVerified naming the leaf.

    `receipts` False: those are many, and say nothing of what is allowed; they are in the tree, and their contents stay
    closed.

    To believe a log we must know that
    1. its checkpoint is of this log and signed by its key; only a log without leaves may have none;
    2. the leaves that the checkpoint counts are all there, and have the root that it states;
    3. so do the tiles;
    4. each leaf is in its one spelling, of this agency, and in its place;
    5. its salt and its content are there, and it commits to them;
    6. the content is a key and a body, and the body a whole entry of the leaf's kind.
    Leaves beyond the checkpoint were on disk before it could be signed; 4 to 6 hold for them too. What is left of one
    that was being written, and all after it, was never acknowledged, and is left out.
    What this cannot show is that the whole folder is of an earlier day: a head kept elsewhere (`checkpoint` files that
    the agency keeps, a certificate) does.
    """
    stated = stated_head(stored.checkpoint, agency, keys.verifier)  # 1
    if stored.checkpoint is None and stored.entries:
        raise NotVerified("the log has leaves and no checkpoint", RESTORE)
    raws = split(stored.entries)
    hashes = [leaf_hash(raw) for raw in raws]
    _rooted(hashes, stated, stored.tiles)  # 2
    _tiled(hashes[: stated.size], stored.tiles)  # 3
    leaves = list(_leaves(raws, agency, stated.size, receipts))  # 4
    count = len(leaves)
    contents = stored.contents.split(b"\n")[:-1][:count]
    opened = [leaf for leaf in leaves if leaf is not None and not _forgotten(leaf, stored.salts)]
    for leaf in opened:
        content = contents[leaf.index] if leaf.index < len(contents) else None
        _committed(leaf, stored.salts, keys.salts, content)  # 5
    lines = tuple(opened_line(leaf, contents[leaf.index], hashes[leaf.index]) for leaf in opened)  # 6
    head = Head(count, root_of(hashes[:count]))
    entries_end = sum(len(raw) + LENGTH_BYTES for raw in raws[:count])
    contents_end = sum(len(content) + 1 for content in contents)
    return Held(stated, head, lines, tuple(hashes[:count]), entries_end, contents_end)


def stated_head(checkpoint: bytes | None, agency: AgencyCode, verifier: str) -> Head:
    """The head that a log's checkpoint signs; that of the empty log when there is none."""
    if checkpoint is None:
        return Head(0, EMPTY_ROOT)
    stated = read_checkpoint(checkpoint, origin(agency), verifier)
    if stated.size == 0 and stated.root != EMPTY_ROOT:
        raise NotVerified("the checkpoint of an empty log states a root of something", RESTORE)
    return Head(stated.size, stated.root)


def checkpoint_of(agency: AgencyCode, head: Head) -> Checkpoint:
    return Checkpoint(origin(agency), head.size, head.root)


def split(entries: bytes) -> list[bytes]:
    """The leaves, each without its length, as far as they are whole."""
    leaves = []
    at = 0
    while at + LENGTH_BYTES <= len(entries):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(entries[at:begin], "big")
        if at > len(entries):
            break
        leaves.append(entries[begin:at])
    return leaves


def root_of(hashes: Sequence[bytes]) -> bytes:
    return CompactRange().extend(hashes).root()


def levels_of(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The hashes of each level of tiles over these leaves."""
    levels = [list(hashes)]
    while len(levels[-1]) >= WIDTH:
        row = levels[-1]
        levels.append([perfect_root(row[at : at + WIDTH]) for at in range(0, len(row) - WIDTH + 1, WIDTH)])
    return levels


def line_of(leaf: Leaf, raw: bytes, salts: bytes, key: bytes, content: bytes) -> Line:
    """One leaf with its content, verified but for its place in the tree."""
    _committed(leaf, salts, key, content)
    return opened_line(leaf, content, leaf_hash(raw))


def _rooted(hashes: Sequence[bytes], stated: Head, tiles: Sequence[bytes]) -> None:
    if len(hashes) < stated.size:
        raise NotVerified(f"the log has {len(hashes)} leaves and its checkpoint counts {stated.size}", RESTORE)
    if root_of(hashes[: stated.size]) != stated.root:
        known = tiles[0] if tiles else b""
        changed = (n for n in range(stated.size) if known[n * HASH_BYTES : (n + 1) * HASH_BYTES] != hashes[n])
        where = next(changed, None)
        if where is not None:
            raise NotVerified(f"leaf {where} was changed", RESTORE)
        raise NotVerified("the log does not have the root that its checkpoint states", RESTORE)


def _tiled(hashes: Sequence[bytes], tiles: Sequence[bytes]) -> None:
    for level, row in enumerate(levels_of(hashes)):
        wanted = b"".join(row)
        found = tiles[level][: len(wanted)] if level < len(tiles) else b""
        if found != wanted:
            raise NotVerified(f"the tiles of level {level} are not those of the leaves", RESTORE)


def _leaves(raws: Sequence[bytes], agency: AgencyCode, signed: int, receipts: bool) -> Iterator[Leaf | None]:
    """The leaves up to the first that was being written when its writer was stopped: none of `signed` can be one.

    Without `receipts`, None for one that was signed: the tree vouches for it.
    """
    for index, raw in enumerate(raws):
        if not receipts and index < signed and raw.endswith(_ENDS_AS_RECEIPT):
            yield None
            continue
        try:
            leaf = Leaf.parse(raw)
        except Malformed:
            leaf = None
        if leaf is not None and (leaf.agency, leaf.index) == (agency, index):
            yield leaf
        elif index < signed:
            raise NotVerified(f"leaf {index} is not a leaf of this log in its place", RESTORE)
        else:
            return


def _forgotten(leaf: Leaf, salts: bytes) -> bool:
    """Whether what the leaf says was destroyed (`Log.forget`). Of a kind that says what is allowed, that is a loss."""
    return leaf.kind in FORGETTABLE and is_destroyed(salts, leaf.index)


def _committed(leaf: Leaf, salts: bytes, key: bytes, content: bytes | None) -> None:
    salt = in_bytes(salts, key, leaf.index)
    if isinstance(salt, Destroyed | NeverKept) or content is None:
        raise NotVerified(f"the salt or the content of leaf {leaf.index} is missing", RESTORE)
    try:
        holds = commit_bytes(salt.salt, leaf.index, content) == leaf.commitment
    except Malformed:
        holds = False
    if not holds:
        raise NotVerified(f"leaf {leaf.index} does not commit to the content that stands for it", RESTORE)


def opened_line(leaf: Leaf, content: bytes, digest: bytes) -> Line:
    """What a content says that the leaf was found to commit to. Raises NotVerified."""
    try:
        said = parse(content)
        if set(said) != {"body", "key"} or not isinstance(said["key"], str | None):
            raise Malformed("the content of a leaf is a body and a key")
        entry = entry_of(leaf.kind, said["body"])
    except Malformed as no:
        raise NotVerified(f"leaf {leaf.index}: {no.what}", no.hint) from None
    return Line(leaf.index + 1, leaf.at, entry, digest.hex(), said["key"])


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
