"""Schedules and sensors: they ask for what there is to do at the moment, in words that name no delivery."""

import datetime as dt
import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData

from pipelines.defs import sensors
from pipelines.defs.definitions import defs
from pipelines.defs.instance import open_instance
from pipelines.defs.keys import sync_key
from pipelines.defs.partitions import AGENCIES_TAG, SLICE, SLICE_TAG, Slice
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, System
from store.house import House
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import prepare

HEADER = (
    "code_agence;raison_sociale;siret;date_debut;date_fin;motif_fin;restriction;restriction_portee;systemes;contact_dpo"
)
NIGHT = dt.datetime(2026, 1, 7, 2, 30, tzinfo=dt.UTC)


def tick(name: str, instance: dg.DagsterInstance) -> ScheduleExecutionData:
    schedule = defs().get_repository_def().get_schedule_def(name)
    return schedule.evaluate_tick(dg.build_schedule_context(instance, NIGHT))


def register(installation: Installation, folder: Path, rows: list[str]) -> None:
    path = folder / "AGENCES_20260107.csv"
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    installation.load_register(path)


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_without_a_home_every_night_is_skipped_with_a_reason(instance: dg.DagsterInstance, homeless: None) -> None:
    for system in System:
        told = tick(f"nightly_{system}", instance)
        assert not told.run_requests
        assert "DEPOSITAIRE_HOME" in str(told.skip_message)


def test_a_home_that_is_a_relative_path_is_no_home(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPOSITAIRE_HOME", "home")
    assert "absolute" in str(tick("nightly_gpi", instance).skip_message)


def test_a_night_asks_for_the_agencies_that_use_the_system(instance: dg.DagsterInstance, at_home: Home) -> None:
    asked = {}
    for system in AGENCY_SYSTEMS:
        (request,) = tick(f"nightly_{system}", instance).run_requests or []
        assert request.asset_selection == [sync_key(system)]
        asked[system] = request.tags[AGENCIES_TAG]
    assert asked == {
        System.SPILASUITE: "A0001,A0003",
        System.SDGI: "A0001,A0002",
        System.GPI: "A0001,A0002",
        System.LOGIN: "A0001,A0003",
    }


def test_the_same_night_ticking_twice_asks_for_nothing_new(instance: dg.DagsterInstance, at_home: Home) -> None:
    once, twice = (tick("nightly_gpi", instance).run_requests or [] for _ in range(2))
    assert [r.run_key for r in once] == [r.run_key for r in twice] != []


def test_the_portal_has_its_own_night(instance: dg.DagsterInstance, at_home: Home) -> None:
    (request,) = tick("nightly_portal", instance).run_requests or []
    assert request.asset_selection == [sync_key(System.PORTAL)]
    assert AGENCIES_TAG not in request.tags


def test_agencies_of_the_register_become_partitions_in_its_order(
    instance: dg.DagsterInstance, at_home: Home, after: Installation, tmp_path: Path
) -> None:
    row = "{};NOUVELLE;91234567800013;2025-01-01;;;;;gpi;dpo@agence.test"
    register(after, tmp_path, [row.format("ZZZZ1"), row.format("B0001")])
    tick("nightly_gpi", instance)
    assert instance.get_dynamic_partitions("agency") == ["A0001", "A0002", "A0003", "B0001", "ZZZZ1"]


@pytest.mark.parametrize("shared", [False, True], ids=["one machine", "several workers"])
def test_many_agencies_are_one_run_and_are_cut_into_runs_of_about_250_where_workers_share_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    installation = prepare(tmp_path)
    codes = [f"C{n:04}" for n in range(1000)]
    register(
        installation, tmp_path, [f"{c};UNE AGENCE;91234567800013;2025-01-01;;;;;gpi;dpo@agence.test" for c in codes]
    )
    monkeypatch.setenv("DEPOSITAIRE_HOME", str(installation.home.root))
    with open_instance(installation.home) as instance:
        monkeypatch.setattr(type(instance.run_launcher), "shared", shared, raising=False)
        requests = tick("nightly_gpi", instance).run_requests or []
    cuts = [Slice.parse(r.tags[SLICE_TAG]) for r in requests]
    held = [[c for c in codes if c in cut] for cut in cuts]
    assert sorted(c for each in held for c in each) == codes
    if shared:
        assert max(len(each) for each in held) < SLICE * 1.25
    else:
        assert len(held) == 1


# -- deliveries --------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(after: Installation, at_home: Home, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An inbox that the home remembers. What was written a moment ago counts as left alone."""
    with House.open(at_home) as house:
        house.remember_inbox(after.inbox)
    monkeypatch.setattr(sensors, "QUIET", dt.timedelta(0))
    return after


def look(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    with dg.build_sensor_context(instance, cursor) as context:
        found = sensors.new_deliveries(context)
    assert isinstance(found, dg.SensorResult)
    return found


def test_a_new_delivery_asks_for_its_agency_alone(watched: Installation, instance: dg.DagsterInstance) -> None:
    first = look(instance)
    inbox = watched.inbox / "A0002" / "gpi"
    (old,) = inbox.iterdir()
    shutil.copy2(old, inbox / "GPIA0002.000999")  # moved in with its old date of writing
    (request,) = look(instance, first.cursor).run_requests or []
    assert request.tags[AGENCIES_TAG] == "A0002"
    assert request.asset_selection == [sync_key(System.GPI)]


def test_nothing_new_asks_for_nothing(watched: Installation, instance: dg.DagsterInstance) -> None:
    cursor = look(instance).cursor
    with dg.build_sensor_context(instance, cursor) as context:
        assert isinstance(sensors.new_deliveries(context), dg.SkipReason)


def test_a_file_still_being_written_waits(watched: Installation, instance: dg.DagsterInstance) -> None:
    cursor = look(instance).cursor
    (watched.inbox / "A0002" / "gpi" / "GPIA0002.000999").write_bytes(b"half of it")
    sensors.QUIET = dt.timedelta(seconds=60)
    with dg.build_sensor_context(instance, cursor) as context:
        assert isinstance(sensors.new_deliveries(context), dg.SkipReason)


def test_a_sensor_remembers_no_name_of_a_delivery(watched: Installation, instance: dg.DagsterInstance) -> None:
    found = look(instance)
    kept = f"{found.cursor} {[(r.run_key, r.tags) for r in found.run_requests or []]}"
    assert str(found.cursor).isdigit()
    names = [p.name for p in watched.inbox.rglob("*") if p.is_file()]
    assert [name for name in names if name in kept] == []


def test_without_a_home_the_sensors_skip(instance: dg.DagsterInstance, homeless: None) -> None:
    for sensor in sensors.SENSORS:
        with dg.build_sensor_context(instance) as context:
            told = sensor(context)
        assert isinstance(told, dg.SkipReason)
        assert "DEPOSITAIRE_HOME" in str(told.skip_message)


# -- windows -----------------------------------------------------------------------------------------------------------


def test_a_closed_window_asks_for_one_erasure_and_shows_it_as_overdue(
    after: Installation, at_home: Home, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with dg.build_sensor_context(instance) as context:
        told = sensors.closing_windows(context)
    due_already = set(instance.get_dynamic_partitions("erasure"))
    row = "D0001;PARTIE;91234567800013;2019-01-01;2020-01-31;RESILIATION;;;gpi;dpo@agence.test"
    register(after, tmp_path, [row])
    with dg.build_sensor_context(instance) as context:
        told = sensors.closing_windows(context)
    assert isinstance(told, dg.SensorResult)
    (request,) = told.run_requests or []
    assert set(instance.get_dynamic_partitions("erasure")) - due_already == {"D0001"}
    assert "D0001" not in f"{request.run_key} {request.tags}"
