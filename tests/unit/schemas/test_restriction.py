"""What closes with a building, a lot or a person, among rows that come in and rows that are held."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from schemas.restriction import closed_keys, is_closed

STOOD_ON = {("lot", "b-held"): {"l-held"}, ("lease", "l-held"): {"e-held"}}


class Held:
    """A shelf with one building, a lot in it and its lease."""

    def standing_on(self, table: str, column: str, keys: Iterable[str]) -> set[str]:
        assert column == {"lot": "building_key", "lease": "lot_key"}[table]
        return {below for key in keys for below in STOOD_ON.get((table, key), set())}


def reference(table: str, key: str) -> str:
    return f"{table}/{key}"


def table(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


ROWS: Mapping[str, pa.Table] = {
    "building": table(source_key=["b", "c"]),
    "lot": table(source_key=["l", "m", "n"], building_key=["b", "c", "b-held"]),
    "lease": table(source_key=["e", "f"], lot_key=["l", "m"]),
    "lease_party": table(source_key=["p", "q", "r"], lease_key=["e", "f", "e-held"], person_key=["x", "y", None]),
    "person_link": table(source_key=["k1", "k2", "k3"], group_key=["g", "x", "g"], member_key=["x", "g", "y"]),
}


def closed(**targets: str) -> dict[str, set[str]]:
    named = {name: frozenset({reference(name, key)}) for name, key in targets.items()}
    return closed_keys(ROWS, named, reference, Held())


def hidden(name: str, keys: Mapping[str, set[str]]) -> list[str]:
    return list(ROWS[name].filter(pa.array(is_closed(name, ROWS[name], keys)))["source_key"].to_pylist())


def test_a_building_takes_its_lots_their_leases_and_the_parties_of_these() -> None:
    keys = closed(building="b")
    assert keys == {"building": {"b"}, "lot": {"l"}, "lease": {"e"}}
    assert {name: hidden(name, keys) for name in ROWS} == {
        "building": ["b"], "lot": ["l"], "lease": ["e"], "lease_party": ["p"], "person_link": [],
    }  # fmt: skip


def test_what_stands_on_a_held_building_closes_also_when_only_a_row_below_it_comes_in() -> None:
    keys = closed(building="b-held")
    assert keys == {"building": {"b-held"}, "lot": {"n", "l-held"}, "lease": {"e-held"}}
    assert (hidden("lot", keys), hidden("lease_party", keys)) == (["n"], ["r"])


def test_a_lot_takes_its_lease_and_not_its_building() -> None:
    keys = closed(lot="m")
    assert keys == {"lot": {"m"}, "lease": {"f"}}
    assert hidden("building", keys) == []


def test_a_person_is_closed_in_every_column_that_names_persons() -> None:
    keys = closed(person="x")
    assert hidden("person_link", keys) == ["k1", "k2"]
    assert hidden("lease_party", keys) == ["p"]


def test_a_reference_that_nothing_answers_to_closes_nothing() -> None:
    keys = closed(person="nobody")
    assert keys == {"person": set()}
    assert hidden("lease_party", keys) == []
