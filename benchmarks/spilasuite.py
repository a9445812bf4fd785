"""A portfolio as SpiLaSuite shows it: a SQLite file with the twenty views of the contract.

A row that changed has a version above every version of the beginning, so that it alone is read the next time.
"""

import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.columns import Ints, Mask, either, filled, joined, number, only, picked
from benchmarks.people import COMPANY, COUPLE, ESTATE, FIRST_NAMES, JOINT, LAST_NAMES, NATURAL
from benchmarks.portfolio import LABELS, LEASES, NATURES, Agency, Block, Night, blocks, days

_LATER = 10**12  # versions of rows that changed start here
_TITLES = {COUPLE: "M ET MME", JOINT: "INDIVISION", ESTATE: "SUCCESSION"}
Columns = dict[str, pa.Array | str | int | None]
View = tuple[str, Columns, Mask | None]


def file_name(agency: Agency, night: Night) -> str:
    """A database has one name: what it says grows with its horizon."""
    return f"SPILASUITE_{agency.code}_{night.day:%Y%m%d}.sqlite"


def write(agency: Agency, night: Night, folder: Path) -> Path:
    target = folder / file_name(agency, night)
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for view, columns in layout().items():
            db.execute(f"CREATE TABLE {view} ({', '.join(f'{c} {kind}' for c, kind in columns.items())})")
        _fill(db, agency, night)
        db.execute("COMMIT")
    return target


@cache
def layout() -> dict[str, dict[str, str]]:
    """The columns of each view, with the types of the contract."""
    said = tomllib.loads((files("connectors") / "layouts" / "spilasuite-1.0.toml").read_text("utf-8"))
    return {view["name"]: {c["name"]: c["type"] for c in view["columns"]} for view in said["view"]}


def _fill(db: sqlite3.Connection, agency: Agency, night: Night) -> None:
    count = {view: 0 for view, columns in layout().items() if "rv" in columns and view != "v_horizon"}
    last = top = 0
    for block in blocks(agency, night):
        for view, columns, changed in _views(block):
            rows, last, top = _insert(db, view, columns, changed, last, top)
            count[view] += rows
    db.execute("INSERT INTO v_agence VALUES (1, ?, ?, ?, NULL, NULL)", (agency.code, agency.name, agency.siret))
    db.executemany("INSERT INTO v_controle VALUES (?, ?)", count.items())
    db.execute("INSERT INTO v_horizon VALUES (?)", (max(last, top),))


def _insert(
    db: sqlite3.Connection, view: str, columns: Columns, changed: Mask | None, last: int, top: int
) -> tuple[int, int, int]:
    """Adds rows to a view. Returns how many, the last version given, and the highest of a changed row."""
    rows = next(len(c) for c in columns.values() if isinstance(c, pa.Array))
    rv = np.arange(rows, dtype=np.int64) + last + 1
    if changed is not None and changed.any():
        rv = np.where(changed, rv + _LATER, rv)
        top = max(top, int(rv.max()))
    names = list(layout()[view])
    unknown = columns.keys() - set(names)
    if unknown:
        raise ValueError(f"no such columns: {unknown}")
    given = {**columns, "rv": pa.array(rv)}
    cells: list[Sequence[Any]] = [_cells(given.get(name), rows) for name in names]
    db.executemany(f"INSERT INTO {view} VALUES ({', '.join('?' * len(names))})", zip(*cells, strict=True))
    return rows, last + rows, top


def _cells(column: pa.Array | str | int | None, rows: int) -> Sequence[Any]:
    return column.to_pylist() if isinstance(column, pa.Array) else [column] * rows


# -- views ------------------------------------------------------------------------------------------------------------


def _day(since_epoch: Ints) -> pa.Array:
    return days(since_epoch, "%Y-%m-%d")


def _decimal(hundredths: Ints) -> pa.Array:
    return pa.array(hundredths / 100)


def _views(block: Block) -> Iterator[View]:
    changed = block.changed.get
    yield "v_tiers", _persons(block), changed("person")
    yield "v_utilisateur", _staff(block), None
    yield "v_immeuble", _buildings(block), None
    yield "v_copropriete", _coproprietes(block), None
    yield "v_lot", _lots(block), changed("lot")
    yield "v_lot_cle", _shares(block), None
    yield "v_lot_proprietaire", _owned(block), None
    yield "v_tiers_role", _roles(block), None
    yield "v_tiers_lien", _links(block), None
    yield "v_mandat", _mandates(block), changed("mandate")
    yield "v_mandat_lot", _mandate_lots(block), None
    yield "v_bail", _leases(block), changed("lease")
    yield "v_bail_tiers", _parties(block), None
    yield "v_compte", _accounts(block), changed("account")
    yield "v_coordonnees_bancaires", _banks(block), None
    yield "v_document", _documents(block), changed("document")


def _ids(ids: Ints) -> pa.Array:
    return pa.array(ids, pa.int64())


def _persons(block: Block) -> Columns:
    of, address = block.people, block.people.address
    natural, company = of.kind == NATURAL, of.kind == COMPANY
    title = picked(("M", "MME", " Monsieur ", "Mlle"), of.woman + 2 * (of.born % 5 == 0))
    for kind, text in _TITLES.items():
        title = either(of.kind == kind, text, title)
    return {
        "id_tiers": _ids(block.ids("person")), "id_agence": 1,
        "type_tiers": picked(("P", "M", "G"), np.where(natural, 0, np.where(company, 1, 2))),
        "civilite": either(company, of.form, title), "nom": either(natural, of.last, only(~company, of.named())),
        "nom_naissance": of.birth_name, "prenom": only(natural, of.first), "raison_sociale": of.company,
        "forme_juridique": of.form, "siren": of.siren, "date_naissance": only(of.has_birth_date, _day(of.born)),
        "lieu_naissance": only(of.has_birth_date, address.city), "adr_ligne2": "", "adr_ligne3": address.complement,
        "adr_ligne4": address.street, "code_postal": address.postal_code, "ville": address.city,
        "code_pays": either(address.abroad, "BE", "FR"), "tel_fixe": block.landline, "tel_mobile": block.mobile,
        "email": of.email, "email_2": of.second_email, "accord_demat": picked(("O", "N", None), of.consent),
    }  # fmt: skip


def _staff(block: Block) -> Columns:
    ids = block.ids("staff")
    return {
        "id_utilisateur": _ids(ids), "identifiant": joined("g", number(ids)), "nom": picked(LAST_NAMES, ids % len(LAST_NAMES)),
        "prenom": picked(FIRST_NAMES, ids % len(FIRST_NAMES)), "email": joined("gestion", number(ids), "@agence.test"),
        "telephone": block.staff.phone, "fonction": "GESTIONNAIRE", "est_administrateur": _ids((ids % 9 == 1).astype(np.int64)),
    }  # fmt: skip


def _buildings(block: Block) -> Columns:
    of, ids = block.buildings, block.ids("building")
    return {
        "id_immeuble": _ids(ids), "code_immeuble": joined("I", number(ids, 5)), "nom": of.name, "adr_ligne4": of.address,
        "code_postal": of.postal_code, "ville": of.city, "code_insee": of.insee, "en_syndic": 1, "en_gerance": _ids(of.registry % 2),
    }  # fmt: skip


def _coproprietes(block: Block) -> Columns:
    of, ids = block.buildings, block.ids("building")
    return {
        "id_copropriete": _ids(ids), "id_immeuble": _ids(ids), "immatriculation": joined("AA", number(of.registry, 7)),
        "type_copropriete": "Standard", "date_reglement": "1987-03-01", "date_derniere_actualisation": "2025-06-30",
        "id_gestionnaire": _ids(of.manager + block.first["staff"] + 1),
    }  # fmt: skip


def _lots(block: Block) -> Columns:
    of = block.lots
    return {
        "id_lot": _ids(block.ids("lot")), "id_immeuble": _ids(of.building + block.first["building"] + 1),
        "numero_lot": number(of.rank), "nature": picked(NATURES, of.nature), "batiment": picked(("A", "B", "C"), of.shares % 3),
        "etage": number(of.floor), "porte": picked(("12", None, "G"), of.area % 3), "surface": _decimal(of.area),
    }  # fmt: skip


def _shares(block: Block) -> Columns:
    return {
        "id_lot": _ids(block.ids("lot")), "code_cle": "GEN", "tantiemes": _ids(block.lots.shares), "base_tantiemes": 10_000,
    }  # fmt: skip


def _owned(block: Block) -> Columns:
    owner = block.lots.owner
    return {
        "id_lot": _ids(block.ids("lot")), "id_tiers": _ids(owner + block.first["person"] + 1),
        "nature_droit": picked(("PP", "US", "NP", "IN"), block.right[owner]), "date_debut": _day(block.since[owner]),
    }  # fmt: skip


def _roles(block: Block) -> Columns:
    """One a person, and one more for each member of a council."""
    person = np.concatenate([np.arange(len(block.people.kind)), np.flatnonzero(block.council[: block.owners])])
    council = np.arange(len(person)) >= len(block.people.kind)
    owner, landlord = person < block.owners, person < block.owners + block.landlords
    code = picked(
        ("COPRO", "PROPR", "LOCAT", "CSYND"), np.where(council, 3, np.where(owner, 0, np.where(landlord, 1, 2)))
    )
    seat = block.owner_building[np.minimum(person, block.owners - 1)] + block.first["building"] + 1
    first = block.first["person"] + block.first["owner"]  # at most so many before: ids need not be dense
    return {
        "id_role": _ids(np.arange(len(person)) + first + 1), "id_tiers": _ids(person + block.first["person"] + 1), "code_role": code,
        "type_objet": only(council, pa.repeat("COPROPRIETE", len(person))), "id_objet": pa.array(seat, mask=~council),
        "fonction": only(council, pa.repeat("MEMBRE", len(person))), "date_debut": _day(block.since[person]),
    }  # fmt: skip


def _links(block: Block) -> Columns:
    """A representative of each company, a member of each group."""
    of = block.people
    group, natural = np.flatnonzero(of.kind != NATURAL), np.flatnonzero(of.kind == NATURAL)
    member, ids = natural[np.arange(len(group)) % len(natural)], block.ids("person")
    kind = picked(("INDIVISAIRE", "REPRESENTANT"), (of.kind[group] == COMPANY).astype(np.int64))
    return {"id_tiers_groupe": _ids(ids[group]), "id_tiers_membre": _ids(ids[member]), "type_lien": kind}


def _mandates(block: Block) -> Columns:
    of, ids = block.mandates, block.ids("mandate")
    return {
        "id_mandat": _ids(ids), "numero_registre": number(ids), "id_tiers_proprietaire": _ids(block.ids("person")[block.owners :][: len(ids)]),
        "date_debut": _day(of.start), "taux_honoraires": _decimal(of.fee), "id_gestionnaire": _ids(of.manager + block.first["staff"] + 1),
    }  # fmt: skip


def _mandate_lots(block: Block) -> Columns:
    return {"id_mandat": _ids(block.ids("mandate")), "id_lot": _ids(block.mandates.lot + block.first["lot"] + 1)}


def _leases(block: Block) -> Columns:
    of = block.leases
    return {
        "id_bail": _ids(block.ids("lease")), "id_lot": _ids(of.lot + block.first["lot"] + 1),
        "id_mandat": _ids(of.mandate + block.first["mandate"] + 1), "type_bail": picked(LEASES, of.kind),
        "date_effet": _day(of.start), "loyer_hc": _decimal(of.rent), "provision_charges": _decimal(of.charges),
        "depot_garantie": _decimal(of.rent),
    }  # fmt: skip


def _parties(block: Block) -> Columns:
    tenants = block.ids("person")[block.owners + block.landlords :]
    return {
        "id_bail": _ids(block.ids("lease")), "id_tiers": _ids(tenants), "qualite": "PRINCIPAL", "solidaire": 1,
        "date_debut": _day(block.leases.start),
    }  # fmt: skip


def _accounts(block: Block) -> Columns:
    of, ids = block.accounts, block.ids("account")
    owner, called = np.arange(len(ids)) < block.owners, of.called % 3 > 0
    building = block.owner_building[np.minimum(np.arange(len(ids)), block.owners - 1)] + block.first["building"] + 1
    return {
        "id_compte": _ids(ids), "id_tiers": _ids(block.ids("person")), "type_objet": only(owner, pa.repeat("IMMEUBLE", len(ids))),
        "id_objet": pa.array(building, mask=~owner), "numero_compte": joined("45", number(ids, 10)), "solde": _decimal(of.balance),
        "date_solde": "2026-01-04", "montant_appele": pa.array(of.called / 100, mask=~called), "date_echeance": only(called, _day(of.due)),
    }  # fmt: skip


def _banks(block: Block) -> Columns:
    people = block.people
    person = np.flatnonzero(filled(people.iban))
    ids, at = block.ids("person")[person], pa.array(person)
    return {
        "id_coordonnees": _ids(ids), "id_tiers": _ids(ids), "iban": people.iban.take(at), "bic": people.bic.take(at),
        "rum": joined("RUM", number(ids, 12)), "date_signature_mandat": _day(block.since[person]),
    }  # fmt: skip


def _documents(block: Block) -> Columns:
    of, ids = block.documents, block.ids("document")
    return {
        "id_document": _ids(ids), "application": "S", "categorie": picked(("PVAG", "BAIL", "QUIT", "DIV"), of.day % 4),
        "libelle": picked(LABELS, of.label), "date_document": _day(of.day), "id_tiers": _ids(of.person + block.first["person"] + 1),
        "audience": picked(("TOUS", "INDIVIDUEL", "CONSEIL"), of.day % 3), "nom_fichier": joined("d", number(ids), ".pdf"),
        "sha256": joined(number(of.day, 32), number(of.person, 32)),
    }  # fmt: skip
