"""The end of contracts: where each window stands, and the erasure of whatever is past its own.

Both are decided by state, never by a tick: after a week of downtime the first run finds everything that became due,
and a run that finds nothing due does nothing. An erasure that could not be finished is red, has no certificate, and
is taken up by the next run (R22; `pipelines.erasure`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg

from pipelines import erasure
from pipelines.defs import address
from pipelines.defs.database import looked_into, rewrite
from pipelines.defs.door import Sweeping, contracts
from pipelines.defs.keys import ERASE_JOB, ERASURE, NOTHING_LEFT, WINDOWS, sync_key
from pipelines.defs.partitions import ERASURES
from pipelines.defs.telling import fail, green, red, told_plainly
from pipelines.defs.trace import forget
from pipelines.erasure import Broom, Erasure, Swept
from pipelines.sync import code_version
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.window import Contract, State, closes_at, state
from store.keys import open_root

# Records of these stay: they are evidence of the erasures (`pipelines.defs.trace`).
KEPT = frozenset({ERASE_JOB, str(ERASURES.name), ERASURE.path[-1]})
_SOON = timedelta(days=60)


@dg.asset(
    key=WINDOWS,
    deps=[sync_key(s) for s in System],
    group_name="retention",
    kinds={"python"},
    tags={"gdpr/article": "28_3_g"},
    description="Where every agency's contract window stands, and which close within sixty days.",
)
def contract_windows(
    context: dg.AssetExecutionContext, door: dg.ResourceParam[Sweeping]
) -> Iterator[dg.MaterializeResult[None]]:
    with told_plainly(context, door):
        every, at = contracts(door.home()), door.at()
        counted = Counter(_standing(c, state(c, at)) for c in every.values())
        told = {name: counted.get(name, 0) for name in (*(str(s) for s in State), "erased")}
        yield dg.MaterializeResult(metadata={**told, "closing": _closing(every, at)})


def _closing(every: Mapping[AgencyCode, Contract], at: datetime) -> dg.TableMetadataValue:
    """Windows that will close soon, the nearest first. Those that have closed are partitions of `agency_erasure`."""
    ends = {code: closes_at(c.end) for code, c in every.items() if c.end is not None and not c.erased}
    near = sorted((when, code) for code, when in ends.items() if at < when < at + _SOON)
    records = [dg.TableRecord({"agency": a, "closes": when.isoformat(), "days": (when - at).days}) for when, a in near]
    columns = [dg.TableColumn("agency", "string"), dg.TableColumn("closes", "string"), dg.TableColumn("days", "int")]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def _standing(contract: Contract, now: State) -> str:
    return "erased" if contract.erased else str(now)


@dg.asset(
    key=ERASURE,
    deps=[WINDOWS],
    partitions_def=ERASURES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    group_name="retention",
    kinds={"python"},
    tags={"gdpr/article": "28_3_g"},
    pool="erasure",
    check_specs=[
        dg.AssetCheckSpec(
            NOTHING_LEFT, asset=ERASURE, blocking=True, description="An independent search finds nothing of the erased."
        )
    ],
    description="All of an agency whose window has closed: keys, shelf, quarantine, files, traces here. Certified.",
)
def agency_erasure(
    context: dg.AssetExecutionContext, door: dg.ResourceParam[Sweeping]
) -> Iterator[dg.AssetCheckResult]:
    with told_plainly(context, door), door.at_work(context.run.run_id):
        chosen = _chosen(context)
        home = door.home()
        hands = broom(home, door.passphrase(), _forgetter(context, home))
        swept = erasure.run(hands, door.at(), door.agencies() if chosen is None else chosen, door.told)
        _enlist(context.instance, swept)
        for each in swept.erasures:
            _tell(context, each)
        door.swept(swept)
        yield _nothing_left(swept)
        _fail_if_any(context, door, swept)


def broom(home: Home, passphrase: str | None, forget_here: Callable[[AgencyCode], Mapping[str, int]]) -> Broom:
    """What an erasure needs. `forget_here` removes an agency from Dagster."""
    stored = address.known(home)
    return Broom(
        home, open_root(home, passphrase), code_version(), forget_here, KEPT,
        rewrite_orchestrator=partial(rewrite, stored) if stored else lambda: None,
        look_at_orchestrator=partial(looked_into, stored),
    )  # fmt: skip


def _chosen(context: dg.AssetExecutionContext) -> list[AgencyCode] | None:
    """Agencies chosen on the web page. Naming one confirms it, as on the command line."""
    if context.has_partition_key or context.has_partition_key_range:
        return [AgencyCode(key) for key in context.partition_keys]
    return None


def _forgetter(context: dg.AssetExecutionContext, home: Home) -> Callable[[AgencyCode], Mapping[str, int]]:
    root, stored = Path(context.instance.root_directory), address.known(home)
    return lambda agency: forget(root, [agency], context.run.run_id, stored)[agency]


def _enlist(instance: dg.DagsterInstance, swept: Swept) -> None:
    name = str(ERASURES.name)
    known = set(instance.get_dynamic_partitions(name))
    found = [*(e.agency for e in swept.erasures), *(d.agency for d in swept.held)]
    instance.add_dynamic_partitions(name, sorted({*found} - known))


def _tell(context: dg.AssetExecutionContext, each: Erasure) -> None:
    if each.certificate is None:
        red(context, each.agency, {"problem": str(each.problem)})
        return
    told = each.as_json()
    destroyed: Counter[str] = Counter()
    for step in told["steps"]:
        destroyed.update(step.get("counts", {}))
    certified = {"certificate": told["certificate"], "late_seconds": told["late_seconds"]}
    green(context, each.agency, certified | {"destroyed": dict(sorted(destroyed.items()))})


def _nothing_left(swept: Swept) -> dg.AssetCheckResult:
    """Of this run's erasures. Places and counts; the agency that they belong to is red by itself."""
    left = sum((Counter(e.residue) for e in swept.erasures), Counter())
    certified = sum(e.certificate is not None for e in swept.erasures)
    return dg.AssetCheckResult(
        check_name=NOTHING_LEFT,
        passed=not left,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "erased": certified,
            "not_finished": len(swept.erasures) - certified,
            "left": dict(sorted(left.items())),
        },
    )


def _fail_if_any(context: dg.AssetExecutionContext, door: Sweeping, swept: Swept) -> None:
    unfinished = sum(e.certificate is None for e in swept.erasures) + sum(o.problem is not None for o in swept.ordered)
    if unfinished:
        told = f"{unfinished} of {len(swept.erasures) + len(swept.ordered)} erasures could not be finished"
        fail(context, door, told, {}, mendable=True)


ERASURE_ASSETS = [contract_windows, agency_erasure]

JOB = dg.define_asset_job(
    ERASE_JOB,
    selection=dg.AssetSelection.assets(WINDOWS, ERASURE),
    executor_def=dg.in_process_executor,
    description="Erases whatever is past its contract window, and tells where every window stands.",
)
