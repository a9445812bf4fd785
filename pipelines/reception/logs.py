"""The agencies' logs as the web door shows them, as far as the agency may read (R50).

A log is verified whole when it is first looked at, and from then on as it grows (`ledger.browsing`). Each has its own
lock: nobody waits for somebody else's log.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from ledger.browsing import FORGOTTEN, Browsed, Naming, Under
from ledger.entry import KINDS, Entry, History, Instruction, Line
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.orders import LegalNotice
from ledger.passkeys import Passkeys
from ledger.stored import Keys
from ledger.tree import Tree
from pipelines.instructing import kind_of
from pipelines.log_view import LogView, closed
from schemas.errors import NotVerified
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import register
from store.house import House
from store.keys import Root

_KEPT = 32  # logs in memory, and
_MOST_ENTRIES = 2_000_000  # their entries together: about 200 bytes each
# Kinds as the pages call them. An instruction is called by what it does (`pipelines.instructing.kind_of`).
_NAMES = {1: "synchronise", 2: "withdrawal", 3: "receipt", 4: "window", 5: "erased", 19: "anchored", 20: "handed",
          21: "fulfilled", 22: "exceeded", 23: "enrolled", 24: "revoked", 25: "signed", 26: "signing_rule"}  # fmt: skip
SYSTEMS = tuple(str(s) for s in System)


def word(entry: Entry) -> str:
    """What the pages call the kind of an entry."""
    if isinstance(entry, Instruction):
        return entry.does
    number = KINDS[type(entry)]
    return _NAMES[number] if number in _NAMES else kind_of(entry)  # type: ignore[arg-type]


def systems(entry: Entry) -> Sequence[str]:
    """The systems that an entry speaks of."""
    one = getattr(entry, "system", None)
    return (str(one),) if one else tuple(str(s) for s in getattr(entry, "systems", ()))


NAMING = Naming(word, SYSTEMS, systems)


class Reading:
    """One log as of a head. `key`: that its heads are checked with; `under`: what came in under each instruction, by
    its id."""

    def __init__(self, log: Log, browsed: Browsed) -> None:
        self._log, self.browsed = log, browsed
        self._hidden: dict[frozenset[str], frozenset[int]] = {}

    @property
    def key(self) -> str:
        return self.browsed.keys.verifier

    @property
    def size(self) -> int:
        return self.browsed.size

    @property
    def checkpoint(self) -> bytes:
        return self.browsed.checkpoint

    @property
    def tree(self) -> Tree:
        """It may have grown since: ask it for `size` leaves."""
        return self.browsed.tree

    @property
    def counting(self) -> History:
        """What says what is allowed: every entry that is no receipt. Enough for `fold` and `stated`."""
        return self.browsed.counting

    @property
    def under(self) -> Mapping[str, Under]:
        return self.browsed.under

    @property
    def lines(self) -> Mapping[int, Line]:
        """By number; those that are not in memory are read, and verified, when they are asked for."""
        return _Lines(self.browsed)

    @cached_property
    def history(self) -> History:
        """Every entry, receipts too: an object for each. For a page, `counting` and `lines` are enough."""
        whole = self._log.read()
        lines = tuple(line for line in whole.lines if line.number <= self.size)
        return History(self.browsed.agency, self.browsed.head, lines, whole.leaves[: self.size])

    @cached_property
    def passkeys(self) -> Passkeys:
        """No receipt is among what an agency signs or enrols."""
        return Passkeys.of(self.counting)

    def view(self, at: datetime) -> LogView:
        """What a browser is shown of it at an instant."""
        return LogView(self.browsed, self.hidden(at), self.passkeys)

    def hidden(self, at: datetime) -> frozenset[int]:
        """Numbers of the entries that the agency may not be shown at an instant."""
        entries = self.counting.entries
        sealed = frozenset(
            e.id for e in entries
            if isinstance(e, LegalNotice) and e.sealed and (e.released_from is None or at < e.released_from)
        )  # fmt: skip
        if sealed not in self._hidden:
            self._hidden[sealed] = closed(self.browsed, at)
        return self._hidden[sealed]


class _Lines(Mapping[int, Line]):
    def __init__(self, browsed: Browsed) -> None:
        self._browsed = browsed

    def __getitem__(self, number: int) -> Line:
        line = self._browsed.line(number) if 0 < number <= self._browsed.size else None
        if line is None:
            raise KeyError(number)
        return line

    def __iter__(self) -> Iterator[int]:
        forgotten = self._browsed.words.index(FORGOTTEN)
        return (n + 1 for n, word in enumerate(self._browsed.named) if word != forgotten)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Logs:
    """Those of one home. A log is read on from where it was when its files have grown."""

    def __init__(self, home: Home, root: Root) -> None:
        self._home, self._keys = home, LogKeys(home, root)
        self._read: OrderedDict[AgencyCode, Reading] = OrderedDict()
        self._lock = threading.Lock()
        self._locks: defaultdict[AgencyCode, threading.Lock] = defaultdict(threading.Lock)

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
            mine = self._locks[agency]
        with mine:
            with self._lock:
                known = self._read.get(agency)
            if known is None or log.standing() != (known.checkpoint, *known.browsed.ends):
                known = self._on(log, agency, known)
            with self._lock:
                self._read[agency] = known
                self._read.move_to_end(agency)
                while len(self._read) > 1 and self._too_many():
                    self._read.popitem(last=False)
            return known

    def _on(self, log: Log, agency: AgencyCode, known: Reading | None) -> Reading:
        checkpoint = log.checkpoint()  # adopts or cuts what a writer left that was stopped
        empty = Browsed(agency, log.path, Keys(self.verifier(agency), self._keys.of_salts(agency)))
        try:
            grown = (known.browsed if known else empty).grown(checkpoint, NAMING)
        except NotVerified:
            if known is None:
                raise
            grown = empty.grown(checkpoint, NAMING)  # another log took its place, from a copy; or it does not hold
        return Reading(log, grown)

    def _too_many(self) -> bool:
        return len(self._read) > _KEPT or sum(r.size for r in self._read.values()) > _MOST_ENTRIES
