"""IMMEUBLES, LOTS, GESTIONNAIRES, MANDATS, BAUX: what is managed, by whom and for whom (sdgi.md "Files")."""

import pyarrow as pa
import pyarrow.compute as pc

from connectors.base import Recalled
from connectors.normalise import contacts, text
from connectors.normalise.octets import truth
from connectors.sdgi.draft import YES_NO, Draft
from connectors.sdgi.people import person_key, suffixed

STAFF = "GESTIONNAIRES.CSV"


def buildings(draft: Draft) -> None:
    """IMMEUBLES.CSV → building."""
    code = draft.code("building", filled=True)
    columns = {
        "name": draft.text("name", mojibake=True),
        "registry_number": text.without_nc(draft.text("registry_number")),
        "address_4": draft.text("address", mojibake=True),
        "postal_code": draft.postal_code("postal_code"),
        "city": draft.text("city", mojibake=True),
        "is_syndic": draft.yes_no("is_syndic"),
        "is_rental": draft.yes_no("is_rental"),
        "manager_key": _reference(draft.code("manager")),
    }
    key = text.key(code)
    draft.settle(key)
    draft.add("building", key, code=code, **columns)


def lots(draft: Draft) -> None:
    """LOTS.CSV → lot, and its general shares."""
    building, number = draft.code("building", filled=True), draft.code("lot", filled=True)
    columns = {column: draft.text(column) for column in ("nature", "block", "floor", "door")}
    area, shares, base = draft.amount("area"), draft.number("shares"), draft.number("base")
    key = text.key(building, number)
    draft.settle(key)
    draft.add("lot", key, building_key=text.key(building), number=number, area_m2=area, **columns)
    draft.add(
        "lot_share",
        suffixed(key, "GEN"),
        where=truth(pc.is_valid(shares)),
        lot_key=key,
        share_code="GEN",
        shares=shares,
        base=base,
    )


def inactive(draft: Draft) -> tuple[pa.Array, pa.Array]:
    """GESTIONNAIRES.CSV: the key of each line, and whether it says that somebody no longer works there."""
    return text.key(draft.code("code", filled=True)), pc.equal(draft.choice("active", YES_NO), "no")


def staff(draft: Draft, recalled: Recalled) -> None:
    """GESTIONNAIRES.CSV → staff. Who left on a day that is held keeps that day (the export does not say when)."""
    key, left = inactive(draft)
    columns = {column: draft.text(column, mojibake=True) for column in ("last_name", "first_names")}
    function, administrator = draft.text("function"), draft.yes_no("administrator")
    phone, email = draft.phones("phone"), draft.emails("email")
    draft.settle(key)
    since = pc.coalesce(_left_on(draft, key, recalled), draft.day)
    draft.add(
        "staff",
        key,
        login=draft.guarded(draft.text("code")),
        phone=contacts.first_value(phone, draft.n),
        email=contacts.first_value(email, draft.n),
        function=function,
        is_administrator=administrator,
        inactive_from=pc.if_else(left, since, None),
        **columns,
    )


def _left_on(draft: Draft, key: pa.Array, recalled: Recalled) -> pa.Array:
    """The day that is held for each line, null where none is."""
    held = recalled.rows.get("staff")
    if held is None:
        return pa.nulls(draft.n, pa.date32())
    held = held.filter(pc.equal(held.column("source"), STAFF))
    known = pc.binary_join_element_wise(held.column("d").cast(pa.string()), held.column("owner"), "/")
    found = pc.index_in(draft.of_delivery(key), value_set=known.combine_chunks())
    return held.column("inactive_from").combine_chunks().take(found)


def mandates(draft: Draft) -> None:
    """MANDATS.CSV → mandate, and its lots (soft)."""
    number = draft.code("mandate", filled=True)
    landlord, building = draft.code("landlord"), draft.code("building")
    parent, lot = draft.codes("lots")
    columns = {
        "landlord_key": pc.if_else(pc.is_valid(landlord), person_key("P", landlord), None),
        "start_date": draft.date("start"),
        "end_date": draft.date("end"),
        "fee_rate": draft.amount("fee"),
        "manager_key": _reference(draft.code("manager")),
    }
    key, at = text.key(number), pa.array(parent)
    draft.settle(key)
    draft.add("mandate", key, register_number=number, **columns)
    draft.add(
        "mandate_lot",
        text.key(number.take(at), building.take(at), lot),
        parent=parent,
        soft=True,
        mandate_key=key.take(at),
        lot_key=text.key(building.take(at), lot),
    )


def leases(draft: Draft, guaranteed: pa.Array) -> None:
    """BAUX.CSV → lease and its parties. `guaranteed`: `<d>/<tenant key>` of each tenant with a guarantor."""
    number, tenant = draft.code("lease", filled=True), draft.code("tenant", filled=True)
    mandate = draft.code("mandate")
    building, lot = draft.code("building", filled=True), draft.code("lot", filled=True)
    columns = {
        "lease_type": draft.text("lease_type"),
        "start_date": draft.date("start"),
        "end_date": draft.date("end"),
        "rent": draft.amount("rent"),
        "charges": draft.amount("charges"),
        "deposit": draft.amount("deposit"),
    }
    key, person = text.key(number), person_key("L", tenant)
    draft.settle(key)
    draft.add("lease", key, lot_key=text.key(building, lot), mandate_key=_reference(mandate), **columns)
    draft.add("lease_party", suffixed(key, "P"), lease_key=key, person_key=person, quality="principal")
    draft.add(
        "lease_party",
        suffixed(key, "GA"),
        where=truth(pc.is_in(draft.of_delivery(person), value_set=guaranteed)),
        lease_key=key,
        person_key=suffixed(person, "GA"),
        quality="guarantor",
    )


def _reference(code: pa.Array) -> pa.Array:
    """An optional reference of one part: null when empty (a missing part of a longer key would be `-`)."""
    return pc.if_else(pc.is_valid(code), text.key(code), None)
