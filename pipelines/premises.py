"""Where the keys, the logs and the papers of a home are reached: on this machine, or through the one that has them.

Whoever has the root key has all of it. A machine that only synchronises (`[host]` in its `depositaire.toml`) asks the
home's own machine (`pipelines.host`), which opens nothing for it without an instruction of the agency.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ledger.entry import Entry, Head, History, Line
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.host.settings import is_worker
from pipelines.policies import in_force
from schemas.capability import Act, Capability
from schemas.errors import Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store import engine
from store.agency import is_held as held_here
from store.keys import Keyring, Root, agency_key, prover_of
from store.sealing import Keyed


class NoHost(Exception):
    """The machine that has the keys cannot be asked: nothing goes on for any agency."""


class HostAway(TryAgain, NoHost):
    """It does not answer."""


class NotAdmitted(Refused, NoHost):
    """It does not know this machine, or not any more."""


class AgencyLog(Protocol):
    """What a sync does with an agency's log (`ledger.log.Log`)."""

    @property
    def exists(self) -> bool: ...

    def append(self, entry: Entry, at: datetime, key: str | None = None) -> Line: ...

    def append_all(
        self, items: Sequence[tuple[Entry, str | None]], at: datetime, expected: Head | None = None
    ) -> tuple[Line, ...]: ...

    def read(self, receipts: bool = True) -> History: ...

    def head(self) -> Head: ...


class Premises(ABC):
    """The keys, logs and papers of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @abstractmethod
    def keyring(self, capability: Capability, system: System, create: bool = False) -> Keyring:
        """The keys of the capability's agency, for one of its systems. Raises Refused when there are none."""

    @abstractmethod
    def prover(self, capability: Capability, system: System) -> Keyed:
        """What the proofs of one of the agency's flows are made with (`store.fixed`): nothing else can be done with it.
        Raises Refused where there are no keys, or for a capability to do something else."""

    @abstractmethod
    def keyed(self, agencies: Iterable[AgencyCode | None]) -> frozenset[AgencyCode | None]:
        """Those of these agencies that have keys."""

    @abstractmethod
    def log(self, agency: AgencyCode) -> AgencyLog: ...

    @abstractmethod
    def stated_sizes(self, agencies: Sequence[AgencyCode]) -> Mapping[AgencyCode, int]:
        """How many leaves the checkpoint of each log counts, unverified."""

    @abstractmethod
    def policy(self, at: datetime) -> str | None:
        """The digest of the privacy policy in force at an instant."""


class Local(Premises):
    """Those of this machine."""

    def __init__(self, home: Home, root: Root) -> None:
        super().__init__(home)
        self._root = root
        self._log_keys = LogKeys(home, root)

    def keyring(self, capability: Capability, system: System, create: bool = False) -> Keyring:  # noqa: ARG002
        return Keyring.open(self.home, self._root, capability, create)

    def prover(self, capability: Capability, system: System) -> Keyed:
        capability.demand(Act.SYNCHRONISE, capability.agency, system)
        return prover_of(agency_key(self.home, self._root, capability))

    def keyed(self, agencies: Iterable[AgencyCode | None]) -> frozenset[AgencyCode | None]:
        return frozenset(a for a in agencies if self.home.keyring(a).exists())

    def log(self, agency: AgencyCode) -> Log:
        return Log.at(self.home, agency, self._log_keys)

    def stated_sizes(self, agencies: Sequence[AgencyCode]) -> Mapping[AgencyCode, int]:
        return {a: self.log(a).stated_size() for a in agencies}

    def policy(self, at: datetime) -> str | None:
        return in_force(self.home, at)


def premises_of(home: Home, root: Root | Premises) -> Premises:
    """Premises that are open stay so; a root key opens this machine's."""
    return root if isinstance(root, Premises) else Local(home, root)


def served(home: Home) -> Premises | None:
    """The premises of a machine that only synchronises; None on the home's own."""
    if not is_worker(home):
        return None
    from pipelines.host.client import Served

    return Served.at(home)


def is_held(home: Home, agency: AgencyCode | None) -> bool:
    """Whether there is a shelf, and the keys that open it, wherever those are (`store.agency.is_held`)."""
    elsewhere = served(home)
    if elsewhere is None:
        return held_here(home, agency)
    return engine.of(home).holds(agency) and agency in elsewhere.keyed([agency])
