"""The jobs of `pipelines.defs`, with their steps handed to workers by dagster-celery's executor: only to be measured."""

import os

import dagster as dg
from dagster_celery import celery_executor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

import pipelines.defs.discretion  # noqa: F401 - before anything else
from pipelines.defs.door import Standing
from pipelines.defs.keys import SYNC_JOB, sync_key
from pipelines.defs.launcher import SETTINGS
from pipelines.defs.sync import SYNC_ASSETS
from schemas.ids import System

BROKER = os.environ["DEPOSITAIRE_BROKER_URL"]
# Steps are waited for by their results, so these must be kept.
KEPT = dict(SETTINGS) | {"task_ignore_result": False}

defs = dg.Definitions(
    assets=SYNC_ASSETS,
    jobs=[
        dg.define_asset_job(
            SYNC_JOB,
            selection=dg.AssetSelection.assets(*(sync_key(s) for s in System)).without_checks(),
            executor_def=celery_executor.configured({"broker": BROKER, "backend": BROKER, "config_source": KEPT}),
        )
    ],
    resources={"door": Standing()},
)
app = make_app({"broker": BROKER, "backend": BROKER, "config_source": KEPT})  # type: ignore[no-untyped-call]
execute_plan = create_task(app)  # type: ignore[no-untyped-call]
