"""One leaf of an agency's log: which kind of entry was recorded, and when. What it says is committed to, not shown.

    {"agency":"A0003","at":"2026-01-05T03:30:00Z","commitment":"…","format":"depositaire-leaf","index":0,"kind":1,
    "version":1}

The bytes are canonical JSON on one line without a newline. They hold no personal data, and no digest that content
could be guessed from: not even the key under which an entry is recorded once, which is part of the content.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from ledger.canonical import canonical, instant, parse, read_instant
from schemas.errors import Malformed
from schemas.ids import AgencyCode, agency_code

FORMAT = "depositaire-leaf"
VERSION = 1

_FIELDS = frozenset({"agency", "at", "commitment", "format", "index", "kind", "version"})
_COMMITMENT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """`index`: its place in the log, from 0; `kind`: number of the kind of entry (`ledger.entry.KINDS`);
    `commitment`: 32 bytes (`ledger.commitment`)."""

    agency: AgencyCode
    index: int
    at: datetime
    kind: int
    commitment: bytes

    @property
    def raw(self) -> bytes:
        """What is hashed."""
        return canonical(
            {
                "agency": self.agency,
                "at": instant(self.at),
                "commitment": self.commitment.hex(),
                "format": FORMAT,
                "index": self.index,
                "kind": self.kind,
                "version": VERSION,
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "Leaf":
        """The leaf that these are the bytes of. Raises Malformed for any other spelling."""
        content = parse(raw)
        if set(content) != _FIELDS or (content["format"], content["version"]) != (FORMAT, VERSION):
            raise Malformed("this is not a leaf of a known version", "Use the version that wrote this log.")
        index, kind, commitment = content["index"], content["kind"], content["commitment"]
        if type(index) is not int or type(kind) is not int or index < 0 or kind < 1:
            raise Malformed("the index or the kind of a leaf is not a number")
        if not isinstance(commitment, str) or not _COMMITMENT.fullmatch(commitment):
            raise Malformed("the commitment of a leaf is 64 hexadecimal figures")
        if not isinstance(content["agency"], str):
            raise Malformed("the agency of a leaf is not a text")
        return cls(agency_code(content["agency"]), index, read_instant(content["at"]), kind, bytes.fromhex(commitment))


def origin(agency: AgencyCode) -> str:
    """The name of an agency's log in its checkpoints, and of the key that signs them."""
    return f"depositaire/{agency}/instructions"
