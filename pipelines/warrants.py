"""Capabilities for one run, minted from the agencies' logs and confirmed before each write.

A night is one instant, its `at`: a delivery is not refused because those before it took long. What a log is told after
the run began, a withdrawal or a restriction, counts from the next batch on all the same: then what is allowed is asked
as of the instant at which the log was told, whatever the clocks of two programmes say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from ledger.deeds import Deed
from ledger.entry import History, Receipt, Window
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.minting import mint, mint_own
from schemas.capability import Act, Capability, Standing, Warrant
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import Root

# Entries that change nothing of what is allowed.
_SILENT = (Receipt, Window, *get_args(Deed))


# How far each agency's log reached when a run began, for the last few runs of this process.
_BEGAN: dict[tuple[Path, str, datetime], dict[AgencyCode, int]] = {}
_RUNS_KEPT = 4


class Warrants:
    """What one run may do, agency by agency.

    `run` and `agencies`: a run that is settled system by system is one; what any log is told after its first system
    began is new to all of them.
    """

    def __init__(
        self, home: Home, root: Root, at: datetime, run: str | None = None, agencies: Iterable[AgencyCode] = ()
    ) -> None:
        self._home, self._keys, self._at = home, LogKeys(home, root), at
        self._first_seen = self._since(run, agencies) if run is not None else {}

    def _since(self, run: str, agencies: Iterable[AgencyCode]) -> dict[AgencyCode, int]:
        began = _BEGAN.setdefault((self._home.root, run, self._at), {})
        for agency in agencies:
            if agency not in began:
                began[agency] = self.log(agency).stated_size()
        while len(_BEGAN) > _RUNS_KEPT:
            del _BEGAN[next(iter(_BEGAN))]
        return began

    def grant(self, agency: AgencyCode | None, act: Act, system: System | None = None) -> Warrant:
        """Raises Refused when nothing allows it now."""
        if agency is None:
            return Standing(mint_own(act, self._at))
        return _Logged(self, agency, act, system, self.minted(agency, act, system))

    def minted(self, agency: AgencyCode, act: Act, system: System | None) -> Capability:
        history = self.log(agency).read(receipts=False)
        return mint(history, act, self._moment(history), system)

    def log(self, agency: AgencyCode) -> Log:
        return Log.at(self._home, agency, self._keys)

    def _moment(self, history: History) -> datetime:
        first = self._first_seen.setdefault(history.agency, history.head.size)
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
