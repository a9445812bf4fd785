"""All records of one type in a batch, read by column: values, what is wrong with them, and what is to be flagged.

A record S ends its line: only its key is read. So every check and every flag here says whether it is about the key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.gpi.cells import SPACE, Bytes, Ints, Mask, decode
from connectors.gpi.layout import Layout
from connectors.normalise import amounts, contacts, dates, enums, text
from connectors.normalise.octets import none, truth

ENDS = "S"

# Order of canonical §5; within the last, the leftmost field of the record.
SCIENTIFIC, MISSING, NUL, CONTROL, VALUE = range(5)


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason and the records it strikes. `rank` and `position` say which of several reasons is the one reported."""

    rank: int
    position: int
    struck: Mask
    reason: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of one table that the records yield, before it is known which records are accepted. `when`: only these."""

    record: str
    source_key: pa.Array
    columns: Mapping[str, pa.Array]
    when: Mask | None = None
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Reached:
    """The e-mails and phones of a person, by field in reading order."""

    person_key: pa.Array
    emails: Sequence[contacts.Tokens]
    phones: Sequence[contacts.Tokens]


@dataclass(slots=True)
class Heard:
    """The records of one type in the batch; `day` is the day of delivery of each. The rest is filled as they are read.

    `keyless`: a part of the key is missing or cannot be one. `departures`: columns of the ends that records 80 tell.
    """

    kind: str
    layout: Layout
    cells: Bytes = field(repr=False)
    day: pa.Array = field(repr=False)
    key: pa.Array = field(init=False, repr=False)
    keyless: Mask = field(init=False, repr=False)
    flags: Ints = field(init=False, repr=False)
    ends: Mask = field(init=False, repr=False)
    faults: list[Fault] = field(init=False, repr=False)
    sheets: list[Sheet] = field(default_factory=list, repr=False)
    reached: list[Reached] = field(default_factory=list, repr=False)
    departures: Mapping[str, pa.Array] | None = field(default=None, repr=False)
    _texts: dict[str, pa.Array] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        n, lowest = len(self), self.cells.min(axis=1)
        self.flags, self.keyless = np.zeros(n, np.int64), none(n)
        self.faults = [
            Fault(NUL, 0, lowest == 0, "row.nul_byte"),
            Fault(CONTROL, 0, lowest < SPACE, "row.control_char"),
        ]
        movement = self.text("CODMVT")
        says_end = truth(pc.equal(movement, ENDS))
        if self.kind == self.layout.departure:
            self.ends = none(n)  # it is an end itself, and all of it is read
            self._fault(VALUE, "CODMVT", ~says_end, "row.bad_enum")
        else:
            self.ends = says_end
            self.closed("CODMVT", required=True, of_key=True)

    def __len__(self) -> int:
        return len(self.cells)

    # ---- fields

    def text(self, name: str) -> pa.Array:
        """The field after N1; null when blank."""
        if name not in self._texts:
            self._texts[name] = text.n1(self._as_sent(name))[0]
        return self._texts[name]

    def label(self, *names: str) -> None:
        """Flag what canonical N3 looks for in names, addresses and labels, and fields that fill their last byte."""
        for name in names:
            if name in self.layout.at_width:
                self.flag(self._bytes(name)[:, -1] != SPACE, "at_width")
            if name != "ADRMEL":
                self.flag(text.mojibake(self._as_sent(name)), "mojibake")

    def code(self, name: str) -> pa.Array:
        """A code (postal, INSEE, registry): the text without a leading apostrophe (N7)."""
        value, apostrophe = text.apostrophe(self.text(name))
        self.flag(apostrophe, "apostrophe")
        return value

    def part(self, name: str, *, required: bool = False, of_key: bool = False) -> pa.Array:
        """A part of a key or of a reference: never a number, and never filled in when it is missing."""
        value, apostrophe = text.apostrophe(self.text(name))
        self.flag(apostrophe, "apostrophe")
        damaged, missing = text.scientific(value), truth(value.is_null()) if required else none(len(self))
        self._fault(SCIENTIFIC, name, damaged, "row.scientific_key", everywhere=of_key)
        self._fault(MISSING, name, missing, "row.missing_key", everywhere=of_key)
        if of_key:
            self.keyless |= damaged | missing
        return value

    def date(self, name: str, *, window: str = "lease", required: bool = False) -> pa.Array:
        value, bad, _ = dates.parse(self.text(name), "JJMMAA", window=window, day=self.day)
        self._fault(VALUE, name, bad | truth(value.is_null()) if required else bad, "row.bad_date")
        return value

    def amount(self, name: str, *, required: bool = False) -> pa.Array:
        value, bad = amounts.overpunch(self.text(name))
        self._fault(VALUE, name, bad | truth(value.is_null()) if required else bad, "row.bad_amount")
        return value

    def number(self, name: str) -> pa.Array:
        value, bad = amounts.digits(self.text(name))
        self._fault(VALUE, name, bad, "row.bad_number")
        if name in self.layout.zero_is_none:
            value = pc.if_else(pc.equal(value, 0), pa.scalar(None, value.type), value)
        return value

    def closed(self, name: str, *, required: bool = False, of_key: bool = False) -> pa.Array:
        """The meaning of a code of a closed list (N14)."""
        said = self.text(name)
        value, bad = enums.closed(said, self.layout.codes[name])
        struck = bad | truth(said.is_null()) if required else bad
        self._fault(VALUE, name, struck, "row.bad_enum", everywhere=of_key)
        return value

    def open(self, name: str, codes: str, others: str) -> pa.Array:
        """The meaning of a code of an open list: null when blank, `others` when it is not listed."""
        value, unlisted = enums.closed(self.text(name), self.layout.codes[codes])
        return pc.if_else(pa.array(unlisted), others, value) if unlisted.any() else value

    def listed(self, name: str) -> Mask:
        """Whether the code is one that means something."""
        return truth(pc.is_in(self.text(name), pa.array(list(self.layout.codes[name]))))

    # ---- what is known of the records

    def flag(self, raised: Mask, name: str) -> None:
        """A flag of accepted values: records that only end a line raise none."""
        self.flags |= text.flag(raised & ~self.ends, name)

    def flagged(self, found: tuple[pa.Array, Ints]) -> pa.Array:
        """Values that come with their own flags."""
        value, flags = found
        self.flags |= np.where(self.ends, 0, flags)
        return value

    def tokens(self, found: contacts.Tokens) -> contacts.Tokens:
        self.flags |= np.where(self.ends, 0, found.flags)
        return found

    def yields(
        self, record: str, source_key: pa.Array, *, when: Mask | None = None, soft: bool = False, **columns: pa.Array
    ) -> None:
        self.sheets.append(Sheet(record, source_key, columns, when, soft))

    def verdict(self) -> list[tuple[Mask, str]]:
        """Every reason with the records it strikes, the first to be reported first."""
        return [(f.struck, f.reason) for f in sorted(self.faults, key=lambda f: (f.rank, f.position))]

    # ---- inside

    def _bytes(self, name: str) -> Bytes:
        span = self.layout.records[self.kind][name]
        return self.cells[:, span.start : span.stop]

    def _as_sent(self, name: str) -> pa.Array:
        """The field before N1, without its padding."""
        return decode(self._bytes(name), self.layout.codec)

    def _fault(self, rank: int, name: str, struck: Mask, reason: str, *, everywhere: bool = False) -> None:
        struck = struck if everywhere else struck & ~self.ends
        if struck.any():
            self.faults.append(Fault(rank, self.layout.records[self.kind][name].start, struck, reason))
