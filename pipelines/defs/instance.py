"""The home's own Dagster instance: everything embedded, in files under HOME/dagster, and no path written into it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import Malformed
from schemas.home import Home

if TYPE_CHECKING:  # `depositaire init` writes the settings and has no use for the second that Dagster takes to load
    from dagster import DagsterInstance

# Folders are left out on purpose: they follow DAGSTER_HOME, so that a home can be copied and moved.
SETTINGS = """\
# Written by `depositaire init`. Storage lies beside this file.

telemetry:
  enabled: false

nux:
  enabled: false

# The output of steps may quote records: it is not captured.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager

# One run at a time for each system: its agencies' servers and its locks gain nothing from two.
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    default_limit: 1
    granularity: run

retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 2
      started: 30
      failure: 30
      success: 30

code_servers:
  local_startup_timeout: 180
"""
# The one code location, so that `dagster dev` in HOME/dagster finds it without a clone around it.
WORKSPACE = """\
load_from:
  - python_module:
      module_name: pipelines.defs.definitions
      location_name: depositaire
"""

_STORAGE = ("history", "schedules")
_HALF_MADE = "half-made-"


def write_instance(home: Home) -> None:
    """Make HOME/dagster with its settings. Settings that are there already are an operator's and stay."""
    home.dagster.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in (("dagster.yaml", SETTINGS), ("workspace.yaml", WORKSPACE)):
        if not (home.dagster / name).exists():
            (home.dagster / name).write_text(text, encoding="utf-8")


@contextmanager
def open_instance(home: Home) -> "Iterator[DagsterInstance]":
    from dagster import DagsterInstance

    if not (home.dagster / "dagster.yaml").exists():
        raise Malformed("this home has no HOME/dagster", "Run `depositaire init` on it: what is there stays as it is.")
    _furnish(home)
    with DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


def _furnish(home: Home) -> None:
    """Make the databases that are not there yet: beside their place, then moved into it whole.

    Dagster makes them at their place, in steps; a process killed between two of them leaves tables that are taken for
    those of an old version for ever after.
    """
    from dagster import DagsterInstance

    missing = [part for part in _STORAGE if not (home.dagster / part).exists()]
    if not missing:
        return
    made = Path(tempfile.mkdtemp(prefix=_HALF_MADE, dir=home.dagster))
    shutil.copy(home.dagster / "dagster.yaml", made)
    DagsterInstance.from_config(str(made)).dispose()
    for part in missing:
        with suppress(OSError):  # another process was quicker
            (made / part).rename(home.dagster / part)
    for leftover in home.dagster.glob(f"{_HALF_MADE}*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def held_open(instance: "DagsterInstance", run_id: str) -> Iterator[None]:
    """Keep a connection to the two files into which a run writes its events.

    Dagster opens and closes a connection for every event, and SQLite empties its log into the database each time that
    the last connection closes. With another one open an event costs 10 ms of CPU instead of 14, and half the waiting.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    with ExitStack() as connections:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in ("index", run_id):
                db = connections.enter_context(closing(sqlite3.connect(storage.path_for_shard(shard))))
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
