"""What was said again since goes, run by run and event by event, and no agency's colour changes."""

import shutil
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable as Events
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import func, select

from pipelines.defs import clearing
from pipelines.defs.clearing import Cleared, clear
from pipelines.defs.keys import sync_key
from pipelines.defs.run import execute_erasure
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from store.house import House
from tests.functional.conftest import SAMPLES, Installation, noon
from tests.functional.dagster.conftest import DAY, colours, launched_on_the_page, settle
from tests.functional.dagster.tracing import named

TOMORROW = datetime.now(UTC) + timedelta(days=1)
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.fixture
def ranged(after: Installation, at_home: Home, instance: dg.DagsterInstance) -> Installation:
    """A home whose page was asked for every agency of SDGI, so that the first night has said nothing of it last."""
    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    launched_on_the_page(instance, sync_key(System.SDGI), {RANGE[0]: "A0001", RANGE[1]: "A0003"})
    return after


def shown(instance: dg.DagsterInstance) -> dict[System, dict[str, str]]:
    """The colours as Dagster makes them out from nothing: its cache would still show what has gone."""
    for system in AGENCY_SYSTEMS:
        instance.event_log_storage.wipe_asset_cached_status(sync_key(system))
    return {s: colours(instance, s) for s in AGENCY_SYSTEMS}


def count(instance: dg.DagsterInstance, run_id: str, system: System) -> int:
    """How many events of agencies of one system a run still has, in the index and in its own log."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    mine = (
        Events.c.run_id == run_id, Events.c.asset_key == sync_key(system).to_string(), Events.c.partition.is_not(None),
        Events.c.dagster_event_type == "ASSET_MATERIALIZATION",
    )  # fmt: skip
    found = []
    for connection in (storage.index_connection(), storage.run_connection(run_id)):
        with connection as db:
            found.append(db.scalar(select(func.count()).where(*mine)) or 0)
    assert found[0] == found[1]
    return found[0]


def test_a_run_that_has_the_last_word_on_something_stays(instance: dg.DagsterInstance) -> None:
    before = shown(instance)
    assert clear(instance, TOMORROW) == Cleared(0, 0)
    assert shown(instance) == before


def test_of_a_run_that_stays_only_last_words_stay(ranged: Installation, instance: dg.DagsterInstance) -> None:
    before = shown(instance)
    first = instance.get_runs()[-1].run_id
    assert (count(instance, first, System.SDGI), count(instance, first, System.LOGIN)) == (2, 2)
    cleared = clear(instance, TOMORROW)
    assert (cleared.runs, cleared.events) == (0, 5), "two of the night, three that Dagster had planned"
    assert (count(instance, first, System.SDGI), count(instance, first, System.LOGIN)) == (0, 2)
    assert shown(instance) == before
    assert clear(instance, TOMORROW) == Cleared(0, 0)


def test_a_run_of_which_everything_was_said_again_goes_with_its_file_and_its_checks(
    ranged: Installation, instance: dg.DagsterInstance
) -> None:
    old = instance.get_runs()[0].run_id
    launched_on_the_page(instance, sync_key(System.SDGI), {RANGE[0]: "A0001", RANGE[1]: "A0003"})
    before = shown(instance)
    assert clear(instance, TOMORROW).runs == 1
    assert instance.get_run_by_id(old) is None
    assert list(ranged.home.dagster.rglob(f"{old}*")) == []
    assert shown(instance) == before


def test_a_red_agency_stays_red_and_keeps_its_reason(after: Installation, instance: dg.DagsterInstance) -> None:
    settle(after, "2026-01-06", [System.GPI])  # refused for the same reason again: nothing is said
    before = shown(instance)
    assert before[System.GPI]["A0002"] == "red"
    assert clear(instance, TOMORROW).runs == 0, "the second night holds the newest plan of the whole asset"
    assert shown(instance) == before
    (found,) = instance.fetch_observations(sync_key(System.GPI), limit=10).records
    assert found.asset_observation is not None
    assert found.asset_observation.metadata["refused"].value == {"gpi.trailer_missing": 1}


def test_months_of_nights_leave_a_log_that_does_not_grow(
    after: Installation, instance: dg.DagsterInstance, at_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "BATCH", 2)
    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    (whole,) = (SAMPLES / "deliveries" / DAY / "A0002" / "gpi").iterdir()
    sizes = []
    for night in range(6):
        shutil.copy(whole, after.inbox / "A0002" / "gpi" / whole.name)
        ends = {RANGE[0]: "A0001", RANGE[1]: "A0002"}
        launched_on_the_page(instance, sync_key(System.GPI), ends)
        clear(instance, TOMORROW)
        sizes.append((len(instance.get_runs()), rows(instance)))
        assert shown(instance)[System.GPI] == {"A0001": "green", "A0002": "green", "A0003": "grey"}, night
    assert sizes[-1] == sizes[2]


def rows(instance: dg.DagsterInstance) -> tuple[int, ...]:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as db:
        return tuple(db.scalar(select(func.count()).select_from(t)) or 0 for t in (Events, AssetCheckExecutionsTable))


def test_what_was_erased_stays_erased_and_its_certificate_stays(
    after: Installation, instance: dg.DagsterInstance
) -> None:
    code = AgencyCode("A0003")
    assert execute_erasure(after.home, noon("2026-01-14")).complete
    execute_erasure(after.home, noon("2026-01-15"))
    clear(instance, TOMORROW)
    assert named(after.home, code) == {}
    (certified,) = instance.fetch_materializations(dg.AssetKey(["agency_erasure"]), limit=10).records
    assert certified.partition_key == code


def test_a_run_of_last_week_is_left_alone(after: Installation, instance: dg.DagsterInstance) -> None:
    settle(after, systems=[System.GPI])
    assert clear(instance, datetime.now(UTC) - timedelta(days=7)) == Cleared(0, 0)
