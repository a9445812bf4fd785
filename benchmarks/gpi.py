"""A portfolio as GPI sends it: records of 512 bytes in cp850, a complete envoi or one with the changed records only."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.columns import Ints, Mask, body, either, filled, joined, number, only, picked, truth, where
from benchmarks.people import COMPANY, COUPLE, ESTATE, FIRST_NAMES, JOINT, LAST_NAMES, NATURAL, People
from benchmarks.portfolio import LABELS, Agency, Block, Night, blocks, days

LENGTH = 512
_END = b"\r\n"
_OVERPUNCH = "}JKLMNOPQR"  # a negative amount carries its sign in its last figure
_OWNER, _LANDLORD, _TENANT = "CO", "PR", "LO"
Columns = dict[str, pa.Array | str]
Records = tuple[str, Columns, str]  # type, fields, and the kind of line of `Block.changed`


def file_name(agency: Agency, night: Night) -> str:
    return f"GPI{agency.code}.{night.number:06}"


def write(agency: Agency, night: Night, folder: Path) -> Path:
    """The envoi of a night: complete while nothing changes, differential when something did."""
    target = folder / file_name(agency, night)
    with target.open("wb") as out:
        _Envoi(out, agency, night).write()
    return target


@cache
def layout() -> dict[str, dict[str, tuple[int, int, str]]]:
    """First byte, last byte (from 1) and kind of every field of each record, from the contract's data."""
    said = tomllib.loads((files("connectors") / "layouts" / "gpi-01.02.toml").read_text("utf-8"))
    return {kind: {**said["prefix"], **fields} for kind, fields in said["record"].items()}


class _Envoi:
    """One file while it grows."""

    def __init__(self, out: BinaryIO, agency: Agency, night: Night) -> None:
        self._out, self._agency, self._night = out, agency, night
        self._differential = night.version > 0
        self._count: Counter[str] = Counter()
        self._cents = 0

    def write(self) -> None:
        self._add("00", 1, self._header())
        for block in blocks(self._agency, self._night):
            for kind, columns, of in _records(block):
                self._part(block, kind, columns, of)
        self._add("99", 1, self._trailer())

    def _part(self, block: Block, kind: str, columns: Columns, of: str) -> None:
        mask = _changed(block, kind, of) if self._differential else None
        if mask is not None and not mask.any():
            return
        chosen = {name: where(c, mask) if isinstance(c, pa.Array) else c for name, c in columns.items()}
        rows = next(len(column) for column in chosen.values() if isinstance(column, pa.Array))
        if kind == "60":
            balance = block.accounts.balance
            self._cents += int(balance.sum() if mask is None else balance[mask].sum())
        self._add(kind, rows, chosen)

    def _header(self) -> Columns:
        agency, night = self._agency, self._night
        return {
            "SIRET": agency.siret, "RAISOC": agency.name, "NUMENV": f"{night.number:06}", "DATENV": f"{night.day:%d%m%y}",
            "HEUENV": "021000", "TYPENV": "D" if self._differential else "C", "NUMPRE": f"{night.number - 1:06}",
            "VERSTR": "0102", "JEUCAR": "CP850",
        }  # fmt: skip

    def _trailer(self) -> Columns:
        counts = {
            field: f"{self._count[field[2:]]:0{last - first + 1}}"
            for field, (first, last, _) in layout()["99"].items()
            if field.startswith("NB")
        }
        counts["NBRENR"] = f"{self._count.total() + 1:09}"
        return {**counts, "CTLSOL": _amount(np.array([self._cents]), 16)[0].as_py()}

    def _add(self, kind: str, rows: int, columns: Columns) -> None:
        columns = {
            "TYPENR": kind, "CODMVT": "I" if kind in ("00", "99") or not self._differential else "M",
            "NUMSEQ": number(np.arange(rows) + self._count.total() + 1, 7), "CODAGE": self._agency.code, **columns,
        }  # fmt: skip
        self._out.write(_fixed(layout()[kind], columns))
        self._count[kind] += rows


def _fixed(fields: dict[str, tuple[int, int, str]], columns: Columns) -> bytes:
    """Fields at their places, blanks between them. Every character is one byte in cp850."""
    unknown = columns.keys() - fields.keys()
    if unknown:
        raise ValueError(f"no such fields: {unknown}")
    parts: list[pa.Array | str] = []
    at = 1
    for name, (first, last, _) in sorted(fields.items(), key=lambda field: field[1]):
        parts += [" " * (first - at), _padded(columns.get(name, ""), last - first + 1)]
        at = last + 1
    rows = joined(*parts, " " * (LENGTH + 1 - at), _END.decode())
    return body(rows).encode("cp850")


def _padded(cells: pa.Array | str, width: int) -> pa.Array | str:
    if isinstance(cells, str):
        return cells[:width].ljust(width)
    return pc.utf8_slice_codeunits(pc.utf8_rpad(pc.fill_null(cells, ""), width, " "), 0, width)


def _changed(block: Block, kind: str, of: str) -> Mask:
    if of == "person":
        return block.changed["person"][_PART[kind](block)]
    if of == "lot":
        return block.changed["lot"]
    return block.changed.get(of, np.zeros(block.sizes().get(of, 0), np.bool_))


_PART: dict[str, Callable[[Block], slice]] = {
    "20": lambda block: slice(0, block.owners),
    "30": lambda block: slice(block.owners, block.owners + block.landlords),
    "40": lambda block: slice(block.owners + block.landlords, None),
}


# -- fields ---------------------------------------------------------------------------------------------------------


def _amount(cents: Ints, width: int) -> pa.Array:
    figures = number(np.abs(cents), width)
    signed = joined(pc.utf8_slice_codeunits(figures, 0, width - 1), picked(tuple(_OVERPUNCH), np.abs(cents) % 10))
    return either(cents < 0, signed, figures)


def _day(since_epoch: Ints) -> pa.Array:
    return days(since_epoch, "%d%m%y")


def _records(block: Block) -> Iterator[Records]:
    yield "10", _buildings(block), "building"
    yield "50", _staff(block), "staff"
    yield "20", _owners(block), "person"
    yield "30", _landlords(block), "person"
    yield "40", _tenants(block), "person"
    yield "15", _lots(block), "lot"
    yield "35", _mandates(block), "mandate"
    yield "45", _leases(block), "lease"
    yield "47", _guarantors(block), "guarantor"
    yield "55", _banks(block), "bank"
    yield "60", _balances(block), "account"
    yield "70", _documents(block), "document"


def _codes(people: People) -> pa.Array:
    natural = np.where(people.woman, np.where(people.born % 9 == 0, 3, 2), 1)
    kinds = [people.kind == COUPLE, people.kind == COMPANY, people.kind == JOINT, people.kind == ESTATE]
    return number(np.select(kinds, [4, 5, 6, 7], natural))


def _label(people: People) -> pa.Array:
    return either(people.kind == NATURAL, joined(people.last, "/", people.first), people.named())


def _figures(phones: pa.Array) -> pa.Array:
    """The ten places of a phone: figures alone, as they would be typed in."""
    bare = pc.replace_substring_regex(pc.replace_substring(phones, "+33", "0"), r"\(0\)|[^0-9]", "")
    return pc.utf8_slice_codeunits(bare, 0, 10)


def _person(block: Block, part: slice) -> Columns:
    people, address = block.people, block.people.address
    natural = people.kind == NATURAL
    columns: dict[str, pa.Array] = {
        "CODQUA": _codes(people), "NOMPRE": _label(people), "ADRL3": address.complement, "ADRL4": address.street,
        "CODPOS": address.postal_code, "LIBACH": address.city, "CODPAY": either(address.abroad, "BEL", "FRA"),
        "TELDOM": _figures(block.landline), "TELPOR": _figures(block.mobile),
        "ADRMEL": only(truth(pc.less(pc.utf8_length(people.email), 50)), people.email),
        "NOMCJT": only(natural & (people.born % 8 == 0), block.spouse),
    }  # fmt: skip
    return {name: column[part] for name, column in columns.items()}


def _building(ids: Ints) -> pa.Array:
    return joined("I", number(ids, 5))


def _code(kind: str, ids: Ints) -> pa.Array:
    return joined({_OWNER: "C", _LANDLORD: "P", _TENANT: "L"}[kind], number(ids, 7))


def _manager(block: Block, manager: Ints) -> pa.Array:
    return number(manager + block.first["staff"] + 1, 4)


def _buildings(block: Block) -> Columns:
    of = block.buildings
    return {
        "CODIMM": _building(block.ids("building")), "NOMIMM": of.name, "IMMATR": joined("AA", number(of.registry, 7)),
        "ADRL4": of.address, "CODPOS": of.postal_code, "LIBACH": of.city, "CODPAY": "FRA", "CODINS": of.insee,
        "NBLOTS": "00025", "TYPGES": picked(("S", "M"), of.registry % 2), "CODGES": _manager(block, of.manager),
        "DATENT": "010115",
    }  # fmt: skip


def _staff(block: Block) -> Columns:
    ids = block.ids("staff")
    name = joined(picked(LAST_NAMES, ids % len(LAST_NAMES)), "/", picked(FIRST_NAMES, ids % len(FIRST_NAMES)))
    return {
        "CODGES": number(ids, 4), "FONCTI": picked(("GE", "AD", "CO"), ids % 3), "CODQUA": number(ids % 2 + 1),
        "NOMPRE": name, "TELLIG": _figures(block.staff.phone), "ADRMEL": joined("gestion", number(ids), "@agence.test"),
    }  # fmt: skip


def _owners(block: Block) -> Columns:
    part = slice(0, block.owners)
    right = block.right[part]
    return _person(block, part) | {
        "CODIMM": _building(block.owner_building + block.first["building"] + 1),
        "NUMCOP": _code(_OWNER, block.ids("owner")), "CODDRO": picked(("P", "U", "N", "P"), right),
        "CODDEM": picked((" ", " ", " ", "I"), right), "TOPMEL": picked(("O", "N", " "), block.people.consent[part]),
        "DATENT": _day(block.since[part]),
    }  # fmt: skip


def _landlords(block: Block) -> Columns:
    part = slice(block.owners, block.owners + block.landlords)
    return _person(block, part) | {
        "NUMPRO": _code(_LANDLORD, block.ids("landlord")), "FORJUR": block.people.form[part],
        "SIREN": pc.fill_null(block.people.siren[part], "000000000"),
    }  # fmt: skip


def _tenants(block: Block) -> Columns:
    part = slice(block.owners + block.landlords, None)
    people = block.people
    return _person(block, part) | {
        "NUMLOC": _code(_TENANT, block.ids("tenant")),
        "DATNAI": pc.fill_null(only(people.has_birth_date, _day(people.born))[part], "000000"),
        "LIENAI": only(people.has_birth_date, people.address.city)[part],
    }


def _lots(block: Block) -> Columns:
    of = block.lots
    return {
        "CODIMM": _building(of.building + block.first["building"] + 1), "NUMLOT": number(of.rank, 6),
        "TYPLOT": picked(("AP", "ST", "CA", "PK", "CO"), of.nature), "BATIME": picked(("A", "B", "C"), of.shares % 3),
        "ESCALI": number(of.area % 4 + 1), "ETAGE": number(of.floor), "PORTE": picked(("12", None, "G"), of.area % 3),
        "SURFAC": number(of.area, 7), "TANGEN": number(of.shares, 7), "TANBAS": "0010000",
        "NUMCOP": _code(_OWNER, of.owner + block.first["owner"] + 1), "DATMUT": _day(block.since[of.owner]),
    }  # fmt: skip


def _mandates(block: Block) -> Columns:
    of, ids = block.mandates, block.ids("mandate")
    return {
        "NUMMAN": number(ids, 8), "NUMREG": number(ids, 8), "NUMPRO": _code(_LANDLORD, block.ids("landlord")),
        "CODIMM": _building(block.lots.building[of.lot] + block.first["building"] + 1),
        "NUMLOT": number(block.lots.rank[of.lot], 6), "DATDEB": _day(of.start), "DATFIN": "000000",
        "TAUHON": number(of.fee, 5), "CODGES": _manager(block, of.manager),
    }  # fmt: skip


def _leases(block: Block) -> Columns:
    of = block.leases
    return {
        "NUMBAI": _lease(block, np.arange(block.tenants)), "NUMLOC": _code(_TENANT, block.ids("tenant")),
        "NUMMAN": number(of.mandate + block.first["mandate"] + 1, 8),
        "CODIMM": _building(block.lots.building[of.lot] + block.first["building"] + 1),
        "NUMLOT": number(block.lots.rank[of.lot], 6), "TYPBAI": picked(("89", "ME", "CO"), of.kind),
        "DATDEB": _day(of.start), "DATFIN": "000000", "LOYER": _amount(of.rent, 11), "CHARGE": _amount(of.charges, 11),
        "DEPGAR": _amount(of.rent, 11), "JOUECH": "05",
    }  # fmt: skip


def _lease(block: Block, tenant: Ints) -> pa.Array:
    return joined("B", number(tenant + block.first["lease"] + 1, 7))


def _guarantors(block: Block) -> Columns:
    """One for a quarter of the leases."""
    tenant = np.arange(0, block.tenants, 4)
    person = tenant + block.owners + block.landlords
    return {
        "NUMBAI": _lease(block, tenant), "NUMORD": "01", "CODQUA": "1", "NOMPRE": block.spouse.take(pa.array(person)),
        "ADRL4": block.people.address.street.take(pa.array(person)), "CODPAY": "FRA",
        "TELPOR": _figures(block.landline).take(pa.array(person)),
    }  # fmt: skip


def _party(block: Block, person: Ints) -> tuple[pa.Array, pa.Array]:
    """Type and number of persons of the block."""
    owner, landlord = person < block.owners, person < block.owners + block.landlords
    kind = picked((_OWNER, _LANDLORD, _TENANT), np.where(owner, 0, np.where(landlord, 1, 2)))
    owners = _code(_OWNER, person + block.first["owner"] + 1)
    landlords = _code(_LANDLORD, person - block.owners + block.first["landlord"] + 1)
    tenants = _code(_TENANT, person - block.owners - block.landlords + block.first["tenant"] + 1)
    return kind, either(owner, owners, either(landlord, landlords, tenants))


def _banks(block: Block) -> Columns:
    people = block.people
    person = np.flatnonzero(filled(people.iban))
    kind, who = _party(block, person)
    at = pa.array(person)
    return {
        "TYPTIE": kind, "NUMTIE": who, "IBAN": people.iban.take(at), "BIC": people.bic.take(at),
        "RUM": joined("RUM", number(person + block.first["person"], 12)), "DATSIG": _day(block.since[person]), "TOPREC": "O",
    }  # fmt: skip


def _balances(block: Block) -> Columns:
    of, ids = block.accounts, block.ids("account")
    kind, who = _party(block, np.arange(len(ids)))
    at = np.minimum(np.arange(len(ids)), block.owners - 1)
    building = _building(block.owner_building[at] + block.first["building"] + 1)
    called = of.called % 3 > 0
    return {
        "TYPTIE": kind, "NUMTIE": who, "CODIMM": only(np.arange(len(ids)) < block.owners, building),
        "NUMCPT": joined("45", number(ids, 10)), "DATARR": "040126", "SOLDE": _amount(of.balance, 14),
        "MTAPPE": only(called, _amount(of.called, 14)), "DATECH": either(called, _day(of.due), "000000"),
    }  # fmt: skip


def _documents(block: Block) -> Columns:
    of = block.documents
    kind, who = _party(block, of.person)
    code = joined("D", number(block.ids("document"), 9))
    return {
        "NUMDOC": code, "TYPDOC": picked(("PVAG", "BAIL", "QUIT", "DIV"), of.day % 4), "TYPTIE": kind, "NUMTIE": who,
        "DATDOC": _day(of.day), "LIBDOC": picked(LABELS, of.label), "NOMFIC": joined(pc.utf8_lower(code), ".pdf"),
        "EMPREI": joined(number(of.day, 32), number(of.person, 32)), "VISIBI": picked(("T", "I", "C"), of.day % 3),
    }  # fmt: skip
