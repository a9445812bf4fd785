"""A sheet while it is being understood: what is wrong on which line, which flags, which rows (canonical §3–§6)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import amounts, contacts, dates, places, text
from connectors.normalise.enums import closed
from connectors.normalise.frame import Column, first_reason, lines_table, repeated, rows
from connectors.normalise.octets import Bits, Mask, none, truth
from connectors.sdgi.layout import Layout
from connectors.sdgi.records import Records
from connectors.sdgi.sheet import Sheet
from schemas.frames import BIT, CONTENT

YES_NO = {"O": "yes", "N": "no"}


class Before:
    """The keys of the slices of a file that came before, of lines that could be read, and where they stand."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._keys: list[pa.Array] = []
        self._at: list[npt.NDArray[np.int64]] = []

    def again(self, sheet: Sheet, key: pa.Array, standing: Mask) -> Iterator[tuple[int, bool]]:
        """Lines of the next slice with a key that came before, and whether with the same text; then its keys are
        before, too."""
        at = np.flatnonzero(standing & truth(pc.is_valid(key)))
        keys = key.take(pa.array(at))
        if self._keys:
            found = pc.index_in(keys, value_set=pa.chunked_array(self._keys))
            there, places = truth(pc.is_valid(found)), np.concatenate(self._at)
            for line, first in zip(at[there].tolist(), places[found.drop_null().to_numpy()].tolist(), strict=True):
                yield line, sheet.fields(int(sheet.at[line])) == self._records.fields(first)
        self._keys.append(keys)
        self._at.append(sheet.at[at] + sheet.first)


class Draft:
    """First the columns are read and checked, then `settle` says which lines stand, then these yield rows.

    Everything here is by whole line of the sheet (the right number of fields, not ignored).
    """

    def __init__(self, sheet: Sheet, layout: Layout, days: pa.Array, before: "Before | None" = None) -> None:
        self.sheet, self.layout, self.before = sheet, layout, before
        self.n = len(sheet.at)
        self.line, self.d = sheet.line[sheet.at], sheet.d[sheet.at]
        self.day = days.take(pa.array(self.d))
        self.flags: Bits = np.zeros(self.n, np.int64)
        self.rows: dict[str, list[pa.Table]] = {}
        self._scientific, self._missing = none(self.n), none(self.n)
        self._bad: list[tuple[int, Mask, str]] = []

    # ------------------------------------------------------------ columns

    def raise_flag(self, mask: Mask, name: str) -> None:
        if mask.any():
            self.flags |= text.flag(mask, name)

    def text(self, column: str, *, mojibake: bool = False, where: Mask | None = None) -> pa.Array:
        """A text column (N1, N3). `where` are the lines on which the column is read at all; elsewhere it is null."""
        raw = self.sheet.column(column)
        if where is not None and not where.all():
            raw = pc.if_else(pa.array(where), raw, None)
        value, newline = text.n1(raw)
        self.raise_flag(newline, "newline")
        if mojibake:
            self.raise_flag(text.mojibake(raw), "mojibake")
        return value

    def code(self, column: str, *, filled: bool = False) -> pa.Array:
        """A key part or a reference (N7). `filled`: one that may not be empty, else `row.missing_key`."""
        value = self.guarded(self.text(column))
        self._scientific |= text.scientific(value)
        if filled:
            self._missing |= truth(pc.is_null(value))
        return value

    def guarded(self, value: pa.Array) -> pa.Array:
        """A code without the apostrophe of a spreadsheet (N7)."""
        bare, apostrophe = text.apostrophe(value)
        self.raise_flag(apostrophe, "apostrophe")
        return bare

    def codes(self, column: str) -> tuple[npt.NDArray[np.int64], pa.Array]:
        """A list of references in one field, split on `,`, `;` or ` - `: the line of each, and its text."""
        whole = self.text(column)
        self._scientific |= text.scientific(text.apostrophe(whole)[0])
        lists = pc.split_pattern_regex(whole, "[,;]| - ")
        parent = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        part, _ = text.n1(pc.list_flatten(lists))
        part, apostrophe = text.apostrophe(part)
        self._mark(self._scientific, parent, text.scientific(part))
        led = none(self.n)
        self._mark(led, parent, apostrophe)
        self.raise_flag(led, "apostrophe")
        filled = truth(pc.is_valid(part))
        return parent[filled], part.filter(pa.array(filled))

    @staticmethod
    def _mark(mask: Mask, parent: npt.NDArray[np.int64], tokens: Mask) -> None:
        mask[parent[tokens]] = True

    def date(self, column: str, *, window: str = "lease", filled: bool = False) -> pa.Array:
        """A date in the form that the layout gives it (N10, N15)."""
        said = self.text(column)
        form = self.layout.date_form(self.sheet.name, column)
        found, bad, sentinel = dates.parse(
            said if filled else text.without_nc(said), form, window=window, day=self.day if window == "birth" else None
        )
        self.raise_flag(sentinel, "sentinel")
        self._wrong(column, bad | truth(pc.is_null(found)) if filled else bad, "row.bad_date")
        return found

    def amount(self, column: str, *, filled: bool = False) -> pa.Array:
        """Hundredths of a French amount or decimal (N11)."""
        cents, bad = amounts.french(self.text(column))
        self._wrong(column, bad | truth(pc.is_null(cents)) if filled else bad, "row.bad_amount")
        return cents

    def number(self, column: str) -> pa.Array:
        """A whole number (N14, N15)."""
        found, bad = amounts.digits(text.without_nc(self.text(column)))
        self._wrong(column, bad, "row.bad_number")
        return found

    def choice(self, column: str, table: Mapping[str, str], *, filled: bool = False) -> pa.Array:
        """A value of a closed list (N14). `filled`: one that may not be empty, else `row.bad_enum`."""
        found, bad = closed(self.text(column), table)
        self._wrong(column, truth(pc.is_null(found)) if filled else bad, "row.bad_enum")
        return found

    def yes_no(self, column: str) -> pa.Array:
        return pc.equal(self.choice(column, YES_NO), "yes")

    def must_be_filled(self, value: pa.Array) -> None:
        """A key part of which the list is closed: empty is `row.missing_key`, off the list is `row.bad_enum`."""
        self._missing |= truth(pc.is_null(value))

    def country(self, column: str) -> pa.Array:
        found, unknown = places.country(self.text(column), self.layout.countries)
        self.raise_flag(unknown, "country_unknown")
        return found

    def postal_code(self, column: str, country: pa.Array | None = None) -> pa.Array:
        found, short = places.postal_code(self.guarded(self.text(column)), country)
        self.raise_flag(short, "excel_zero")
        return found

    def emails(self, column: str) -> contacts.Tokens:
        tokens = contacts.emails(self.text(column))
        self.flags |= tokens.flags
        return tokens

    def phones(
        self,
        column: str,
        country: pa.Array | None = None,
        postal_code: pa.Array | None = None,
        where: Mask | None = None,
    ) -> contacts.Tokens:
        tokens = contacts.phones(self.text(column, where=where), country, postal_code)
        self.flags |= tokens.flags
        return tokens

    def _wrong(self, column: str, mask: Mask, reason: str) -> None:
        if mask.any():
            self._bad.append((self.sheet.layout.rank(column), mask, reason))

    def of_delivery(self, key: pa.Array) -> pa.Array:
        """`<d>/<key>`: keys that can only match inside their own delivery; null where there is none."""
        return pc.binary_join_element_wise(pa.array(self.d).cast(pa.string()), key, "/")

    # ------------------------------------------------------------ lines

    def settle(self, key: pa.Array) -> None:
        """Every column has been read: say which lines stand (canonical §5)."""
        nul, control = self.sheet.controls()
        reasons = [
            (self._scientific, "row.scientific_key"),
            (self._missing, "row.missing_key"),
            (nul, "row.nul_byte"),
            (control, "row.control_char"),
            *((mask, reason) for _, mask, reason in sorted(self._bad, key=lambda bad: bad[0])),
        ]
        standing = truth(pc.is_null(first_reason(reasons, self.n)))
        self.repeats, conflicting = self._repeated(key, standing)
        self.reason = first_reason([*reasons, (conflicting, "row.duplicate_key")], self.n)
        self.ok: Mask = standing & ~self.repeats & ~conflicting
        self.key = pc.if_else(pa.array(self._scientific | self._missing), None, key)

    def _repeated(self, key: pa.Array, standing: Mask) -> tuple[Mask, Mask]:
        """Lines whose key came before in their delivery. Only for these is the text of a line put together."""
        ids = self.d.astype(np.int64) * (self.n + 1) + key.dictionary_encode().indices.fill_null(self.n).to_numpy(
            zero_copy_only=False
        )
        _, inverse, counts = np.unique(ids[standing], return_inverse=True, return_counts=True)
        same, different = none(self.n), none(self.n)
        at = np.flatnonzero(standing)[counts[inverse] > 1]
        if len(at):
            said = pa.array(["\x1f".join(self.sheet.fields(i)) for i in self.sheet.at[at].tolist()], pa.string())
            same[at], different[at] = repeated(self.d[at], key.take(pa.array(at)), said, np.ones(len(at), np.bool_))
        if self.before is not None:
            for place, again in self.before.again(self.sheet, key, standing):
                same[place], different[place] = again, not again
        return same, different

    def lines(self) -> pa.Table:
        """Every line of the sheet with its outcome; a flag counts only where the line stands."""
        sheet, n = self.sheet, len(self.sheet.line)
        broken, ignored, flags = ~sheet.ignored, sheet.ignored.copy(), np.zeros(n, np.int64)
        broken[sheet.at] = False
        ignored[sheet.at] = self.repeats
        flags[sheet.at] = np.where(self.ok, self.flags, self.repeats * BIT["row_repeated"])
        reason = self._spread(self.reason)
        if broken.any():
            reason = pc.if_else(pa.array(broken), "row.field_count", reason)
        return lines_table(
            line=sheet.line,
            d=sheet.d,
            source=sheet.name,
            key=self._spread(self.key),
            loc=pa.array(sheet.place).cast(pa.string()),
            reason=reason,
            ignored=ignored,
            flags=flags,
        )

    def _spread(self, column: pa.Array) -> pa.Array:
        """A column of the whole lines as a column of all lines, null elsewhere."""
        n = len(self.sheet.line)
        if n == self.n:
            return column
        to = np.full(n, -1, np.int64)
        to[self.sheet.at] = np.arange(self.n)
        return column.take(pa.array(to, mask=to < 0))

    def content(self, lines: pa.Table) -> pa.Table:
        """The text of each quarantined line, to be sealed. One step a line: they are few."""
        at = np.flatnonzero(truth(pc.is_valid(lines.column("reason").combine_chunks())))
        said = [self.sheet.text(i) for i in at.tolist()]
        return pa.table([pa.array(self.sheet.line[at]), pa.array(said, pa.string())], schema=CONTENT)

    # ------------------------------------------------------------ rows

    def add(
        self,
        record: str,
        source_key: pa.Array,
        *,
        where: Mask | None = None,
        parent: npt.NDArray[np.int64] | None = None,
        soft: bool = False,
        **columns: Column,
    ) -> None:
        """Rows of the lines that stand; `parent` gives the line of each row when lines have several (or none)."""
        keep = self.ok if parent is None else self.ok[parent]
        table = rows(
            record,
            line=self.line if parent is None else self.line[parent],
            source_key=source_key,
            soft=soft,
            via=None,
            keep=keep if where is None else keep & where,
            **columns,
        )
        self.rows.setdefault(record, []).append(table)

    def add_contacts(
        self, person: pa.Array, *, emails: Sequence[contacts.Tokens] = (), phones: Sequence[contacts.Tokens] = ()
    ) -> None:
        self.rows.setdefault("contact", []).append(
            contacts.contact_rows(self.line, person, emails, phones, keep=self.ok)
        )
