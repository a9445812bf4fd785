"""What a log proves is believed only as it stands: every other leaf, place, size, root and bit is refused."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import Tree, consistency_proof, inclusion_proof, leaf_hash, node_hash, root_of
from schemas.errors import NotVerified
from tests.unit.ledger import definition

LEAVES = [b"leaf %d" % n for n in range(64)]
SMALL = 12
TREE = Tree(leaf_hash(leaf) for leaf in LEAVES)
LARGE = Tree(leaf_hash(b"%d" % n) for n in range(3_000))


def holds(verify: Any, *claim: Any) -> bool:
    try:
        verify(*claim)
    except NotVerified:
        return False
    return True


def places(most: int) -> Iterator[tuple[int, int]]:
    """Every leaf of every tree: index and size."""
    return ((index, size) for size in range(1, most + 1) for index in range(size))


def pairs(most: int) -> Iterator[tuple[int, int]]:
    """Every size from which a tree grew, and every size to which it did."""
    return ((size1, size2) for size2 in range(1, most + 1) for size1 in range(1, size2 + 1))


def turned(proof: list[bytes], element: int, bit: int) -> list[bytes]:
    changed = bytearray(proof[element])
    changed[bit // 8] ^= 1 << bit % 8
    return [*proof[:element], bytes(changed), *proof[element + 1 :]]


def test_every_leaf_of_every_tree_up_to_64_is_proved_by_the_path_of_the_definition() -> None:
    for index, size in places(64):
        proof = definition.path(index, LEAVES[:size])
        assert TREE.inclusion(index, size) == proof
        verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, definition.root(LEAVES[:size]))


def test_every_growth_up_to_64_is_proved_by_the_proof_of_the_definition() -> None:
    for size1, size2 in pairs(64):
        proof = definition.proof(size1, LEAVES[:size2])
        assert TREE.consistency(size1, size2) == proof
        verify_consistency(size1, size2, proof, definition.root(LEAVES[:size1]), definition.root(LEAVES[:size2]))


def test_no_leaf_is_proved_at_the_place_of_another() -> None:
    for index, size in places(64):
        proof, root = TREE.inclusion(index, size), TREE.root(size)
        leaf, others = TREE.node(0, index), [i for i in range(size) if i != index]
        assert not any(holds(verify_inclusion, leaf, i, size, proof, root) for i in others)
        assert not any(holds(verify_inclusion, TREE.node(0, i), index, size, proof, root) for i in others)


def test_no_proof_holds_against_another_root() -> None:
    others = [TREE.root(n) for n in range(SMALL * 2)]
    for index, size in places(SMALL * 2):
        claim = TREE.node(0, index), index, size, TREE.inclusion(index, size)
        assert not any(holds(verify_inclusion, *claim, r) for r in others if r != TREE.root(size))
    for size1, size2 in pairs(SMALL * 2):
        sizes, proof, root1, root2 = (size1, size2), TREE.consistency(size1, size2), TREE.root(size1), TREE.root(size2)
        assert not any(holds(verify_consistency, *sizes, proof, r, root2) for r in others if r != root1)
        assert not any(holds(verify_consistency, *sizes, proof, root1, r) for r in others if r != root2)


def test_every_bit_that_is_turned_in_the_proof_of_a_small_tree_is_found() -> None:
    for index, size in places(SMALL):
        proof = TREE.inclusion(index, size)
        for element, bit in ((e, b) for e in range(len(proof)) for b in range(256)):
            changed = turned(proof, element, bit)
            assert not holds(verify_inclusion, TREE.node(0, index), index, size, changed, TREE.root(size))
    for size1, size2 in pairs(SMALL):
        proof = TREE.consistency(size1, size2)
        for element, bit in ((e, b) for e in range(len(proof)) for b in range(256)):
            changed = turned(proof, element, bit)
            assert not holds(verify_consistency, size1, size2, changed, TREE.root(size1), TREE.root(size2))


def test_a_bit_turned_in_any_element_of_any_proof_up_to_64_is_found() -> None:
    for index, size in places(64):
        proof = TREE.inclusion(index, size)
        for element in range(len(proof)):
            changed = turned(proof, element, (index * 31 + size * 7 + element) % 256)
            assert not holds(verify_inclusion, TREE.node(0, index), index, size, changed, TREE.root(size))
    for size1, size2 in pairs(64):
        proof = TREE.consistency(size1, size2)
        for element in range(len(proof)):
            changed = turned(proof, element, (size1 * 31 + size2 * 7 + element) % 256)
            assert not holds(verify_consistency, size1, size2, changed, TREE.root(size1), TREE.root(size2))


def test_a_proof_with_an_element_more_or_fewer_is_refused() -> None:
    for index, size in places(64):
        claim = TREE.node(0, index), index, size
        for other in lengthened_or_shortened(TREE.inclusion(index, size)):
            assert not holds(verify_inclusion, *claim, other, TREE.root(size))
    for size1, size2 in pairs(64):
        for other in lengthened_or_shortened(TREE.consistency(size1, size2)):
            assert not holds(verify_consistency, size1, size2, other, TREE.root(size1), TREE.root(size2))


def lengthened_or_shortened(proof: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(len(proof) + 1):
        yield [*proof[:at], TREE.node(0, 0), *proof[at:]]
        yield [*proof[:at], b"", *proof[at:]]
    for at in range(len(proof)):
        yield [*proof[:at], *proof[at + 1 :]]


def test_a_forked_log_is_found_whichever_leaf_differs() -> None:
    for size1, size2 in pairs(SMALL):
        for changed in range(size1):
            fork = Tree(leaf_hash(b"another" if n == changed else LEAVES[n]) for n in range(size2))
            for proof in (fork.consistency(size1), TREE.consistency(size1, size2)):
                assert not holds(verify_consistency, size1, size2, proof, TREE.root(size1), fork.root())


@given(st.integers(1, LARGE.size), st.data())
def test_leaves_of_larger_trees_are_proved_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = LARGE.inclusion(index, size), LARGE.root(size)
    leaf = LARGE.node(0, index)
    verify_inclusion(leaf, index, size, proof, root)
    assert not holds(verify_inclusion, leaf, index ^ 1, size, proof, root)
    if proof:
        changed = turned(proof, data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255)))
        assert not holds(verify_inclusion, leaf, index, size, changed, root)


@given(st.integers(1, LARGE.size), st.data())
def test_growth_of_larger_trees_is_proved_and_nothing_else_is(size2: int, data: st.DataObject) -> None:
    size1 = data.draw(st.integers(1, size2))
    proof, root1, root2 = LARGE.consistency(size1, size2), LARGE.root(size1), LARGE.root(size2)
    verify_consistency(size1, size2, proof, root1, root2)
    assert holds(verify_consistency, size1, size2, proof, root2, root1) is (size1 == size2)
    if proof:
        changed = turned(proof, data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255)))
        assert not holds(verify_consistency, size1, size2, changed, root1, root2)


@cache
def alike(level: int) -> bytes:
    """The root of 2**level leaves that are all the same: a tree of any size has then 64 different nodes."""
    return leaf_hash(b"") if level == 0 else node_hash(alike(level - 1), alike(level - 1))


@given(st.integers(1, 2**64 - 1), st.data())
def test_the_greatest_trees_are_proved_too(size: int, data: st.DataObject) -> None:
    other = data.draw(st.integers(1, size))

    def nodes(level: int, _: int) -> bytes:
        return alike(level)

    proof = inclusion_proof(nodes, other - 1, size)
    assert len(proof) <= 64
    verify_inclusion(alike(0), other - 1, size, proof, root_of(nodes, size))
    proof = consistency_proof(nodes, other, size)
    assert len(proof) <= 65
    verify_consistency(other, size, proof, root_of(nodes, other), root_of(nodes, size))


@pytest.mark.parametrize("size", [2**64, 2**64 + 1, 10**4_000, -1, -(2**64)])
def test_sizes_that_no_log_has_are_refused_at_once(size: int) -> None:
    assert not holds(verify_inclusion, TREE.node(0, 0), 0, size, [], TREE.root(1))
    assert not holds(verify_consistency, 1, size, [], TREE.root(1), TREE.root(1))
    assert not holds(verify_consistency, size, size, [], TREE.root(1), TREE.root(1))


def test_true_is_no_size_and_false_no_index() -> None:
    leaf, claim = TREE.node(0, 0), (TREE.node(0, 1), 1, 2, [TREE.node(0, 0)], TREE.root(2))
    assert holds(verify_inclusion, leaf, 0, 1, [], leaf)
    assert holds(verify_inclusion, *claim)
    assert not holds(verify_inclusion, leaf, 0, True, [], leaf)
    assert not holds(verify_inclusion, leaf, False, 1, [], leaf)
    assert not holds(verify_inclusion, claim[0], True, *claim[2:])
    assert not holds(verify_consistency, True, True, [], leaf, leaf)


def test_bytes_cannot_be_moved_from_a_root_into_the_proof() -> None:
    root, (element,) = TREE.root(2), TREE.consistency(2, 4)
    assert holds(verify_consistency, 2, 4, [element], root, TREE.root(4))
    assert not holds(verify_consistency, 2, 4, [root[-1:] + element], root[:-1], TREE.root(4))
    assert not holds(verify_consistency, 2, 4, [element[1:]], root + element[:1], TREE.root(4))


class Unsized(list[bytes]):
    """A list that cannot be read."""

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(
    "wrong",
    [True, 1.0, "1", b"1", [b"1"], None, {}, object, (1, 2), [None], [[b""]], "a" * 32, bytearray(32), float("nan"),
     Unsized(), iter(()), {b"": b""}, 1j, ...],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_what_is_not_a_claim_is_not_verified(position: int, wrong: Any) -> None:
    inclusion: list[Any] = [TREE.node(0, 2), 2, 7, TREE.inclusion(2, 7), TREE.root(7)]
    consistency: list[Any] = [3, 7, TREE.consistency(3, 7), TREE.root(3), TREE.root(7)]
    inclusion[position] = consistency[position] = wrong
    assert not holds(verify_inclusion, *inclusion)
    assert not holds(verify_consistency, *consistency)


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=64)
    | st.just(TREE.root(7)),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=300)
@given(anything, anything, anything, anything, anything)
def test_whatever_is_claimed_is_verified_or_refused(a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
    # Any other exception would come through.
    assert holds(verify_inclusion, a, b, c, d, e) in {True, False}
    assert holds(verify_consistency, a, b, c, d, e) in {True, False}
