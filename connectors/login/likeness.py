"""What two LOGIN documents have in common when they say the same: every byte but the instants of their windows.

Only a document whose root element is written plainly has a likeness. For one of another look nothing is known, and all
the proofs of `connectors.login.proof` are made.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.login.proof import instant

# The prolog, the name of the root and its attributes, each between double quotes and without any reference.
_BEGINNING = re.compile(
    rb"""(?:<\?xml[ ][^<>?]*\?>)?[ \t\r\n]*<[A-Za-z]+((?:[ \t\r\n]+[A-Za-z:]+="[^"<>&]*")+)[ \t\r\n]*>"""
)
_ATTRIBUTE = re.compile(rb"""([A-Za-z:]+)="([^"]*)\"""")
_SINCE, _UNTIL = b"depuis", b"jusqua"
# Narrower than the schema's: what this lets through, the schema does too.
_INSTANT = re.compile(
    r"[1-9]\d{3}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):[0-5]\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Alike:
    """`digest`: SHA-256. The window is that of this one document."""

    digest: bytes
    delta: bool
    since: datetime | None
    until: datetime

    def follows(self, held: str | None) -> bool:
        """Whether the window may be applied; where it may not, `proof.check_window` says why."""
        return not self.delta or (held is not None and self.since == datetime.fromisoformat(held))


def of(text: bytes, flags: Sequence[str], expected: Sequence[str | None]) -> Alike | None:
    """The likeness of a document in UTF-8. `expected`: what the proofs compare it with, apart from its window."""
    found = _BEGINNING.match(text)
    if found is None:
        return None
    said = dict(_ATTRIBUTE.findall(found[1]))
    window = {name: said.get(name, b"").decode("latin-1") for name in (_SINCE, _UNTIL) if name in said}
    if _UNTIL not in said or not all(map(_INSTANT.fullmatch, window.values())):
        return None
    try:
        instants = {name: instant(value) for name, value in window.items()}
    except (ValueError, OverflowError):
        return None
    timeless = re.sub(rb'(\s(?:depuis|jusqua)=")[^"]*', rb"\1", text[: found.end()])
    told = hashlib.sha256(repr((timeless, list(flags), list(expected))).encode())
    told.update(memoryview(text)[found.end() :])
    return Alike(told.digest(), said.get(b"mode") == b"delta", instants.get(_SINCE), instants[_UNTIL])
