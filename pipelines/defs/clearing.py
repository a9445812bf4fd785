"""What Dagster kept long enough goes. It would keep every run and event for ever; what they say of agencies has no
purpose once a newer one says it again.

What the page shows must not change. So a run stays while it holds the last word on something: the last materialization
of a partition (without it the partition turns grey), the failed plan and the reason that came after it (red), the last
result of a check. Of a run that stays, the events of agencies of whom a newer one speaks go all the same: otherwise one
agency that is never heard of again would keep the events of a whole night. The certificates of `agency_erasure` are
last words, and stay.

What remains in the end is one event or two for each agency and system, and a month of everything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable as Events,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import delete, func, select

KEPT_FOR = timedelta(days=30)
# As many at a time as keep a statement and its locks short.
BATCH = 200

DONE = str(DagsterEventType.ASSET_MATERIALIZATION.value)
PLANNED = str(DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value)
OBSERVED = str(DagsterEventType.ASSET_OBSERVATION.value)


@dataclass(frozen=True, slots=True)
class Cleared:
    runs: int
    events: int


def clear(instance: dg.DagsterInstance, before: datetime) -> Cleared:
    """Delete what is older than an instant and was said again since. Again is the same as once."""
    storage = _storage(instance)
    words = _last_words(storage)
    speakers = _runs_of(storage, words) | _last_checkers(storage)
    old = instance.get_run_ids(dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=before))
    going = [run for run in old if run not in speakers]
    for some in _batches(going):
        for run in some:
            instance.delete_run(run)
            _drop_file(storage, run)
        with storage.index_transaction() as db:  # Dagster leaves the results of their checks
            db.execute(delete(AssetCheckExecutionsTable).where(AssetCheckExecutionsTable.c.run_id.in_(some)))
    return Cleared(len(going), _thin(storage, speakers.intersection(old), before, words))


def _storage(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    return storage


def _last_words(storage: SqlEventLogStorage) -> set[int]:
    """The events that make the colours: the last materialization, and what was planned and observed after it."""
    last: dict[tuple[str, str | None], dict[str, int]] = {}
    newest = select(Events.c.asset_key, Events.c.partition, Events.c.dagster_event_type, func.max(Events.c.id))
    of_assets = Events.c.asset_key.is_not(None), Events.c.dagster_event_type.in_((DONE, PLANNED, OBSERVED))
    with storage.index_connection() as db:
        for asset, partition, kind, number in db.execute(
            newest.where(*of_assets).group_by(Events.c.asset_key, Events.c.partition, Events.c.dagster_event_type)
        ):
            last.setdefault((asset, partition), {})[kind] = number
    words = set()
    for of in last.values():
        done = of.get(DONE, 0)
        # Beside a red, its reason is written just before the plan.
        words |= {number for number in of.values() if number >= done}
    return words


def _runs_of(storage: SqlEventLogStorage, events: set[int]) -> set[str]:
    runs: set[str] = set()
    with storage.index_connection() as db:
        for some in _batches(sorted(events)):
            runs.update(db.scalars(select(Events.c.run_id).where(Events.c.id.in_(some)).distinct()))
    return runs


def _last_checkers(storage: SqlEventLogStorage) -> set[str]:
    """Runs that hold the last result of some check."""
    t = AssetCheckExecutionsTable
    newest = select(func.max(t.c.id)).group_by(t.c.asset_key, t.c.check_name, t.c.partition)
    with storage.index_connection() as db:
        return set(db.scalars(select(t.c.run_id).where(t.c.id.in_(newest))))


def _thin(storage: SqlEventLogStorage, runs: set[str], before: datetime, words: set[int]) -> int:
    """Delete those events of runs that stay of which a newer one says more. Returns how many."""
    old = (
        Events.c.partition.is_not(None),
        Events.c.dagster_event_type.in_((DONE, PLANNED, OBSERVED)),
        Events.c.timestamp < before.astimezone(UTC).replace(tzinfo=None),
    )
    with storage.index_connection() as db:
        rows = db.execute(
            select(Events.c.id, Events.c.run_id, Events.c.asset_key, Events.c.partition).where(*old)
        ).all()
    going = [row for row in rows if row.id not in words and row.run_id in runs]
    for some in _batches([row.id for row in going]):
        with storage.index_transaction() as db:
            db.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(some)))
            db.execute(delete(Events).where(Events.c.id.in_(some)))
    if isinstance(storage, SqliteEventLogStorage):  # which keeps them a second time, with the run, by other numbers
        said = {(row.run_id, row.asset_key, row.partition) for row in rows if row.id in words}
        gone = {(row.run_id, row.asset_key, row.partition) for row in going} - said
        for run, asset in sorted({(run, asset) for run, asset, _ in gone}):
            partitions = sorted(p for r, a, p in gone if (r, a) == (run, asset))
            with storage.run_connection(run) as db:
                for some in _batches(partitions):
                    db.execute(delete(Events).where(*old, Events.c.asset_key == asset, Events.c.partition.in_(some)))
    return len(going)


def _batches(of: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(of), BATCH):
        yield of[start : start + BATCH]


def _drop_file(storage: SqlEventLogStorage, run_id: str) -> None:
    """Dagster leaves the file of a deleted run where it was."""
    if isinstance(storage, SqliteEventLogStorage):
        shard = Path(storage.path_for_shard(run_id))
        for file in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm"))):
            file.unlink(missing_ok=True)


@dg.op(out={}, description="Deletes what is older than thirty days and was said again since.")
def clear_old_runs(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
    cleared = clear(context.instance, datetime.now(UTC) - KEPT_FOR)
    context.log.info("%d runs and %d events cleared", cleared.runs, cleared.events)
    yield from ()


@dg.job(name="clearing", executor_def=dg.in_process_executor)
def JOB() -> None:  # noqa: N802 - named like the other jobs
    clear_old_runs()
