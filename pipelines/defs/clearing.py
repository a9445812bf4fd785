"""Old runs go. Dagster keeps them for ever; what they say of agencies has no purpose once a newer run says it again.

A run stays while some partition's last materialization is in it: deleting that one would turn the partition grey. So
the certificates of `agency_erasure` stay too.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage

KEPT_FOR = timedelta(days=30)
_AT_ONCE = 200


def clear(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the finished runs begun before an instant that nothing refers to. Returns how many."""
    told = _last_tellers(instance)
    finished = dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=before)
    cleared = 0
    for run in instance.get_runs(finished):
        if run.run_id not in told:
            instance.delete_run(run.run_id)
            _drop_file(instance, run.run_id)
            cleared += 1
    return cleared


def _last_tellers(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold the last materialization of some partition, or of an asset that has none."""
    tellers: set[str] = set()
    for key in instance.all_asset_keys():
        last = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = sorted(last.values())
        for start in range(0, len(ids), _AT_ONCE):
            wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _AT_ONCE])
            tellers.update(r.run_id for r in instance.fetch_materializations(wanted, limit=_AT_ONCE).records)
        event = instance.get_latest_materialization_event(key)
        if event is not None:
            tellers.add(event.run_id)
    return tellers


def _drop_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """Dagster leaves the file of a deleted run where it was."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        shard = Path(storage.path_for_shard(run_id))
        for file in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm"))):
            file.unlink(missing_ok=True)


@dg.op(out={}, description="Deletes finished runs older than thirty days that nothing refers to.")
def clear_old_runs(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
    cleared = clear(context.instance, datetime.now(UTC) - KEPT_FOR)
    context.log.info("%d runs cleared", cleared)
    yield from ()


@dg.job(name="clearing", executor_def=dg.in_process_executor)
def JOB() -> None:  # noqa: N802 - named like the other jobs
    clear_old_runs()
