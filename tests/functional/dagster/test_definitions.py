"""What Dagster shows loads anywhere, and says of every column whose it is and where it comes from."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipelines.defs.definitions import defs
from pipelines.defs.keys import invariants, sync_key, table_key
from pipelines.defs.sync import SYNC_ASSETS
from pipelines.lineage import NO_SOURCE
from schemas.fields import Category, Scope
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.records import CANONICAL, exported_fields

CLONE = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def specs() -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for spec in defs().resolve_all_asset_specs()}


def schema(spec: dg.AssetSpec) -> dg.TableSchema:
    found = spec.metadata["dagster/column_schema"]
    assert isinstance(found, dg.TableSchema)
    return found


def test_the_code_location_loads_from_a_clone_without_a_home(tmp_path: Path) -> None:
    apart = {k: v for k, v in os.environ.items() if not k.startswith(("DEPOSITAIRE", "DAGSTER"))}
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(
        command, cwd=CLONE, env=apart | {"DAGSTER_HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "depositaire" in done.stdout + done.stderr


def test_every_canonical_table_is_an_asset_with_every_column(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for record in CANONICAL:
        columns = [c.name for c in schema(specs[table_key(record.name)]).columns]
        assert columns == [f.name for f in exported_fields(record)]


def test_every_column_carries_its_scope_category_and_protection(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for record in CANONICAL:
        for column, field in zip(schema(specs[table_key(record.name)]).columns, exported_fields(record), strict=True):
            assert column.tags["gdpr/scope"] == record.scope
            assert column.tags["gdpr/scope"] in set(Scope)
            assert column.tags["gdpr/category"] == field.category
            assert column.tags["gdpr/category"] in set(Category)
            assert column.tags["gdpr/personal"] == ("yes" if field.personal else "no")
            assert column.tags["protection"] == field.protection
            assert field.label_fr in str(column.description)


def test_every_column_names_the_columns_it_comes_from(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for record in CANONICAL:
        lineage = specs[table_key(record.name)].metadata["dagster/column_lineage"]
        assert isinstance(lineage, dg.TableColumnLineage)
        without = {f.name for f in exported_fields(record)} - set(lineage.deps_by_column)
        assert without <= NO_SOURCE, record.name
        for dep in (d for deps in lineage.deps_by_column.values() for d in deps):
            assert dep.column_name in {c.name for c in schema(specs[dep.asset_key]).columns}


def test_the_portal_alone_feeds_the_controllers_tables(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for record in CANONICAL:
        fed_by = {dep.asset_key for dep in specs[table_key(record.name)].deps}
        if record.scope is Scope.CONTROLLER:
            assert fed_by == {sync_key(System.PORTAL)}
        else:
            assert fed_by <= {sync_key(s) for s in AGENCY_SYSTEMS}
            assert fed_by


def test_every_table_has_a_blocking_check_for_each_system_that_feeds_it(
    specs: dict[dg.AssetKey, dg.AssetSpec],
) -> None:
    graph = defs().resolve_asset_graph()
    for record in CANONICAL:
        for dep in specs[table_key(record.name)].deps:
            system = System(dep.asset_key.path[-1])
            check = graph.get_check_spec(dg.AssetCheckKey(table_key(record.name), invariants(system)))
            assert check.blocking
            assert "is one of" in str(check.description) or "kind" not in {f.name for f in record.fields}


def test_each_system_has_its_own_limit_and_its_own_night() -> None:
    repository = defs().get_repository_def()
    assert {asset.op.pool for asset in SYNC_ASSETS} == {f"sync_{system}" for system in System}
    assert all(repository.has_schedule_def(f"nightly_{system}") for system in System)
