"""When the last night was, for the monitor (`pipelines.metrics`)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
from dagster import RunRecord, RunsFilter

from pipelines.defs import address
from pipelines.defs.instance import open_instance
from pipelines.defs.keys import SYNC_JOB
from pipelines.defs.partitions import DOOR_TAG
from pipelines.defs.worker import answers
from pipelines.metrics import Night, Orchestrator
from schemas.home import Home
from schemas.window import paris_day

# What a schedule asked for, or a command; not what a sensor noticed in between.
_DOORS = ["schedule", "command"]
_LOOKED_AT, _RUNS = timedelta(days=4), 1000
_RUN_KEY, _ROOT = "dagster/run_key", "dagster/root_run_id"


def orchestrator(home: Home) -> Orchestrator:
    """What Dagster says of a home, asked when it is needed."""
    stored = _stored(home)
    parts = {} if stored is None or stored.broker is None else {"broker": partial(answers, stored.broker)}
    return Orchestrator(_Nights(home), parts)


def _stored(home: Home) -> "address.Address | None":
    try:
        return address.known(home)
    except Exception:  # noqa: BLE001 - it is asked again for the night, and told as a figure there
        return None


class _Nights:
    """Keeps the instance open between two questions; opens it anew after one that failed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._open = ExitStack()
        self._instance: dg.DagsterInstance | None = None

    def __call__(self, at: datetime) -> Night:
        try:
            if self._instance is None:
                self._instance = self._open.enter_context(open_instance(self._home))
            return night_of(_records(self._instance, at))
        except BaseException:
            self._instance = None
            self._open.close()
            raise


def _records(instance: dg.DagsterInstance, at: datetime) -> Sequence[RunRecord]:
    asked = RunsFilter(job_name=SYNC_JOB, tags={DOOR_TAG: _DOORS}, created_after=at.astimezone(UTC) - _LOOKED_AT)
    return instance.get_run_records(asked, limit=_RUNS)


def night_of(records: Sequence[RunRecord]) -> Night:
    """Runs, newest first → the newest night, and the newest one of which no run is left unfinished."""
    nights: dict[str, list[RunRecord]] = defaultdict(list)
    for record in _last_attempts(records).values():
        nights[_day(record)].append(record)
    if not nights:
        return Night()
    newest = nights[max(nights)]
    over = [runs for _, runs in sorted(nights.items()) if all(r.dagster_run.is_finished for r in runs)]
    began = min((r.start_time for r in newest if r.start_time is not None), default=None)
    counted = dict(Counter(_state(r) for r in newest))
    if not over:
        return Night(began, runs=counted)
    begun, ended = _ends(over[-1])
    return Night(began, ended, None if begun is None or ended is None else ended - begun, counted)


def _last_attempts(records: Sequence[RunRecord]) -> Mapping[str, RunRecord]:
    """By the first attempt: a run that was begun again counts once."""
    found: dict[str, RunRecord] = {}
    for record in records:
        found.setdefault(record.dagster_run.tags.get(_ROOT, record.dagster_run.run_id), record)
    return found


def _day(record: RunRecord) -> str:
    """A schedule's run is of the night that its key names; a command's, of the day on which it was made."""
    parts = record.dagster_run.tags.get(_RUN_KEY, "").split(":")
    if len(parts) > 1:
        return parts[1]
    made = record.create_timestamp
    return paris_day(made if made.tzinfo else made.replace(tzinfo=UTC)).isoformat()


def _state(record: RunRecord) -> str:
    if not record.dagster_run.is_finished:
        return "unfinished"
    return "succeeded" if record.dagster_run.is_success else "failed"


def _ends(runs: Sequence[RunRecord]) -> tuple[float | None, float | None]:
    begun = [r.start_time for r in runs if r.start_time is not None]
    ended = [r.end_time for r in runs if r.end_time is not None]
    return min(begun, default=None), max(ended, default=None)
