"""Checking what a log proves: that a leaf is in a tree, and that a tree only grew.

Plain functions over bytes and integers, for anyone who holds a log to its word. Each returns nothing, or raises
NotVerified and nothing else, whatever it is given. Sources: RFC 6962 §2.1, RFC 9162 §2.1.3.2 and §2.1.4.2.
"""

from collections.abc import Iterator, Sequence

from ledger.tree import HASH_BYTES, node_hash
from schemas.errors import NotVerified

# The log's own forms count leaves in 64 bits (RFC 9162 §4.10); a proof then has at most 65 elements.
_MORE_THAN_ANY_TREE = 2**64

_ASK_AGAIN = "Ask for the proof again, or for the whole log."


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes] | None, root: bytes) -> None:
    """The leaf with this hash is leaf `index` (from 0) of the tree of `size` leaves that has this root.

    `proof`: the siblings of the leaf's way to the root, from the leaf up; a list or a tuple, or None when it is empty
    as it is for a tree of one leaf. To believe it we must know that
    1. `index` and `size` are integers, and 0 ≤ index < size < 2**64;
    2. the leaf's hash and each element of the proof is 32 bytes;
    3. the proof has an element for each sibling on the way, no more and no fewer;
    4. hashing from the leaf upwards gives the root.
    """
    if not 0 <= _integer(index) < _integer(size) < _MORE_THAN_ANY_TREE:  # 1
        raise NotVerified("there is no such leaf in a tree of that size", _ASK_AGAIN)
    sides = tuple(_sides(index, size - 1))
    node = _hash(leaf_hash)  # 2
    for sibling_is_left, sibling in zip(sides, _elements(proof, len(sides)), strict=True):  # 2, 3
        node = node_hash(sibling, node) if sibling_is_left else node_hash(node, sibling)
    if node != _bytes(root):  # 4
        raise NotVerified("the leaf is not in the tree with this root", _ASK_AGAIN)


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes] | None, root1: bytes, root2: bytes) -> None:
    """The tree of `size2` leaves with root `root2` begins with the tree of `size1` leaves with root `root1`.

    `proof`: a list or a tuple of hashes, or None when it is empty as it is for two equal sizes. To believe it we must
    know that
    1. the sizes are integers, and 0 < size1 ≤ size2 < 2**64: every tree begins with the empty one, so that a proof
       from it would show nothing;
    2. for equal sizes, the roots are the same bytes (compared only, of whatever length) and the proof is empty;
    3. for others, the proof has as many elements as the two sizes call for, each of 32 bytes;
    4. hashing those that belong to the first tree gives `root1`;
    5. hashing all of them gives `root2`.
    """
    if not 0 < _integer(size1) <= _integer(size2) < _MORE_THAN_ANY_TREE:  # 1
        raise NotVerified("no tree of the first size can grow into one of the second", _ASK_AGAIN)
    if size1 == size2:  # 2
        _elements(proof, 0)
        if _bytes(root1) != _bytes(root2):
            raise NotVerified("one size with two roots: the log was forked", "Keep both checkpoints as evidence.")
        return
    # The way begins at the last perfect subtree of the first tree. When that is the whole first tree its hash is
    # root1; otherwise it is the first element of the proof.
    level = (size1 & -size1).bit_length() - 1
    whole = size1 == 1 << level
    sides = tuple(_sides((size1 - 1) >> level, (size2 - 1) >> level))
    elements = _elements(proof, len(sides) + (not whole))  # 3
    begin = _hash(root1) if whole else elements[0]
    old = new = begin
    for sibling_is_left, sibling in zip(sides, elements if whole else elements[1:], strict=True):
        if sibling_is_left:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
        else:
            # What is at the right came after the first tree.
            new = node_hash(new, sibling)
    if old != _bytes(root1):  # 4
        raise NotVerified("the proof does not begin at the first root", _ASK_AGAIN)
    if new != _bytes(root2):  # 5
        raise NotVerified("the second tree does not begin with the first", "Keep both checkpoints as evidence.")


def _sides(index: int, last: int) -> Iterator[bool]:
    """The siblings on the way from a node to the root, lowest first: whether each is at the left.

    `last`: index of the last node at the same level. A last node without a sibling rises as it is, and none is given
    for that level.
    """
    while last > 0:
        if index % 2 == 1:
            yield True
        elif index < last:
            yield False
        index //= 2
        last //= 2


def _elements(proof: object, count: int) -> tuple[bytes, ...]:
    if proof is None:
        proof = ()
    if type(proof) is not list and type(proof) is not tuple:
        raise NotVerified("a proof is a list of hashes", _ASK_AGAIN)
    if len(proof) != count:
        raise NotVerified(f"the proof has {len(proof)} elements where the sizes call for {count}", _ASK_AGAIN)
    return tuple(_hash(p) for p in proof)


def _hash(value: object) -> bytes:
    if len(_bytes(value)) != HASH_BYTES:
        raise NotVerified("a hash is 32 bytes", _ASK_AGAIN)
    return _bytes(value)


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise NotVerified("a hash is given as bytes", _ASK_AGAIN)
    return value


def _integer(value: object) -> int:
    """An int and nothing that only behaves like one: True is no size."""
    if type(value) is not int:
        raise NotVerified("a size is given as an integer", _ASK_AGAIN)
    return value
