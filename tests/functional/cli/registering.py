"""Writing a register, and reading what was written."""

import csv
import datetime as dt
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from lxml import etree

from ledger.entry import Entry
from ledger.keys import LogKeys
from ledger.log import Log
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import open_root
from tests import engines
from tests.functional.cli.conftest import Desk

AT = ("--at", "2026-01-08")
COMMON = 'reference = "AVENANT-7"\nchannel = "letter"\ngiven_by = "gerance"\n'
IDENTITY = """\
name = "Exemple Logiciels"
address = "1 rue de l'Exemple, 75000 Paris"
contact = "contact@exemple.example"
dpo = "dpo@exemple.example"
"""
TRANSFER = f'kind = "transfer"\n{COMMON}tables = ["document"]\ncountry = "CH"\nrecipient = "Imprimerie Exemple"\n'
# Of each agency of the samples: what must never stand in the register of another one.
NAMES = {
    "A0001": ("A0001", "AGENCE L'OREE DU PARC 1", "90403487300011"),
    "A0002": ("A0002", "AGENCE L'OREE DU PARC 2", "94457746900017"),
    "A0003": ("A0003", "AGENCE VILLA HELENE 3", "97304523000016"),
}


def log(desk: Desk, agency: str) -> Log:
    home = Home.at(desk.home)
    return Log.at(home, AgencyCode(agency), LogKeys(home, open_root(home)))


def append(desk: Desk, agency: str, entry: Entry, at: str) -> None:
    log(desk, agency).append(entry, dt.datetime.fromisoformat(at))


def order(desk: Desk, agency: str, text: str, at: str = "2026-01-06") -> str:
    path = desk.root / "order.toml"
    path.write_text(text)
    said = desk("instruct", "--agency", agency, "--file", path, "--at", at, "--json")
    assert said.code == 0, said.err
    return str(said.json[0]["instruction"])


def written(desk: Desk, to: Path, *options: str) -> dict[str, Any]:
    """The register as JSON."""
    said = desk("register", "--to", to, *options, *(() if "--at" in options else AT))
    assert said.code == 0, said.err
    register: dict[str, Any] = json.loads((to / "register.json").read_text())
    return register


def records(register: dict[str, Any]) -> dict[str, dict[str, Any]]:
    parts = [register["article_30_2"], register["article_30_1"] or {"records": []}]
    return {r["id"]: r for part in parts for r in part["records"]}


def controller(register: dict[str, Any], agency: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in register["article_30_2"]["controllers"] if c["code"] == agency)
    return found


def everything(folder: Path) -> str:
    """All text of all files of a register, that inside the ODS too."""
    texts = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ods":
            with zipfile.ZipFile(path) as archive:
                texts += [archive.read(n).decode(errors="replace") for n in archive.namelist()]
        else:
            texts.append(path.read_text("utf-8-sig"))
    return "\n".join(texts)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""), delimiter=";"))


def sheets(path: Path) -> dict[str, list[list[str]]]:
    """The workbook read by a plain parser of XML, without the library that wrote it."""
    with zipfile.ZipFile(path) as archive:
        assert archive.read("mimetype") == b"application/vnd.oasis.opendocument.spreadsheet"
        assert archive.testzip() is None
        content = etree.fromstring(archive.read("content.xml"))
    ns = {"t": "urn:oasis:names:tc:opendocument:xmlns:table:1.0", "p": "urn:oasis:names:tc:opendocument:xmlns:text:1.0"}
    found = {}
    for table in content.iterfind(".//t:table", ns):
        rows = [
            [
                "\n".join("".join(map(str, p.itertext())) for p in cell.iterfind("p:p", ns))
                for cell in row.iterfind("t:table-cell", ns)
            ]
            for row in table.iterfind("t:table-row", ns)
        ]
        found[str(table.get(f"{{{ns['t']}}}name"))] = rows
    return found


def with_orders(night: Path, root: Path) -> Desk:
    """A copy of a home in which every agency has an order with a reference of its own."""
    engines.copied(night, root)
    desk = Desk(root)
    for agency in NAMES:
        own = COMMON.replace("AVENANT-7", f"AVENANT DE {agency[::-1]}")
        order(desk, agency, f'kind = "return"\n{own}tables = ["*"]\n')
    return desk
