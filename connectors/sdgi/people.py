"""COPROPRIETAIRES, PROPRIETAIRES, LOCATAIRES: persons and what hangs on them (sdgi.md "Files")."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import text
from connectors.normalise.bank import iban
from connectors.normalise.distinct import looked_up
from connectors.normalise.ids import siren
from connectors.normalise.names import certain_split
from connectors.normalise.octets import Mask, truth
from connectors.normalise.titles import title
from connectors.sdgi.draft import Draft

_KINDS = {"COMPANY": "legal", "M_MME": "group", "JOINT_OWNERS": "group", "ESTATE": "group"}
_FORMS = ("SCI", "SARL", "SAS", "SASU", "SA", "SNC", "EURL")
Columns = dict[str, pa.Array]


def person_key(party: str, *parts: pa.Array) -> pa.Array:
    """`C:<building>:<number>`, `P:<number>` or `L:<number>`."""
    return pc.binary_join_element_wise(party, text.key(*parts), ":")


def suffixed(key: pa.Array, suffix: str) -> pa.Array:
    """A key with a suffix that the contract fixes (`GE`, `BQ` …)."""
    return pc.binary_join_element_wise(key, suffix, ":")


def co_owners(draft: Draft) -> None:
    """COPROPRIETAIRES.CSV: the person, its lots (soft), its council seat, its bank account, its representative."""
    building, number = draft.code("building", filled=True), draft.code("number", filled=True)
    key = person_key("C", building, number)
    person = {**_identity(draft), **_address(draft)}
    parent, lot = draft.codes("lots")
    council = draft.yes_no("council")
    start, end = draft.date("start"), draft.date("end")
    bank, representative = _bank(draft), _relative(draft, "representative", "representative_address")
    draft.settle(key)
    draft.add("person", key, **person)
    _contacts(draft, key, person)
    owner, at = number.take(pa.array(parent)), pa.array(parent)
    draft.add(
        "co_ownership",
        text.key(building.take(at), lot, owner),
        parent=parent,
        soft=True,
        lot_key=text.key(building.take(at), lot),
        person_key=key.take(at),
        right="unknown",
        start_date=start.take(at),
        end_date=end.take(at),
    )
    draft.add(
        "council_membership", suffixed(key, "CS"), where=truth(council), person_key=key, building_key=text.key(building)
    )
    bank.add(draft, key)
    representative.add(draft, key, "GE", "representative")


def landlords(draft: Draft) -> None:
    """PROPRIETAIRES.CSV: the person, its bank account, its representative."""
    key = person_key("P", draft.code("number", filled=True))
    person = {**_identity(draft), **_address(draft), "siren": siren(draft.text("siret"))}
    bank, representative = _bank(draft), _relative(draft, "representative")
    draft.settle(key)
    draft.add("person", key, **person)
    _contacts(draft, key, person)
    bank.add(draft, key)
    representative.add(draft, key, "RE", "representative")


def tenants(draft: Draft) -> pa.Array:
    """LOCATAIRES.CSV: the person, its spouse, its guarantor. Returns `<d>/<key>` of those who have a guarantor."""
    key = person_key("L", draft.code("number", filled=True))
    person = {**_identity(draft), "birth_date": draft.date("birth", window="birth")}
    spouse = _relative(draft, "spouse")
    guarantor = _relative(draft, "guarantor", "guarantor_address")
    draft.settle(key)
    draft.add("person", key, **person)
    _contacts(draft, key, {})
    spouse.add(draft, key, "CJ", "spouse")
    guarantor.add(draft, key, "GA", None)
    draft.add_contacts(suffixed(key, "GA"), phones=[draft.phones("guarantor_phone", where=guarantor.known)])
    return draft.of_delivery(key).filter(pa.array(draft.ok & guarantor.known))


def _identity(draft: Draft) -> Columns:
    """`Civilité` and `Nom`: kind, title, label, and the names when the label can be split for certain (N4, S1)."""
    said = draft.text("title")
    known = title(said)
    label = draft.text("label", mojibake=True)
    company = pc.equal(known, "COMPANY")
    last, birth, first = certain_split(label, known)
    return {
        "kind": looked_up(known.fill_null(""), lambda one: _KINDS.get(one, "natural")),
        "title_raw": said,
        "title": known,
        "last_name": last,
        "birth_name": birth,
        "first_names": first,
        "company_name": pc.if_else(company, label, None),
        "legal_form": looked_up(pc.if_else(company, text.fold(said), None), lambda one: one if one in _FORMS else None),
        "label_raw": label,
    }


def _address(draft: Draft) -> Columns:
    """`Adresse 1` is the street (AFNOR line 4), `Adresse 2` and `Adresse 3` what stands above and below it."""
    country = draft.country("country")
    return {
        "address_3": draft.text("address_1", mojibake=True),
        "address_1": draft.text("address_2", mojibake=True),
        "address_4": draft.text("address_3", mojibake=True),
        "postal_code": draft.postal_code("postal_code", country),
        "city": draft.text("city", mojibake=True),
        "country": country,
    }


def _contacts(draft: Draft, key: pa.Array, person: Columns) -> None:
    """`Téléphone 1`, `Téléphone 2`, `Email`; the postal code, where the file has one, gives the region of a number."""
    where = person.get("country"), person.get("postal_code")
    phones = [draft.phones(column, *where) for column in ("phone_1", "phone_2")]
    draft.add_contacts(key, emails=[draft.emails("email")], phones=phones)


@dataclass(frozen=True, slots=True)
class _Bank:
    """`IBAN` and `BIC`; a line without either has no bank detail."""

    iban: pa.Array
    bic: pa.Array
    filled: Mask

    def add(self, draft: Draft, key: pa.Array) -> None:
        draft.add("bank_detail", suffixed(key, "BQ"), where=self.filled, person_key=key, iban=self.iban, bic=self.bic)


def _bank(draft: Draft) -> _Bank:
    said, bic = draft.text("iban"), draft.text("bic")
    number, flags = iban(said)
    draft.flags |= flags
    return _Bank(number, bic, truth(pc.or_(pc.is_valid(said), pc.is_valid(bic))))


@dataclass(frozen=True, slots=True)
class _Relative:
    """Somebody known only by the line of another person: a representative, a spouse, a guarantor."""

    label: pa.Array
    address: pa.Array | None
    known: Mask

    def add(self, draft: Draft, key: pa.Array, suffix: str, link: str | None) -> None:
        member = suffixed(key, suffix)
        draft.add("person", member, where=self.known, kind="natural", label_raw=self.label, address_3=self.address)
        if link is not None:
            draft.add(
                "person_link",
                pc.binary_join_element_wise(key, member, link, ":"),
                where=self.known,
                group_key=key,
                member_key=member,
                kind=link,
            )


def _relative(draft: Draft, label: str, address: str | None = None) -> _Relative:
    """The address is read only where there is somebody to live there."""
    name = draft.text(label, mojibake=True)
    known = np.asarray(truth(pc.is_valid(name)))
    return _Relative(name, None if address is None else draft.text(address, mojibake=True, where=known), known)
