"""Agencies are green, red or grey one by one, whichever door a run came through."""

import shutil
from pathlib import Path

import dagster as dg

from pipelines.defs.keys import invariants, sync_key, table_key
from pipelines.defs.partitions import AGENCIES_TAG, DOOR_TAG
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, System
from tests.functional.conftest import SAMPLES, Installation
from tests.functional.dagster.conftest import DAY, bytes_holding, colours, launched_on_the_page, prepare, settle


def test_one_refused_agency_is_red_and_nobody_else(instance: dg.DagsterInstance) -> None:
    assert colours(instance, System.GPI) == {"A0001": "green", "A0002": "red", "A0003": "grey"}
    assert colours(instance, System.SDGI) == {"A0001": "green", "A0002": "green", "A0003": "grey"}
    assert colours(instance, System.LOGIN) == {"A0001": "green", "A0002": "grey", "A0003": "green"}
    assert colours(instance, System.SPILASUITE) == {"A0001": "green", "A0002": "grey", "A0003": "green"}


def test_the_reason_stands_beside_the_red(instance: dg.DagsterInstance) -> None:
    (found,) = instance.fetch_observations(sync_key(System.GPI), limit=10).records
    assert found.partition_key == "A0002"
    assert found.asset_observation is not None
    assert found.asset_observation.metadata["refused"].value == {"gpi.trailer_missing": 1}


def test_a_green_agency_shows_the_counts_of_its_delivery(instance: dg.DagsterInstance) -> None:
    wanted = dg.AssetRecordsFilter(asset_key=sync_key(System.GPI), asset_partitions=["A0001"])
    (found,) = instance.fetch_materializations(wanted, limit=10).records
    assert found.asset_materialization is not None
    told = {name: entry.value for name, entry in found.asset_materialization.metadata.items()}
    assert told["day"] == DAY
    lines = [told[n] for n in ("stored", "unchanged", "quarantined", "ignored", "withheld")]
    assert sum(int(str(n)) for n in lines) == told["read"] != 0


def test_a_run_says_for_whom_it_was_and_through_which_door_it_came(instance: dg.DagsterInstance) -> None:
    (run,) = instance.get_runs()
    assert run.tags[AGENCIES_TAG] == "A0001,A0002,A0003"
    assert run.tags[DOOR_TAG] == "command"
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_the_invariants_of_every_table_that_came_are_told(instance: dg.DagsterInstance) -> None:
    for system in AGENCY_SYSTEMS:
        key = dg.AssetCheckKey(table_key("person"), invariants(system))
        (found,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        assert found.status.value == "SUCCEEDED"


def test_the_next_night_turns_red_into_green(after: Installation, instance: dg.DagsterInstance) -> None:
    (whole,) = (SAMPLES / "deliveries" / DAY / "A0002" / "gpi").iterdir()
    shutil.copy(whole, after.inbox / "A0002" / "gpi" / whole.name)
    assert [r.outcome for r in settle(after, agencies=["A0002"], systems=[System.GPI])] == ["accepted"]
    assert colours(instance, System.GPI)["A0002"] == "green"


def events(instance: dg.DagsterInstance, system: System) -> int:
    """How much was ever told of the agencies of one system."""
    key = sync_key(system)
    told = instance.fetch_materializations(key, limit=100).records, instance.fetch_observations(key, limit=100).records
    return sum(record.partition_key is not None for records in told for record in records)


def test_a_night_that_changes_nothing_says_nothing(after: Installation, instance: dg.DagsterInstance) -> None:
    before = {s: (events(instance, s), colours(instance, s)) for s in AGENCY_SYSTEMS}
    reports = settle(after, "2026-01-06")
    assert {r.outcome for r in reports if r.agency} == {"accepted", "replayed", "refused"}
    assert sum(counts.stored for r in reports for counts in r.tables.values()) == 0
    assert {s: (events(instance, s), colours(instance, s)) for s in AGENCY_SYSTEMS} == before


def test_what_was_stored_is_told_of_a_green_agency_too(after: Installation, instance: dg.DagsterInstance) -> None:
    before = events(instance, System.SDGI)
    for path in sorted((SAMPLES / "deliveries" / "2026-01-06" / "A0001" / "sdgi").iterdir()):
        after.place(path, "A0001", "sdgi")
    assert {r.outcome for r in settle(after, "2026-01-06", [System.SDGI])} == {"accepted", "replayed"}
    assert events(instance, System.SDGI) == before + 1


def test_another_reason_of_a_red_agency_is_told(after: Installation, instance: dg.DagsterInstance) -> None:
    before = events(instance, System.GPI)
    (gpi,) = (after.inbox / "A0002" / "gpi").iterdir()
    gpi.write_bytes(b"X" * 512 + gpi.read_bytes()[512:])
    (reason,) = {r.reason for r in settle(after, systems=[System.GPI]) if r.outcome == "refused"}
    assert reason != "gpi.trailer_missing"
    assert events(instance, System.GPI) == before + 1
    assert colours(instance, System.GPI)["A0002"] == "red"
    newest = instance.fetch_observations(sync_key(System.GPI), limit=1).records[0].asset_observation
    assert newest is not None
    assert newest.metadata["refused"].value == {reason: 1}


def test_an_agency_chosen_on_the_page_is_told_of_although_nothing_changed(
    after: Installation, instance: dg.DagsterInstance, at_home: Home
) -> None:
    from store.house import House

    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    green, red = events(instance, System.SDGI), events(instance, System.GPI)
    launched_on_the_page(instance, sync_key(System.SDGI), {"dagster/partition": "A0001"})
    launched_on_the_page(instance, sync_key(System.GPI), {"dagster/partition": "A0002"}, succeeds=False)
    assert (events(instance, System.SDGI), events(instance, System.GPI)) == (green + 1, red + 1)
    assert colours(instance, System.GPI)["A0002"] == "red"


def test_an_agency_without_deliveries_keeps_its_colour_while_another_fails(
    after: Installation, instance: dg.DagsterInstance
) -> None:
    shutil.rmtree(after.inbox / "A0001" / "gpi")
    assert [r.reason for r in settle(after, systems=[System.GPI])] == ["gpi.trailer_missing"]
    assert colours(instance, System.GPI) == {"A0001": "green", "A0002": "red", "A0003": "grey"}


def test_nothing_to_settle_makes_no_run(after: Installation, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(after.inbox)
    assert settle(after, systems=[System.SDGI, System.GPI, System.LOGIN, System.PORTAL]) == []
    assert len(instance.get_runs()) == 1


def test_agencies_chosen_on_the_page_are_each_given_an_answer(
    after: Installation, instance: dg.DagsterInstance, at_home: Home
) -> None:
    """A range of partitions, as the web page asks for it. The daemon reads the inboxes that the home remembers."""
    from store.house import House

    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    ends = {"dagster/asset_partition_range_start": "A0001", "dagster/asset_partition_range_end": "A0003"}
    launched_on_the_page(instance, sync_key(System.SDGI), ends)
    assert colours(instance, System.SDGI) == {"A0001": "green", "A0002": "green", "A0003": "green"}


def test_a_range_whose_ends_changed_places_fails_instead_of_doing_nothing(
    instance: dg.DagsterInstance, at_home: Home
) -> None:
    ends = {"dagster/asset_partition_range_start": "A0003", "dagster/asset_partition_range_end": "A0001"}
    launched_on_the_page(instance, sync_key(System.SDGI), ends, succeeds=False)


def test_the_names_of_deliveries_stay_out_of_dagster(after: Installation) -> None:
    names = [p.name for p in after.inbox.rglob("*") if p.is_file()]
    assert names
    assert [name for name in names if bytes_holding(after.home.dagster, name)] == []


def test_an_unknown_agency_is_refused_without_becoming_a_partition(tmp_path: Path) -> None:
    installation = prepare(tmp_path)
    stranger = installation.inbox / "ZZZZZ" / "gpi"
    stranger.mkdir(parents=True)
    (stranger / "GPIZZZZZ.000001").write_bytes(b"")
    assert [(r.agency, r.reason) for r in settle(installation)] == [("ZZZZZ", "agency.unknown")]
