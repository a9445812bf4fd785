"""When: one night for each system, one for the portal, one look at the contract windows a day, one clearing a night;
every hour what waits for whoever takes the events of lineage, where somebody does.

Nothing is decided by a tick: a tick asks for runs of what the register holds at that moment, and a run settles whatever
waits. So a missed night needs no catching up, and a tick that comes twice asks for nothing new (its keys are the same).

The times themselves: `pipelines.timetable`.
"""

from collections.abc import Iterator

import dagster as dg

from pipelines.defs.clearing import JOB as CLEARING_JOB
from pipelines.defs.door import NoHome, contracts, home_of_environment
from pipelines.defs.events import JOB as EVENTS_JOB
from pipelines.defs.interrupted import mend
from pipelines.defs.keys import sync_key
from pipelines.defs.partitions import DOOR_TAG, SYSTEM_TAG, enlist, is_shared, slices, tags_of
from pipelines.defs.reconcile import JOB as RECONCILE_JOB
from pipelines.defs.retention import JOB as ERASURE_JOB
from pipelines.defs.sync import JOB as SYNC_JOB
from pipelines.openlineage.settings import receiver
from pipelines.timetable import TIMES
from schemas.errors import Malformed
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.window import PARIS


def _nightly(system: System) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"nightly_{system}",
        job=SYNC_JOB,
        cron_schedule=TIMES[system],
        execution_timezone=str(PARIS),
        description=f"Everything that waits from {system}.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        try:
            home = home_of_environment()
        except NoHome as no:
            yield dg.SkipReason(str(no))
            return
        mend(context.instance, home)
        every = contracts(home)
        enlist(context.instance, (a for a, contract in every.items() if not contract.erased))
        night = f"{context.scheduled_execution_time.astimezone(PARIS):%Y-%m-%d}"
        target = [sync_key(system)]
        tags = {SYSTEM_TAG: str(system), DOOR_TAG: "schedule"}
        if system is System.PORTAL:
            yield dg.RunRequest(run_key=f"{system}:{night}", tags=tags, asset_selection=target)
            return
        users = [a for a, contract in every.items() if system in contract.systems and not contract.erased]
        if not users:
            yield dg.SkipReason(f"no agency of the register uses {system}")
        for cut in slices(every, is_shared(context.instance)):
            if named := [a for a in users if a in cut]:
                told = tags | tags_of(named, cut)
                yield dg.RunRequest(run_key=f"{system}:{night}:{cut}", tags=told, asset_selection=target)

    return nightly


@dg.schedule(
    name="hourly_events",
    job=EVENTS_JOB,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",  # of no day is an hour missing or there twice
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Events of lineage for whoever takes them; nothing where nobody does.",
)
def _hourly_events(_: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    try:
        if receiver(home_of_environment()) is None:
            return dg.SkipReason("nobody takes events: depositaire.toml has no [openlineage]")
    except NoHome as no:
        return dg.SkipReason(str(no))
    except Malformed:
        pass  # the run says what is wrong
    return dg.RunRequest(tags={DOOR_TAG: "schedule"})


SCHEDULES: list[dg.ScheduleDefinition] = [
    *(_nightly(system) for system in (*AGENCY_SYSTEMS, System.PORTAL)),
    # The sensor looks every quarter of an hour; this one is for an installation whose sensors were switched off.
    dg.ScheduleDefinition(
        name="daily_contract_windows",
        job=ERASURE_JOB,
        cron_schedule="5 0 * * *",
        execution_timezone=str(PARIS),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        tags={DOOR_TAG: "schedule"},
        description="Where every window stands, and the erasure of whatever is past its own.",
    ),
    dg.ScheduleDefinition(
        name="weekly_reconciliation",
        job=RECONCILE_JOB,
        cron_schedule="30 5 * * 0",
        execution_timezone=str(PARIS),
        tags={DOOR_TAG: "schedule"},
        description="Rows held as current that left their SpiLaSuite source without a tombstone: reported, not ended.",
    ),
    dg.ScheduleDefinition(
        name="nightly_clearing",
        job=CLEARING_JOB,
        cron_schedule="0 5 * * *",
        execution_timezone=str(PARIS),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        tags={DOOR_TAG: "schedule"},
        description="Old runs that say nothing any more.",
    ),
    _hourly_events,
]
