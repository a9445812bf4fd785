"""What a file of unknown origin seems to be, and what it says of itself. Nothing of it is believed or shown."""

import gzip
import re
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from connectors.base import Known
from connectors.gpi import envoi
from connectors.gpi.layout import layout as gpi_layout
from connectors.login import proof as login_proof
from connectors.login.layout import layout as login_layout
from connectors.portal.layout import load as portal_layout
from connectors.sdgi import archive, control, layout as sdgi_layout
from schemas.errors import DeliveryRefused
from schemas.ids import System
from store import register

AGENCIES = "agencies"
_NAMES: tuple[tuple[str, System | str], ...] = (
    (r"SDGI_.{5}_[0-9]{8}_[0-9]{4}\.zip", System.SDGI),
    (r"GPI.{5}\.[0-9]{6}", System.GPI),
    (r"LOGIN-.{5}-[0-9]{8}T[0-9]{6}Z\.xml\.gz", System.LOGIN),
    (r"SPILASUITE_.{5}_[0-9]{8}\.sqlite", System.SPILASUITE),
    (r"PORTAIL_(COMPTES|RATTACHEMENTS)_[0-9]{8}\.csv", System.PORTAL),
    (r"AGENCES_[0-9]{8}\.csv", AGENCIES),
)
_BEGINNING = 4096
_NOBODY = "A0000"


@dataclass(frozen=True, slots=True)
class Guess:
    """What a file seems to be. `name`: its own where that fits, else one made up; `agency`: the code in that name."""

    system: System | str
    name: str
    name_fits: bool
    agency: str | None
    known: Known


def guess(path: Path) -> Guess | None:
    """By name, else by content. None: neither fits any contract."""
    named = next((system for pattern, system in _NAMES if re.fullmatch(pattern, path.name)), None)
    system = named or _by_content(path)
    if system is None:
        return None
    code, made_up, known = _SAYS.get(system, _nothing)(path)
    name = path.name if named else made_up
    found = re.match(r"(?:SDGI_|GPI|LOGIN-|SPILASUITE_)(.{5})", name)
    # A database tells its agency itself: nothing names it before it is read.
    return Guess(system, name, named is not None, code if system is System.SPILASUITE else found and found[1], known)


def _by_content(path: Path) -> System | str | None:
    with path.open("rb") as file:
        start = file.read(_BEGINNING)
    header = start.partition(b"\n")[0].rstrip(b"\r")
    if start.startswith(b"PK\x03\x04") and b"CONTROLE.TXT" in start + _end_of(path):
        return System.SDGI
    if start.startswith(b"\x1f\x8b"):
        return System.LOGIN
    if start.startswith(b"SQLite format 3\0"):
        return System.SPILASUITE
    if re.match(rb"00.[0-9]{7}[A-Z0-9]{5}", start, re.DOTALL):
        return System.GPI
    if header in (portal_layout().header(f) for f in portal_layout().files):
        return System.PORTAL
    return AGENCIES if header == ";".join(register.HEADER).encode() else None


def _end_of(path: Path) -> bytes:
    """The last bytes of an archive: its directory names the members."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 16 * _BEGINNING, 0))
        return file.read()


# -- what a file says of itself: agency, a name that would fit it, and what its proof compares with ------------------

Said = tuple[str | None, str, Known]


def _nothing(path: Path) -> Said:
    return None, path.name, Known()


def _sdgi(path: Path) -> Said:
    newest = sdgi_layout.newest()
    with suppress(DeliveryRefused), path.open("rb") as file:
        unpacked = archive.unpack(file, (archive.CONTROL, *newest.files), newest.limits)
        said = control.read_control(unpacked.members[archive.CONTROL], newest.files)
        name = f"SDGI_{said.agency}_{said.stamp[:8]}_{said.stamp[8:]}.zip"
        return said.agency, name, Known(said.siret)
    return None, f"SDGI_{_NOBODY}_20260101_0000.zip", Known()


def _gpi(path: Path) -> Said:
    layout = gpi_layout()
    with path.open("rb") as file:
        head = file.read(layout.record_length).decode(layout.codec, "replace").encode(layout.codec, "replace")
    spans = layout.records[layout.header]
    said = {name: spans[name].of(head).decode("ascii", "replace").strip() for name in ("CODAGE", "NUMENV", "NUMPRE")}
    digits = {name: text if re.fullmatch("[0-9]{6}", text) else envoi.NONE_YET for name, text in said.items()}
    # As if the envoi that it follows had been the last one, unless it says that it follows a later one.
    follows = digits["NUMPRE"] if digits["NUMPRE"] < digits["NUMENV"] else None
    return said["CODAGE"], f"GPI{said['CODAGE'] or _NOBODY}.{digits['NUMENV']}", Known(cursor=follows)


def _login(path: Path) -> Said:
    layout = login_layout()
    with suppress(DeliveryRefused, gzip.BadGzipFile, zlib.error, EOFError):
        text, _ = login_proof.decoded(login_proof.unpacked(path, layout.limits), layout.encodings)
        login_proof.refuse_declarations(text)
        root = login_proof.parsed(text)
        agency = root.find(f"{{{layout.namespace}}}Agence")
        if agency is not None:
            delta, since, _ = login_proof.window(root)
            cursor = login_proof.cursor(since) if delta and since else None
            code = agency.get("code", "")
            return code, f"LOGIN-{code}-20260101T000000Z.xml.gz", Known(agency.get("siret"), cursor)
    return None, f"LOGIN-{_NOBODY}-20260101T000000Z.xml.gz", Known()


def _spilasuite(path: Path) -> Said:
    """The code in the name; where the name has none, the one that the database gives itself."""
    found = re.fullmatch(r"SPILASUITE_(.{5})_[0-9]{8}\.sqlite", path.name)
    code = found[1] if found else None
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        code = code or str(db.execute("SELECT code_agence FROM v_agence").fetchone()[0]).strip()
    return code, path.name, Known()


def _portal(_: Path) -> Said:
    return None, "PORTAIL_COMPTES_20260101.csv", Known()


_SAYS: dict[System | str, Callable[[Path], Said]] = {
    System.SDGI: _sdgi, System.GPI: _gpi, System.LOGIN: _login, System.SPILASUITE: _spilasuite, System.PORTAL: _portal,
}  # fmt: skip
