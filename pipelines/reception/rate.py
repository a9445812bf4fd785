"""How often somebody who is signed in may ask: 1,200 questions a minute (ASVS 5.0 2.4.1).

A page is one to three questions: nobody reads six pages a second. Whoever copies what they may see, or a script that
has gone astray, waits. Kept in memory: what a restart forgets is one minute.
"""

import threading
from datetime import datetime

from schemas.access import TooOften

MOST = 1200


class Rate:
    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._minute, self._asked = -1, dict[str, int]()
        self._lock = threading.Lock()

    def count(self, account: str, at: datetime) -> None:
        """Raises TooOften."""
        minute = int(at.timestamp()) // 60
        with self._lock:
            if minute != self._minute:
                self._minute, self._asked = minute, {}
            self._asked[account] = asked = self._asked.get(account, 0) + 1
        if asked > self.most:
            raise TooOften("too many questions in one minute", "Wait a minute.")
