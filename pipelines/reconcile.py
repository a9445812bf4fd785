"""Once a week: are the rows we hold as current still at their source? (spilasuite.md, "Ends")

A row that vanished without a tombstone is not ended; it is reported as `unexplained_absence` and changes nothing. The
gate and the instruction hold here as for a sync: without them the source is not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from connectors.base import Delivery, Known
from connectors.spilasuite.reconciliation import absent_keys
from pipelines.books import Books
from pipelines.locks import sole
from pipelines.sync import Night
from schemas.errors import DeliveryRefused, Malformed, TryAgain
from schemas.ids import AgencyCode, System
from schemas.window import gate, paris_day
from store.agency import Shelf
from store.house import House
from store.keys import Keyring, open_root

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
        for agency in (a for a in agencies if a in connected and night.home.shelf(a).exists()):
            with sole(night.home, agency), Keyring.open(night.home, root, agency) as keyring:
                yield _reconciled(night, house, agency, keyring)


def _reconciled(night: Night, house: House, agency: AgencyCode, keyring: Keyring) -> Reconciled:
    books = Books(house)
    reason = gate(books.contracts().get(agency), SYSTEM, paris_day(night.at), night.at)
    if reason is None and not books.mandate(agency, night.at).for_system(SYSTEM):
        reason = "agency.no_instruction"
    if reason is not None:
        return Reconciled(agency, refused=reason)
    with Shelf.open(night.home, keyring, agency) as shelf:
        held = shelf.lines(SYSTEM)
        live = held.filter(held["live"])
        keys = {v: live.filter(pc.equal(live["source"], v))["key"].to_pylist() for v in set(live["source"].to_pylist())}
        source = house.source(agency, SYSTEM, keyring)
        delivery = Delivery(agency, SYSTEM, "reconciliation", night.at, source=source)
        known = Known(books.siret(agency), shelf.cursor(SYSTEM))
        try:
            return Reconciled(agency, absent_keys(delivery, known, keys))
        except DeliveryRefused as no:
            return Reconciled(agency, refused=no.reason)
        except TryAgain:
            return Reconciled(agency, refused="source.unreachable")
        except Malformed:
            return Reconciled(agency, refused="source.misconfigured")
