"""Real nights on a real home, told to Dagster; made once and copied for each test."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from pipelines.defs import run
from pipelines.defs.definitions import defs
from pipelines.defs.instance import open_instance
from pipelines.defs.keys import sync_key
from pipelines.defs.partitions import AGENCIES
from pipelines.sync import Night
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Report
from tests import engines
from tests.functional.conftest import SAMPLES, Installation, noon

DAY = "2026-01-05"
EVERYONE = ("A0001", "A0002", "A0003")


def night(
    installation: Installation,
    day: str = DAY,
    systems: Sequence[System] = tuple(System),
    agencies: Sequence[str] | None = None,
) -> Night:
    only = None if agencies is None else tuple(AgencyCode(a) for a in agencies)
    return Night(installation.home, noon(day), installation.inbox, tuple(systems), only)


def settle(
    installation: Installation,
    day: str = DAY,
    systems: Sequence[System] = tuple(System),
    agencies: Sequence[str] | None = None,
    progress: Callable[[Report], None] = lambda _: None,
) -> list[Report]:
    return run.execute_sync(night(installation, day, systems, agencies), progress)


def colours(instance: dg.DagsterInstance, system: System) -> dict[str, str]:
    """What the page of an asset shows, by Dagster's own reckoning."""
    with partition_loading_context(dynamic_partitions_store=instance):
        status = get_and_update_asset_status_cache_value(instance, sync_key(system), AGENCIES)
        shown = dict.fromkeys(instance.get_dynamic_partitions(str(AGENCIES.name)), "grey")
        if status is not None:
            green = status.deserialize_materialized_partition_subsets(AGENCIES).get_partition_keys()
            red = status.deserialize_failed_partition_subsets(AGENCIES).get_partition_keys()
            shown |= dict.fromkeys(green, "green") | dict.fromkeys(red, "red")
    return shown


def launched_on_the_page(
    instance: dg.DagsterInstance, asset: dg.AssetKey, tags: dict[str, str], succeeds: bool = True
) -> None:
    """A run of one asset as the web page asks for it: Dagster's own job, partitions in its tags."""
    job = defs().resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(quiet, instance, asset_selection=[asset], tags=tags, raise_on_error=False)
    assert result.success is succeeds


def bytes_holding(root: Path, text: str) -> list[str]:
    """Files below a folder whose bytes hold a text."""
    return sorted(p.name for p in root.rglob("*") if p.is_file() and text.encode() in p.read_bytes())


def told_to_dagster(home: Home, text: str) -> list[str]:
    """Where a text stands among what Dagster keeps: files, or the rows of its database."""
    stored = ["database"] if text.encode() in engines.written(home) else []
    return bytes_holding(home.dagster, text) + stored


def prepare(root: Path) -> Installation:
    """Three agencies registered and instructed, nothing delivered."""
    installation = Installation(root)
    engines.write_instance(installation.home)
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in EVERYONE:
        installation.instruct(agency)
    return installation


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One night of three agencies. The GPI file of A0002 lost its end on the way."""
    root = tmp_path_factory.mktemp("first-night")
    installation = prepare(root)
    installation.place_day(DAY)
    (gpi,) = (installation.inbox / "A0002" / "gpi").iterdir()
    gpi.write_bytes(gpi.read_bytes()[:-514])
    settle(installation)
    return root


@pytest.fixture
def after(first_night: Path, tmp_path: Path) -> Installation:
    return Installation.on(Path(engines.copied(first_night, tmp_path / "copy")))


@pytest.fixture
def instance(after: Installation) -> Iterator[dg.DagsterInstance]:
    with open_instance(after.home) as opened:
        yield opened


@pytest.fixture
def at_home(after: Installation, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The daemon's way of knowing the home."""
    monkeypatch.setenv("DEPOSITAIRE_HOME", str(after.home.root))
    monkeypatch.delenv("DEPOSITAIRE_KEYS", raising=False)
    return after.home


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEPOSITAIRE_HOME", "DEPOSITAIRE_KEYS"):
        monkeypatch.delenv(name, raising=False)
