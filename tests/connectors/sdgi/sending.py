"""A small sender: builds SDGI deliveries, right ones and every kind of wrong one."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from connectors.base import Delivery, Known, Opened, Permitted, Recalled
from connectors.sdgi import Sdgi
from schemas.frames import BIT, Reading
from schemas.ids import AgencyCode, System
from tests.leave import may_read

SIRET = "91234567800013"
CODE = "A0002"
# The contract's own words, so that a slip in the layout file shows.
HEADERS = {
    "IMMEUBLES.CSV": "Code immeuble;Nom;Adresse;Code postal;Ville;N° immatriculation;Nb lots;Syndic (O/N);"
    "Gérance (O/N);Gestionnaire",
    "LOTS.CSV": "Code immeuble;N° lot;Nature;Bâtiment;Etage;Porte;Surface;Tantièmes généraux;Base;N° copropriétaire",
    "COPROPRIETAIRES.CSV": "Code immeuble;N° copropriétaire;Civilité;Nom;Adresse 1;Adresse 2;Adresse 3;Code postal;"
    "Ville;Pays;Téléphone 1;Téléphone 2;Email;Lots;Total tantièmes;Conseil syndical (O/N);IBAN;BIC;Date d'entrée;"
    "Date de sortie;Gérant;Adresse gérant",
    "PROPRIETAIRES.CSV": "N° propriétaire;Civilité;Nom;Représentant;SIRET;Adresse 1;Adresse 2;Adresse 3;Code postal;"
    "Ville;Pays;Téléphone 1;Téléphone 2;Email;IBAN;BIC",
    "MANDATS.CSV": "N° mandat;N° propriétaire;Code immeuble;Lots;Date début;Date fin;Honoraires %;Gestionnaire",
    "LOCATAIRES.CSV": "N° locataire;Civilité;Nom;Conjoint;Téléphone 1;Téléphone 2;Email;Date naiss.;Garant;"
    "Téléphone garant;Adresse garant",
    "BAUX.CSV": "N° bail;N° locataire;N° mandat;Code immeuble;N° lot;Type bail;Date d'entrée;Date de sortie;Loyer;"
    "Charges;Dépôt de garantie",
    "GESTIONNAIRES.CSV": "Code;Nom;Prénom;Fonction;Téléphone;Email;Administrateur (O/N);Actif (O/N)",
    "SOLDES.CSV": "Type tiers (C/P/L);Code immeuble;N° tiers;N° compte;Date;Solde;Appel en cours;Echéance",
    "DOCUMENTS.CSV": "N° document;Type;Libellé;Date;Code immeuble;Type tiers;N° tiers;Visibilité (T/I/C);Fichier",
    "SORTIES.CSV": "Type tiers (C/P/L);Code immeuble;N° tiers;Motif;N° remplaçant;Date",
}
Line = Sequence[str] | Mapping[str, str] | str


@dataclass
class Export:
    """A delivery about to be written. A line is a list of fields, the filled columns, or text sent as it is."""

    lines: dict[str, Sequence[Line]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)  # instead of header and lines
    total: str | None = "TOTAL;;;;;0,00;;"
    counts: dict[str, int] = field(default_factory=dict)  # instead of the real ones
    digests: dict[str, str] = field(default_factory=dict)
    control: bytes | None = None
    version: str = "1.4"
    code: str = CODE
    siret: str = SIRET
    stamp: str = "202601050210"
    name: str | None = None
    absent: Sequence[str] = ()
    further: Sequence[tuple[str, bytes]] = ()
    line_end: str = "\r\n"

    def member(self, file: str) -> bytes:
        if file in self.raw:
            return self.raw[file]
        header = self.headers.get(file, HEADERS[file])
        lines = [header, *(_text(header, line) for line in self.lines.get(file, ()))]
        if file == "SOLDES.CSV" and self.total is not None:
            lines.append(self.total)
        return "".join(line + self.line_end for line in lines).encode("cp1252")

    def records(self, file: str, raw: bytes) -> int:
        if file in self.counts:
            return self.counts[file]
        rows = csv.reader(io.StringIO(raw.decode("cp1252", "replace"), newline=""), delimiter=";")
        return max(sum(1 for row in rows if row) - 1, 0)

    def control_file(self, members: Mapping[str, bytes]) -> bytes:
        if self.control is not None:
            return self.control
        listed = [
            f"{file};{self.records(file, raw)};{self.digests.get(file, hashlib.md5(raw).hexdigest())}"
            for file, raw in members.items()
        ]
        first = f"SDGI;{self.version};{self.code};{self.siret};{self.stamp}"
        return "".join(f"{line}\r\n" for line in (first, *listed, f"FIN;{len(listed)}")).encode("cp1252")

    def write(self, folder: Path, method: int = zipfile.ZIP_DEFLATED) -> Permitted:
        name = self.name or f"SDGI_{self.code}_{self.stamp[:8]}_{self.stamp[8:]}.zip"
        members = {file: self.member(file) for file in HEADERS}
        sent = {"CONTROLE.TXT": self.control_file(members), **members}
        with zipfile.ZipFile(folder / name, "w", method) as archive:
            for member, raw in sent.items():
                if member not in self.absent:
                    archive.writestr(member, raw)
            for member, raw in self.further:
                archive.writestr(member, raw)
        return delivery(folder / name, self.code)


def _text(header: str, line: Line) -> str:
    """A line as a spreadsheet would write it: quotes only when needed."""
    if isinstance(line, str):
        return line
    fields = [line.get(column, "") for column in header.split(";")] if isinstance(line, Mapping) else line
    written = io.StringIO()
    csv.writer(written, delimiter=";").writerow(fields)
    return written.getvalue().removesuffix("\r\n")


def delivery(path: Path, code: str = CODE) -> Permitted:
    return may_read(Delivery(AgencyCode(code), System.SDGI, path.name, datetime(2026, 1, 9, tzinfo=UTC), path))


def opened(folder: Path, export: Export, cursor: str | None = None) -> Opened:
    return Sdgi().open(export.write(folder), Known(SIRET, cursor))


def read(folder: Path, export: Export) -> Reading:
    return Sdgi().read([opened(folder, export)], Recalled())


def read_lines(folder: Path, file: str, *lines: Line) -> Reading:
    """A delivery in which only one file has lines."""
    return read(folder, Export(lines={file: lines}))


def outcomes(reading: Reading, file: str) -> list[tuple[str, str]]:
    """Physical line, and the reason or the outcome, of each line of a file."""
    return [
        (line["loc"], line["reason"] or line["outcome"]) for line in reading.lines.to_pylist() if line["source"] == file
    ]


def flags(reading: Reading, file: str | None = None) -> list[set[str]]:
    """The flags of each line (of one file)."""
    return [
        {name for name, bit in BIT.items() if line["flags"] & bit}
        for line in reading.lines.to_pylist()
        if file in (None, line["source"])
    ]


def rows(reading: Reading, record: str, *columns: str) -> list[tuple[object, ...]]:
    """Some columns of the rows of a record, in order of key."""
    found = reading.rows.get(record)
    if found is None:
        return []
    ordered = sorted(found.to_pylist(), key=lambda row: str(row["source_key"]))
    return [tuple(row[column] for column in columns) for row in ordered]
