"""Tiles and bundles: files that never change, from which every node of the tree is found."""

import pytest
from hypothesis import given, settings, strategies as st

from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tiles import (
    Bundle,
    Tile,
    TiledTree,
    bundles,
    decode_bundle,
    decode_tile,
    encode_bundle,
    encode_leaf,
    grow,
    parse_path,
    tiles,
)
from ledger.tree import CompactRange, Tree, consistency_proof, inclusion_proof, leaf_hash, root_of
from schemas.errors import Malformed

LEAVES = [leaf_hash(b"%d" % n) for n in range(66_000)]


class Shelf(dict[Tile, bytes]):
    """Tiles as they are written, one after the other, and read again."""

    size = 0

    def add(self, leaves: list[bytes]) -> None:
        self |= grow(self.size, leaves, self.__getitem__)
        self.size += len(leaves)


@given(st.integers(0, 63), st.integers(0, 2**64 - 1), st.integers(1, 256))
def test_a_tile_is_found_by_its_path(level: int, index: int, width: int) -> None:
    assert parse_path(Tile(level, index, width).path) == Tile(level, index, width)
    assert parse_path(Bundle(index, width).path) == Bundle(index, width)


@given(st.text("tile/enrsx0123.p", max_size=30))
def test_a_path_has_one_spelling(path: str) -> None:
    try:
        found = parse_path(path)
    except Malformed:
        return
    assert found.path == path


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 256), (64, 0, 256), (0, -1, 256), (0, 2**64, 256), (0, 0, 0), (0, 0, 257)]
)
def test_a_tile_that_no_tree_has_cannot_be_made(level: int, index: int, width: int) -> None:
    with pytest.raises(Malformed):
        Tile(level, index, width)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_what_was_added_in_steps_is_what_was_added_at_once(steps: list[int]) -> None:
    shelf = Shelf()
    for step in steps:
        before = shelf.size
        shelf.add(LEAVES[before : before + step])
        assert set(tiles(shelf.size, before)) <= set(shelf)
    whole = grow(0, LEAVES[: shelf.size], lambda _: b"")
    assert set(whole) == set(tiles(shelf.size))
    assert all(shelf[tile] == raw for tile, raw in whole.items())


def test_a_tree_of_three_levels_of_tiles_gives_the_roots_and_proofs_of_the_whole_tree() -> None:
    shelf = Shelf()
    shelf.add(LEAVES)
    assert {tile.level for tile in shelf} == {0, 1, 2}
    tree, tiled = Tree(LEAVES), TiledTree(shelf.size, shelf.__getitem__)
    assert root_of(tiled.node, shelf.size) == tree.root()
    assert CompactRange.of(tiled.node, shelf.size).root() == tree.root()
    for index in (0, 1, 255, 256, 32_767, 65_535, 65_536, 65_999):
        proof = inclusion_proof(tiled.node, index, shelf.size)
        assert proof == tree.inclusion(index)
        verify_inclusion(LEAVES[index], index, shelf.size, proof, tree.root())
    for size in (1, 255, 256, 257, 512, 65_535, 65_536, 65_537, 66_000):
        proof = consistency_proof(tiled.node, size, shelf.size)
        assert proof == tree.consistency(size)
        verify_consistency(size, shelf.size, proof, tree.root(size), tree.root())


@pytest.mark.parametrize("size", [1, 5, 255, 256, 257, 600])
def test_every_node_of_a_tree_is_found_in_its_tiles(size: int) -> None:
    shelf = Shelf()
    shelf.add(LEAVES[:size])
    tree, tiled = Tree(LEAVES[:size]), TiledTree(size, shelf.__getitem__)
    for level in range(size.bit_length()):
        for index in range(size >> level):
            assert tiled.node(level, index) == tree.node(level, index)
        with pytest.raises(Malformed):
            tiled.node(level, size >> level)


@pytest.mark.parametrize(("level", "index"), [(-1, 0), (0, -1), (0, 600), (9, 1), (10, 0), (64, 0)])
def test_a_node_that_is_not_there_is_not_looked_for(level: int, index: int) -> None:
    with pytest.raises(Malformed):
        TiledTree(600, lambda _: pytest.fail("a tile was read")).node(level, index)


def test_a_proof_reads_at_most_two_tiles_a_level() -> None:
    shelf = Shelf()
    shelf.add(LEAVES)
    read: list[Tile] = []

    def reading(tile: Tile) -> bytes:
        read.append(tile)
        return shelf[tile]

    inclusion_proof(TiledTree(shelf.size, reading).node, 32_767, shelf.size)
    assert len(read) == len(set(read)) <= 6


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33), bytes(32 * 6)])
def test_a_tile_of_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_tile(raw, 5)
    with pytest.raises(Malformed):
        grow(5, LEAVES[:1], lambda _: raw)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_gives_its_leaves_back(leaves: list[bytes]) -> None:
    raw = encode_bundle(leaves)
    assert decode_bundle(raw, len(leaves)) == tuple(leaves)
    with pytest.raises(Malformed):
        decode_bundle(raw[:-1], len(leaves))
    with pytest.raises(Malformed):
        decode_bundle(raw + b"\0", len(leaves))


def test_a_leaf_has_at_most_65_535_bytes() -> None:
    longest = bytes(65_535)
    assert decode_bundle(encode_leaf(longest), 1) == (longest,)
    with pytest.raises(Malformed):
        encode_leaf(longest + b"\0")


@pytest.mark.parametrize("count", [0, 257])
def test_a_bundle_has_from_1_to_256_leaves(count: int) -> None:
    with pytest.raises(Malformed):
        encode_bundle([b""] * count)


def test_bundles_are_numbered_like_the_tiles_of_level_0() -> None:
    for size, since in ((0, 0), (1, 0), (256, 0), (600, 0), (600, 255), (600, 256), (600, 599), (600, 600)):
        level0 = [tile for tile in tiles(size, since) if tile.level == 0]
        assert [(b.index, b.width) for b in bundles(size, since)] == [(t.index, t.width) for t in level0]
    assert [b.path for b in bundles(600, 255)] == ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"]


def test_bundles_one_after_the_other_are_the_whole_log() -> None:
    leaves = [b"%d" % n for n in range(600)]
    parts = [encode_bundle(leaves[b.index * 256 : b.index * 256 + b.width]) for b in bundles(600)]
    assert b"".join(parts) == b"".join(encode_leaf(leaf) for leaf in leaves)
