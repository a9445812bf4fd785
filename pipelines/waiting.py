"""What lies in the inbox, or can be read from a source, and in which order it is taken."""

from collections.abc import Collection
from pathlib import Path

from connectors.base import Delivery
from pipelines.books import contracts
from pipelines.night import Night
from schemas.errors import Malformed
from schemas.home import PORTAL, Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.report import Report
from schemas.window import paris_day
from store.house import House


def registered(home: Home) -> list[AgencyCode]:
    """Agencies of the register that were not erased, in the order of the register."""
    with House.open(home) as house:
        return [c.agency for c in contracts(house).values() if not c.erased]


def waiting(night: Night, system: System, agency: AgencyCode) -> list[Delivery]:
    """Files of one flow in the order of their names. A name that ends in .tmp is still being uploaded."""
    if night.inbox is None:
        return []
    folder = night.inbox / agency / system
    return [Delivery(agency, system, p.name, night.at, p) for p in (_whole(folder) if folder.is_dir() else [])]


def flow(night: Night, system: System, agency: AgencyCode, sourced: Collection[AgencyCode]) -> list[Delivery]:
    """The same, or the reading of the agency's source where the system is read from one. `sourced`: who has one."""
    if system is not System.SPILASUITE:
        return waiting(night, system, agency)
    if agency not in sourced:
        return []
    # A reading has no file: it is named after its day, like the copies that a source can be asked for.
    return [Delivery(agency, system, f"SPILASUITE_{agency}_{paris_day(night.at):%Y%m%d}", night.at)]


def strangers(night: Night) -> list[Report]:
    """Deliveries in folders whose name is no agency of the register: refused, never opened."""
    if night.inbox is None or not night.inbox.is_dir():
        return []
    with House.open(night.home) as house:
        known = set(contracts(house))
    out = []
    for folder in sorted(p for p in night.inbox.iterdir() if p.is_dir() and p.name not in known and p.name != PORTAL):
        if night.agencies is not None and folder.name not in night.agencies:
            continue
        for system in (
            s for s in night.systems if s in AGENCY_SYSTEMS and s is not System.SPILASUITE and (folder / s).is_dir()
        ):
            out += [
                Report(_code_or_none(folder.name), system, p.name, None, "refused", "agency.unknown")
                for p in _whole(folder / system)
            ]
    return out


def portal_deliveries(night: Night) -> list[Delivery]:
    """The accounts file of each pair, in the order of names."""
    folder = night.inbox / PORTAL if night.inbox else None
    files = (
        sorted(p for p in folder.iterdir() if p.is_file() and p.name.startswith("PORTAIL_COMPTES"))
        if folder and folder.is_dir()
        else []
    )
    return [Delivery(None, System.PORTAL, p.name, night.at, p) for p in files]


def _whole(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.endswith(".tmp"))


def _code_or_none(text: str) -> AgencyCode | None:
    try:
        return agency_code(text)
    except Malformed:
        return None
