"""Once a week: are the rows we hold as current still at their source? (spilasuite.md, "Ends")

A row that vanished without a tombstone is not ended; it is reported as `unexplained_absence` and changes nothing. The
gate and the instruction hold here as for a sync: without them the source is not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from connectors.base import Known, Permitted
from connectors.spilasuite.reconciliation import absent_keys
from pipelines.books import Books
from pipelines.locks import sole
from pipelines.sync import Night
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import DeliveryRefused, Malformed, Refused, StoreAway, TryAgain
from schemas.ids import AgencyCode, System
from schemas.window import gate, paris_day
from store.agency import Shelf, is_held
from store.house import House
from store.keys import Keyring, Root, open_root

SYSTEM = System.SPILASUITE


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One agency: keys held as current that are neither in their view nor among its tombstones, by view."""

    agency: AgencyCode
    unexplained: Mapping[str, int] = field(default_factory=dict)
    refused: str | None = None


def reconcile(night: Night, agencies: Sequence[AgencyCode]) -> Iterator[Reconciled]:
    """Compare the source of each agency that has one with its shelf."""
    root = open_root(night.home, night.passphrase)
    with House.open(night.home) as house:
        connected = set(house.with_source(SYSTEM))
        for agency in (a for a in agencies if a in connected and is_held(night.home, a)):
            with sole(night.home, agency):
                yield _reconciled(night, house, root, agency)


def _reconciled(night: Night, house: House, root: Root, agency: AgencyCode) -> Reconciled:
    books = Books(house, root)
    registered = books.registered().get(agency)
    reason = gate(registered.contract if registered else None, SYSTEM, paris_day(night.at), night.at)
    if reason is not None:
        return Reconciled(agency, refused=reason)
    try:
        leave = Warrants(night.home, root, night.at).grant(agency, Act.SYNCHRONISE, SYSTEM).capability
    except Refused:
        return Reconciled(agency, refused="agency.no_instruction")
    with Keyring.open(night.home, root, leave) as keyring, Shelf.known(night.home, agency) as shelf:
        held = shelf.lines(SYSTEM)
        live = held.filter(held["live"])
        keys = {v: live.filter(pc.equal(live["source"], v))["key"].to_pylist() for v in set(live["source"].to_pylist())}
        source = house.source(agency, SYSTEM, keyring)
        delivery = Permitted(agency, SYSTEM, "reconciliation", night.at, source=source, under=leave)
        known = Known(registered.siret if registered else None, shelf.cursor(SYSTEM))
        try:
            return Reconciled(agency, absent_keys(delivery, known, keys))
        except DeliveryRefused as no:
            return Reconciled(agency, refused=no.reason)
        except StoreAway:
            raise
        except TryAgain:
            return Reconciled(agency, refused="source.unreachable")
        except Malformed:
            return Reconciled(agency, refused="source.misconfigured")
