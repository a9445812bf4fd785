"""What a worker does: `celery -A pipelines.defs.tasks worker`, as `depositaire worker` starts it.

A message is the number of a run. Everything that a run needs is imported before the worker's processes are made, so
that they share it: a run costs a fifth of one that begins with a new interpreter (docs/decisions/0016).
"""

import os

from celery import Celery
from dagster import DagsterInstance
from dagster._cli.api import _execute_run_command_body
from dagster_celery.make_app import make_app

import pipelines.defs.definitions
import pipelines.sync  # noqa: F401
from pipelines.defs.address import BROKER_VARIABLE
from pipelines.defs.door import home_of_environment
from pipelines.defs.instance import pooled
from pipelines.defs.interrupted import alive
from pipelines.defs.launcher import TASK, app_arguments

app: Celery = make_app(app_arguments(os.environ[BROKER_VARIABLE]))  # type: ignore[no-untyped-call]


def carry_out(run_id: str) -> None:
    """Carry a run out, unless somebody is at it or it is over: a broker may hand out twice what it heard nothing of."""
    with alive(home_of_environment(), run_id) as mine:
        if not mine:
            return
        with DagsterInstance.get() as instance, pooled(instance):
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                _execute_run_command_body(
                    run_id, instance, write_stream_fn=lambda _: None, set_exit_code_on_failure=False
                )


app.task(name=TASK)(carry_out)
