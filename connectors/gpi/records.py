"""What each type of record yields (contract GPI 01.02, "Keys" and "Records"): one function a type, by column."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from connectors.gpi.cells import Mask
from connectors.gpi.heard import Heard, Reached
from connectors.normalise import bank, contacts, ids, names, places, text
from connectors.normalise.octets import truth

ADDRESS = ("ADRL2", "ADRL3", "ADRL4", "ADRL5")


def building(r: Heard) -> None:
    code = r.part("CODIMM", required=True, of_key=True)
    managed = r.closed("TYPGES").fill_null("neither")
    r.label("NOMIMM", "ADRL4", "LIBACH")
    r.key = text.key(code)
    r.yields(
        "building", r.key,
        code=code, name=r.text("NOMIMM"), registry_number=r.code("IMMATR"),
        address_4=r.text("ADRL4"), postal_code=_postal_code(r, _country(r)[0]), city=r.text("LIBACH"),
        insee_code=r.code("CODINS"),
        is_syndic=_one_of(managed, "syndic", "both"), is_rental=_one_of(managed, "rental", "both"),
        manager_key=_reference(r.part("CODGES")),
    )  # fmt: skip


def lot(r: Heard) -> None:
    building_code, number = r.part("CODIMM", required=True, of_key=True), r.part("NUMLOT", required=True, of_key=True)
    owner = r.part("NUMCOP")
    r.key = text.key(building_code, number)
    r.yields(
        "lot", r.key,
        building_key=text.key(building_code), number=number, nature=r.text("TYPLOT"), block=r.text("BATIME"),
        staircase=r.text("ESCALI"), floor=r.text("ETAGE"), door=r.text("PORTE"), area_m2=r.number("SURFAC"),
    )  # fmt: skip
    shares = r.number("TANGEN")
    r.yields(
        "lot_share", _suffixed(r.key, "GEN"), when=truth(shares.is_valid()),
        lot_key=r.key, share_code=_all(r, "GEN"), shares=shares, base=r.number("TANBAS"),
    )  # fmt: skip
    # The right is the owner's, from his record 20 as last accepted: whoever holds that record fills it in.
    r.yields(
        "co_ownership", text.key(building_code, number, owner), when=truth(owner.is_valid()), soft=True,
        lot_key=r.key, person_key=_person_key(r, "CO", owner), right=_all(r, "unknown"), start_date=r.date("DATMUT"),
    )  # fmt: skip


def co_owner(r: Heard) -> None:
    r.key = _person_key(r, "CO", r.part("NUMCOP", required=True, of_key=True))
    r.date("DATENT")  # checked, not stored
    r.date("DATSOR")
    _person(r, r.key, phones=("TELPOR", "TELDOM"), digital_consent=_one_of(r.closed("TOPMEL"), "yes"))
    _spouse(r)
    by_holding = r.open("CODDEM", "HOLDING", "full").fill_null("full")
    by_right = r.open("CODDRO", "RIGHT", "other")
    right = pc.if_else(pc.equal(by_right, "other"), by_holding, by_right).fill_null("unknown")
    r.yields("holding", r.key, right=right)


def joint_owner(r: Heard) -> None:
    group = r.part("NUMCOP", required=True, of_key=True)
    r.key = text.key(_all(r, "CO"), group, r.part("NUMORD", required=True, of_key=True))
    _person(r, r.key)
    kind = r.open("CODDRO", "LINK", "joint_owner").fill_null("joint_owner")
    _link(r, _person_key(r, "CO", group), r.key, kind, share_num=r.number("QUONUM"), share_den=r.number("QUODEN"))
    agent = r.listed("TOPREP")
    _link(r, _person_key(r, "CO", group), r.key, _all(r, "common_agent"), when=agent)


def landlord(r: Heard) -> None:
    r.key = _person_key(r, "PR", r.part("NUMPRO", required=True, of_key=True))
    _person(r, r.key, phones=("TELPOR", "TELDOM"), legal_form=r.text("FORJUR"), siren=ids.siren(r.text("SIREN")))
    _spouse(r)


def mandate(r: Heard) -> None:
    own = r.part("NUMMAN", required=True, of_key=True)
    building_code, number = r.part("CODIMM"), r.part("NUMLOT")
    r.key = text.key(own)
    r.yields(
        "mandate", r.key,
        register_number=r.code("NUMREG"), landlord_key=_person_key(r, "PR", r.part("NUMPRO")),
        start_date=r.date("DATDEB"), end_date=r.date("DATFIN"), fee_rate=r.number("TAUHON"),
        manager_key=_reference(r.part("CODGES")),
    )  # fmt: skip
    r.yields(
        "mandate_lot", text.key(own, building_code, number), soft=True,
        when=truth(number.is_valid()),
        mandate_key=r.key, lot_key=text.key(building_code, number),
    )  # fmt: skip


def tenant(r: Heard) -> None:
    r.key = _person_key(r, "LO", r.part("NUMLOC", required=True, of_key=True))
    birth = {"birth_date": r.date("DATNAI", window="birth"), "birth_place": r.text("LIENAI")}
    _person(r, r.key, phones=("TELPOR", "TELDOM"), **birth)
    _spouse(r)


def lease(r: Heard) -> None:
    r.key = text.key(r.part("NUMBAI", required=True, of_key=True))
    signatory = r.part("NUMLOC", required=True)
    the_lot = text.key(r.part("CODIMM", required=True), r.part("NUMLOT", required=True))
    r.yields(
        "lease", r.key,
        lot_key=the_lot, mandate_key=_reference(r.part("NUMMAN")), lease_type=r.text("TYPBAI"),
        start_date=r.date("DATDEB"), end_date=r.date("DATFIN"),
        rent=r.amount("LOYER"), charges=r.amount("CHARGE"), deposit=r.amount("DEPGAR"),
    )  # fmt: skip
    r.yields(
        "lease_party", _suffixed(r.key, "LO"),
        lease_key=r.key, person_key=_person_key(r, "LO", signatory), quality=_all(r, "principal"),
    )  # fmt: skip


def guarantor(r: Heard) -> None:
    the_lease, order = r.part("NUMBAI", required=True, of_key=True), r.part("NUMORD", required=True, of_key=True)
    r.key = text.key(the_lease, order)
    person = text.key(_all(r, "GA"), the_lease, order)
    _person(r, person, phones=("TELPOR",))
    r.yields(
        "lease_party", text.key(the_lease, _all(r, "GA"), order),
        lease_key=text.key(the_lease), person_key=person, quality=_all(r, "guarantor"),
    )  # fmt: skip


def manager(r: Heard) -> None:
    login = r.part("CODGES", required=True, of_key=True)
    r.key = text.key(login)
    name = r.text("NOMPRE")
    r.label("NOMPRE", "ADRMEL")
    last, first = names.slash_split(name, _one_person(r))
    email, phone = r.tokens(contacts.emails(r.text("ADRMEL"))), r.tokens(contacts.phones(r.text("TELLIG")))
    r.yields(
        "staff", r.key,
        login=login, last_name=pc.if_else(pc.and_(last.is_null(), first.is_null()), name, last), first_names=first,
        email=contacts.first_value(email, len(r)), phone=contacts.first_value(phone, len(r)),
        function=r.text("FONCTI"), is_administrator=pa.array(r.listed("FONCTI")), inactive_from=r.date("DATSOR"),
    )  # fmt: skip


def bank_detail(r: Heard) -> None:
    holder = _person_key(r, *_holder(r, of_key=True))
    r.key = _suffixed(holder, "BQ")
    r.yields(
        "bank_detail", r.key,
        person_key=holder, iban=r.flagged(bank.iban(r.text("IBAN"))), bic=r.text("BIC"),
        mandate_reference=r.text("RUM"), signed_on=r.date("DATSIG"),
    )  # fmt: skip


def account(r: Heard) -> None:
    holder = _holder(r, of_key=True)
    building_code, number = r.part("CODIMM", of_key=True), r.part("NUMCPT", required=True, of_key=True)
    r.key = text.key(*holder, building_code, number)
    r.yields(
        "account", r.key,
        person_key=_person_key(r, *holder), building_key=_reference(building_code), number=number,
        balance=r.amount("SOLDE", required=True), as_of=r.date("DATARR"),
        called_amount=r.amount("MTAPPE"), due_date=r.date("DATECH"),
    )  # fmt: skip


def document(r: Heard) -> None:
    r.key = text.key(r.part("NUMDOC", required=True, of_key=True))
    r.label("LIBDOC")
    r.yields(
        "document", r.key,
        kind=r.text("TYPDOC"), label=r.text("LIBDOC"), document_date=r.date("DATDOC"),
        building_key=_reference(r.part("CODIMM")), person_key=_person_key(r, *_holder(r)),
        audience=r.closed("VISIBI", required=True), file_name=r.text("NOMFIC"), sha256=r.text("EMPREI"),
    )  # fmt: skip


def departure(r: Heard) -> None:
    """A record 80 ends the record 20, 30 or 40 of a person and says why."""
    kind, number = _holder(r, of_key=True)
    r.key = _person_key(r, kind, number)
    reason = r.closed("MOTIF", required=True)
    survivor = _person_key(r, kind, r.part("NUMREM"))
    r.departures = {
        "source": r.closed("TYPTIE", of_key=True),
        "reason": reason,
        "on": r.date("DATFIN", required=True),
        "merged_into": _where(pc.equal(reason, "DOUBLON"), survivor),
        "person": _where(pc.equal(reason, "EFFACEMENT"), r.key),
    }


# ---------------------------------------------------------------- persons


def _person(r: Heard, key: pa.Array, phones: tuple[str, ...] = (), **more: pa.Array) -> None:
    """A person and the ways to reach him. NOM/PRENOMS is split for one person only, and at exactly one `/` (N5)."""
    label, title = r.text("NOMPRE"), r.open("CODQUA", "CODQUA", "OTHER")
    last, first = names.slash_split(label, _one_person(r))
    country, unknown = _country(r)
    r.flag(unknown, "country_unknown")
    r.label("NOMPRE", *ADDRESS, "LIBACH", "ADRMEL")
    postal_code = _postal_code(r, country)
    lines = {f"address_{i}": r.text(name) for i, name in enumerate(ADDRESS, start=1)}
    r.yields(
        "person", key,
        kind=r.open("CODQUA", "KIND", "natural").fill_null("natural"), title_raw=r.text("CODQUA"), title=title,
        last_name=last, first_names=first, company_name=_where(pc.equal(title, "COMPANY"), label), label_raw=label,
        postal_code=postal_code, city=r.text("LIBACH"), country=country, **lines, **more,
    )  # fmt: skip
    emails = [r.tokens(contacts.emails(r.text("ADRMEL")))]
    numbers = [r.tokens(contacts.phones(r.text(name), country, postal_code)) for name in phones]
    r.reached.append(Reached(key, emails, numbers))


def _spouse(r: Heard) -> None:
    """The other half of the record: a person of his own, of whom only a name is known."""
    label = r.text("NOMCJT")
    there = truth(label.is_valid())
    r.label("NOMCJT")
    last, first = names.slash_split(label, there)
    spouse = _suffixed(r.key, "CJ")
    r.yields("person", spouse, when=there, kind=_all(r, "natural"), label_raw=label, last_name=last, first_names=first)
    _link(r, r.key, spouse, _all(r, "spouse"), when=there)


def _link(
    r: Heard, group: pa.Array, member: pa.Array, kind: pa.Array, when: Mask | None = None, **share: pa.Array
) -> None:
    key = pc.binary_join_element_wise(group, member, kind, ":")
    r.yields("person_link", key, when=when, group_key=group, member_key=member, kind=kind, **share)


def _one_person(r: Heard) -> Mask:
    return truth(pc.is_in(r.open("CODQUA", "CODQUA", "OTHER"), pa.array(["M", "MME"])))


def _country(r: Heard) -> tuple[pa.Array, Mask]:
    return places.country(r.text("CODPAY"), r.layout.codes["CODPAY"])


def _postal_code(r: Heard, country: pa.Array) -> pa.Array:
    value, zero = places.postal_code(r.code("CODPOS"), country)
    r.flag(zero, "excel_zero")
    return value


# ---------------------------------------------------------------- keys


def _holder(r: Heard, *, of_key: bool = False) -> tuple[pa.Array, pa.Array]:
    """TYPTIE and NUMTIE: the person they name."""
    r.closed("TYPTIE", of_key=of_key)
    kind, number = (r.part(name, required=of_key, of_key=of_key) for name in ("TYPTIE", "NUMTIE"))
    return kind, number


def _person_key(r: Heard, kind: str | pa.Array, number: pa.Array) -> pa.Array:
    kinds = _all(r, kind) if isinstance(kind, str) else kind
    return _where(pc.and_(kinds.is_valid(), number.is_valid()), text.key(kinds, number))


def _reference(part: pa.Array) -> pa.Array:
    """A key of one part as a reference: null when there is none."""
    return _where(part.is_valid(), text.key(part))


def _suffixed(key: pa.Array, suffix: str) -> pa.Array:
    return pc.binary_join_element_wise(key, suffix, ":")


def _all(r: Heard, value: str) -> pa.Array:
    return pa.repeat(value, len(r))


def _where(condition: pa.Array, value: pa.Array) -> pa.Array:
    return pc.if_else(condition, value, None)


def _one_of(value: pa.Array, *wanted: str) -> pa.Array:
    """Whether the value is one of these; null where it is null."""
    return _where(value.is_valid(), pc.is_in(value, pa.array(wanted)))


Yields = frozenset[str]

# Each type of record: what it can yield, and how it is heard.
TYPES: Mapping[str, tuple[Yields, Callable[[Heard], None]]] = {
    "10": (frozenset({"building"}), building),
    "15": (frozenset({"lot", "lot_share", "co_ownership"}), lot),
    "20": (frozenset({"person", "contact", "person_link", "holding"}), co_owner),
    "25": (frozenset({"person", "contact", "person_link"}), joint_owner),
    "30": (frozenset({"person", "contact", "person_link"}), landlord),
    "35": (frozenset({"mandate", "mandate_lot"}), mandate),
    "40": (frozenset({"person", "contact", "person_link"}), tenant),
    "45": (frozenset({"lease", "lease_party"}), lease),
    "47": (frozenset({"person", "contact", "lease_party"}), guarantor),
    "50": (frozenset({"staff"}), manager),
    "55": (frozenset({"bank_detail"}), bank_detail),
    "60": (frozenset({"account"}), account),
    "70": (frozenset({"document"}), document),
    "80": (frozenset(), departure),
}
