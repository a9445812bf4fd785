"""What makes a run before its night: a delivery that arrived, a contract window that closed.

A sensor's cursor and the keys of the runs that it asks for stay in Dagster's storage. They are instants and digests:
the name of a delivery may hold anything.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import dagster as dg

from pipelines import erasure
from pipelines.defs.door import NoHome, Standing, awaited, contracts, home_of_environment
from pipelines.defs.interrupted import mend
from pipelines.defs.keys import sync_key
from pipelines.defs.partitions import DOOR_TAG, ERASURES, NAMED, SYSTEM_TAG, Slice, enlist, is_shared, slices, tags_of
from pipelines.defs.retention import JOB as ERASURE_JOB, broom
from pipelines.defs.sync import JOB as SYNC_JOB
from pipelines.inbox import changed_at
from pipelines.sync import Night, portal_deliveries, waiting
from schemas.errors import Say
from schemas.ids import AgencyCode, System

# How long a file must have been left alone: some agencies write their deliveries in place.
QUIET = timedelta(seconds=60)
_WHOLE = Slice(1, 1)
_BUT = ", but one of them could not be asked"


class _Arrival(NamedTuple):
    """A delivery in an inbox. `changed`: when its file was last written or moved, in nanoseconds."""

    system: System
    agency: AgencyCode | None
    changed: int
    name: str


@dg.sensor(
    job=SYNC_JOB,
    minimum_interval_seconds=120,
    description="Deliveries that arrived in an inbox that was ever read.",
)
def new_deliveries(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    try:
        home = home_of_environment()
    except NoHome as no:
        return dg.SkipReason(str(no))
    mend(context.instance, home)
    every = [a for a, contract in contracts(home).items() if not contract.erased]
    enlist(context.instance, every)
    seen = int(context.cursor or 0)
    quiet_since = int((datetime.now(UTC) - QUIET).timestamp() * 1e9)
    arrived, silent = _arrivals(every)
    new = [a for a in arrived if seen < a.changed <= quiet_since]
    if not new:
        return dg.SkipReason(f"nothing new in the inboxes{_BUT if silent else ''}")
    # By the time of the change of the inode: a file that is moved in keeps the time at which it was written. What lies
    # in an inbox that could not be asked would be older than the cursor; the same run is not made twice.
    cursor = context.cursor if silent else str(max(a.changed for a in new))
    requests = list(_requests(new, every, is_shared(context.instance)))
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def _arrivals(every: Collection[AgencyCode]) -> tuple[list[_Arrival], bool]:
    """What waits in the inboxes, and whether one of them could not be asked."""
    found: list[_Arrival] = []
    silent = False
    for night in Standing().nights(System.PORTAL):  # the inboxes are the same for every system
        try:
            found += _waiting(night, every)
        except (Say, OSError):
            silent = True
    return found, silent


def _waiting(night: Night, every: Collection[AgencyCode]) -> Iterator[_Arrival]:
    for system in (System.SDGI, System.GPI, System.LOGIN):
        for agency in awaited(night, system, every):
            for delivery in waiting(night, system, agency):
                if (changed := changed_at(delivery)) is not None:
                    yield _Arrival(system, agency, changed, delivery.name)
    for delivery in portal_deliveries(night):
        if (changed := changed_at(delivery)) is not None:
            yield _Arrival(System.PORTAL, None, changed, delivery.name)


def _requests(new: Iterable[_Arrival], every: Collection[AgencyCode], shared: bool = False) -> Iterator[dg.RunRequest]:
    by_system: dict[System, list[_Arrival]] = defaultdict(list)
    for arrival in new:
        by_system[arrival.system].append(arrival)
    for system, arrivals in by_system.items():
        named = sorted({a.agency for a in arrivals if a.agency is not None})
        for cut in slices(every, shared) if len(named) > NAMED else [_WHOLE]:
            mine = [a for a in named if a in cut]
            if mine or system is System.PORTAL:
                tags = {SYSTEM_TAG: str(system), DOOR_TAG: "sensor"} | (tags_of(mine, cut) if mine else {})
                key = _digest(
                    f"{a.agency}:{a.name}:{a.changed}" for a in arrivals if a.agency is None or a.agency in cut
                )
                yield dg.RunRequest(run_key=f"{system}:{key}", tags=tags, asset_selection=[sync_key(system)])


def _digest(texts: Iterable[str]) -> str:
    return blake2b("\n".join(sorted(texts)).encode(), digest_size=16).hexdigest()


@dg.sensor(
    job=ERASURE_JOB,
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Contract windows that have closed. It asks what is due now, so that downtime only makes it late.",
)
def closing_windows(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    try:
        home = home_of_environment()
        mend(context.instance, home)
        door = Standing()
        outlook = erasure.outlook(broom(home, door.passphrase(), _forget_nothing), door.at())
    except Say as no:
        return dg.SkipReason(str(no))
    due = sorted({p.agency for p in outlook.plans})
    if not due:
        held = f"; {len(outlook.held)} wait to be confirmed by name" if outlook.held else ""
        return dg.SkipReason(f"no window has closed{held}")
    name = str(ERASURES.name)
    context.instance.add_dynamic_partitions(name, sorted({*due} - {*context.instance.get_dynamic_partitions(name)}))
    # With the hour: an erasure that could not be finished is asked for again, one that is at work is not doubled.
    key = f"{door.at():%Y%m%d%H}:{_digest(due)}"
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, tags={DOOR_TAG: "sensor"})])


def _forget_nothing(_: AgencyCode) -> Mapping[str, int]:
    raise AssertionError("looking at what is due erases nothing")


SENSORS = [new_deliveries, closing_windows]
