"""The process that settles a share of a night: `python -m pipelines.hand` is started by `pipelines.crew`, not by you.

It has keys and opens records, as the process that started it; it leaves no image of memory behind and prints nothing.
"""

import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from connectors.odbc import apart
from connectors.odbc.children import POOL
from pipelines import sync
from pipelines.crew import Begun, Checked, Done, Settled, Stopped, Task
from pipelines.night import Desk
from pipelines.warrants import take_part
from schemas.errors import Say, place_of
from schemas.ids import AgencyCode
from schemas.report import Report
from store.hindrance import in_the_way

IDLE_SECONDS = 60


class _Desk:
    """Says everything to whoever gave the task."""

    def __init__(self, way: "Connection[Any, Any]") -> None:
        self._way = way

    def settled(self, report: Report) -> None:
        self._way.send(Settled(report))

    def checked(self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]) -> None:
        self._way.send(Checked(table, evaluated, dict(broken), tuple(agencies)))


def serve(way: "Connection[Any, Any]") -> None:
    """One task after another, until nobody has asked for a while. An inbox that was listed stays so for a night."""
    before: Task | None = None
    while way.poll(IDLE_SECONDS):
        task: Task = way.recv()
        if before is not None and (before.run, before.night) == (task.run, task.night):
            task = replace(task, night=before.night)
        before = task
        way.send(Begun())
        way.send(done(task, _Desk(way)))


def done(task: Task, desk: Desk) -> Done | Stopped:
    try:
        take_part(task.night.home, task.night.at, task.run, task.began)
        sync.settle_share(task.night, task.system, task.agencies, desk, task.run)
    except (BrokenPipeError, EOFError):
        raise
    except Exception as error:  # noqa: BLE001 - its text may quote a record, so it ends here
        no = error if isinstance(error, Say) else in_the_way(error)
        return Stopped(None, place_of(error)) if no is None else Stopped(type(no), no.what, no.hint)
    return Done()


def main(arguments: Sequence[str]) -> None:
    apart.leave_no_image()
    way: Connection[Any, Any] = Connection(int(arguments[1]))
    POOL.share(int(arguments[2]))
    apart.end_with(way.fileno())  # a delivery that is not kept yet is left to the next night
    # What was imported stays: looking through it again and again for what is not needed costs a fourteenth of a night.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    try:
        serve(way)
    except (BrokenPipeError, EOFError):
        return


if __name__ == "__main__":
    main(sys.argv)
