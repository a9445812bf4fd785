"""`reconcile/spilasuite`: a week's look at what vanished without a word. It reports, and changes nothing."""

from collections.abc import Iterator

import dagster as dg

from pipelines.defs.door import Syncing, contracts
from pipelines.defs.keys import RECONCILE, RECONCILE_JOB, sync_key
from pipelines.defs.partitions import AGENCIES, SLICE, enlist
from pipelines.defs.telling import green, red, told_plainly
from pipelines.reconcile import SYSTEM, reconcile


@dg.asset(
    key=RECONCILE,
    deps=[sync_key(SYSTEM)],
    partitions_def=AGENCIES,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=SLICE),
    output_required=False,
    group_name="sync",
    kinds={"python"},
    tags={"gdpr/scope": "processor", "system": str(SYSTEM)},
    pool=f"sync_{SYSTEM}",
    description="Rows held as current that left their source without a tombstone, counted by view. Changes nothing.",
)
def reconcile_spilasuite(
    context: dg.AssetExecutionContext, door: dg.ResourceParam[Syncing]
) -> Iterator[dg.Output[None]]:
    refused = 0
    with told_plainly(context, door), door.at_work(context.run.run_id):
        every = [a for a, c in contracts(door.home()).items() if not c.erased]
        enlist(context.instance, every)
        for night in door.nights(SYSTEM):
            for found in reconcile(night, every):
                if found.refused is not None:
                    refused += 1
                    red(context, found.agency, {"reason": found.refused})
                    continue
                counts = {f"unexplained_absence:{view}": n for view, n in sorted(found.unexplained.items())}
                green(context, found.agency, {"unexplained_absence": sum(found.unexplained.values())} | counts)
    if refused:
        raise dg.Failure(f"{refused} sources could not be compared", allow_retries=False)
    yield from ()


JOB = dg.define_asset_job(
    RECONCILE_JOB,
    selection=dg.AssetSelection.assets(RECONCILE),
    executor_def=dg.in_process_executor,
    description="The weekly comparison of keys with each SpiLaSuite source.",
)
