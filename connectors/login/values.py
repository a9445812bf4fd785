"""One value of each object: from its text to a canonical one, completed with what is held (canonical §3–§5)."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.login.layout import Column, Layout
from connectors.login.objects import Objects
from connectors.normalise import amounts, bank, contacts, dates, enums, ids, places, text, titles
from connectors.normalise.octets import Mask, truth
from schemas.fields import Kind
from schemas.frames import ARROW
from schemas.records import RECORDS

# xs:boolean: the schema lets no other word through.
_TRUE = pa.array(["true", "1"])
_SPACES = r"[\s\pZ]+"


def boolean(value: pa.Array) -> pa.Array:
    """An xs:boolean after N1; null stays null."""
    return pc.if_else(pc.is_valid(value), pc.is_in(value, value_set=_TRUE), None)


def _date(objects: Objects, column: Column, _: Layout) -> pa.Array:
    value, bad, sentinel = dates.parse(objects.text(column.source), "AAAA-MM-JJ")
    objects.wrong(bad, "row.bad_date")
    objects.flag(sentinel, "sentinel")
    return value


def _amount(objects: Objects, column: Column, _: Layout) -> pa.Array:
    value, bad = amounts.plain(objects.text(column.source))
    objects.wrong(bad, "row.bad_amount")
    return value


def _code(objects: Objects, column: Column, _: Layout) -> pa.Array:
    value, led = text.apostrophe(objects.text(column.source))
    objects.flag(led, "apostrophe")
    return value


def _title(objects: Objects, column: Column, layout: Layout) -> pa.Array:
    return titles.title(objects.text(column.source), layout.codes["titles"])


def _country(objects: Objects, column: Column, layout: Layout) -> pa.Array:
    value, unknown = places.country(objects.text(column.source), layout.countries)
    objects.flag(unknown, "country_unknown")
    return value


def _postal_code(objects: Objects, column: Column, layout: Layout) -> pa.Array:
    """N7. The country that matters is the one beside the code; a building has none."""
    beside = next((other for other in objects.spec.columns if other.form == "country"), None)
    country = None if beside is None else _country(objects, beside, layout)
    value, zero = places.postal_code(_code(objects, column, layout), country)
    objects.flag(zero, "excel_zero")
    return value


def _siret(objects: Objects, column: Column, layout: Layout) -> pa.Array:
    """N12 for a building: spaces removed, all-zero is none."""
    value = text.empty_to_null(pc.replace_substring_regex(_code(objects, column, layout), _SPACES, ""))
    return pc.if_else(pc.match_substring_regex(value, "^0+$"), None, value)


def _iban(objects: Objects, column: Column, _: Layout) -> pa.Array:
    value, flags = bank.iban(objects.text(column.source))
    objects.flags |= flags
    return value


def _email(objects: Objects, column: Column, _: Layout) -> pa.Array:
    found = contacts.emails(objects.text(column.source))
    objects.flags |= found.flags
    return contacts.first_value(found, len(objects))


def _phone(objects: Objects, column: Column, _: Layout) -> pa.Array:
    """A member of staff: region FR (N8)."""
    found = contacts.phones(objects.text(column.source))
    objects.flags |= found.flags
    return contacts.first_value(found, len(objects))


FORMS: dict[str, Callable[[Objects, Column, Layout], pa.Array]] = {
    "text": lambda objects, column, _: objects.text(column.source),
    "bool": lambda objects, column, _: boolean(objects.text(column.source)),
    "siren": lambda objects, column, _: ids.siren(objects.text(column.source)),
    "code": _code,
    "title": _title,
    "country": _country,
    "postal_code": _postal_code,
    "siret": _siret,
    "date": _date,
    "amount": _amount,
    "iban": _iban,
    "email": _email,
    "phone": _phone,
}


_TYPES = {"date": pa.date32(), "amount": pa.int64(), "bool": pa.bool_()}


def _value(objects: Objects, column: Column, layout: Layout) -> pa.Array:
    """The value by its form; a form that is none of the above is the name of a closed list."""
    if objects.raw[column.source].null_count == len(objects):  # most columns of a small change: nothing to read
        return pa.nulls(len(objects), _TYPES.get(column.form, pa.string()))
    if column.form in FORMS:
        return FORMS[column.form](objects, column, layout)
    value, bad = enums.closed(objects.text(column.source), layout.codes[column.form])
    objects.wrong(bad, "row.bad_enum")
    return value


def _when_empty(column: Column, layout: Layout) -> str:
    """The reason of an empty value that may not be empty (canonical §4)."""
    if column.form in layout.codes:
        return "row.bad_enum"
    return {"amount": "row.bad_amount", "date": "row.bad_date"}.get(column.form, "row.missing_key")


def _is_reference(objects: Objects, column: Column) -> bool:
    record = RECORDS.get(objects.spec.record)
    return record is not None and any(f.name == column.to and f.kind is Kind.REF for f in record.fields)


def _checked(objects: Objects, column: Column, layout: Layout, unsaid: Mask) -> pa.Array:
    value = _value(objects, column, layout)
    if column.required:
        empty = truth(pc.is_null(objects.text(column.source)))
        objects.wrong(empty & ~unsaid, _when_empty(column, layout))
    if column.mojibake:
        objects.flag(text.mojibake(objects.raw[column.source]), "mojibake")
    if _is_reference(objects, column):
        objects.scientific |= text.scientific(value)
    return value


def columns(objects: Objects, layout: Layout, held: Callable[[str], pa.Array]) -> dict[str, pa.Array]:
    """Every column of the sheet; where a change says nothing, the held value (`held` gives it, one for each object).

    A column `via` comes twice: under its own name what is held, under `via:<name>` what the line says.
    """
    found: dict[str, pa.Array] = {}
    for column in objects.spec.columns:
        silent = objects.partial & ~objects.present(column.source)
        value = _checked(objects, column, layout, silent)
        if column.via:
            found[f"via:{column.to}"] = value
            value = pa.nulls(len(objects), value.type)
        found[column.to] = pc.if_else(pa.array(silent), held(column.to), value) if silent.any() else value
    return found


def kind_of(record: str, column: str) -> pa.DataType:
    """The Arrow type of a column of a record."""
    return ARROW[RECORDS[record].field(column).kind]


def constant(source: pa.Array, table: Mapping[str, str]) -> pa.Array:
    """What a table says of the element of each object."""
    value, _ = enums.closed(source, table)
    return value


def minus(amount: pa.Array, negative: Mask) -> pa.Array:
    """The amount, negated where told so."""
    return pc.if_else(pa.array(negative), pc.negate(amount), amount) if np.any(negative) else amount
