"""A field that says nothing cannot be declared; every record of the house says everything."""

import tomllib
from pathlib import Path

import pytest

from schemas.errors import Malformed
from schemas.fields import JUSTIFIED_BY, Category, Field, Kind, Protection, Record, Scope
from schemas.records import CANONICAL, CONTROLLER_TABLES, PROCESSOR_TABLES, RECORDS, exported_fields

REQUIRED = {
    "name": "x",
    "kind": Kind.TEXT,
    "category": Category.IDENTITY,
    "label_fr": "X",
    "label_en": "X",
    "personal": True,
}


@pytest.mark.parametrize("missing", ["kind", "category", "label_fr", "label_en", "personal"])
def test_a_field_without_what_it_must_say_cannot_be_declared(missing: str) -> None:
    with pytest.raises(TypeError):
        Field(**{k: v for k, v in REQUIRED.items() if k != missing})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_fr": " "}, {"kind": Kind.ENUM}, {"values": ("a",)}, {"kind": Kind.REF}, {"target": "person"},
        {"searchable": True, "protection": Protection.PLAIN},
    ],
    ids=[
        "empty label", "enumeration without values", "values without enumeration", "reference to nothing",
        "target of no reference", "index in clear",
    ],
)  # fmt: skip
def test_a_field_that_contradicts_itself_cannot_be_declared(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        Field(**(REQUIRED | wrong))  # type: ignore[arg-type]


def test_a_record_cannot_name_a_column_twice() -> None:
    field = Field(**REQUIRED)  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        Record("r", Scope.PROCESSOR, (field, field))


def test_every_category_names_the_requirement_that_justifies_it() -> None:
    assert JUSTIFIED_BY.keys() == set(Category)
    assert all(why.startswith("R") and 1 <= int(why[1:]) <= 58 for why in JUSTIFIED_BY.values())


def test_references_point_to_records_that_exist() -> None:
    assert {f.target for r in RECORDS.values() for f in r.fields if f.target} <= {r.name for r in CANONICAL}


def test_only_the_portal_holds_controller_scope() -> None:
    assert CONTROLLER_TABLES == ("portal_account", "portal_attachment")
    assert len(PROCESSOR_TABLES) == 16


def test_everything_personal_is_sealed_but_keys_and_references() -> None:
    for record in RECORDS.values():
        for field in record.fields:
            assert field.sealed or field.kind in (Kind.KEY, Kind.REF), f"{record.name}.{field.name}"


def test_the_samples_hold_exactly_the_exported_columns() -> None:
    truth = Path(__file__).parents[3] / "samples" / "truth"
    import json

    for name in (*PROCESSOR_TABLES, *CONTROLLER_TABLES):
        path = truth / ("_portal" if name in CONTROLLER_TABLES else "A0001") / "2026-01-05" / f"{name}.jsonl"
        row = json.loads(path.read_text().splitlines()[0])
        assert sorted(row) == sorted(f.name for f in exported_fields(RECORDS[name])), name


def test_the_package_declares_no_other_top_level_name() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    declared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(declared) == ["connectors", "ledger", "pipelines", "portal", "retention", "schemas", "store"]
