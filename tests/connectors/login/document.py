"""A small writer of LOGIN documents, so that a test shows the one element it is about."""

import gzip
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from connectors.base import Delivery, Known, Permitted
from schemas.ids import System, agency_code
from tests.leave import may_read

AGENCY = agency_code("A0009")
SIRET = "91234567800021"
NAME = "LOGIN-A0009-20260106T010000Z.xml.gz"
FIRST = "2026-01-05T02:00:00+01:00"
SECOND = "2026-01-06T02:00:00+01:00"
CURSOR = "2026-01-05T01:00:00Z"  # the same instant as FIRST, in UTC
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_SECTIONS = {
    "Personnes": ("PersonnePhysique", "PersonneMorale", "Indivision"),
    "Immeubles": ("Immeuble",),
    "Lots": ("Lot",),
    "Coproprietaires": ("Coproprietaire",),
    "Bailleurs": ("Bailleur",),
    "Mandats": ("Mandat",),
    "Locataires": ("Locataire",),
    "Baux": ("Bail",),
    "Collaborateurs": ("Collaborateur",),
    "Comptes": ("Compte",),
    "Banques": ("CoordonneesBancaires",),
    "Documents": ("Document",),
    "Suppressions": ("Suppression",),
}


def _element(xml: str) -> str:
    found = re.match(r"<(\w+)", xml)
    assert found, "an object begins with its element"
    return found[1]


def envoi(
    *objects: str,
    mode: str = "complet",
    since: str | None = None,
    until: str = FIRST,
    prolog: str = '<?xml version="1.0" encoding="UTF-8"?>',
    namespace: str = "urn:login:extranet:2",
    version: str = 'version="2.3"',
    code: str = AGENCY,
    siret: str = SIRET,
    totals: Mapping[str, str] | None = None,
) -> str:
    """The text of a document with these objects, each in its section, and totals that are right unless given."""
    sections, counts = "", {}
    for section, elements in _SECTIONS.items():
        mine = [xml for xml in objects if _element(xml) in elements]
        counts[section.lower()] = str(len(mine))
        sections += f"<{section}>{''.join(mine)}</{section}>" if mine else ""
    counts |= totals or {}
    said = " ".join(f'{name}="{count}"' for name, count in counts.items())
    window = f'depuis="{since}" jusqua="{until}"' if since else f'jusqua="{until}"'
    return (
        f'{prolog}<Envoi xmlns="{namespace}" {XSI} {version} mode="{mode}" {window}>'
        f'<Agence siret="{siret}" code="{code}"/>{sections}'
        f"<Totaux {said}/></Envoi>"
    )


def delta(*objects: str, since: str = FIRST, until: str = SECOND) -> str:
    """The text of a change that follows the first document."""
    return envoi(*objects, mode="delta", since=since, until=until)


def delivered(folder: Path, data: bytes | str, name: str = NAME, *, packed: bool = True) -> Permitted:
    """The document as a file; text is written in UTF-8."""
    raw = data.encode() if isinstance(data, str) else data
    path = folder / name
    path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
    return may_read(Delivery(AGENCY, System.LOGIN, name, datetime(2026, 1, 6, 6, tzinfo=UTC), path=path))


KNOWN = Known(siret=SIRET, cursor=CURSOR)
