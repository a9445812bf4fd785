"""An agency is forgotten by Dagster: every row and every byte, and nothing of anybody else."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

from pipelines.defs import trace_files
from pipelines.defs.address import known
from pipelines.defs.instance import open_instance
from pipelines.defs.keys import ERASURE, sync_key
from pipelines.defs.partitions import AGENCIES_TAG
from pipelines.defs.run import execute_erasure
from pipelines.defs.sync import SYNC_ASSETS
from pipelines.defs.trace import forget, mentions
from schemas.errors import TryAgain
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from store.house import House
from tests import engines
from tests.functional.conftest import Installation, noon
from tests.functional.dagster.conftest import colours, launched_on_the_page, settle
from tests.functional.dagster.tracing import bytes_naming, forgotten, named

GONE = AgencyCode("A0001")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.fixture(scope="module")
def spoken(first_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A0001 wherever Dagster can speak of it: alone, among others, at the edge of a range, in a backfill, in a tick."""
    root = Path(engines.copied(first_night, tmp_path_factory.mktemp("spoken-of") / "copy"))
    there = Installation.on(root)
    with House.open(there.home) as house:
        house.remember_inbox(there.inbox)
    settle(there, agencies=[GONE], systems=[System.SDGI])
    with pytest.MonkeyPatch.context() as environment, open_instance(there.home) as instance:
        environment.setenv("DEPOSITAIRE_HOME", str(there.home.root))
        launched_on_the_page(instance, sync_key(System.SDGI), {"dagster/partition": GONE})
        launched_on_the_page(instance, sync_key(System.SDGI), {RANGE[0]: GONE, RANGE[1]: "A0002"})
        instance.report_runless_asset_event(dg.AssetMaterialization(sync_key(System.SDGI), partition=GONE))
        with partition_loading_context(dynamic_partitions_store=instance):
            instance.add_backfill(backfill_of(instance))
        tick = TickStatus.SKIPPED
        instance.create_tick(
            TickData("origin", "sensor", InstigatorType.SENSOR, tick, time.time(), skip_reason=f"of {GONE}")
        )
        colours(instance, System.SDGI)  # a cache that lists it
    return root


def backfill_of(instance: dg.DagsterInstance) -> PartitionBackfill:
    return PartitionBackfill.from_asset_partitions(
        backfill_id="bf1",
        asset_graph=AssetGraph.from_assets(SYNC_ASSETS),
        partition_names=[GONE, "A0002"],
        asset_selection=[sync_key(System.SDGI)],
        backfill_timestamp=time.time(),
        tags={"of": str(GONE)},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )


@pytest.fixture
def spoken_of(spoken: Path, tmp_path: Path) -> Installation:
    return Installation.on(Path(engines.copied(spoken, tmp_path / "spoken-of")))


@pytest.fixture
def speaking(spoken_of: Installation) -> Iterator[dg.DagsterInstance]:
    with open_instance(spoken_of.home) as opened:
        yield opened


def test_the_search_finds_it_wherever_dagster_speaks_of_it(spoken_of: Installation) -> None:
    found = named(spoken_of.home, GONE)
    everywhere = {
        "index:event_logs", "index:asset_keys", "index:dynamic_partitions", "run:event_logs",
        "runs:runs", "runs:run_tags", "runs:bulk_actions", "runs:backfill_tags", "schedules:job_ticks",
    }  # fmt: skip
    if known(spoken_of.home) is not None:
        everywhere = {f"database:{place.partition(':')[2]}" for place in everywhere}
    assert everywhere <= set(found)


def test_nothing_of_it_is_left_in_any_row_or_any_byte(spoken_of: Installation) -> None:
    home = spoken_of.home
    assert bytes_naming(home, GONE), "the search by bytes finds it before"
    removed = forgotten(home, GONE)
    kinds = {"events", "partitions", "runs", "mentions", "backfills", "ticks", "caches"}
    assert kinds | ({"files"} if known(home) is None else set()) <= set(removed)
    assert named(home, GONE) == {}
    assert bytes_naming(home, GONE) == []


def test_the_others_keep_their_colours_runs_and_events(spoken_of: Installation, speaking: dg.DagsterInstance) -> None:
    before = {s: colours(speaking, s) for s in (System.SDGI, System.GPI, System.LOGIN, System.SPILASUITE)}
    runs = {r.run_id for r in speaking.get_runs()}
    forgotten(spoken_of.home, GONE)
    for system, shown in before.items():
        assert colours(speaking, system) == {a: c for a, c in shown.items() if a != GONE}
    kept = {r.run_id: r for r in speaking.get_runs()}
    assert len(runs) - len(kept) == 2, "a run of it alone, from each door"
    assert {r.tags.get(AGENCIES_TAG) for r in kept.values()} == {"A0002,A0003", None}
    assert speaking.get_latest_materialization_event(sync_key(System.SDGI)) is not None


def test_forgetting_twice_is_forgetting_once(spoken_of: Installation) -> None:
    forgotten(spoken_of.home, GONE)
    assert forgotten(spoken_of.home, GONE) == {}


def test_an_agency_that_comes_back_starts_grey(spoken_of: Installation, speaking: dg.DagsterInstance) -> None:
    forgotten(spoken_of.home, GONE)
    speaking.add_dynamic_partitions("agency", [GONE])
    assert {colours(speaking, s)[GONE] for s in (System.SDGI, System.GPI)} == {"grey"}


@pytest.mark.files
def test_a_storage_in_use_is_left_for_later(
    spoken_of: Installation, speaking: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "PATIENCE_SECONDS", 0.1)
    busy = sqlite3.connect(spoken_of.home.dagster / "history" / "runs" / "index.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryAgain):
        forget(spoken_of.home.dagster, [GONE])
    busy.execute("ROLLBACK")
    busy.close()
    forget(spoken_of.home.dagster, [GONE])
    assert mentions(spoken_of.home.dagster, GONE) == {}


# -- the whole erasure -------------------------------------------------------------------------------------------------


def test_an_erasure_leaves_its_own_record_and_nothing_else(after: Installation, instance: dg.DagsterInstance) -> None:
    code = AgencyCode("A0003")
    swept = execute_erasure(after.home, noon("2026-01-14"))
    assert [e.agency for e in swept.erasures] == [code]
    assert swept.complete
    assert named(after.home, code) == {}
    assert instance.get_dynamic_partitions("agency") == ["A0001", "A0002"]
    assert instance.get_dynamic_partitions("erasure") == [code]
    (certified,) = instance.fetch_materializations(dg.AssetKey(["agency_erasure"]), limit=10).records
    assert certified.partition_key == code
    assert certified.asset_materialization is not None
    assert certified.asset_materialization.metadata["certificate"].value == "A0003-20260114.json"


def test_an_erasure_launched_on_the_page_leaves_as_little(
    after: Installation, instance: dg.DagsterInstance, at_home: Home
) -> None:
    """Its run is Dagster's own job, and carries the agency's partition as a tag."""
    instance.add_dynamic_partitions("erasure", ["A0003"])
    launched_on_the_page(instance, ERASURE, {"dagster/partition": "A0003"})
    assert named(after.home, AgencyCode("A0003")) == {}
    (run,) = instance.get_runs(limit=1)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert "dagster/partition" not in run.tags


def test_what_still_comes_from_an_erased_agency_is_refused_without_naming_it_again(after: Installation) -> None:
    assert execute_erasure(after.home, noon("2026-01-14")).complete
    reports = settle(after, agencies=["A0003"], systems=AGENCY_SYSTEMS)
    assert {(r.agency, r.reason) for r in reports} == {("A0003", "agency.contract_ended")}
    assert named(after.home, AgencyCode("A0003")) == {}


def test_nothing_due_erases_nothing_and_tells_the_windows(after: Installation, instance: dg.DagsterInstance) -> None:
    swept = execute_erasure(after.home, noon("2026-01-13"))
    assert swept.erasures == ()
    event = instance.get_latest_materialization_event(dg.AssetKey(["contract_windows"]))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert (told["running"].value, told["return"].value, told["erased"].value) == (2, 1, 0)


@pytest.mark.files
def test_an_erasure_that_cannot_be_finished_is_red_and_the_next_one_finishes_it(
    after: Installation, instance: dg.DagsterInstance
) -> None:
    inbox = after.inbox / "A0003"
    with House.open(after.home) as house:
        house.remember_inbox(after.inbox)
    shelf = after.home.shelf(AgencyCode("A0003"))
    shelf.unlink()
    shelf.mkdir()
    (shelf / "in the way").touch()
    swept = execute_erasure(after.home, noon("2026-01-14"))
    assert not swept.complete
    run = instance.get_runs(limit=1)[0]
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert instance.fetch_materializations(dg.AssetKey(["agency_erasure"]), limit=10).records == []
    (shelf / "in the way").unlink()
    shelf.rmdir()
    assert execute_erasure(after.home, noon("2026-01-15")).complete
    assert not inbox.exists() or not list(Path(inbox).rglob("*.gz"))
    assert named(after.home, AgencyCode("A0003")) == {}
