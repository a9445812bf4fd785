"""What a browser is shown of an agency's log so that it can check it by itself: signed heads, leaves with what they
commit to, and proofs. docs/specs/browser-verification.md shows the JSON; `portal/web/static/verify.js` reads it.

Pure reading. What the law forbids to tell the agency yet is closed here as in its evidence pack (R50): the leaf is
shown, its content and its salt are null.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.browsing import Browsed, Naming
from ledger.evidence import secrets
from ledger.keys import LogKeys
from ledger.leaf import origin
from ledger.log import Log
from ledger.orders import LegalNotice, LegalObligation
from ledger.passkeys import Passkeys
from ledger.signatures import Enrolled
from ledger.stored import Keys
from ledger.tree import Tree
from schemas.errors import Malformed

# As many leaves as a page may ask for at once.
MOST = 200
# For who looks at leaves alone.
_NAMELESS = Naming(lambda entry: "", (), lambda entry: ())  # noqa: ARG005


def closed(log: Browsed, at: datetime) -> frozenset[int]:
    """Numbers of the entries that the agency may not be shown at an instant (`ledger.evidence.withheld`)."""
    if not any(isinstance(e, LegalNotice | LegalObligation) for e in log.counting.entries):
        return frozenset()
    places, ids = secrets(log.counting.lines, at)
    # A receipt has no id of its own that something else could name: to look once is enough.
    return frozenset(n + 1 for n in places) | log.naming(ids)


@dataclass(frozen=True, slots=True)
class LogView:
    """One log that holds, as of one reading: a leaf is read when it is asked for. `hidden`: numbers of the entries
    whose content is closed."""

    log: Browsed
    hidden: frozenset[int]
    passkeys: Passkeys

    @classmethod
    def of(cls, log: Log, keys: LogKeys, now: datetime) -> "LogView":
        """`now`: what the clock says; a sealed notice is shown from its release on. Raises NotVerified."""
        opening = Keys(str(keys.verifier(log.agency)), keys.of_salts(log.agency))
        browsed = Browsed(log.agency, log.path, opening).grown(log.checkpoint(), _NAMELESS)
        return cls(browsed, closed(browsed, now), Passkeys.of(browsed.counting))

    @property
    def tree(self) -> Tree:
        """It may have grown since: ask it for no more leaves than `log.size`."""
        return self.log.tree

    def checkpoint(self) -> dict[str, Any]:
        """The question `log.checkpoint`: the signed head, and the key that it is to be checked with."""
        return {
            "origin": origin(self.log.agency), "key": self.log.keys.verifier, "size": self.log.size,
            "note": self.log.checkpoint.decode(),
        }  # fmt: skip

    def entries(self, first: int, count: int, size: int | None = None) -> dict[str, Any]:
        """The question `log.entry`, for leaves that follow each other: each with its proof in the tree of `size` leaves
        (None: of today)."""
        whole = self._size(size)
        if not 0 <= first < whole or not 1 <= count <= MOST:
            raise Malformed("there is no such leaf in a tree of that size", "Ask for leaves that the head counts.")
        last = min(whole, first + count)
        return {"size": whole, "first": first, "entries": [self._signed(n, whole) for n in range(first, last)]}

    def consistency(self, first: int, second: int | None = None) -> dict[str, Any]:
        """The question `log.consistency`: that the tree of `second` leaves begins with that of `first`. The proof from
        the empty tree is empty: it shows nothing."""
        whole = self._size(second)
        if not 0 <= first <= whole:
            raise Malformed("no tree of the first size can grow into one of the second", "Ask for an older head first.")
        proof = self.tree.consistency(first, whole) if 0 < first < whole else ()
        return {"first": first, "second": whole, "proof": _texts(proof)}

    def _size(self, size: int | None) -> int:
        whole = self.log.size if size is None else size
        if not 0 <= whole <= self.log.size:
            raise Malformed("the log has fewer leaves than that", "Ask for a head that this log had.")
        return whole

    def _signed(self, index: int, size: int) -> dict[str, Any]:
        """A leaf, with the leaf of its signature and that of the passkey's enrolment where it is signed."""
        signer = self.passkeys.signers.get(index + 1)
        by = None
        if signer is not None and index + 1 < size:
            enrolment = self._enrolment(signer, index)
            by = {"signature": self._entry(index + 1, size), "passkey": self._entry(enrolment, size)}
        return self._entry(index, size) | {"signed": by}

    def _enrolment(self, credential: str, before: int) -> int:
        """The leaf by which a passkey stood when a leaf was signed."""
        return max(
            line.number - 1
            for line in self.log.kept
            if isinstance(line.entry, Enrolled)
            and line.entry.id == credential
            and line.number in self.passkeys.enrolments
            and line.number <= before
        )

    def _entry(self, index: int, size: int) -> dict[str, Any]:
        opened = None if index + 1 in self.hidden else self.log.content(index + 1)
        return {
            "index": index,
            "leaf": self.log.leaf(index + 1).decode(),
            "content": None if opened is None else opened[0].decode(),
            "salt": None if opened is None else opened[1].hex(),
            "proof": _texts(self.tree.inclusion(index, size)),
        }


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [b64encode(h).decode() for h in hashes]
