"""Sending the events of lineage, once, from a schedule: what `depositaire openlineage send` does.

The order, and that none is lost or skipped, is the outbox's affair (`pipelines.openlineage`). Dagster is told counts
and a kind: no agency is named, so that there is nothing here to forget of one that is erased.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.defs.door import Door
from pipelines.openlineage import sending
from pipelines.openlineage.outbox import Outbox
from pipelines.openlineage.settings import receiver
from schemas.errors import Say, TryAgain, place_of

# What is left then goes with the next run, an hour later.
LONGEST_SECONDS = 600.0


@dg.op(out={}, description="Writes what is new into the outbox, and sends what waits there for ten minutes at most.")
def send_events(context: dg.OpExecutionContext, door: dg.ResourceParam[Door]) -> Iterator[dg.Output[None]]:
    with door.at_work(context.run_id):
        try:
            why = _sent(context, door)
        except TryAgain as no:
            context.log.info(str(no))  # whoever holds the outbox sends these too
            why = None
        except Say as no:
            why = str(no)
        except Exception as error:  # noqa: BLE001 - its text may quote an event, so it ends here
            why = f"stopped by {place_of(error)}"
    if why is not None:
        raise dg.Failure(why, allow_retries=False) from None  # the next hour tries again
    yield from ()


def _sent(context: dg.OpExecutionContext, door: Door) -> str | None:
    """None, or why not everything could be sent."""
    home, to = door.home(), receiver(door.home())
    if to is None:
        context.log.info("nobody takes events: depositaire.toml has no [openlineage]")
        return None
    outbox = Outbox.open(home, door.passphrase())
    flows = outbox.flows()
    written = outbox.collect(flows, datetime.now(UTC))
    done = sending.turn(home, to, flows, seconds=LONGEST_SECONDS)
    context.log.info("%d events written, %d sent, %d wait", written.events, done.sent, done.left)
    if done.trouble is not None:
        return f"{done.left} events wait: {done.trouble.kind}"
    return f"the events of {len(written.problems)} flows could not be written" if written.problems else None


@dg.job(name="openlineage", executor_def=dg.in_process_executor)
def JOB() -> None:  # noqa: N802 - named like the other jobs
    send_events()
