"""Giving back and letting go: the return pack, what is due, and whether a certificate holds."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ledger import certificate
from ledger.certificate import Certificate
from ledger.log import Log
from pipelines.erasure import Broom, Outlook, outlook as _outlook
from pipelines.sync import code_version
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.records import CONTROLLER_TABLES, PROCESSOR_TABLES
from store import register
from store.agency import Shelf
from store.export import write_tables
from store.house import House
from store.keys import Keyring, open_root, signer


def export(
    home: Home, agency: AgencyCode | None, to: Path, passphrase: str | None = None
) -> tuple[bool, dict[str, int]]:
    """Write the return pack of an agency (None: the portal's own accounts): one file a table (art. 28(3)(g), R24).

    Whether the register knows the agency, and rows by table. Of an agency that holds nothing, or was erased, every
    table is empty: that is its whole data.
    """
    with House.open(home) as house:
        registered = agency is None or register.get(house.db, agency) is not None
    tables = PROCESSOR_TABLES if agency is not None else CONTROLLER_TABLES
    if not (home.shelf(agency).exists() and home.keyring(agency).exists()):
        return registered, write_tables(None, tables, to)
    root = open_root(home, passphrase)
    with Keyring.open(home, root, agency) as keyring, Shelf.open(home, keyring, agency) as shelf:
        return registered, write_tables(shelf, tables, to)


def outlook(
    home: Home, at: datetime, agencies: Collection[AgencyCode] | None = None, passphrase: str | None = None
) -> Outlook:
    """What a run would erase at this instant, and what waits for a person's word. Touches nothing."""
    with House.open(home):
        broom = Broom(home, open_root(home, passphrase), code_version(), lambda _: {})
    return _outlook(broom, at, agencies)


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that holds, and what it could be compared with: this home's key, the agency's ledger."""

    certificate: Certificate
    key: bool
    ledger: bool

    def as_json(self) -> dict[str, Any]:
        c = self.certificate
        return {
            "agency": c.agency, "kind": c.kind, "contract_end": c.contract_end.isoformat(),
            "carried_out_at": c.carried_out_at.isoformat(), "key_compared": self.key, "ledger_compared": self.ledger,
        }  # fmt: skip


def verify(file: Path, home: Home | None, passphrase: str | None = None) -> Checked:
    """Raises NotVerified saying what does not hold. With a home: its key must have signed, its ledger name the file."""
    try:
        raw = file.read_bytes()
    except OSError:
        raise Malformed("the certificate cannot be read", "Give the path of its file.") from None
    key = signer(home, open_root(home, passphrase)).public_key() if home is not None else None
    certificate.verify(raw, key)
    said = certificate.parse(raw)
    ledger = home is not None and home.ledger(said.agency).exists()
    if home is not None and ledger:
        certificate.verify(raw, key, Log.at(home, said.agency).read())
    return Checked(said, key is not None, ledger)
