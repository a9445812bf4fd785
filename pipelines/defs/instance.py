"""The home's own Dagster instance: everything embedded, in files under HOME/dagster, and no path written into it; or
with its records in a PostgreSQL database of its own, and then perhaps with workers that runs are handed to."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.defs import address
from pipelines.defs.address import BROKER_VARIABLE, URL_VARIABLE, Address
from schemas.errors import Malformed, Refused
from schemas.home import Home

if TYPE_CHECKING:  # `depositaire init` writes the settings and has no use for the second that Dagster takes to load
    from dagster import DagsterInstance

# Folders are left out on purpose: they follow DAGSTER_HOME, so that a home can be copied and moved.
SETTINGS = """\
# Written by `depositaire init`.

telemetry:
  enabled: false

nux:
  enabled: false

# The output of steps may quote records: it is not captured.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager

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

# One run at a time for each system: its agencies' servers and its locks gain nothing from two.
ALONE = """
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    default_limit: 1
    granularity: run
"""

# The tables are made by `depositaire init`, whole or not at all.
STORED = f"""
# Events, runs and schedules are in a database of Dagster's own. Its address holds a password: it lies with the keys
# (dagster.json), and reaches Dagster by the environment.
storage:
  postgres:
    postgres_url:
      env: {URL_VARIABLE}
    should_autocreate_tables: false
"""

SHARED = f"""
# Runs are handed to workers (`depositaire worker`).
run_launcher:
  module: pipelines.defs.launcher
  class: Launcher
  config:
    broker:
      env: {BROKER_VARIABLE}

# As many at a time as all workers together have hands. Each system is a pool (sync_sdgi ...), and so is the erasure:
# `dagster instance concurrency set sync_spilasuite 1` gives one a limit of its own.
concurrency:
  runs:
    max_concurrent_runs: 8
  pools:
    default_limit: 4
    granularity: run

run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1

# A run whose worker was killed or cut off is failed once nobody holds its lock, and asked for once more.
run_monitoring:
  enabled: true
  poll_interval_seconds: 20
  start_timeout_seconds: 900
  cancel_timeout_seconds: 120
  max_runtime_seconds: 28800
run_retries:
  enabled: true
  max_retries: 0
  retry_on_asset_or_op_failure: false
"""
# The one code location, so that `dagster dev` in HOME/dagster finds it without a clone around it.
WORKSPACE = """\
load_from:
  - python_module:
      module_name: pipelines.defs.definitions
      location_name: depositaire
"""

_STORAGE = ("history", "schedules")
_STATEMENT_MS = 60_000
_HALF_MADE = "half-made-"


def write_instance(home: Home, url: str | None = None, broker: str | None = None) -> None:
    """Make HOME/dagster with its settings. Settings that are there already are an operator's and stay.

    `url`: of the PostgreSQL database that Dagster keeps its records in; without it, files. `broker`: of the Redis
    server through which runs go to workers. Both are said once, when the home is made.
    """
    wanted = check_addresses(url, broker)
    stored = address.known(home) if wanted is None else _stored(home, wanted)
    home.dagster.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = SETTINGS + (STORED if stored else "") + (SHARED if stored and stored.broker else ALONE)
    for name, text in (("dagster.yaml", settings), ("workspace.yaml", WORKSPACE)):
        if not (home.dagster / name).exists():
            (home.dagster / name).write_text(text, encoding="utf-8")


def hand_on(home: Home, folder: Home) -> bool:
    """Give the folder of another machine what its runs need of Dagster: the address of its database and of the broker,
    and its settings. Returns whether this home's runs go to workers at all."""
    stored = address.known(home)
    if stored is None or stored.broker is None:
        return False
    stored.write(folder)
    folder.dagster.mkdir(mode=0o700)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copyfile(home.dagster / name, folder.dagster / name)
    return True


def check_addresses(url: str | None, broker: str | None) -> Address | None:
    """What these say, or None for nothing. Raises Malformed, before anything is made."""
    if broker is not None and url is None:
        raise Malformed("workers share what Dagster knows", "Give --dagster, a PostgreSQL database, beside --broker.")
    return None if url is None else Address.of(url, broker)


def _stored(home: Home, wanted: Address) -> Address:
    """Make the tables of Dagster's database, then note where it is: made twice is made once."""
    if (home.dagster / "dagster.yaml").exists():
        if not address.is_named(home):
            raise Refused("this home's Dagster keeps its records in files", "Choose a database when a home is made.")
        if Address.read(home) != wanted:
            raise Refused("this home's Dagster has its database already", "Change HOME/keys/dagster.json by hand.")
    from pipelines.defs.database import install

    install(wanted)
    wanted.write(home)
    return wanted


@contextmanager
def open_instance(home: Home) -> "Iterator[DagsterInstance]":
    from dagster import DagsterInstance

    if not (home.dagster / "dagster.yaml").exists():
        raise Malformed("this home has no HOME/dagster", "Run `depositaire init` on it: what is there stays as it is.")
    stored = address.known(home)
    if stored is None:
        _furnish(home)
    else:
        os.environ.update(stored.environment())
    with DagsterInstance.from_config(str(home.dagster)) as instance, pooled(instance):
        yield instance


@contextmanager
def pooled(instance: "DagsterInstance") -> Iterator[None]:
    """Keep a connection to Dagster's database. It is asked by four or five new ones an event, unless Dagster is told
    that it serves a web page: an event costs 5 ms of CPU instead of 12 (measured). Nothing to do where there are files.
    """
    from sqlalchemy import NullPool

    storages: list[Any] = [instance.event_log_storage, instance.run_storage, instance.schedule_storage]
    fresh = [s for s in storages if isinstance(getattr(getattr(s, "_engine", None), "pool", None), NullPool)]
    if not fresh or not type(fresh[0]).__module__.startswith("dagster_postgres"):
        yield
        return
    instance.optimize_for_webserver(_STATEMENT_MS, pool_recycle=3600, max_overflow=2)
    try:
        yield
    finally:
        for storage in fresh:
            storage._engine.dispose()


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
    """Keep a connection to the two files into which a run writes its events, or to its database.

    Dagster opens and closes a connection for every event, and SQLite empties its log into the database each time that
    the last connection closes. With another one open an event costs 10 ms of CPU instead of 14, and half the waiting.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    with pooled(instance), ExitStack() as connections:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in ("index", run_id):
                db = connections.enter_context(closing(sqlite3.connect(storage.path_for_shard(shard))))
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
