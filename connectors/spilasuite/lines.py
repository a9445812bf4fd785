"""The lines of one view, of many deliveries, read by column: values, what is wrong with them, what is to be flagged.

Every rule of the layout is one small function here: the text of a column goes in, values of the record come out
(canonical §3–§5, spilasuite.md "Views").
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import amounts, bank, contacts, dates, enums, frame, ids, places, text, titles
from connectors.normalise.octets import Bits, Mask, none, truth
from connectors.spilasuite.layout import VERSION, Column, Layout, View
from schemas.frames import BIT

# N3 names these columns, and no other.
_LABELS = frozenset({
    "last_name", "birth_name", "first_names", "company_name", "label_raw", "address_1", "address_2", "address_3",
    "address_4", "city", "building.name", "document.label",
})  # fmt: skip
_BLANKS = r"[\s\pZ]+"


class Rank(IntEnum):
    """The order of canonical §5."""

    SCIENTIFIC = 0
    MISSING = 1
    NUL = 2
    CONTROL = 3
    VALUE = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason and the lines it strikes; within VALUE the leftmost column of the contract gives the reason."""

    rank: Rank
    position: int
    struck: Mask
    reason: str


@dataclass(slots=True)
class Lines:
    """One view of a batch. `raw` is the text as it came, `d` the delivery of each line; the rest is filled by `hear`.

    `ignored`: lines that a rule of the contract leaves aside (roles that follow from elsewhere, repeated lines).
    `aside`: lines of which only the key and the view's `only` column are read.
    """

    view: View
    layout: Layout
    raw: pa.Table = field(repr=False)
    d: npt.NDArray[np.int32] = field(repr=False)
    values: dict[str, pa.Array] = field(default_factory=dict, repr=False)
    via: dict[str, pa.Array] = field(default_factory=dict, repr=False)
    tokens: dict[str, contacts.Tokens] = field(default_factory=dict, repr=False)
    key: pa.Array = field(init=False, repr=False)
    reason: pa.Array = field(init=False, repr=False)
    flags: Bits = field(init=False, repr=False)
    ignored: Mask = field(init=False, repr=False)
    aside: Mask = field(init=False, repr=False)
    _faults: list[Fault] = field(default_factory=list, repr=False)
    _texts: dict[str, pa.Array] = field(default_factory=dict, repr=False)
    _read: dict[str, pa.Array] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.flags, self.ignored, self.aside = np.zeros(len(self), np.int64), none(len(self)), none(len(self))

    def __len__(self) -> int:
        return len(self.d)

    @property
    def ok(self) -> Mask:
        """Lines that yield what they say."""
        return truth(pc.is_null(self.reason)) & ~self.ignored

    @property
    def version(self) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = self.raw[VERSION].combine_chunks().to_numpy(zero_copy_only=False)
        return found

    def cells(self, name: str) -> pa.Array:
        """A column as it came."""
        return self.raw[name].combine_chunks()

    # ---- what is noticed

    def flag(self, mask: Mask, name: str) -> None:
        if mask.any():
            self.flags |= text.flag(mask, name)

    def fault(self, rank: Rank, column: Column | None, struck: Mask, reason: str) -> None:
        if struck.any():
            position = 0 if column is None else self.view.columns.index(column)
            self._faults.append(Fault(rank, position, struck, reason))

    def reasons(self) -> pa.Array:
        """The reason of each line in the order of canonical §5; null where nothing is wrong."""
        ordered = sorted(self._faults, key=lambda fault: (fault.rank, fault.position))
        return frame.first_reason([(fault.struck, fault.reason) for fault in ordered], len(self))

    # ---- texts

    def where(self, column: Column) -> Mask | None:
        """The lines on which a column is read at all; None: every line."""
        if column.name in (*self.view.key, self.view.only):
            return None
        kept = None if not self.aside.any() else ~self.aside
        if not column.to or None in column.to:
            return kept
        words = pa.array([word for word in column.to if word is not None])
        applies = truth(pc.is_in(self.text(self.view.column(self.view.by)), value_set=words))
        return applies if kept is None else applies & kept

    def given(self, column: Column) -> pa.Array:
        """The text as it came, null where the column is not read."""
        where, cells = self.where(column), self.cells(column.name)
        return cells if where is None or where.all() else pc.if_else(pa.array(where), cells, None)

    def text(self, column: Column) -> pa.Array:
        """The text after N1; of a date, the first ten characters (spilasuite.md, "Transport")."""
        if column.name not in self._texts:
            value, newline = text.n1(self.given(column))
            self.flag(newline, "newline")
            self._texts[column.name] = pc.utf8_slice_codeunits(value, 0, 10) if column.is_date else value
        return self._texts[column.name]

    def code(self, column: Column) -> pa.Array:
        """The text of a code, without a leading apostrophe (N7)."""
        value, led = text.apostrophe(self.text(column))
        self.flag(led, "apostrophe")
        return value

    def value(self, column: Column) -> pa.Array:
        """What the column's rule makes of its text; asked once."""
        if column.name not in self._read:
            self._read[column.name] = _RULES[column.rule](self, column)
        return self._read[column.name]

    def part(self, name: str) -> pa.Array:
        """One part of the line's key (spilasuite.md, "Views": NULL = `-`)."""
        column = self.view.column(name)
        return self.text(column) if column.is_date or column.rule == "choice" else self.code(column)


# ---------------------------------------------------------------- rules


def _text(lines: Lines, column: Column) -> pa.Array:
    return lines.text(column)


def _reference(lines: Lines, column: Column) -> pa.Array:
    value = lines.code(column)
    lines.fault(Rank.SCIENTIFIC, column, text.scientific(value), "row.scientific_key")
    return value


def _via(lines: Lines, column: Column) -> pa.Array:
    """A reference by way of a copropriété: the store puts its building in place (schemas.memory.VIA)."""
    value = _reference(lines, column)
    lines.via.update(dict.fromkeys(column.to.values(), value))
    return value


def _title(lines: Lines, column: Column) -> pa.Array:
    value = lines.text(column)
    lines.values["title"] = titles.title(value)
    return value


def _siren(lines: Lines, column: Column) -> pa.Array:
    return ids.siren(lines.code(column))


def _siret(lines: Lines, column: Column) -> pa.Array:
    """N12 for a building: spaces removed, all-zero is none."""
    value = text.empty_to_null(pc.replace_substring_regex(lines.code(column), _BLANKS, ""))
    return pc.if_else(pc.match_substring_regex(value, "^0+$"), None, value)


def _country(lines: Lines, column: Column) -> pa.Array:
    value, unknown = places.country(lines.text(column), lines.layout.countries)
    lines.flag(unknown, "country_unknown")
    return value


def _of_rule(lines: Lines, rule: str) -> pa.Array | None:
    """The value of the only column with that rule; a building has no country of its own."""
    column = next((c for c in lines.view.columns if c.rule == rule), None)
    return None if column is None else lines.value(column)


def _postal_code(lines: Lines, column: Column) -> pa.Array:
    value, zero = places.postal_code(lines.code(column), _of_rule(lines, "country"))
    lines.flag(zero, "excel_zero")
    return value


def _date(lines: Lines, column: Column) -> pa.Array:
    value, bad, sentinel = dates.parse(lines.text(column), "AAAA-MM-JJ")
    lines.fault(Rank.VALUE, column, bad, "row.bad_date")
    lines.flag(sentinel, "sentinel")
    return value


def _decimal(lines: Lines, column: Column) -> pa.Array:
    value, bad = amounts.plain(lines.text(column))
    lines.fault(Rank.VALUE, column, bad, "row.bad_amount")
    return value


def _integer(lines: Lines, column: Column) -> pa.Array:
    value, bad = amounts.digits(lines.text(column))
    lines.fault(Rank.VALUE, column, bad, "row.bad_number")
    return value


def _iban(lines: Lines, column: Column) -> pa.Array:
    value, flags = bank.iban(lines.text(column))
    lines.flags |= flags
    return value


def _email(lines: Lines, column: Column) -> pa.Array:
    """The first address; all of them are kept for the contacts of a person."""
    found = lines.tokens[column.name] = contacts.emails(lines.text(column))
    lines.flags |= found.flags
    return contacts.first_value(found, len(lines))


def _phone(lines: Lines, column: Column) -> pa.Array:
    """The first number; all of them are kept for the contacts of a person. Without any address: region FR (N8)."""
    country, postal_code = (_of_rule(lines, rule) for rule in ("country", "postal_code"))
    found = lines.tokens[column.name] = contacts.phones(lines.text(column), country, postal_code)
    lines.flags |= found.flags
    return contacts.first_value(found, len(lines))


def _choice(lines: Lines, column: Column) -> pa.Array:
    value, bad = enums.closed(lines.text(column), lines.layout.lists[column.list])
    lines.fault(Rank.VALUE, column, bad, "row.bad_enum")
    for_null = lines.layout.empty.get(column.list)
    return value if for_null is None else pc.if_else(pc.is_null(lines.text(column)), for_null, value)


def _bool(lines: Lines, column: Column) -> pa.Array:
    return pc.equal(_choice(lines, column), "true")


_RULES: dict[str, Callable[[Lines, Column], pa.Array]] = {
    "key": _reference, "ref": _reference, "via": _via, "text": _text, "code": Lines.code, "title": _title,
    "siren": _siren, "siret": _siret, "country": _country, "postal_code": _postal_code, "date": _date,
    "decimal": _decimal, "integer": _integer, "iban": _iban, "email": _email, "phone": _phone, "choice": _choice,
    "bool": _bool,
}  # fmt: skip


# ---------------------------------------------------------------- a whole view


def _place(lines: Lines, column: Column) -> None:
    """Put the value of a column where the layout sends it, and look for damaged accents where N3 says so."""
    value = lines.value(column)
    for word, name in column.to.items():
        if column.rule == "via":
            continue
        one_of_many = word is not None and len(column.to) > 1
        here = pc.equal(lines.text(lines.view.column(lines.view.by)), word) if one_of_many else None
        lines.values[name] = value if here is None else pc.if_else(here, value, None)
    if {name for to in column.to.values() for name in (to, f"{lines.view.record}.{to}")} & _LABELS:
        lines.flag(text.mojibake(lines.given(column)), "mojibake")


def _check_filled(lines: Lines, column: Column) -> None:
    """An empty value in a column that may not be null (canonical §4)."""
    if not column.required:
        return
    said = lines.value(column) if column.list in lines.layout.empty else lines.text(column)
    where = lines.where(column)
    empty = truth(pc.is_null(said)) & (True if where is None else where)
    reason = column.when_empty
    lines.fault(Rank.MISSING if reason == "row.missing_key" else Rank.VALUE, column, empty, reason)


def _check_characters(lines: Lines) -> None:
    """N2: any text of the line, columns that are not read included."""
    for column in lines.view.read:
        cells = lines.cells(column.name)
        lines.fault(Rank.NUL, None, text.nul(cells), "row.nul_byte")
        lines.fault(Rank.CONTROL, None, text.control(cells), "row.control_char")


def _leave_aside(lines: Lines) -> None:
    """Lines whose word in the view's `only` column yields nothing are ignored, and not read further; neither are those
    whose word is unknown: what their other columns ought to hold cannot be told."""
    if lines.view.only:
        column = lines.view.column(lines.view.only)
        word, _ = enums.closed(lines.text(column), lines.layout.lists[column.list])
        lines.ignored |= truth(pc.equal(word, ""))
        lines.aside = lines.ignored | truth(pc.is_null(word))


def _check_repeats(lines: Lines) -> None:
    """canonical §5, `row.duplicate_key`. The version of a row is no part of what it says."""
    fine = truth(pc.is_null(lines.reason))
    again, _ = frame.repeated(lines.d, lines.key, lines.key, fine)
    if not again.any():
        return
    line = pc.binary_join_element_wise(*(lines.cells(c.name).fill_null("") for c in lines.view.read), "\x1f")
    same, other = frame.repeated(lines.d, lines.key, line, fine)
    lines.ignored |= same
    lines.flags |= np.where(same, BIT["row_repeated"], 0)
    lines.reason = pc.if_else(pa.array(other), "row.duplicate_key", lines.reason)


def _key(lines: Lines, *, escaped: bool) -> pa.Array:
    parts = [lines.part(name) for name in lines.view.key]
    return text.key(*parts) if escaped else pc.binary_join_element_wise(*(p.fill_null("-") for p in parts), ":")


def hear(lines: Lines, *, escaped: bool = True, also: Callable[[Lines], None] | None = None) -> None:
    """All lines of a view: what each says, or why it is not believed.

    `escaped`: whether key parts are (canonical §1); `also`: a check of this view alone.
    """
    _leave_aside(lines)
    for column in lines.view.read:
        if column.rule != "unread":
            _place(lines, column)
            _check_filled(lines, column)
    _check_characters(lines)
    if also is not None:
        also(lines)
    lines.key = _key(lines, escaped=escaped)
    lines.reason = lines.reasons()
    _check_repeats(lines)


def keyed(lines: Lines) -> pa.Array:
    """The key of each line that has one (canonical §5: a damaged or missing part leaves none)."""
    none_left = pc.is_in(lines.reason, value_set=pa.array(["row.scientific_key", "row.missing_key"]))
    return pc.if_else(none_left, pa.scalar(None, pa.string()), lines.key)
