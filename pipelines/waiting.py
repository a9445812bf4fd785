"""What lies in the inbox, or can be read from a source, and in which order it is taken."""

from collections.abc import Collection, Mapping

from connectors.base import Delivery
from pipelines import inbox
from pipelines.books import contracts
from pipelines.inbox import Found
from pipelines.night import Night
from schemas.errors import Malformed
from schemas.home import PORTAL, Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.report import Report
from schemas.window import paris_day
from store.house import House

_FIRST_OF_PAIR = "PORTAIL_COMPTES"


def registered(home: Home) -> list[AgencyCode]:
    """Agencies of the register that were not erased, in the order of the register."""
    with House.open(home) as house:
        return [c.agency for c in contracts(house).values() if not c.erased]


def waiting(night: Night, system: System, agency: AgencyCode) -> list[Delivery]:
    """Files of one flow in the order of their names. A name that ends in .tmp is still being uploaded."""
    found = night.arrivals.files(agency, system) if night.arrivals else []
    return [inbox.delivery(agency, system, each, night.at) for each in found]


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
    if night.arrivals is None or not (folders := night.arrivals.folders()):
        return []
    with House.open(night.home) as house:
        known = set(contracts(house))
    out = []
    for folder in (f for f in folders if f not in known and f != PORTAL):
        if night.agencies is not None and folder not in night.agencies:
            continue
        for system in (s for s in night.systems if s in AGENCY_SYSTEMS and s is not System.SPILASUITE):
            out += [
                Report(_code_or_none(folder), system, found.name, None, "refused", "agency.unknown")
                for found in night.arrivals.files(folder, system)
            ]
    return out


def portal_deliveries(night: Night) -> list[Delivery]:
    """The accounts file of each pair, in the order of names."""
    files = night.arrivals.files(PORTAL) if night.arrivals else []
    pairs = {f.name: f for f in files}
    return [
        inbox.delivery(None, System.PORTAL, f, night.at, _other_of_pair(f.name, pairs))
        for f in files
        if f.name.startswith(_FIRST_OF_PAIR)
    ]


def _other_of_pair(name: str, files: Mapping[str, Found]) -> dict[str, Found]:
    other = name.replace(_FIRST_OF_PAIR, "PORTAIL_RATTACHEMENTS", 1)
    return {other: files[other]} if other in files else {}


def _code_or_none(text: str) -> AgencyCode | None:
    try:
        return agency_code(text)
    except Malformed:
        return None
