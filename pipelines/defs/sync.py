"""`sync/<system>`: the deliveries of many agencies, settled in one run; green or red one agency at a time.

What an agency's colour says, on the page of an asset:
    green   in its last run everything that waited was accepted, or had been before
    red     in its last run something was refused; the event beside it gives the reason codes
    grey    nothing ever came

An event is written when something was stored, when the colour or its reason becomes another one, and when somebody
asked for this agency by name. A night that changes nothing says nothing here: how fresh an agency is, the journal
knows (`depositaire status`).

Only counts and codes leave this module: no frame, no file name, no message of an exception.
"""

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from pipelines import sync
from pipelines.defs.door import Syncing, awaited, contracts
from pipelines.defs.instance import held_open
from pipelines.defs.keys import SYNC_JOB, export_key, invariants, sync_key, table_key
from pipelines.defs.partitions import AGENCIES, AGENCIES_TAG, BEGUN_AGAIN, SLICE, SLICE_TAG, Slice, enlist, named_in
from pipelines.defs.telling import Shown, fail, green, red, told_plainly
from schemas.errors import TryAgain
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.records import RECORDS
from schemas.report import Report

# What waiting may mend: a source or a database that did not answer. Everything else would be refused again.
MENDABLE = frozenset({"source.unreachable", "database.unreachable"})


def _sync_asset(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=sync_key(system),
        deps=[export_key(system)],
        partitions_def=AGENCIES,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=SLICE),
        output_required=False,
        group_name="sync",
        kinds={"python"},
        tags={"gdpr/scope": "processor", "system": str(system)},
        pool=f"sync_{system}",
        description=f"Deliveries of {system}: read, gated, checked, kept. Partition: the agency.",
    )
    def settle(context: dg.AssetExecutionContext, door: dg.ResourceParam[Syncing]) -> Iterator[dg.Output[None]]:
        with told_plainly(context, door):
            asked = _asked(context, door.agencies())
            every = contracts(door.home())
            enlist(context.instance, (a for a, c in every.items() if not c.erased))
            living = frozenset(a for a, c in every.items() if not c.erased)
            with door.at_work(context.run.run_id), held_open(context.instance, context.run.run_id):
                desk = _Desk(context, door, system, living, asked.explicit)
                for night in door.nights(system):
                    with desk.asking():
                        agencies = awaited(night, system, [a for a in every if a in asked.agencies])
                        sync.settle(night, system, agencies, desk, context.run.run_id)
                desk.close()
        yield from ()

    return settle


@dg.asset(
    key=sync_key(System.PORTAL),
    deps=[export_key(System.PORTAL)],
    output_required=False,
    group_name="sync",
    kinds={"python"},
    tags={"gdpr/scope": "controller", "system": "portal"},
    pool="sync_portal",
    description="The portal's own accounts and attachments: no agency, no instruction (portal.md).",
)
def sync_portal(context: dg.AssetExecutionContext, door: dg.ResourceParam[Syncing]) -> Iterator[dg.Output[None]]:
    with told_plainly(context, door), door.at_work(context.run.run_id):
        desk = _Desk(context, door, System.PORTAL)
        for night in door.nights(System.PORTAL):
            with desk.asking():
                sync.settle_portal(night, desk, context.run.run_id)
        desk.close()
    yield from ()


SYNC_ASSETS: list[dg.AssetsDefinition] = [*(_sync_asset(s) for s in AGENCY_SYSTEMS), sync_portal]

JOB = dg.define_asset_job(
    SYNC_JOB,
    selection=dg.AssetSelection.assets(*(sync_key(s) for s in System)).without_checks(),
    executor_def=dg.in_process_executor,
    tags=BEGUN_AGAIN,
    description="Everything that waits.",
)


# -- for whom ----------------------------------------------------------------------------------------------------------


class _Everyone:
    """All agencies: a run that names none."""

    def __contains__(self, agency: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Asked:
    """The agencies that a run is about. `explicit`: chosen one by one on the web page, so each is owed an answer."""

    agencies: Container[str]
    explicit: frozenset[str] = frozenset()


def _asked(context: dg.AssetExecutionContext, told: Collection[AgencyCode] | None) -> _Asked:
    if told is not None:
        return _Asked(told)
    tags = context.run.tags
    if context.has_partition_key or context.has_partition_key_range:
        chosen = frozenset(context.partition_keys)
        if not chosen:
            # A range whose ends changed places is empty, and Dagster would call the run a success.
            raise dg.Failure(
                "the range holds no agency: its ends changed places since it was chosen", allow_retries=False
            )
        return _Asked(chosen, chosen)
    if AGENCIES_TAG in tags:
        return _Asked(frozenset(named_in(tags[AGENCIES_TAG])))
    if SLICE_TAG in tags:
        return _Asked(Slice.parse(tags[SLICE_TAG]))
    return _Asked(_Everyone())


# -- what is told ------------------------------------------------------------------------------------------------------


class _Desk:
    """Hears of each delivery as it is settled, and tells Dagster and the door.

    `living`: whom Dagster may hear of. `explicit`: who was asked for by name, and is told of whatever came.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        door: Syncing,
        system: System,
        living: frozenset[str] = frozenset(),
        explicit: frozenset[str] = frozenset(),
    ) -> None:
        self._context = context
        self._door = door
        self._system = system
        self._living = living
        self._explicit = explicit & living
        self._heard_of: set[str] = set(self._explicit)
        self._told: set[str] = set()
        self._refused: dict[str, Counter[str]] = {}
        self._checked: dict[str, tuple[int, Counter[str]]] = {}
        self._silent: TryAgain | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """An inbox that cannot be asked does not keep the others from being read: it is told at the end."""
        try:
            yield
        except TryAgain as no:
            self._silent = self._silent or no

    def settled(self, report: Report) -> None:
        self._door.heard(report)
        agency = report.agency or ""
        self._heard_of.add(agency)
        if report.outcome == "refused":
            self._refused.setdefault(agency, Counter())[str(report.reason)] += 1
        elif report.outcome == "accepted":
            counts = _counts(report)
            if counts["stored"] or counts["ended"]:
                # At once: what this run was killed after is shown all the same.
                self._tell_green(agency, counts)

    def checked(
        self,
        table: str,
        evaluated: int,
        broken: Mapping[str, int],
        agencies: Sequence[AgencyCode],  # noqa: ARG002
    ) -> None:
        table = next(iter(RECORDS[table].serves), table)  # what a memory shows is told of the table that needs it
        rows, rules = self._checked.get(table, (0, Counter()))
        self._checked[table] = (rows + evaluated, rules + Counter(broken))

    def close(self) -> None:
        """The checks, once a run; whoever's colour or reason is another one; then fail if anything was refused."""
        for table, (rows, broken) in self._checked.items():
            self._check(table, rows, broken)
        accepted = self._heard_of - self._told - self._refused.keys()
        if accepted or self._refused:
            shown = Shown.of(self._context)
            for agency in sorted(accepted - (shown.green - self._explicit)):
                self._tell_green(agency, {"read": 0})
            self._tell_refused(shown)
        if self._silent is not None:
            raise self._silent
        if self._refused:
            codes = sum(self._refused.values(), Counter())
            told = f"{len(self._refused)} of {len(self._heard_of)} were refused something"
            fail(self._context, self._door, told, {"refused": dict(sorted(codes.items()))}, codes.keys() <= MENDABLE)

    def _tell_refused(self, shown: Shown) -> None:
        named = [a for a in sorted(self._refused) if self._may_name(a)]
        known = shown.reasons(named)
        for agency in named:
            why = {"refused": dict(sorted(self._refused[agency].items()))}
            if agency in self._told or agency in self._explicit or known.get(agency) != why["refused"]:
                red(self._context, agency or None, why)

    def _tell_green(self, agency: str, counts: Mapping[str, int | str]) -> None:
        self._told.add(agency)
        if self._may_name(agency):
            green(self._context, agency or None, counts)

    def _may_name(self, agency: str) -> bool:
        """Whether Dagster may hear of this agency: an erased one is never named again. The portal has none."""
        return not agency or agency in self._living

    def _check(self, table: str, rows: int, broken: Counter[str]) -> None:
        self._context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=table_key(table),
                check_name=invariants(self._system),
                passed=not broken,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"rows": rows, "broken": dict(sorted(broken.items()))},
            )
        )


def _counts(report: Report) -> dict[str, int | str]:
    """Lines of a delivery by what became of them; what was stored is the row count that the page plots."""
    lines = {n: sum(getattr(c, n) for c in report.tables.values()) for n in _OUTCOMES}
    told: dict[str, int | str] = {"dagster/row_count": lines["stored"], **lines, "ended": sum(report.ended.values())}
    return told | ({"day": report.day.isoformat()} if report.day else {})


_OUTCOMES = ("read", "stored", "unchanged", "quarantined", "ignored", "withheld")
