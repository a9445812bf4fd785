"""How a run tells Dagster what became of an agency: green, red and why, or a failure in plain words."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from pipelines.defs.discretion import place_of
from pipelines.defs.door import Door
from schemas.errors import Say, TryAgain


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


@contextmanager
def told_plainly(door: Door) -> Iterator[None]:
    """What goes wrong is told in our words: the text of one of our four ways to say no, else its kind and place alone.

    `from None`: a failure must not carry the error that it stands for.
    """
    try:
        yield
    except dg.Failure:
        raise
    except Say as no:
        door.failed(no)
        raise dg.Failure(str(no), allow_retries=door.retries and isinstance(no, TryAgain)) from None
    except Exception as error:  # noqa: BLE001 - its text may quote a record, so it ends here
        door.failed(error)
        raise dg.Failure(f"stopped by {place_of(error)}", allow_retries=False) from None
