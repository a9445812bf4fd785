"""The lists inside objects: contacts, links, shares, rights on lots, seats in councils, parties of leases (login.md).

A container that a changed object brings replaces the whole set; one that it does not bring leaves the held rows alone.
Each function returns row frames; rows of lines that are quarantined for another reason are dropped by the caller.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.login.layout import Layout
from connectors.login.objects import Items, Objects, Positions
from connectors.login.recall import Owned, Recall, kept, of_kind
from connectors.login.values import boolean
from connectors.normalise import amounts, contacts, dates, enums, frame, text
from connectors.normalise.octets import Mask, truth
from schemas.records import RECORDS

_ENTRIES = {"email": "Courriels", "phone": "Telephones"}
_QUOTE_PART = r"^(?P<num>[^/]+)/(?P<den>[^/]+)$"


def unchanged(record: str, owned: Owned, objects: Objects, **instead: pa.Array) -> pa.Table:
    """Held rows once more, as rows of the line that leaves them as they are; `instead` gives columns that do change."""
    fields = {f.name: owned.column(f.name) for f in RECORDS[record].fields if f.name != "merged_into"}
    return frame.rows(
        record, line=objects.line[owned.parent], source_key=owned.column("source_key"), **{**fields, **instead}
    )  # fmt: skip


def _reference(objects: Objects, tag: str, name: str) -> pa.Array:
    """A reference of the items of a container."""
    value = objects.item_text(tag, name)
    parent = objects.items[tag].parent
    objects.scientific[parent[text.scientific(value)]] = True
    return value


def _day(objects: Objects, tag: str, name: str) -> pa.Array:
    value, bad, sentinel = dates.parse(objects.item_text(tag, name), "AAAA-MM-JJ")
    parent = objects.items[tag].parent
    objects.wrong_item(parent, bad, "row.bad_date")
    objects.note(parent, text.flag(sentinel, "sentinel"))
    return value


def _number(objects: Objects, tag: str, value: pa.Array) -> pa.Array:
    number, bad = amounts.digits(value)
    objects.wrong_item(objects.items[tag].parent, bad, "row.bad_number")
    return number


def _listed(objects: Objects, tag: str, name: str, table: Mapping[str, str]) -> pa.Array:
    value, bad = enums.closed(objects.item_text(tag, name), table)
    objects.wrong_item(objects.items[tag].parent, bad, "row.bad_enum")
    return value


def _at(column: pa.Array, parent: Positions) -> pa.Array:
    """The values of the objects that the items belong to."""
    return column.take(pa.array(parent))


def _in_reading_order(items: Items) -> tuple[Positions, pa.Array]:
    """E-mails with `principal` first, then in document order."""
    first = truth(boolean(text.n1(items.values["@principal"])[0]))
    order = np.lexsort((np.arange(len(items.parent)), ~first, items.parent))
    return items.parent[order], items.values["."].take(pa.array(order))


def _of_objects(objects: Objects, parent: Positions, tokens: contacts.Tokens) -> contacts.Tokens:
    """Tokens of the items as tokens of their objects, and the flags noted there."""
    objects.note(parent, tokens.flags)
    return replace(tokens, parent=parent[tokens.parent])


def contact_rows(objects: Objects, recall: Recall, country: pa.Array, postal_code: pa.Array) -> list[pa.Table]:
    """E-mails and phones. Numbers are read in the region of the address that holds after this line (N8)."""
    for tag in _ENTRIES.values():
        objects.item_text(tag, ".")  # a line break inside a value is flagged (N1)
    writers, written = _in_reading_order(objects.items["Courriels"])
    callers, dialled = objects.items["Telephones"].parent, objects.items["Telephones"].values["."]
    emails = contacts.emails(written)
    phones = contacts.phones(dialled, _at(country, callers), _at(postal_code, callers))
    fresh = contacts.contact_rows(
        objects.line, objects.key, [_of_objects(objects, writers, emails)], [_of_objects(objects, callers, phones)]
    )  # fmt: skip
    owned = recall.owned("contact", objects)
    stay = [kept(of_kind(owned, kind), objects.items[tag].present) for kind, tag in _ENTRIES.items()]
    return [fresh, *(unchanged("contact", rows, objects) for rows in stay)]


def _links(objects: Objects, tag: str, kind: pa.Array, num: pa.Array | None, den: pa.Array | None) -> pa.Table:
    items = objects.items[tag]
    member = _reference(objects, tag, "@ref")
    group = _at(objects.key, items.parent)
    return frame.rows(
        "person_link",
        line=objects.line[items.parent],
        source_key=text.key(group, member, kind),
        keep=truth(pc.is_valid(member)),  # an element without `ref` names nobody: the set is empty
        group_key=group, member_key=member, kind=kind, share_num=num, share_den=den,
    )  # fmt: skip


def _members(objects: Objects, layout: Layout) -> pa.Table:
    kind = _listed(objects, "Membres", "@droit", layout.codes["members"])
    part = pc.extract_regex(objects.item_text("Membres", "@quotePart"), _QUOTE_PART)
    num, den = (_number(objects, "Membres", pc.struct_field(part, name)) for name in ("num", "den"))
    return _links(objects, "Membres", kind, num, den)


def person_links(objects: Objects, layout: Layout, recall: Recall) -> list[pa.Table]:
    """Members of a group, its common agent, the representative of a group or a company."""
    single = {"MandataireCommun": "common_agent", "Representant": "representative"}
    fresh = [_members(objects, layout)]
    for tag, kind in single.items():
        fresh.append(_links(objects, tag, pa.array([kind] * len(objects.items[tag].parent), pa.string()), None, None))
    owned = recall.owned("person_link", objects)
    kinds = {"Membres": tuple(layout.codes["members"].values()), **{tag: (kind,) for tag, kind in single.items()}}
    stay = [kept(of_kind(owned, *words), objects.items[tag].present) for tag, words in kinds.items()]
    return [*fresh, *(unchanged("person_link", rows, objects) for rows in stay)]


def lot_shares(objects: Objects, recall: Recall) -> list[pa.Table]:
    """Shares of a lot, one row a share code."""
    items = objects.items["Cles"]
    lot, code = _at(objects.key, items.parent), _reference(objects, "Cles", "@cle")
    shares, base = (_number(objects, "Cles", objects.item_text("Cles", name)) for name in ("@valeur", "@base"))
    fresh = frame.rows(
        "lot_share", line=objects.line[items.parent], source_key=text.key(lot, code),
        lot_key=lot, share_code=code, shares=shares, base=base,
    )  # fmt: skip
    return [fresh, unchanged("lot_share", kept(recall.owned("lot_share", objects), items.present), objects)]


def co_ownerships(objects: Objects, layout: Layout, recall: Recall, person: pa.Array) -> list[pa.Table]:
    """Rights of a co-owner on lots. Held rows get the person that the role has now."""
    items = objects.items["Lots"]
    lot = _reference(objects, "Lots", "@ref")
    right = _listed(objects, "Lots", "@droit", layout.codes["rights"])
    fresh = frame.rows(
        "co_ownership", line=objects.line[items.parent], source_key=text.key(_at(objects.key, items.parent), lot),
        lot_key=lot, person_key=_at(person, items.parent), right=right.fill_null("unknown"),
        start_date=_day(objects, "Lots", "@depuis"), end_date=_day(objects, "Lots", "@jusqua"),
    )  # fmt: skip
    stay = kept(recall.owned("co_ownership", objects), items.present)
    return [fresh, unchanged("co_ownership", stay, objects, person_key=_at(person, stay.parent))]


def _seat(objects: Objects, parent: Positions) -> pa.Array:
    """The key of a seat: that of the role, with a suffix."""
    return pc.binary_join_element_wise(text.key(_at(objects.key, parent)), "CS", ":")


def council_memberships(
    objects: Objects, recall: Recall, person: pa.Array, building: pa.Array, known: Mask
) -> list[pa.Table]:
    """Seats in the council of the role's building. `known`: objects of which we can tell it (held, or said in full)."""
    items = objects.items["ConseilSyndical"]
    stay = kept(recall.owned("council_membership", objects), items.present)
    homeless = truth(pc.is_null(building)) & known
    objects.wrong_item(items.parent, homeless[items.parent], "row.missing_key")
    fresh = frame.rows(
        "council_membership", line=objects.line[items.parent], source_key=_seat(objects, items.parent),
        person_key=_at(person, items.parent), building_key=_at(building, items.parent),
        function=objects.item_text("ConseilSyndical", "@fonction"),
        start_date=_day(objects, "ConseilSyndical", "@depuis"), end_date=_day(objects, "ConseilSyndical", "@jusqua"),
    )  # fmt: skip
    moved = {"person_key": _at(person, stay.parent), "building_key": _at(building, stay.parent)}
    return [fresh, unchanged("council_membership", stay, objects, **moved)]


def mandate_lots(objects: Objects, recall: Recall) -> list[pa.Table]:
    """Lots under a mandate."""
    items = objects.items["Lots"]
    mandate, lot = _at(objects.key, items.parent), _reference(objects, "Lots", "@ref")
    fresh = frame.rows(
        "mandate_lot", line=objects.line[items.parent], source_key=text.key(mandate, lot),
        mandate_key=mandate, lot_key=lot,
    )  # fmt: skip
    stay = kept(recall.owned("mandate_lot", objects), items.present)
    return [fresh, unchanged("mandate_lot", stay, objects)]


def lease_parties(objects: Objects, recall: Recall) -> list[pa.Table]:
    """Tenants, named by their role, and guarantors, named as persons."""
    items = objects.items["Parties"]
    lease = _at(objects.key, items.parent)
    guarantor = truth(pc.equal(items.tag, "Garant"))
    role, person = _reference(objects, "Parties", "@ref"), _reference(objects, "Parties", "@personne")
    principal = truth(boolean(objects.item_text("Parties", "@principal")))
    quality = pa.array(["co_tenant", "principal", "guarantor"]).take(pa.array(np.where(guarantor, 2, principal)))
    fresh = frame.rows(
        "lease_party", line=objects.line[items.parent], source_key=text.key(lease, pc.coalesce(role, person), quality),
        lease_key=lease, person_key=person, via={"person_key": role}, quality=quality,
        jointly_liable=boolean(objects.item_text("Parties", "@solidaire")),
        start_date=_day(objects, "Parties", "@depuis"), end_date=_day(objects, "Parties", "@jusqua"),
    )  # fmt: skip
    stay = kept(recall.owned("lease_party", objects), items.present)
    return [fresh, unchanged("lease_party", stay, objects)]
