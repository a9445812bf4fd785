"""How a run tells Dagster what became of an agency: green, red and why, or a failure in plain words."""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType

from pipelines.defs.door import Door
from schemas.errors import Say, TryAgain, place_of
from store.hindrance import in_the_way


def green(context: dg.AssetExecutionContext, agency: str | None, told: Mapping[str, Any]) -> None:
    """The agency's partition (None: an asset without) is materialized, with counts."""
    context.log_event(dg.AssetMaterialization(context.asset_key, partition=agency, metadata=dict(told)))


def red(context: dg.AssetExecutionContext, agency: str | None, why: Mapping[str, Any]) -> None:
    """The agency's partition is shown as failed once this run fails, with the reason beside it.

    Red is Dagster's own reading of an intention to materialize that a failed run left unfulfilled. Dagster would plan
    every partition of a range beforehand, and then show as failed each agency of a failed run for which there was
    nothing to do; and it would write twice as many events (12 ms of CPU each).
    """
    context.log_event(dg.AssetObservation(context.asset_key, partition=agency, metadata=dict(why)))
    if agency is None:
        return  # planned by Dagster
    planned = AssetMaterializationPlannedData(context.asset_key, partition=agency)
    step = context.get_step_execution_context().step.key
    event = DagsterEvent.build_asset_materialization_planned_event(context.run.job_name, step, planned)
    context.instance.report_dagster_event(event, context.run.run_id, logging.DEBUG)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page of an asset shows, looked up once for all agencies. Grey: in neither."""

    instance: dg.DagsterInstance
    asset: dg.AssetKey
    green: frozenset[str]
    red: frozenset[str]

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> Self:
        """By Dagster's own reckoning: a plan that came after the last materialization, and whose run failed, is red.
        A plan of this run counts as one: it is at its second attempt."""
        storage = context.instance.event_log_storage
        plans = storage.get_latest_asset_partition_materialization_attempts_without_materializations(context.asset_key)
        failed = {context.run.run_id} | failed_runs(context.instance, {run for run, _ in plans.values()})
        done = storage.get_latest_storage_id_by_partition(
            context.asset_key, DagsterEventType.ASSET_MATERIALIZATION
        ).keys()
        red = frozenset(agency for agency, (run, _) in plans.items() if run in failed)
        return cls(context.instance, context.asset_key, frozenset(done - plans.keys()), red)

    def reasons(self, agencies: Collection[str]) -> dict[str, Any]:
        """Why those of these agencies that are red are."""
        wanted = {a for a in agencies if a in self.red}
        if not wanted:
            return {}
        last = self.instance.event_log_storage.get_latest_storage_id_by_partition(
            self.asset, DagsterEventType.ASSET_OBSERVATION, wanted
        )
        ids, found = sorted(last.values()), {}
        for start in range(0, len(ids), AT_ONCE):
            asked = dg.AssetRecordsFilter(asset_key=self.asset, storage_ids=ids[start : start + AT_ONCE])
            for record in self.instance.fetch_observations(asked, limit=AT_ONCE).records:
                if record.partition_key is not None and record.asset_observation is not None:
                    why = record.asset_observation.metadata.get("refused")
                    found[record.partition_key] = why.value if why is not None else None
        return found


# As many as one statement asks for by their numbers.
AT_ONCE = 200


def failed_runs(instance: dg.DagsterInstance, runs: Collection[str]) -> set[str]:
    ids, failed = sorted(runs), set()
    for start in range(0, len(ids), AT_ONCE):
        asked = dg.RunsFilter(run_ids=ids[start : start + AT_ONCE], statuses=[dg.DagsterRunStatus.FAILURE])
        failed |= {run.run_id for run in instance.get_runs(asked)}
    return failed


# Waited for inside the run: long enough for a server to come back, short enough not to hold up the night.
RETRIES = 2
PAUSE_SECONDS = 120


def fail(context: dg.AssetExecutionContext, door: Door, told: str, why: Mapping[str, Any], mendable: bool) -> NoReturn:
    """End a run in words of ours. What waiting may mend is tried again, where the door has the patience.

    Dagster's own retry policy would also try again what was interrupted from the keyboard, and what can never succeed.
    """
    if mendable and door.retries and context.retry_number < RETRIES:
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=PAUSE_SECONDS) from None
    raise dg.Failure(told, dict(why), allow_retries=False) from None


@contextmanager
def told_plainly(context: dg.AssetExecutionContext, door: Door) -> Iterator[None]:
    """What goes wrong is told in our words: the text of one of our four ways to say no, else its kind and place alone.

    `from None` (in `fail`): a failure must not carry the error that it stands for.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        door.failed(KeyboardInterrupt())
        raise
    except Say as no:
        door.failed(no)
        fail(context, door, str(no), {}, mendable=isinstance(no, TryAgain))
    except Exception as error:  # noqa: BLE001 - its text may quote a record, so it ends here
        door.failed(error)
        away = in_the_way(error)
        fail(context, door, str(away) if away else f"stopped by {place_of(error)}", {}, mendable=away is not None)
