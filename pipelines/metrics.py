"""What a monitor is told: counts, ages and what is up. No code, no name, no value of anybody.

A part that fails is itself a figure (`depositaire_up{part="…"} 0`), and what depends on it is left out: nothing here
raises for it. The text is Prometheus's exposition format 0.0.4.
"""

import hashlib
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipelines import inbox
from pipelines.journal_figures import LINES, OTHER, Flow, JournalFigures, LastDay
from pipelines.night import code_version
from retention.diary import open_rounds
from retention.due import brake, due
from retention.plan import Kind
from schemas.errors import Refused, TryAgain
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.window import Contract, RestrictionScope, State, midnight, paris_day, state
from store import engine, register
from store.house import House
from store.keys import open_root
from store.register import Agency

# A window that closed is looked at every quarter of an hour; what is still there after an hour is late.
OVERDUE = timedelta(hours=1)
LATE = timedelta(hours=36)
ERASED = "erased"
_STATES = (*(str(s) for s in State), ERASED)
_OUTCOMES = ("accepted", "replayed", "refused")
_CONNECT_SECONDS = 5.0
_CODE = re.compile(r"[a-z]+(\.[a-z0-9_]+)+")


@dataclass(frozen=True, slots=True)
class Night:
    """The last night, as Dagster knows it. Instants in seconds since 1970; None: not yet.

    `began`, `runs` (by state): of the newest night. `ended`, `lasted`: of the newest one that is over.
    """

    began: float | None = None
    ended: float | None = None
    lasted: float | None = None
    runs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """What only Dagster can say. `night` raises when it cannot be asked. `parts`: what else it needs, by name, and
    whether it answers."""

    night: Callable[[datetime], Night]
    parts: Mapping[str, Callable[[], bool]] = field(default_factory=dict)


class Measuring:
    """One home's figures. Not for several threads at once: it remembers what it has read.

    `late`: how long a flow may bring nothing. `provider`: HOST:PORT at which `depositaire host serve` should answer.
    """

    def __init__(
        self,
        home: Home,
        passphrase: str | None = None,
        late: timedelta = LATE,
        provider: tuple[str, int] | None = None,
        orchestrator: Orchestrator | None = None,
    ) -> None:
        self._home, self._passphrase, self._late = home, passphrase, late
        self._provider, self._orchestrator = provider, orchestrator
        self._journal = JournalFigures()
        self._opened: bytes | None = None
        self._up: dict[str, bool] = {}

    @property
    def well(self) -> bool:
        """Whether everything was up when it was last measured."""
        return bool(self._up) and all(self._up.values())

    def text(self, at: datetime) -> bytes:
        """Everything as of an instant, in Prometheus's text format."""
        return generate_latest(_Given(self.figures(at)))

    def figures(self, at: datetime) -> list[Metric]:
        began, spent = time.perf_counter(), time.process_time()
        at = at.astimezone(UTC)  # two instants of one zone are subtracted by their clocks
        self._up = {}
        found: list[Metric] = []
        with self._part("store"), House.open(self._home) as house:
            found += self._of_house(house, at)
        with self._part("keys"):
            self._keys_open()
        if self._provider is not None:
            with self._part("host"):
                socket.create_connection(self._provider, _CONNECT_SECONDS).close()
        found += self._of_orchestrator(at)
        if not self._up["store"]:
            engine.of(self._home).close()  # its connections may be those to a server that went away
            self._journal = JournalFigures()
        up = _family("depositaire_up", "Whether a part answers: 1 or 0.", ("part",))
        for part, answers in sorted(self._up.items()):
            up.add_metric([part], float(answers))
        build = _family("depositaire_build_info", "The version that measures; always 1.", ("version",))
        build.add_metric([code_version()], 1)
        lasted, worked = time.perf_counter() - began, time.process_time() - spent
        return [
            up, build, *found,
            _one("depositaire_collected_timestamp_seconds", "When these figures were made.", at.timestamp()),
            _one("depositaire_collection_seconds", "How long making them took.", lasted),
            _one("depositaire_collection_cpu_seconds", "Processor time that making them took.", worked),
        ]  # fmt: skip

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """What goes wrong inside is told as a figure: nobody must lose the others for it, and its text may name
        somebody."""
        try:
            yield
        except Exception:  # noqa: BLE001
            self._up[name] = False
        else:
            self._up.setdefault(name, True)

    # -- the house -----------------------------------------------------------------------------------------------------

    def _of_house(self, house: House, at: datetime) -> list[Metric]:
        everyone = register.everyone(house.db)
        last_day = self._journal.read(house, at)
        places = house.inboxes()
        found = [_agencies(everyone, at), *_flows(everyone, self._journal.brought, at, self._late)]
        found += [*_deliveries(last_day), *_lines(last_day)]
        with self._part("erasures"):
            found += _erasures(self._home, everyone, at)
        with self._part("inbox"):
            there = [_is_there(inbox.of(self._home, p)) for p in places]
            counted = _family("depositaire_inboxes", "Inboxes that were ever read, by whether they answer.", ("state",))
            counted.add_metric(["reachable"], sum(there))
            counted.add_metric(["away"], len(there) - sum(there))
            found.append(counted)
            self._up["inbox"] = all(there)
        return found

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _keys_open(self) -> None:
        """That the root key opens. Stretching a passphrase takes seconds: it is done again when the file is another."""
        said = hashlib.sha256(self._home.root_key.read_bytes()).digest()
        if said != self._opened:
            open_root(self._home, self._passphrase)
            self._opened = said
        rings = self._home.keyring(None).parent
        if rings.exists():
            next(rings.iterdir(), None)

    # -- nights --------------------------------------------------------------------------------------------------------

    def _of_orchestrator(self, at: datetime) -> list[Metric]:
        asked = self._orchestrator
        if asked is None:
            return []
        found: list[Metric] = []
        with self._part("dagster"):
            found = _night(asked.night(at))
        for name, answers in asked.parts.items():
            with self._part(name):
                self._up[name] = answers()
        return found


class _Given(Collector):
    """What prometheus_client asks of whoever has figures."""

    def __init__(self, figures: list[Metric]) -> None:
        self._figures = figures

    def collect(self) -> list[Metric]:
        return self._figures


# -- agencies and flows ------------------------------------------------------------------------------------------------


def _agencies(everyone: tuple[Agency, ...], at: datetime) -> Metric:
    states = Counter(ERASED if a.contract.erased else str(state(a.contract, at)) for a in everyone)
    family = _family(
        "depositaire_agencies", "Agencies of the register, by where they stand in their window.", ("state",)
    )
    for name in _STATES:
        family.add_metric([name], states[name])
    return family


def _flows(
    everyone: tuple[Agency, ...], brought: Mapping[Flow, datetime], at: datetime, late: timedelta
) -> Iterator[Metric]:
    """A flow is a system that the register opens to an agency whose contract runs. One that never brought anything is
    as old as its contract."""
    ages: dict[str, list[float]] = {str(s): [] for s in AGENCY_SYSTEMS}
    never: Counter[str] = Counter()
    for a in everyone:
        if not _is_expected(a.contract, at):
            continue
        for system in AGENCY_SYSTEMS:
            if system in a.contract.systems:
                came = brought.get(Flow(a.code, str(system)))
                never[system] += came is None
                since = came or (midnight(a.contract.start) if a.contract.start != date.min else at - late)
                ages[system].append((at - since).total_seconds())
    own = brought.get(Flow(None, str(System.PORTAL)))
    if own is not None:
        ages[System.PORTAL] = [(at - own).total_seconds()]
    counted = _family("depositaire_flows", "Sources that should deliver, by whether the last came in time.",
                      ("system", "freshness"))  # fmt: skip
    silent = _family("depositaire_flows_never", "Sources that should deliver and never did.", ("system",))
    oldest = _family("depositaire_flow_oldest_age_seconds", "How long the source that has been silent longest brought "
                     "nothing that was accepted.", ("system",))  # fmt: skip
    for name, of in sorted(ages.items()):
        behind = sum(age >= late.total_seconds() for age in of)
        counted.add_metric([name, "late"], behind)
        counted.add_metric([name, "ok"], len(of) - behind)
        silent.add_metric([name], never[name])
        if of:
            oldest.add_metric([name], max(of))
    return iter((counted, silent, oldest))


def _is_expected(c: Contract, at: datetime) -> bool:
    if c.erased or state(c, at) is not State.RUNNING:
        return False
    restricted = c.restriction is not None and paris_day(at) >= c.restriction
    return not (restricted and c.restriction_scope is RestrictionScope.SYNCHRO)


# -- the last day ------------------------------------------------------------------------------------------------------


def _deliveries(of: LastDay) -> Iterator[Metric]:
    counted = _family("depositaire_deliveries_last_day", "Deliveries settled in the last 24 hours.",
                      ("system", "outcome"))  # fmt: skip
    for system in (*(str(s) for s in System), OTHER):
        for outcome in _OUTCOMES:
            counted.add_metric([system, outcome], of.deliveries.get((system, outcome), 0))
    refused = _family("depositaire_refusals_last_day", "Deliveries refused in the last 24 hours, by reason code.",
                      ("system", "reason"))  # fmt: skip
    known: Counter[tuple[str, str]] = Counter()
    for (system, reason), n in of.refusals.items():
        known[system, reason if _CODE.fullmatch(reason) else OTHER] += n
    for (system, reason), n in sorted(known.items()):
        refused.add_metric([system, reason], n)
    return iter((counted, refused))


def _lines(of: LastDay) -> Iterator[Metric]:
    counted = _family("depositaire_lines_last_day", "Lines of the deliveries accepted in the last 24 hours.",
                      ("system", "outcome"))  # fmt: skip
    share = _family("depositaire_quarantine_ratio", "Lines put aside of lines read in the last 24 hours, 0 to 1.",
                    ("system",))  # fmt: skip
    for system in System:
        for name in LINES:
            counted.add_metric([str(system), name], of.lines.get((system, name), 0))
        share.add_metric([str(system)], of.quarantined_share(system))
    return iter((counted, share))


# -- erasures ----------------------------------------------------------------------------------------------------------


def _erasures(home: Home, everyone: tuple[Agency, ...], at: datetime) -> list[Metric]:
    """`due` counts those that a person has to confirm, and those that were begun, too."""
    begun = {code: r.end for code, r in open_rounds(home.root / "erasures").items() if r.kind is Kind.ERASURE}
    found = due(everyone, at, begun)
    late = [d.late(at) for d in found if d.late(at) > OVERDUE]
    held = brake(found, everyone).held
    return [
        _one("depositaire_erasures_due", "Agencies whose window has closed and that are not erased.", len(found)),
        _one("depositaire_erasures_overdue", "Those of them whose window closed more than an hour ago.", len(late)),
        _one("depositaire_erasures_held", "Those of them that wait for a person's word.", len(held)),
        _one("depositaire_erasures_begun", "Erasures that were begun and have no certificate yet.", len(begun)),
        _one("depositaire_erasure_oldest_overdue_seconds", "How long ago the window of the longest overdue closed.",
             max((d.total_seconds() for d in late), default=0.0)),
    ]  # fmt: skip


# -- inboxes and nights ------------------------------------------------------------------------------------------------


def _is_there(place: inbox.Inbox | None) -> bool:
    try:
        return place is not None and place.there()
    except (Refused, TryAgain, OSError):
        return False


def _night(of: Night) -> list[Metric]:
    told = (
        ("depositaire_night_began_timestamp_seconds", "When the newest night began.", of.began),
        ("depositaire_night_ended_timestamp_seconds", "When the newest night that is over ended.", of.ended),
        ("depositaire_night_duration_seconds", "How long the newest night that is over took.", of.lasted),
    )
    text = "Runs of the newest night; failed are also those in which something was refused."
    runs = _family("depositaire_night_runs", text, ("state",))
    for name in ("succeeded", "failed", "unfinished"):
        runs.add_metric([name], of.runs.get(name, 0))
    return [*(_one(name, meaning, value) for name, meaning, value in told if value is not None), runs]


def _family(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
