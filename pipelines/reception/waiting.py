"""What was prepared and waits for its signature: in memory, since it holds the salt of a leaf that is not written yet.

It is one person's at one agency, and is forgotten with this process, or when it is too old to be signed.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from ledger.signing import PATIENCE, Prepared
from pipelines.reception.vault import fresh_token
from schemas.ids import AgencyCode

_MOST, _MOST_OF_ONE = 500, 10


@dataclass(frozen=True, slots=True)
class _One:
    account: str
    agency: AgencyCode
    prepared: Prepared


class Waiting:
    def __init__(self) -> None:
        self._kept: OrderedDict[str, _One] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, account: str, prepared: Prepared) -> str:
        """The reference under which it is found again. Of one person the last ten wait, the oldest go first."""
        reference = fresh_token()
        with self._lock:
            mine = [name for name, one in self._kept.items() if one.account == account]
            for name in mine[: max(0, len(mine) + 1 - _MOST_OF_ONE)]:
                del self._kept[name]
            while len(self._kept) >= _MOST:
                self._kept.popitem(last=False)
            self._kept[reference] = _One(account, prepared.agency, prepared)
        return reference

    def find(self, reference: str, account: str, agency: AgencyCode, at: datetime) -> Prepared | None:
        """None for what never was, is somebody else's or another agency's, or is too old."""
        with self._lock:
            one = self._kept.get(reference)
            if one is None or (one.account, one.agency) != (account, agency):
                return None
            if at - one.prepared.at > PATIENCE:
                del self._kept[reference]
                return None
            return one.prepared

    def drop(self, reference: str) -> None:
        with self._lock:
            self._kept.pop(reference, None)
