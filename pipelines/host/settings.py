"""What a home says of the machine that has its keys: nothing on that machine itself."""

from dataclasses import dataclass

from schemas.errors import Malformed
from schemas.home import Home
from store.engine import settings_of


@dataclass(frozen=True, slots=True)
class Hosted:
    """The table `[host]` of a worker's `depositaire.toml`: where the host listens, and as whom this machine comes."""

    address: str
    name: str

    def as_toml(self) -> str:
        return f'[host]\naddress = "{self.address}"\nname = "{self.name}"\n'


def hosted(home: Home) -> Hosted | None:
    """None on the home's own machine."""
    table = settings_of(home).get("host")
    if table is None:
        return None
    if not isinstance(table, dict) or not all(isinstance(table.get(k), str) for k in ("address", "name")):
        raise Malformed(
            f"{home.settings.name}: [host] needs an address and a name", "`depositaire host admit` writes both."
        )
    return Hosted(table["address"], table["name"])


def is_worker(home: Home) -> bool:
    """Whether this machine only synchronises."""
    return hosted(home) is not None
