"""The command line's way into the jobs: the same runs as the daemon's, in this process, on the home's own instance."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import dagster as dg

import pipelines.defs.discretion  # noqa: F401 - what Dagster must not repeat, before anything else
from pipelines import sync
from pipelines.defs.door import SweepCommand, SyncCommand, awaited, contracts
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.interrupted import alive, mend
from pipelines.defs.keys import ERASE_JOB, ERASURE, SYNC_JOB, WINDOWS, sync_key
from pipelines.defs.partitions import DOOR_TAG, SYSTEM_TAG, enlist, slices, tags_of
from pipelines.erasure import Swept, Told
from pipelines.sync import Night
from schemas.errors import TryAgain
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.report import Report

__all__ = ["execute_erasure", "execute_sync", "write_instance"]

# Standard output belongs to the answer of the command, and standard error to its progress.
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def execute_sync(night: Night, progress: Callable[[Report], None] = lambda _: None) -> list[Report]:
    """Settle everything that waits for this night, in one run. `progress` hears of each delivery.

    Raises what stopped a run as a whole (`schemas.errors.Say`, or a fault of ours). Without anything to do there is
    no run.
    """
    door = SyncCommand(night, progress)
    for stranger in sync.strangers(night):
        door.heard(stranger)
    every = contracts(night.home)
    waiting = {s: awaited(night, s, every) for s in AGENCY_SYSTEMS if s in night.systems}
    portal = System.PORTAL in night.systems and bool(sync.portal_deliveries(night))
    if not portal and not any(waiting.values()):
        return door.reports
    with open_instance(night.home) as instance:
        mend(instance, night.home)
        enlist(instance, (a for a, contract in every.items() if not contract.erased))
        wanted = frozenset(a for agencies in waiting.values() for a in agencies)
        systems = [s for s, agencies in waiting.items() if agencies] + ([System.PORTAL] if portal else [])
        door.turns_to(wanted)
        (whole,) = slices(every)
        named = [a for a, contract in every.items() if a in wanted and not contract.erased]
        tags = tags_of(named, whole) | {SYSTEM_TAG: ",".join(systems)}
        _run(instance, SYNC_JOB, door, [sync_key(s) for s in systems], tags)
    if door.error is not None:  # what stopped one system did not stop the others
        raise door.error
    return door.reports


def execute_erasure(
    home: Home,
    at: datetime,
    agencies: Sequence[AgencyCode] | None = None,
    passphrase: str | None = None,
    told: Told = lambda *_: None,
) -> Swept:
    """Erase whatever is due at `at` (of these agencies only; naming one confirms it). `told` hears of each step."""
    door = SweepCommand(home, at, passphrase, agencies, told)
    with open_instance(home) as instance:
        mend(instance, home)
        _run(instance, ERASE_JOB, door, [WINDOWS, ERASURE], {})
    if door.error is not None:
        raise door.error
    if door.result is None:
        raise TryAgain("the erasure was not carried out", "The page of its run, under `depositaire up`, says more.")
    return door.result


def _run(
    instance: dg.DagsterInstance,
    job: str,
    door: SyncCommand | SweepCommand,
    assets: Sequence[dg.AssetKey],
    tags: Mapping[str, str],
) -> None:
    run_id = str(uuid.uuid4())
    with alive(door.home(), run_id), _ended(instance, run_id):
        result = _job(job, door).execute_in_process(
            run_config=_SILENT,
            instance=instance,
            raise_on_error=False,
            asset_selection=assets,
            run_id=run_id,
            tags={**tags, DOOR_TAG: "command"},
        )
    if isinstance(door.error, KeyboardInterrupt):
        raise door.error
    if not result.success and door.error is None and not door.refused:
        raise TryAgain("Dagster could not finish its run", "The page of the run, under `depositaire up`, says more.")


@contextmanager
def _ended(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Whatever interrupts a run, Dagster hears that it is over."""
    try:
        yield
    except BaseException:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "This run was interrupted. What it had kept stays.")
        raise


def _job(name: str, door: SyncCommand | SweepCommand) -> dg.JobDefinition:
    """One job with nothing around it: schedules, tables and lineage are for those who look, and take time to load."""
    if name == SYNC_JOB:
        from pipelines.defs.sync import JOB, SYNC_ASSETS

        return dg.Definitions(assets=SYNC_ASSETS, jobs=[JOB], resources={"door": door}).resolve_job_def(name)
    from pipelines.defs.retention import ERASURE_ASSETS, JOB

    return dg.Definitions(assets=ERASURE_ASSETS, jobs=[JOB], resources={"door": door}).resolve_job_def(name)
