"""The one code location. Explicit: nothing is found by walking folders, nothing is live that is not named here.

`dagster dev` and `dg dev` find this module by pyproject.toml. It loads without a home: which one is meant is asked of
the environment (DEPOSITAIRE_HOME) when something runs.
"""

import os

import dagster as dg

import pipelines.defs.discretion  # noqa: F401 - what Dagster must not repeat, before anything else
from pipelines.defs.clearing import JOB as CLEARING_JOB
from pipelines.defs.door import Standing
from pipelines.defs.events import JOB as EVENTS_JOB
from pipelines.defs.reconcile import JOB as RECONCILE_JOB, reconcile_spilasuite
from pipelines.defs.retention import ERASURE_ASSETS, JOB as ERASURE_JOB
from pipelines.defs.schedules import SCHEDULES
from pipelines.defs.sensors import SENSORS
from pipelines.defs.sync import JOB as SYNC_JOB, SYNC_ASSETS
from pipelines.defs.tables import checks, exports, tables

# What a run says on the terminal: everything, but where nobody looks at one (a worker).
LEVEL_VARIABLE = "DEPOSITAIRE_LOG_LEVEL"


def _console() -> dg.LoggerDefinition:
    level = dg.Field(str, is_required=False, default_value=os.environ.get(LEVEL_VARIABLE, "DEBUG"))
    return dg.colored_console_logger.configured(dict, config_schema={"log_level": level})


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(
        assets=[*exports(), *SYNC_ASSETS, reconcile_spilasuite, *tables(), *ERASURE_ASSETS],
        asset_checks=[checks()],
        jobs=[SYNC_JOB, RECONCILE_JOB, ERASURE_JOB, CLEARING_JOB, EVENTS_JOB],
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"door": Standing()},
        executor=dg.in_process_executor,
        loggers={"console": _console()},
    )
