"""Capabilities for one run, minted from the agencies' logs and confirmed before each write.

A night is one instant, its `at`: a delivery is not refused because those before it took long. What a log is told after
the run began, a withdrawal or a restriction, counts from the next batch on all the same: then what is allowed is asked
as of the instant at which the log was told, whatever the clocks of two programmes say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import get_args

from ledger.deeds import Deed
from ledger.entry import History, Receipt, Window
from ledger.minting import mint, mint_own
from pipelines.premises import AgencyLog, Premises, premises_of
from schemas.capability import Act, Capability, Standing, Warrant
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import Root

# Entries that change nothing of what is allowed.
_SILENT = (Receipt, Window, *get_args(Deed))


@dataclass(slots=True)
class _Run:
    """What a run knows of the agencies' logs, all its systems together.

    `began`: how far each log reached when the run began. `read`: what each log said when it was last read, verified.
    `minted`: what was minted from that.
    """

    began: dict[AgencyCode, int] = field(default_factory=dict)
    read: dict[AgencyCode, History] = field(default_factory=dict)
    minted: dict[tuple[AgencyCode, Act, System | None], Capability] = field(default_factory=dict)


# The last few runs of this process.
_RUNS: dict[tuple[Path, str, datetime], _Run] = {}
_RUNS_KEPT = 4


def _known(home: Home, run: str, at: datetime) -> _Run:
    known = _RUNS.setdefault((home.root, run, at), _Run())
    while len(_RUNS) > _RUNS_KEPT:
        del _RUNS[next(iter(_RUNS))]
    return known


def first_look(premises: Premises, at: datetime, run: str, agencies: Iterable[AgencyCode]) -> Mapping[AgencyCode, int]:
    """How far the logs reached when the run began, for whoever takes part in it: looked at now, where nobody has."""
    known = _known(premises.home, run, at).began
    known |= premises.stated_sizes([a for a in agencies if a not in known])
    return known


def take_part(home: Home, at: datetime, run: str, began: Mapping[AgencyCode, int]) -> None:
    """In a run that began before this process heard of it."""
    _known(home, run, at).began.update(began)


class Warrants:
    """What one run may do, agency by agency.

    `run` and `agencies`: a run that is settled system by system is one; what any log is told after its first system
    began is new to all of them.
    """

    def __init__(
        self,
        home: Home,
        root: Root | Premises,
        at: datetime,
        run: str | None = None,
        agencies: Iterable[AgencyCode] = (),
    ) -> None:
        self._premises, self._at = premises_of(home, root), at
        self._run = self._since(run, agencies) if run is not None else _Run()

    def _since(self, run: str, agencies: Iterable[AgencyCode]) -> _Run:
        first_look(self._premises, self._at, run, agencies)
        return _known(self._premises.home, run, self._at)

    def grant(self, agency: AgencyCode | None, act: Act, system: System | None = None) -> Warrant:
        """Raises Refused when nothing allows it now."""
        if agency is None:
            return Standing(mint_own(act, self._at))
        return _Logged(self, agency, act, system, self.minted(agency, act, system))

    def minted(self, agency: AgencyCode, act: Act, system: System | None) -> Capability:
        """Minted once from each head of the log: while it stands there, it says what it said when it was read."""
        history = self._history(agency)
        known = self._run.minted.get((agency, act, system))
        if known is None or (known.size, known.root) != (history.head.size, history.head.root.hex()):
            known = mint(history, act, self._moment(history), system)
            self._run.minted[agency, act, system] = known
        return known

    def _history(self, agency: AgencyCode) -> History:
        log, known = self.log(agency), self._run.read.get(agency)
        if known is None or log.head() != known.head:
            known = log.read(receipts=False)
            # The hashes of a log grow with every receipt, and nothing is minted from them.
            self._run.read[agency] = replace(known, hashes=())
        return known

    def log(self, agency: AgencyCode) -> AgencyLog:
        return self._premises.log(agency)

    def _moment(self, history: History) -> datetime:
        first = self._run.began.setdefault(history.agency, history.head.size)
        told = (line.at for line in history.lines if line.number > first and not isinstance(line.entry, _SILENT))
        return max((self._at, *told))


@dataclass(slots=True)
class _Logged:
    """A capability, and the log that it was minted from."""

    warrants: Warrants
    agency: AgencyCode
    act: Act
    system: System | None
    capability: Capability

    def confirm(self) -> Capability:
        head = self.warrants.log(self.agency).head()
        if (head.size, head.root.hex()) != (self.capability.size, self.capability.root):
            self.capability = self._anew()
        return self.capability

    def _anew(self) -> Capability:
        """Raises Refused when it would no longer allow the same."""
        try:
            fresh = self.warrants.minted(self.agency, self.act, self.system)
        except Refused:
            fresh = None
        if fresh is None or fresh.authority != self.capability.authority:
            raise Refused("what was allowed has changed since it was looked up", "Nothing was written: begin again.")
        return fresh
