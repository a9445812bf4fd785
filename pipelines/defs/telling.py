"""How a run tells Dagster what became of an agency: green, red and why, or a failure in plain words."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
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
        fail(context, door, f"stopped by {place_of(error)}", {}, mendable=False)
