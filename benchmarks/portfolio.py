"""An invented agency's portfolio in blocks: owners, landlords, tenants, and what they own, let, rent and owe.

A block is at most BLOCK persons with buildings, lots, mandates and leases of their own, so that a million persons are
written with the memory of one block. The same seed gives the same portfolio in the form of all four systems.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.columns import Ints, Mask, joined, number, picked
from benchmarks.people import Draw, People, houses, people, phones, styled

BLOCK = 20_000
LEAST = 20  # persons of an agency: fewer would leave a role empty
OWNERS, LANDLORDS = 0.70, 0.08  # the rest are tenants
PER_BUILDING = 25
FIRST_DAY = date(2026, 1, 5)
_EPOCH = date(1970, 1, 1)
_FIRST_LISTED = -16_000
_TODAY = (date(2026, 1, 4) - _EPOCH).days
NATURES = ("APPARTEMENT", "STUDIO", "CAVE", "PARKING", "COMMERCE")
LEASES = ("NU_89", "MEUBLE", "COMMERCIAL")
LABELS = ("Procès-verbal d'assemblée générale", "Appel de fonds", "Règlement de copropriété", "Quittance")
KINDS = ("PVAG", "BAIL", "QUIT")


@dataclass(frozen=True, slots=True)
class Night:
    """One delivery of a chain: the `number`-th, on its day, saying what is true at `version` (0: the beginning).

    `share` of the lines of every kind say something else at each version than at version 0.
    """

    number: int = 1
    version: int = 0
    share: float = 0.01

    @property
    def day(self) -> date:
        return FIRST_DAY + timedelta(days=self.number - 1)


FIRST = Night()
AGAIN = Night(number=2)
CHANGED = Night(number=3, version=1)


@dataclass(frozen=True, slots=True)
class Agency:
    """Whose portfolio it is. `index` tells agencies of one seed apart."""

    code: str
    siret: str
    persons: int
    seed: int
    index: int

    @property
    def name(self) -> str:
        return f"AGENCE {self.code}"


@dataclass(frozen=True, slots=True)
class Buildings:
    name: pa.Array
    address: pa.Array
    postal_code: pa.Array
    city: pa.Array
    insee: pa.Array
    registry: Ints
    manager: Ints


@dataclass(frozen=True, slots=True)
class Lots:
    """`building` counts inside the block, `rank` inside the building from 1; `owner` counts inside the block's owners."""

    building: Ints
    rank: Ints
    owner: Ints
    nature: Ints
    floor: Ints
    area: Ints
    shares: Ints


@dataclass(frozen=True, slots=True)
class Mandates:
    """One a landlord, with one lot."""

    lot: Ints
    start: Ints
    fee: Ints
    manager: Ints


@dataclass(frozen=True, slots=True)
class Leases:
    """One a tenant."""

    mandate: Ints
    lot: Ints
    kind: Ints
    start: Ints
    rent: Ints
    charges: Ints


@dataclass(frozen=True, slots=True)
class Accounts:
    """One a person; `balance` in cents, positive when the person owes."""

    balance: Ints
    called: Ints
    due: Ints


@dataclass(frozen=True, slots=True)
class Documents:
    """`person` counts inside the block."""

    person: Ints
    day: Ints
    label: Ints


@dataclass(frozen=True, slots=True)
class Staff:
    people: People
    phone: pa.Array


@dataclass(frozen=True, slots=True)
class Block:
    """Part of a portfolio. `first`: how many of each kind came in the blocks before. `changed`: lines of this version."""

    people: People
    owners: int
    landlords: int
    tenants: int
    mobile: pa.Array
    landline: pa.Array
    spouse: pa.Array
    since: Ints
    right: Ints
    council: Mask
    buildings: Buildings
    lots: Lots
    mandates: Mandates
    leases: Leases
    accounts: Accounts
    documents: Documents
    staff: Staff
    first: dict[str, int]
    changed: dict[str, Mask]

    def sizes(self) -> dict[str, int]:
        return {
            "person": self.owners + self.landlords + self.tenants, "owner": self.owners, "landlord": self.landlords,
            "tenant": self.tenants, "building": len(self.buildings.manager), "lot": len(self.lots.rank),
            "mandate": len(self.mandates.lot), "lease": len(self.leases.lot), "account": len(self.accounts.balance),
            "document": len(self.documents.day), "staff": len(self.staff.people.kind),
        }  # fmt: skip

    def ids(self, kind: str) -> Ints:
        """Numbers from 1 in the whole portfolio."""
        return np.arange(self.sizes()[kind], dtype=np.int64) + self.first[kind] + 1

    @property
    def owner_building(self) -> Ints:
        return np.arange(self.owners, dtype=np.int64) // PER_BUILDING

    @property
    def owner_rank(self) -> Ints:
        return np.arange(self.owners, dtype=np.int64) % PER_BUILDING + 1


def blocks(agency: Agency, night: Night) -> Iterator[Block]:
    first = dict.fromkeys(
        (
            "person",
            "owner",
            "landlord",
            "tenant",
            "building",
            "lot",
            "mandate",
            "lease",
            "account",
            "document",
            "staff",
        ),
        0,
    )
    count = max(1, -(-agency.persons // BLOCK))
    for at in range(count):
        size = agency.persons // count + (at < agency.persons % count)
        block = _block(agency, night, at, size, dict(first))
        yield block
        for kind, here in block.sizes().items():
            first[kind] += here


def _block(agency: Agency, night: Night, at: int, size: int, first: dict[str, int]) -> Block:
    rng = np.random.default_rng([agency.seed, agency.index, at])
    owners, landlords = max(1, int(size * OWNERS)), max(1, int(size * LANDLORDS))
    tenants = size - owners - landlords
    staff = max(2, size // 2_000)
    everyone = people(rng, size)
    draw = Draw(rng, size)
    lots = _lots(rng, owners)
    mandates = _mandates(rng, landlords, len(lots.rank), staff)
    block = Block(
        people=everyone,
        owners=owners,
        landlords=landlords,
        tenants=tenants,
        mobile=styled(draw, everyone.mobile),
        landline=styled(draw, everyone.landline),
        spouse=people(rng, size).named(),
        since=draw.below(_TODAY - 100, 10_000),
        right=rng.choice(4, size, p=(0.9, 0.04, 0.03, 0.03)).astype(np.int64),
        council=draw.share(0.05),
        buildings=_buildings(rng, -(-owners // PER_BUILDING), staff),
        lots=lots,
        mandates=mandates,
        leases=_leases(rng, tenants, mandates),
        accounts=_accounts(rng, size),
        documents=_documents(rng, max(1, size // 5), size),
        staff=Staff(people(rng, staff), styled(Draw(rng, staff), phones(Draw(rng, staff)))),
        first=first,
        changed={},
    )
    return block if night.version == 0 else _changed(block, agency, night, at)


def _buildings(rng: np.random.Generator, count: int, staff: int) -> Buildings:
    draw = Draw(rng, count)
    address = people(rng, count).address
    return Buildings(
        houses(draw),
        address.street,
        address.postal_code,
        address.city,
        address.insee,
        draw.below(10**7),
        draw.below(staff),
    )


def _lots(rng: np.random.Generator, owners: int) -> Lots:
    """One lot an owner, a second one for a third of them, numbered building by building."""
    owner = np.repeat(np.arange(owners, dtype=np.int64), 1 + (rng.random(owners) < 0.3))
    draw = Draw(rng, len(owner))
    building = owner // PER_BUILDING
    starts = np.searchsorted(building, building)
    return Lots(
        building=building,
        rank=np.arange(len(owner), dtype=np.int64) - starts + 1,
        owner=owner,
        nature=draw.below(len(NATURES)),
        floor=draw.below(6, -1),
        area=draw.below(15_000, 900),
        shares=draw.below(900, 5),
    )


def _mandates(rng: np.random.Generator, count: int, lots: int, staff: int) -> Mandates:
    draw = Draw(rng, count)
    lot = rng.permutation(lots)[:count].astype(np.int64)
    return Mandates(lot, draw.below(_TODAY, 12_000), draw.below(900, 300), draw.below(staff))


def _leases(rng: np.random.Generator, count: int, mandates: Mandates) -> Leases:
    draw = Draw(rng, count)
    mandate = draw.below(len(mandates.lot))
    rent = draw.below(250_000, 25_000)
    return Leases(
        mandate, mandates.lot[mandate], draw.below(len(LEASES)), draw.below(_TODAY, 14_000), rent, draw.below(20_000)
    )


def _accounts(rng: np.random.Generator, count: int) -> Accounts:
    draw = Draw(rng, count)
    return Accounts(draw.below(500_000, -100_000), draw.below(100_000), draw.below(90) + _TODAY)


def _documents(rng: np.random.Generator, count: int, size: int) -> Documents:
    draw = Draw(rng, count)
    return Documents(draw.below(size), draw.below(_TODAY, 19_000), draw.below(len(LABELS)))


def _changed(block: Block, agency: Agency, night: Night, at: int) -> Block:
    """Some lines of every kind say something else: another mobile phone, area, fee, charge, balance, label."""
    rng = np.random.default_rng([agency.seed, agency.index, at, 1_000 + night.version])
    sizes = block.sizes()
    kinds = ("person", "lot", "mandate", "lease", "account", "document")
    moved = {kind: rng.random(sizes[kind]) < night.share for kind in kinds}
    figures = joined("026191", number(rng.integers(0, 10**4, sizes["person"]), 4))
    other = pc.binary_join_element_wise(figures, "poste 12", " ")  # version 0 writes no extension
    return replace(
        block,
        mobile=picked(pa.concat_arrays([block.mobile, other]), _shifted(moved["person"])),
        lots=replace(block.lots, area=block.lots.area + moved["lot"]),
        mandates=replace(block.mandates, fee=block.mandates.fee + moved["mandate"]),
        leases=replace(block.leases, charges=block.leases.charges + moved["lease"]),
        accounts=replace(block.accounts, balance=block.accounts.balance + moved["account"] * 10_000),
        documents=replace(block.documents, label=(block.documents.label + moved["document"]) % len(LABELS)),
        changed=moved,
    )


def _shifted(moved: Mask) -> Ints:
    """Positions in a column followed by its replacement."""
    return np.arange(len(moved), dtype=np.int64) + moved * len(moved)


def days(since_epoch: Ints, form: str) -> pa.Array:
    """Days since 1970 as text, picked from a calendar: formatting each is slow."""
    return picked(_calendar(form), since_epoch - _FIRST_LISTED)


@cache
def _calendar(form: str) -> pa.Array:
    listed = (_EPOCH + timedelta(days=n) for n in range(_FIRST_LISTED, 25_000))
    return pa.array([day.strftime(form) for day in listed])
