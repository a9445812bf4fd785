"""The tree that a log grows: what is kept while it grows gives the roots that the whole tree has."""

import pytest
from hypothesis import given, strategies as st

from ledger.tree import EMPTY_ROOT, CompactRange, Tree, leaf_hash, node_hash, perfect_subtrees, subtree_hash
from schemas.errors import Malformed
from tests.unit.ledger import definition

LEAVES = [b"%d" % n for n in range(260)]
TREE = Tree(leaf_hash(leaf) for leaf in LEAVES)


def test_the_root_of_every_size_is_that_of_the_definition() -> None:
    for size in range(len(LEAVES) + 1):
        assert TREE.root(size) == definition.root(LEAVES[:size])


def test_a_compact_range_has_the_root_of_the_whole_tree_at_every_size() -> None:
    growing = CompactRange()
    assert growing.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, start=1):
        growing = growing.append(leaf_hash(leaf))
        assert growing.root() == TREE.root(size)
        assert growing == CompactRange.of(TREE.node, size)


@given(st.lists(st.integers(0, 100), max_size=6))
def test_leaves_added_one_by_one_or_at_once_make_the_same_tree(counts: list[int]) -> None:
    leaves = iter(leaf_hash(b"%d" % n) for n in range(sum(counts)))
    growing = CompactRange()
    for count in counts:
        growing = growing.extend([next(leaves) for _ in range(count)])
    assert growing == CompactRange().extend(leaf_hash(b"%d" % n) for n in range(sum(counts)))


@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_perfect_subtrees_cover_every_leaf_once_and_each_stands_where_one_can(begin: int, end: int) -> None:
    at = begin
    for level, index in perfect_subtrees(begin, end):
        assert index << level == at
        at += 1 << level
    assert at == max(begin, end)


def test_a_million_leaves_are_kept_in_at_most_twenty_hashes() -> None:
    assert max(n.bit_count() for n in range(10**6)) == 19
    assert len(list(perfect_subtrees(0, 2**20 - 1))) == 20


def test_a_leaf_never_passes_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"") != EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (6, 5), (-1, 5), (0, -1)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(Malformed):
        TREE.inclusion(index, size)


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (6, 5), (-1, 5)])
def test_no_proof_leads_from_nothing_or_backwards(size1: int, size2: int) -> None:
    with pytest.raises(Malformed):
        TREE.consistency(size1, size2)


def test_a_tree_says_so_when_it_is_asked_for_more_than_it_has() -> None:
    for size in (261, 1_000, -1):
        with pytest.raises(Malformed):
            TREE.root(size)
    for begin, end in ((256, 512), (-1, 0), (2, 1)):
        with pytest.raises(Malformed):
            subtree_hash(TREE.node, begin, end)
    for level, index in ((0, -1), (-1, 0), (0, 260), (8, 1), (9, 0)):
        with pytest.raises(Malformed):
            TREE.node(level, index)


@pytest.mark.parametrize(
    ("size", "hashes"), [(-1, ()), (1, ()), (3, (bytes(32),)), (0, (bytes(32),)), (1, (b"short",))]
)
def test_a_compact_range_that_is_none_cannot_be_made(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed):
        CompactRange(size, hashes)
