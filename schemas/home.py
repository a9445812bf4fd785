"""Where everything of one installation lies. Only names: nothing here touches the disk, nothing in a home stores its
own path."""

from dataclasses import dataclass
from pathlib import Path

from schemas.ids import AgencyCode

PORTAL = "_portal"


@dataclass(frozen=True, slots=True)
class Home:
    """`root` holds data, `keys` holds keys: never back both up to the same place (R52)."""

    root: Path
    keys: Path

    @classmethod
    def at(cls, root: Path, keys: Path | None = None) -> "Home":
        root = root.absolute()
        return cls(root, keys.absolute() if keys else root / "keys")

    @property
    def settings(self) -> Path:
        return self.root / "depositaire.toml"

    @property
    def identity(self) -> Path:
        """Who runs this installation, for the register of processing. Written by hand; it may be missing."""
        return self.root / "identity.toml"

    @property
    def policies(self) -> Path:
        """The versions of the privacy policy."""
        return self.root / "policies"

    @property
    def store(self) -> Path:
        """How the database is reached, with passwords; not there when each shelf is a file (`store.sqlite`)."""
        return self.keys / "store.json"

    @property
    def inbox_keys(self) -> Path:
        """How the object store of an inbox is reached, with its keys; not there when the environment says it."""
        return self.keys / "inbox.json"

    @property
    def house(self) -> Path:
        """The register of agencies, the journal of deliveries, the sealed sources, the inboxes that were read."""
        return self.root / "house.sqlite"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def orchestrator(self) -> Path:
        """How Dagster's own database and the broker of its workers are reached, with passwords; not there when Dagster
        keeps its records in files below `dagster`, and runs in the processes that ask for it."""
        return self.keys / "dagster.json"

    @property
    def ledgers(self) -> Path:
        return self.root / "ledger"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def lineage(self) -> Path:
        """The events of each agency for tools of lineage, and how far they were sent."""
        return self.root / "lineage"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    def shelf(self, agency: AgencyCode | None) -> Path:
        return self.root / "shelves" / f"{agency or PORTAL}.sqlite"

    def ledger(self, agency: AgencyCode) -> Path:
        """The folder of an agency's log."""
        return self.ledgers / agency

    @property
    def root_key(self) -> Path:
        return self.keys / "root.key"

    def keyring(self, agency: AgencyCode | None) -> Path:
        return self.keys / "agencies" / f"{agency or PORTAL}.keys"

    @property
    def signing_key(self) -> Path:
        return self.keys / "signing.key"

    @property
    def log_signing_key(self) -> Path:
        return self.keys / "log.key"

    def log_key(self, agency: AgencyCode) -> Path:
        """What wraps the salts of an agency's log. It outlives the agency's data."""
        return self.keys / "logs" / f"{agency}.key"

    @property
    def reception(self) -> Path:
        """Who may come in by the web door: accounts, the log of what was asked, the socket. Only its owner enters."""
        return self.root / "reception"

    @property
    def reception_key(self) -> Path:
        """What seals the accounts of the web door."""
        return self.keys / "reception.key"
