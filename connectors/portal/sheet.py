"""One file of many deliveries as columns: what each line is, and the rows of those that are accepted (canonical §5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import dates, enums, frame, text
from connectors.normalise.octets import Bits, Mask, none, truth
from connectors.portal.layout import Column, File, Layout
from connectors.portal.proof import Records
from schemas.frames import BIT, CONTENT

_KEYLESS = pa.array(["row.field_count", "row.scientific_key", "row.missing_key"])


@dataclass(slots=True)
class Sheet:
    """The lines of one file in a batch. `said` is each line's text; reasons stand in the order of canonical §5."""

    file: File
    layout: Layout
    number: npt.NDArray[np.int64]
    d: npt.NDArray[np.int32]
    line: npt.NDArray[np.int64]
    fields: pa.ListArray = field(repr=False)
    said: pa.Array = field(init=False, repr=False)
    values: dict[str, pa.Array] = field(default_factory=dict, repr=False)
    flags: Bits = field(init=False, repr=False)
    key: pa.Array = field(init=False, repr=False)
    reason: pa.Array = field(init=False, repr=False)
    repeated: Mask = field(init=False, repr=False)
    _damaged: list[tuple[Mask, str]] = field(default_factory=list, repr=False)
    _missing: list[tuple[Mask, str]] = field(default_factory=list, repr=False)
    _wrong: list[tuple[Mask, str]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.said = pc.binary_join(self.fields, self.layout.separator)
        self.flags, self.repeated = np.zeros(len(self.d), np.int64), none(len(self.d))
        wide = ~truth(pc.equal(pc.list_value_length(self.fields), len(self.file.columns)))
        texts = self._texts(wide)
        for column in self.file.columns:
            self._take(column, texts[column.name], ~wide)
        self.key = pc.binary_join_element_wise(*(texts[part].fill_null("-") for part in self.file.key), ":")
        reasons = [
            (wide, "row.field_count"), *self._damaged, *self._missing,
            (text.nul(self.said), "row.nul_byte"), (text.control(self.said), "row.control_char"), *self._wrong,
        ]  # fmt: skip
        self.reason = frame.first_reason(reasons, len(self.d))
        self._check_repeats()

    def _texts(self, wide: Mask) -> dict[str, pa.Array]:
        """Every column after N1; null on lines with another number of fields."""
        at = np.cumsum(~wide) - 1
        whole = self.fields.filter(pa.array(~wide))
        back = pa.array(at, mask=wide)
        texts = {}
        for place, column in enumerate(self.file.columns):
            texts[column.name], newline = text.n1(pc.list_element(whole, place).take(back))
            self.flags |= text.flag(newline, "newline")
        return texts

    def _take(self, column: Column, said: pa.Array, whole: Mask) -> None:
        """The value of a column, and what is wrong with it."""
        if column.name in self.file.codes:
            self._damaged.append((text.scientific(said), "row.scientific_key"))
        self.values[column.to], bad, reason = _value(column.rule, said, self.layout)
        if column.required:
            bad = bad | (truth(pc.is_null(said)) & whole)
        (self._missing if reason == "row.missing_key" else self._wrong).append((bad, reason))

    def _check_repeats(self) -> None:
        fine = truth(pc.is_null(self.reason))
        self.repeated, other = frame.repeated(self.d, self.key, self.said, fine)
        self.flags |= np.where(self.repeated, BIT["row_repeated"], 0)
        self.reason = pc.if_else(pa.array(other), "row.duplicate_key", self.reason)

    def lines(self) -> pa.Table:
        keyless = pc.is_in(self.reason, value_set=_KEYLESS)
        return frame.lines_table(
            line=self.number,
            d=self.d,
            source=self.file.name,
            key=pc.if_else(keyless, pa.scalar(None, pa.string()), self.key),
            loc=pa.array(self.line).cast(pa.string()),
            reason=self.reason,
            ignored=self.repeated,
            flags=self.flags,
        )

    def rows(self) -> pa.Table:
        keep = truth(pc.is_null(self.reason)) & ~self.repeated
        return frame.rows(self.file.record, line=self.number, source_key=self.key, keep=keep, **self.values)

    def content(self) -> pa.Table:
        """The quarantined lines, to be sealed."""
        bad = truth(pc.is_valid(self.reason))
        return pa.Table.from_arrays([pa.array(self.number[bad]), self.said.filter(pa.array(bad))], schema=CONTENT)


def _value(rule: str, said: pa.Array, layout: Layout) -> tuple[pa.Array, Mask, str]:
    """The value of a column, the lines where it cannot be believed, and the reason of those (also when it is empty)."""
    if rule == "instant":
        return *dates.instant(said), "row.bad_date"
    if rule == "choice":
        return *enums.closed(said, layout.systems), "row.bad_enum"
    return _lower_domain(said) if rule == "email" else said, none(len(said)), "row.missing_key"


def _lower_domain(address: pa.Array) -> pa.Array:
    """portal.md, `courriel`: trimmed, domain in lower case. What has no `@` stays as it is."""
    parts = pc.extract_regex(address, r"^(?P<local>.*)(?P<domain>@[^@]*)$")
    local, domain = pc.struct_field(parts, "local"), pc.utf8_lower(pc.struct_field(parts, "domain"))
    return pc.coalesce(pc.binary_join_element_wise(local, domain, ""), address)


def sheet(file: File, layout: Layout, parts: Sequence[Records], start: int) -> Sheet:
    """One file of all deliveries together; its lines are numbered from `start`."""
    d = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.line) for part in parts])
    return Sheet(
        file=file,
        layout=layout,
        number=np.arange(start, start + len(d), dtype=np.int64),
        d=d,
        line=np.concatenate([part.line for part in parts]),
        fields=pa.concat_arrays([part.fields for part in parts]),
    )
