"""A portfolio as LOGIN sends it: one gzipped XML document, complete, or a delta with the changed parts only."""

import gzip
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.columns import Ints, Mask, body, either, filled, joined, number, only, picked, where, within
from benchmarks.people import COMPANY, COUPLE, ESTATE, FIRST_NAMES, JOINT, LAST_NAMES, NATURAL, People
from benchmarks.portfolio import LABELS, LEASES, NATURES, Agency, Block, Night, blocks, days

# Section, and the counter of it in `Totaux`, in the order of the schema.
_SECTIONS = {
    "Personnes": "personnes", "Immeubles": "immeubles", "Lots": "lots", "Coproprietaires": "coproprietaires",
    "Bailleurs": "bailleurs", "Mandats": "mandats", "Locataires": "locataires", "Baux": "baux",
    "Collaborateurs": "collaborateurs", "Comptes": "comptes", "Banques": "banques", "Documents": "documents",
    "Suppressions": "suppressions",
}  # fmt: skip
_TITLES = {COUPLE: "M_MME", JOINT: "INDIVISION", ESTATE: "SUCCESSION"}
Part = tuple[str, pa.Array]


def file_name(agency: Agency, night: Night) -> str:
    return f"LOGIN-{agency.code}-{night.day:%Y%m%d}T010000Z.xml.gz"


def write(agency: Agency, night: Night, folder: Path) -> Path:
    """The document of a night. Sections lie beside it until they are put together; a block at a time is in memory."""
    target = folder / file_name(agency, night)
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        for block in blocks(agency, night):
            for section, objects in _changes(block) if night.version else _objects(block):
                if len(objects):
                    with (Path(beside) / section).open("ab") as part:
                        part.write(body(joined(objects, "\n")).encode())
                    count[section] += len(objects)
        # No name and no instant in the stream: the same portfolio gives the same bytes.
        with target.open("wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as out:
            out.write(_opening(agency, night).encode())
            for section in (s for s in _SECTIONS if count[s]):
                out.write(f"<{section}>\n".encode())
                with (Path(beside) / section).open("rb") as part:
                    shutil.copyfileobj(part, out, 1 << 20)
                out.write(f"</{section}>\n".encode())
            totals = " ".join(f'{attribute}="{count[section]}"' for section, attribute in _SECTIONS.items())
            out.write(f"<Totaux {totals}/>\n</Envoi>\n".encode())
    return target


def _opening(agency: Agency, night: Night) -> str:
    until = f'jusqua="{night.day}T02:00:00+01:00"'
    since = f'mode="delta" depuis="{night.day - timedelta(days=1)}T02:00:00+01:00"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Envoi xmlns="urn:login:extranet:2"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="2.3"'
        f" {since if night.version else 'mode=' + chr(34) + 'complet' + chr(34)} {until}>\n"
        f'<Agence siret="{agency.siret}" code="{agency.code}"/>\n'
    )


# -- pieces of XML ----------------------------------------------------------------------------------------------------


def _element(name: str, text: pa.Array) -> pa.Array:
    return within(f"<{name}>", _escaped(text), f"</{name}>")


def _attribute(name: str, text: pa.Array) -> pa.Array:
    return within(f' {name}="', _escaped(text), '"')


def _escaped(text: pa.Array) -> pa.Array:
    return pc.replace_substring(pc.replace_substring(text, "&", "&amp;"), "<", "&lt;")


def _id(prefix: str, ids: Ints) -> pa.Array:
    return joined(prefix, number(ids, 8))


def _whole(
    name: str, ids: pa.Array, attributes: pa.Array | str = "", inside: pa.Array | str = "", action: str = "C"
) -> pa.Array:
    """One object a row."""
    return joined(f'<{name} id="', ids, f'" action="{action}"', attributes, ">", inside, f"</{name}>")


def _day(since_epoch: Ints) -> pa.Array:
    return days(since_epoch, "%Y-%m-%d")


def _decimal(hundredths: Ints) -> pa.Array:
    return joined(number(hundredths // 100), ".", number(hundredths % 100, 2))


# -- what changed -----------------------------------------------------------------------------------------------------


def _changes(block: Block) -> Iterator[Part]:
    """Only the parts that changed (`action="M"`)."""
    moved = block.changed
    for name, mask in _by_element(block.people).items():
        here = mask & moved["person"]
        people = _id("p-", block.ids("person")[here])
        yield "Personnes", _whole(name, people, inside=where(_telephones(block), here), action="M")
    lots, mandates, leases = block.lots, block.mandates, block.leases
    accounts, documents = block.accounts, block.documents
    yield _modified("Lots", "Lot", "l-", block, "lot", _attribute("surface", _decimal(lots.area)))
    yield _modified("Mandats", "Mandat", "md-", block, "mandate", _attribute("honoraires", _decimal(mandates.fee)))
    yield _modified("Baux", "Bail", "bx-", block, "lease", inside=_element("Charges", _decimal(leases.charges)))
    yield _modified("Comptes", "Compte", "ct-", block, "account", _balance(accounts.balance))
    yield _modified(
        "Documents", "Document", "d-", block, "document", inside=_element("Libelle", picked(LABELS, documents.label))
    )


def _modified(
    section: str,
    name: str,
    prefix: str,
    block: Block,
    kind: str,
    attributes: pa.Array | str = "",
    inside: pa.Array | str = "",
) -> Part:
    mask = block.changed[kind]
    about, within = (where(part, mask) if isinstance(part, pa.Array) else part for part in (attributes, inside))
    return section, _whole(name, _id(prefix, block.ids(kind)[mask]), about, within, action="M")


# -- everything ---------------------------------------------------------------------------------------------------------


def _objects(block: Block) -> Iterator[Part]:
    for part in _persons(block):
        yield "Personnes", part
    yield "Immeubles", _buildings(block)
    yield "Lots", _lots(block)
    yield "Coproprietaires", _owners(block)
    yield "Bailleurs", _role(block, "Bailleur", "b-", "landlord", block.owners)
    yield "Mandats", _mandates(block)
    yield "Locataires", _role(block, "Locataire", "lo-", "tenant", block.owners + block.landlords)
    yield "Baux", _leases(block)
    yield "Collaborateurs", _staff(block)
    yield "Comptes", _accounts(block)
    yield "Banques", _banks(block)
    yield "Documents", _documents(block)


def _by_element(people: People) -> dict[str, Mask]:
    company, group = people.kind == COMPANY, (people.kind != COMPANY) & (people.kind != NATURAL)
    return {"PersonnePhysique": people.kind == NATURAL, "PersonneMorale": company, "Indivision": group}


def _persons(block: Block) -> Iterator[pa.Array]:
    people, ids = block.people, _id("p-", block.ids("person"))
    reached = joined(_emails(people), _telephones(block), _address(people), _consent(people))
    natural = joined(
        _element("Civilite", picked(("M", "MME"), people.woman.astype(np.int64))), _element("Nom", people.last),
        _element("NomNaissance", people.birth_name), _element("Prenoms", people.first),
        _element("NeLe", only(people.has_birth_date, _day(people.born))),
        _element("NeA", only(people.has_birth_date, people.address.city)),
    )  # fmt: skip
    company = joined(
        "<Civilite>STE</Civilite>", _element("RaisonSociale", people.company), _element("FormeJuridique", people.form)
    )
    title = pc.coalesce(*(only(people.kind == kind, pa.repeat(text, len(ids))) for kind, text in _TITLES.items()))
    group = joined(_element("Civilite", title), _element("Libelle", people.named()))
    member = _id("p-", _member(block))
    members = joined(
        '<Membres><Membre ref="',
        member,
        '" droit="IN" quotePart="1/2"/></Membres><MandataireCommun ref="',
        member,
        '"/>',
    )
    parts = {
        "PersonnePhysique": joined(natural, reached),
        "PersonneMorale": joined(company, reached, within('<Representant ref="', member, '"/>')),
        "Indivision": joined(group, reached, members),
    }
    siren = pc.fill_null(_attribute("siren", people.siren), "")
    for name, mask in _by_element(people).items():
        yield _whole(name, where(ids, mask), where(siren, mask), where(parts[name], mask))


def _member(block: Block) -> Ints:
    """A natural person of the block for each of its persons."""
    natural = np.flatnonzero(block.people.kind == NATURAL)
    return block.ids("person")[natural[np.arange(len(block.people.kind)) % len(natural)]]


def _emails(people: People) -> pa.Array:
    first = within('<Courriel principal="true">', people.email, "</Courriel>")
    second = within('<Courriel principal="false">', people.second_email, "</Courriel>")
    given = filled(people.email) | filled(people.second_email)
    return only(given, joined("<Courriels>", first, second, "</Courriels>"))


def _telephones(block: Block) -> pa.Array:
    mobile = within('<Telephone type="mobile">', block.mobile, "</Telephone>")
    landline = within('<Telephone type="fixe">', block.landline, "</Telephone>")
    return joined("<Telephones>", mobile, landline, "</Telephones>")


def _address(people: People) -> pa.Array:
    of = people.address
    return joined(
        "<Adresse>", _element("Ligne3", of.complement), _element("Ligne4", of.street), _element("CodePostal", of.postal_code),
        _element("Localite", of.city), _element("CodeInsee", of.insee), "<Pays>", either(of.abroad, "BE", "FR"), "</Pays></Adresse>",
    )  # fmt: skip


def _consent(people: People) -> pa.Array:
    return _element("AccordDemat", picked(("true", "false", None), people.consent))


def _buildings(block: Block) -> pa.Array:
    of, ids = block.buildings, block.ids("building")
    attributes = joined(
        _attribute("immatriculation", joined("AA", number(of.registry, 7))), ' syndic="true" gerance="',
        picked(("true", "false"), of.registry % 2), '"', _attribute("gestionnaire", _id("g-", of.manager + block.first["staff"] + 1)),
    )  # fmt: skip
    inside = joined(
        _element("Code", joined("I", number(ids, 5))), _element("Nom", of.name), "<Adresse>", _element("Ligne4", of.address),
        _element("CodePostal", of.postal_code), _element("Localite", of.city), _element("CodeInsee", of.insee), "</Adresse>",
    )  # fmt: skip
    return _whole("Immeuble", _id("im-", ids), attributes, inside)


def _lots(block: Block) -> pa.Array:
    of = block.lots
    attributes = joined(
        _attribute("immeuble", _id("im-", of.building + block.first["building"] + 1)), _attribute("numero", number(of.rank)),
        _attribute("nature", picked(NATURES, of.nature)), _attribute("batiment", picked(("A", "B", "C"), of.shares % 3)),
        _attribute("etage", number(of.floor)), _attribute("surface", _decimal(of.area)),
    )  # fmt: skip
    share = joined('<Cles><Tantiemes cle="GEN" valeur="', number(of.shares), '" base="10000"/></Cles>')
    return _whole("Lot", _id("l-", block.ids("lot")), attributes, share)


def _owners(block: Block) -> pa.Array:
    owner = np.arange(block.owners)
    attributes = joined(
        _attribute("personne", _id("p-", owner + block.first["person"] + 1)),
        _attribute("immeuble", _id("im-", block.owner_building + block.first["building"] + 1)),
    )
    droit = picked(("PP", "US", "NP", "IN"), block.right[: block.owners])
    tail = joined('" droit="', droit, '" depuis="', _day(block.since[: block.owners]), '"/>')
    first = np.searchsorted(block.lots.owner, owner)
    one = joined('<LotRef ref="', _id("l-", first + block.first["lot"] + 1), tail)
    two = joined('<LotRef ref="', _id("l-", first + block.first["lot"] + 2), tail)
    second = only(np.bincount(block.lots.owner, minlength=block.owners) > 1, two)
    council = only(block.council[: block.owners], pa.repeat('<ConseilSyndical depuis="2024-12-01"/>', block.owners))
    return _whole(
        "Coproprietaire", _id("c-", block.ids("owner")), attributes, joined("<Lots>", one, second, "</Lots>", council)
    )


def _role(block: Block, name: str, prefix: str, kind: str, start: int) -> pa.Array:
    ids = block.ids(kind)
    return _whole(
        name,
        _id(prefix, ids),
        _attribute("personne", _id("p-", np.arange(len(ids)) + start + block.first["person"] + 1)),
    )


def _mandates(block: Block) -> pa.Array:
    of, ids = block.mandates, block.ids("mandate")
    attributes = joined(
        _attribute("registre", number(ids)), _attribute("bailleur", _id("b-", block.ids("landlord"))),
        _attribute("debut", _day(of.start)), _attribute("honoraires", _decimal(of.fee)),
        _attribute("gestionnaire", _id("g-", of.manager + block.first["staff"] + 1)),
    )  # fmt: skip
    return _whole(
        "Mandat",
        _id("md-", ids),
        attributes,
        joined('<Lots><LotRef ref="', _id("l-", of.lot + block.first["lot"] + 1), '"/></Lots>'),
    )


def _leases(block: Block) -> pa.Array:
    of, ids = block.leases, block.ids("lease")
    attributes = joined(
        _attribute("lot", _id("l-", of.lot + block.first["lot"] + 1)),
        _attribute("mandat", _id("md-", of.mandate + block.first["mandate"] + 1)), _attribute("type", picked(LEASES, of.kind)),
        _attribute("effet", _day(of.start)),
    )  # fmt: skip
    tenant = _id("lo-", block.ids("tenant"))
    guarantor = _id("p-", _member(block)[: len(ids)])
    parties = joined(
        '<Parties><Titulaire ref="', tenant, '" principal="true" solidaire="true" depuis="', _day(of.start), '"/>',
        only(np.arange(len(ids)) % 4 == 0, joined('<Garant personne="', guarantor, '"/>')), "</Parties>",
    )  # fmt: skip
    money = joined(
        _element("Loyer", _decimal(of.rent)),
        _element("Charges", _decimal(of.charges)),
        _element("DepotGarantie", _decimal(of.rent)),
    )
    return _whole("Bail", _id("bx-", ids), attributes, joined(parties, money))


def _staff(block: Block) -> pa.Array:
    ids = block.ids("staff")
    attributes = joined(
        _attribute("identifiant", joined("g", number(ids))), ' fonction="GESTIONNAIRE" administrateur="',
        picked(("false", "true"), (ids % 9 == 1).astype(np.int64)), '"',
    )  # fmt: skip
    inside = joined(
        _element("Nom", picked(LAST_NAMES, ids % len(LAST_NAMES))), _element("Prenoms", picked(FIRST_NAMES, ids % len(FIRST_NAMES))),
        _element("Courriel", joined("gestion", number(ids), "@agence.test")), _element("Telephone", block.staff.phone),
    )  # fmt: skip
    return _whole("Collaborateur", _id("g-", ids), attributes, inside)


def _balance(cents: Ints) -> pa.Array:
    return joined(
        _attribute("montant", _decimal(np.abs(cents))),
        _attribute("sens", picked(("D", "C"), (cents < 0).astype(np.int64))),
    )


def _accounts(block: Block) -> pa.Array:
    of, ids = block.accounts, block.ids("account")
    person = np.arange(len(ids))
    owner, landlord = person < block.owners, person < block.owners + block.landlords
    landlords = _id("b-", person - block.owners + block.first["landlord"] + 1)
    tenants = _id("lo-", person - block.owners - block.landlords + block.first["tenant"] + 1)
    holder = either(owner, _id("c-", person + block.first["owner"] + 1), either(landlord, landlords, tenants))
    called = of.called % 3 > 0
    attributes = joined(
        _attribute("titulaire", holder), _attribute("numero", joined("45", number(ids, 10))), ' au="2026-01-04"',
        _balance(of.balance), _attribute("appel", only(called, _decimal(of.called))), _attribute("echeance", only(called, _day(of.due))),
    )  # fmt: skip
    return _whole("Compte", _id("ct-", ids), attributes)


def _banks(block: Block) -> pa.Array:
    people = block.people
    person = np.flatnonzero(filled(people.iban))
    ids, at = person + block.first["person"] + 1, pa.array(person)
    attributes = joined(
        _attribute("personne", _id("p-", ids)), _attribute("iban", people.iban.take(at)), _attribute("bic", people.bic.take(at)),
        _attribute("rum", joined("RUM", number(ids, 12))), _attribute("signeLe", _day(block.since[person])),
    )  # fmt: skip
    return _whole("CoordonneesBancaires", _id("bq-", ids), attributes)


def _documents(block: Block) -> pa.Array:
    of, ids = block.documents, block.ids("document")
    attributes = joined(
        _attribute("type", picked(("PVAG", "BAIL", "QUIT", "DIV"), of.day % 4)), _attribute("audience", picked(("TOUS", "INDIVIDUEL", "CONSEIL"), of.day % 3)),
        _attribute("personne", _id("p-", of.person + block.first["person"] + 1)), _attribute("date", _day(of.day)),
        _attribute("sha256", joined(number(of.day, 32), number(of.person, 32))), _attribute("fichier", joined("d", number(ids), ".pdf")),
    )  # fmt: skip
    return _whole("Document", _id("d-", ids), attributes, _element("Libelle", picked(LABELS, of.label)))
