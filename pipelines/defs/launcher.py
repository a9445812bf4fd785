"""Hands a run to whichever worker is free, through the broker. What goes there is the number of the run and nothing
else; what comes back is in Dagster's own database.

`HOME/dagster/dagster.yaml` names this class. It is dagster-celery's, with three differences: the message holds no copy
of the instance's settings, no result is kept with the broker, and whether a worker still lives is told by the lock
that its run holds and not by the broker, which knows nothing of a worker that was cut off.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from dagster import DagsterRun, StringSource
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from pipelines.defs.door import home_of_environment
from pipelines.defs.interrupted import is_at_work
from pipelines.defs.keys import SYNC_JOB

TASK = "depositaire.run"
# Any machine may take what only synchronises; the rest needs the home's own, with its root key.
QUEUE, HOST_QUEUE = "dagster", "host"
# Longer than the longest run (`run_monitoring` ends one after eight hours): a broker hands out anew what it has heard
# nothing of for so long.
VISIBLE_AGAIN_SECONDS = 9 * 3600

SETTINGS: Mapping[str, Any] = {
    # A message is done when its run is: what a killed worker had is handed out again, and its run found to be over.
    "task_acks_late": True,
    "worker_prefetch_multiplier": 1,
    "broker_transport_options": {"visibility_timeout": VISIBLE_AGAIN_SECONDS},
    # While the broker is away runs go on, and new ones wait for it.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "task_publish_retry_policy": {"max_retries": 60, "interval_start": 1, "interval_step": 1, "interval_max": 5},
    # Memory that pandas and drivers keep goes back when a process ends.
    "worker_max_tasks_per_child": 50,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


def app_arguments(broker: str) -> dict[str, Any]:
    return {
        "broker": broker, "backend": "disabled://", "task_default_queue": QUEUE, "config_source": dict(SETTINGS),
    }  # fmt: skip


class Launcher(CeleryRunLauncher):
    # Runs may be at work beside each other on several machines: a night is cut into slices.
    shared: ClassVar[bool] = True

    def __init__(self, broker: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(QUEUE, broker, "disabled://", config_source=dict(SETTINGS), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"broker": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        queue = QUEUE if run.job_name == SYNC_JOB else HOST_QUEUE
        run = run.with_tags({DAGSTER_CELERY_QUEUE_TAG: queue, **run.tags})
        message = self.celery.signature(TASK, args=(run.run_id,), immutable=True)
        self._launch_celery_task_run(run=run, task_signature=message, routing_key=TASK)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        # SIGINT: the run ends as one from the keyboard does, and tells Dagster so.
        self.celery.control.revoke(run.tags[DAGSTER_CELERY_TASK_ID_TAG], terminate=True, signal="SIGINT")
        return True

    @property
    def supports_resume_run(self) -> bool:
        return False  # it is begun again: what was settled is not settled twice

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if is_at_work(home_of_environment(), run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "Nobody holds the lock of this run.")

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:  # noqa: ARG002
        return None
