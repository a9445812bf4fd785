"""A portfolio as SDGI sends it: a ZIP of eleven CSV files and their control file, everything each time."""

import hashlib
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.columns import Ints, body, either, filled, joined, number, only, picked, truth, within
from benchmarks.people import COMPANY, COUPLE, ESTATE, FIRST_NAMES, JOINT, LAST_NAMES, NATURAL, People
from benchmarks.portfolio import LABELS, LEASES, NATURES, Agency, Block, Night, blocks, days

# How agencies write a title, by kind (NATURAL: men, then women).
_TITLES = (
    ("M", "M.", "Mr", "Monsieur"), ("Mme", "MME", "Mlle", "Madame"), ("M. et Mme", "M ET MME", "MR OU MME"),
    ("INDIVISION", "INDIV"), ("SUCCESSION", "SUCC"),
)  # fmt: skip
_KINDS = ("PVAG", "BAIL", "QUIT", "DIV")
Columns = dict[str, pa.Array | str]


def file_name(agency: Agency, night: Night) -> str:
    return f"SDGI_{agency.code}_{night.day:%Y%m%d}_0210.zip"


def write(agency: Agency, night: Night, folder: Path) -> Path:
    """The delivery of a night. CSV files lie beside it until they are zipped; a block at a time is in memory."""
    target = folder / file_name(agency, night)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        members = {name: _Member.begin(Path(beside) / name, header) for name, header in headers().items()}
        total = 0
        for block in blocks(agency, night):
            for name, columns in _tables(block):
                members[name].add(columns)
            total += int(block.accounts.balance.sum())
        members["SOLDES.CSV"].add_text(f"TOTAL;;;;;{_french(total)};;\r\n", 1)
        for member in members.values():
            member.body.close()
        _zip(target, agency, night, members)
    return target


@cache
def headers() -> dict[str, tuple[str, ...]]:
    """The header of each CSV file, from the contract's data."""
    text = (files("connectors") / "layouts" / "sdgi-1.4.toml").read_text("utf-8")
    return {name: tuple(columns) for name, columns in tomllib.loads(text)["files"].items()}


# -- files ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Member:
    """A CSV member while it grows."""

    path: Path
    header: tuple[str, ...]
    body: BinaryIO
    digest: "hashlib._Hash" = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    records: int = 0

    @classmethod
    def begin(cls, path: Path, header: tuple[str, ...]) -> "_Member":
        member = cls(path, header, path.open("wb"))
        member.add_text(";".join(header) + "\r\n", 0)
        return member

    def add(self, columns: Columns) -> None:
        unknown = columns.keys() - set(self.header)
        if unknown:
            raise ValueError(f"no such columns: {unknown}")
        cells = [_quoted(columns.get(name, "")) for name in self.header]
        rows = joined(joined(*cells, between=";"), "\r\n")
        self.add_text(body(rows), len(rows))

    def add_text(self, text: str, records: int) -> None:
        raw = text.encode("cp1252")
        self.body.write(raw)
        self.digest.update(raw)
        self.records += records


def _quoted(cells: pa.Array | str) -> pa.Array | str:
    """Quotes only where the contract needs them."""
    if isinstance(cells, str):
        return cells
    needed = pc.fill_null(pc.match_substring_regex(cells, '[;"\r\n]'), False)
    if not pc.any(needed).as_py():
        return cells
    return pc.if_else(needed, pc.binary_join_element_wise('"', pc.replace_substring(cells, '"', '""'), '"', ""), cells)


def _zip(target: Path, agency: Agency, night: Night, members: dict[str, _Member]) -> None:
    lines = [f"SDGI;1.4;{agency.code};{agency.siret};{night.day:%Y%m%d}0210"]
    lines += [f"{name};{m.records};{m.digest.hexdigest()}" for name, m in members.items()]
    lines.append(f"FIN;{len(members)}")
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_entry("CONTROLE.TXT"), "".join(f"{line}\r\n" for line in lines).encode("cp1252"))
        for name, member in members.items():
            with archive.open(_entry(name), "w") as packed, member.path.open("rb") as source:
                shutil.copyfileobj(source, packed, 1 << 20)


def _entry(name: str) -> ZipInfo:
    """A member without a clock in it: the same portfolio gives the same bytes."""
    entry = ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.compress_type = ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


# -- columns --------------------------------------------------------------------------------------------------------


def _french(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100},{abs(cents) % 100:02}"


def _amount(cents: Ints) -> pa.Array:
    """`1 234,56`; a credit with its sign behind, as some write it."""
    euros = np.abs(cents) // 100
    thousands, rest = euros // 1000, euros % 1000
    grouped = either(thousands > 0, joined(number(thousands), " ", number(rest, 3)), number(rest))
    sign = picked(("", "-"), (cents < 0).astype(np.int64))
    return joined(grouped, ",", number(np.abs(cents) % 100, 2), sign)


def _decimal(hundredths: Ints) -> pa.Array:
    return joined(number(hundredths // 100), ",", number(hundredths % 100, 2))


def _day(since_epoch: Ints) -> pa.Array:
    return days(since_epoch, "%d/%m/%Y")


def _short_day(since_epoch: Ints) -> pa.Array:
    return days(since_epoch, "%d/%m/%y")


def _building(ids: Ints) -> pa.Array:
    return joined("IM", number(ids, 5))


def _tables(block: Block) -> Iterator[tuple[str, Columns]]:
    yield "IMMEUBLES.CSV", _buildings(block)
    yield "LOTS.CSV", _lots(block)
    yield "COPROPRIETAIRES.CSV", _owners(block)
    yield "PROPRIETAIRES.CSV", _landlords(block)
    yield "MANDATS.CSV", _mandates(block)
    yield "LOCATAIRES.CSV", _tenants(block)
    yield "BAUX.CSV", _leases(block)
    yield "GESTIONNAIRES.CSV", _staff(block)
    yield "SOLDES.CSV", _balances(block)
    yield "DOCUMENTS.CSV", _documents(block)


def _titles(people: People) -> pa.Array:
    pool = [title for group in _TITLES for title in group]
    group = np.select(
        [people.kind == COUPLE, people.kind == JOINT, people.kind == ESTATE], [2, 3, 4], people.woman.astype(np.int64)
    )
    starts = np.cumsum([0, *map(len, _TITLES)])
    sizes = np.array([len(g) for g in _TITLES])
    spread = people.born % sizes[group]
    return either(people.kind == COMPANY, people.form, picked(pool, starts[group] + spread))


def _label(people: People) -> pa.Array:
    maiden = joined(people.last, " née ", people.birth_name, " ", people.first)
    known = (people.kind == NATURAL) & filled(people.birth_name)
    return either(known, maiden, people.named())


def _person(block: Block, part: slice) -> Columns:
    """Columns that three files share."""
    people = block.people
    both = joined(people.email, people.second_email, between=" ; ")
    columns = {
        "Civilité": _titles(people),
        "Nom": _label(people),
        "Téléphone 1": block.mobile,
        "Téléphone 2": block.landline,
        "Email": either(filled(people.second_email) & filled(people.email), both, people.email),
    }
    return {name: column[part] for name, column in columns.items()}


def _address(people: People, part: slice) -> Columns:
    address = people.address
    spread = people.born
    street = either(
        spread % 997 == 0, pc.replace_substring(address.street, " ", "\r\n", max_replacements=1), address.street
    )
    short = (spread % 499 == 0) & truth(pc.starts_with(address.postal_code, "0"))
    code = either(short, pc.utf8_slice_codeunits(address.postal_code, 1), address.postal_code)
    country = either(address.abroad, "BELGIQUE", picked(("FRANCE", None, "France"), spread % 3))
    columns = {
        "Adresse 1": street, "Adresse 2": address.complement, "Code postal": code, "Ville": address.city, "Pays": country,
    }  # fmt: skip
    return {name: column[part] for name, column in columns.items()}


def _buildings(block: Block) -> Columns:
    of = block.buildings
    return {
        "Code immeuble": _building(block.ids("building")), "Nom": of.name, "Adresse": of.address,
        "Code postal": of.postal_code, "Ville": of.city,
        "N° immatriculation": either(of.registry % 20 == 0, "NC", joined("AA", number(of.registry, 7))),
        "Syndic (O/N)": "O", "Gérance (O/N)": picked(("O", "N"), of.registry % 2),
        "Gestionnaire": _manager(block, of.manager),
    }  # fmt: skip


def _manager(block: Block, manager: Ints) -> pa.Array:
    return joined("G", number(manager + block.first["staff"] + 1, 3))


def _lots(block: Block) -> Columns:
    of = block.lots
    return {
        "Code immeuble": _building(of.building + block.first["building"] + 1), "N° lot": number(of.rank),
        "Nature": picked(NATURES, of.nature), "Bâtiment": picked(("A", "B", "C"), of.shares % 3),
        "Etage": number(of.floor), "Porte": picked(("12", None, "G"), of.area % 3), "Surface": _decimal(of.area),
        "Tantièmes généraux": number(of.shares), "Base": "10000", "N° copropriétaire": _owner(block, of.owner),
    }  # fmt: skip


def _owner(block: Block, owner: Ints) -> pa.Array:
    return number(block.owner_rank[owner], 4)


def _owners(block: Block) -> Columns:
    part, everyone = slice(0, block.owners), np.arange(block.owners)
    building = _building(block.owner_building + block.first["building"] + 1)
    of = block.people
    agent = only(everyone % 12 == 0, block.spouse[part])
    home = joined(of.address.street, " ", of.address.postal_code, " ", of.address.city)[part]
    return _person(block, part) | _address(of, part) | {
        "Code immeuble": building,
        "N° copropriétaire": _owner(block, everyone),
        "Lots": _owned(block),
        "Conseil syndical (O/N)": picked(("N", "O"), block.council[part].astype(np.int64)),
        "IBAN": of.iban[part],
        "BIC": only(filled(of.iban), of.bic)[part],
        "Date d'entrée": _short_day(block.since[part]),
        "Date de sortie": only(everyone % 500 == 0, pa.repeat("31/12/9999", block.owners)),
        "Gérant": agent,
        "Adresse gérant": only(everyone % 12 == 0, home),
    }  # fmt: skip


def _owned(block: Block) -> pa.Array:
    """`7` or `7, 8`: the lots of each owner, which follow each other."""
    first = np.searchsorted(block.lots.owner, np.arange(block.owners))
    count = np.bincount(block.lots.owner, minlength=block.owners)
    rank = block.lots.rank[first]
    return either(count > 1, joined(number(rank), ", ", number(rank + 1)), number(rank))


def _landlords(block: Block) -> Columns:
    part = slice(block.owners, block.owners + block.landlords)
    of = block.people
    return _person(block, part) | _address(of, part) | {
        "N° propriétaire": number(block.ids("landlord"), 5),
        "Représentant": only(of.kind == COMPANY, block.spouse)[part],
        "SIRET": within("", of.siren, "00013")[part],
        "IBAN": of.iban[part],
        "BIC": only(filled(of.iban), of.bic)[part],
    }  # fmt: skip


def _mandates(block: Block) -> Columns:
    of, ids = block.mandates, block.ids("mandate")
    return {
        "N° mandat": number(ids, 5), "N° propriétaire": number(block.ids("landlord"), 5),
        "Code immeuble": _building(block.lots.building[of.lot] + block.first["building"] + 1),
        "Lots": number(block.lots.rank[of.lot]), "Date début": _day(of.start),
        "Honoraires %": _decimal(of.fee), "Gestionnaire": _manager(block, of.manager),
    }  # fmt: skip


def _tenants(block: Block) -> Columns:
    part, count = slice(block.owners + block.landlords, None), np.arange(block.tenants)
    of = block.people
    columns = _person(block, part)
    return columns | {
        "N° locataire": number(block.ids("tenant"), 5),
        "Conjoint": only(count % 6 == 0, block.spouse[part]),
        "Date naiss.": only(of.has_birth_date, _short_day(of.born))[part],
        "Garant": only(count % 4 == 1, block.spouse[part]),
        "Téléphone garant": only(count % 4 == 1, block.mobile.take(pa.array(count))),
        "Adresse garant": only(count % 4 == 1, of.address.street[part]),
    }


def _leases(block: Block) -> Columns:
    of = block.leases
    return {
        "N° bail": joined("B", number(block.ids("lease"), 6)), "N° locataire": number(block.ids("tenant"), 5),
        "N° mandat": number(of.mandate + block.first["mandate"] + 1, 5),
        "Code immeuble": _building(block.lots.building[of.lot] + block.first["building"] + 1),
        "N° lot": number(block.lots.rank[of.lot]), "Type bail": picked(LEASES, of.kind), "Date d'entrée": _day(of.start),
        "Loyer": _amount(of.rent), "Charges": _amount(of.charges), "Dépôt de garantie": _amount(of.rent),
    }  # fmt: skip


def _staff(block: Block) -> Columns:
    of, ids = block.staff, block.ids("staff")
    return {
        "Code": joined("G", number(ids, 3)), "Nom": picked(LAST_NAMES, ids % len(LAST_NAMES)),
        "Prénom": picked(FIRST_NAMES, ids % len(FIRST_NAMES)), "Fonction": "GESTIONNAIRE",
        "Téléphone": of.phone, "Email": joined("gestion", number(ids), "@agence.test"),
        "Administrateur (O/N)": picked(("N", "O"), (ids % 9 == 1).astype(np.int64)),
        "Actif (O/N)": picked(("O", "N"), (ids % 50 == 0).astype(np.int64)),
    }  # fmt: skip


def _party(block: Block, person: Ints) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Type, building (co-owners only) and number of persons of the block."""
    owner, landlord = person < block.owners, person < block.owners + block.landlords
    kind = picked(("C", "P", "L"), np.where(owner, 0, np.where(landlord, 1, 2)))
    at = np.where(owner, person, 0)
    building = only(owner, _building(block.owner_building[at] + block.first["building"] + 1))
    landlords = number(person - block.owners + block.first["landlord"] + 1, 5)
    tenants = number(person - block.owners - block.landlords + block.first["tenant"] + 1, 5)
    return kind, building, either(owner, _owner(block, at), either(landlord, landlords, tenants))


def _balances(block: Block) -> Columns:
    of, ids = block.accounts, block.ids("account")
    kind, building, who = _party(block, np.arange(len(ids)))
    return {
        "Type tiers (C/P/L)": kind, "Code immeuble": building, "N° tiers": who, "N° compte": joined("45", number(ids, 10)),
        "Date": "04/01/2026", "Solde": _amount(of.balance), "Appel en cours": only(of.called % 3 > 0, _amount(of.called)),
        "Echéance": only(of.called % 3 > 0, _day(of.due)),
    }  # fmt: skip


def _documents(block: Block) -> Columns:
    of, ids = block.documents, block.ids("document")
    kind, building, who = _party(block, of.person)
    code = joined("DOC", number(ids, 7))
    return {
        "N° document": code, "Type": picked(_KINDS, of.day % len(_KINDS)), "Libellé": picked(LABELS, of.label),
        "Date": _day(of.day), "Code immeuble": building, "Type tiers": kind, "N° tiers": who,
        "Visibilité (T/I/C)": picked(("T", "I", "C"), of.day % 3), "Fichier": joined(pc.utf8_lower(code), ".pdf"),
    }  # fmt: skip
