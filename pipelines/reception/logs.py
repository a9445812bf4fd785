"""The agencies' logs as the web door shows them: read once from each head, as far as the agency may read (R50)."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from ledger.entry import History, Line
from ledger.evidence import Opened, withheld
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.orders import LegalNotice, LegalObligation
from ledger.stored import Keys
from ledger.tree import Tree
from schemas.home import Home
from schemas.ids import AgencyCode
from store import register
from store.house import House
from store.keys import Root

_KEPT = 8  # logs in memory


@dataclass(frozen=True)
class Reading:
    """One log as of a head. `lines` by number."""

    opened: Opened

    @property
    def history(self) -> History:
        return self.opened.history

    @property
    def size(self) -> int:
        return self.history.head.size

    @cached_property
    def lines(self) -> dict[int, Line]:
        return {line.number: line for line in self.history.lines}

    @cached_property
    def tree(self) -> Tree:
        return Tree(self.history.leaves)

    @cached_property
    def _may_hide(self) -> bool:
        return any(isinstance(e, LegalNotice | LegalObligation) for e in self.history.entries)

    def hidden(self, at: datetime) -> frozenset[int]:
        """Numbers of the entries that the agency may not be shown at an instant."""
        if not self._may_hide:
            return frozenset()
        return frozenset(n + 1 for n in withheld(self.history.lines, at))


class Logs:
    """Those of one home. A log is read again when its head has moved."""

    def __init__(self, home: Home, root: Root) -> None:
        self._home, self._keys = home, LogKeys(home, root)
        self._read: OrderedDict[AgencyCode, Reading] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, agency: AgencyCode) -> bool:
        """Whether the register has it, erased or not."""
        with House.open(self._home) as house:
            return register.get(house.db, agency) is not None

    def verifier(self, agency: AgencyCode) -> str:
        return str(self._keys.verifier(agency))

    def read(self, agency: AgencyCode) -> Reading | None:
        """None for a log that was never begun. Raises NotVerified for one that does not hold."""
        log = Log.at(self._home, agency, self._keys)
        if not log.exists:
            return None
        with self._lock:
            known = self._read.get(agency)
            if known is None or log.head() != known.history.head:
                keys = Keys(self.verifier(agency), self._keys.of_salts(agency))
                known = Reading(Opened.of(log.files(), agency, keys))
            self._read[agency] = known
            self._read.move_to_end(agency)
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
            return known
