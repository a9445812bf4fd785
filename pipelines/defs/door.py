"""Through which door a run came in: what it is to do, in which home, and who listens.

The command line hands its own errand over. A run of the daemon, or of the web page, has none and asks the environment,
when it runs and not when it is defined: the definitions load on a machine that has no home at all.
"""

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pipelines import books
from pipelines.defs.interrupted import alive
from pipelines.erasure import Swept, Told
from pipelines.memory import of_home
from pipelines.sync import Night
from retention.steps import Outcome, Step
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.inbox import Place
from schemas.report import Report
from schemas.window import Contract
from store import engine
from store.house import House


class NoHome(Refused):
    """DEPOSITAIRE_HOME names no home."""


class Door(Protocol):
    """Where to work, as if it were when; and who hears what went wrong. `retries`: whether this door may wait."""

    @property
    def retries(self) -> bool: ...

    def home(self) -> Home: ...

    def at(self) -> datetime: ...

    def passphrase(self) -> str | None: ...

    def at_work(self, run_id: str) -> AbstractContextManager[object]: ...

    def failed(self, error: BaseException) -> None: ...


class Syncing(Door, Protocol):
    """What to settle, for whom (None: as the run's tags say), and who hears of each delivery."""

    def agencies(self) -> Collection[AgencyCode] | None: ...

    def nights(self, system: System) -> list[Night]: ...

    def heard(self, report: Report) -> None: ...


class Sweeping(Door, Protocol):
    """Whom to erase if due (None: everyone), and who hears of each step and of the end."""

    def agencies(self) -> Sequence[AgencyCode] | None: ...

    def told(self, agency: AgencyCode, step: Step, outcome: Outcome) -> None: ...

    def swept(self, swept: Swept) -> None: ...


def home_of_environment() -> Home:
    """The home that DEPOSITAIRE_HOME (and DEPOSITAIRE_KEYS) name. Raises NoHome."""
    root, keys = os.environ.get("DEPOSITAIRE_HOME", ""), os.environ.get("DEPOSITAIRE_KEYS", "")
    if not root:
        raise NoHome("there is no home", "Set DEPOSITAIRE_HOME to the absolute path of one, or use `depositaire up`.")
    if not Path(root).is_absolute():
        raise NoHome("DEPOSITAIRE_HOME is not an absolute path", "Each process would look for it somewhere else.")
    home = Home.at(Path(root), Path(keys) if keys else None)
    if not engine.of(home).has_house():
        raise NoHome("DEPOSITAIRE_HOME names a folder that is no home", "Run `depositaire init` there first.")
    return home


class Standing:
    """The door of the daemon and of the web page: everything that the home knows, now. The run's own events tell."""

    retries = True

    def home(self) -> Home:
        return home_of_environment()

    def at(self) -> datetime:
        return datetime.now(UTC)

    def passphrase(self) -> str | None:
        return os.environ.get("DEPOSITAIRE_PASSPHRASE")

    def at_work(self, run_id: str) -> AbstractContextManager[object]:
        return alive(self.home(), run_id)

    def nights(self, system: System) -> list[Night]:
        """One for each inbox that was ever read. SpiLaSuite is read from its sources, whatever the inbox: once."""
        home, at = self.home(), self.at()
        with House.open(home) as house:
            inboxes: list[Place | None] = [*house.inboxes()]
        if system is System.SPILASUITE:
            inboxes = [None]
        told = self.passphrase(), of_home(home)
        return [Night(home, at, inbox, (system,), None, *told) for inbox in inboxes]

    def agencies(self) -> None:
        return None

    def heard(self, report: Report) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def told(self, agency: AgencyCode, step: Step, outcome: Outcome) -> None: ...

    def swept(self, swept: Swept) -> None: ...


class _Command:
    """The door of the command line, which waits for the answer and does not try again by itself."""

    retries = False

    def __init__(self, home: Home, at: datetime, passphrase: str | None) -> None:
        self._home, self._at, self._passphrase = home, at, passphrase
        self.error: BaseException | None = None
        self.refused = False  # whether the run fails because of what was found, and not of how it went

    def home(self) -> Home:
        return self._home

    def at(self) -> datetime:
        return self._at

    def passphrase(self) -> str | None:
        return self._passphrase

    def at_work(self, run_id: str) -> AbstractContextManager[object]:  # noqa: ARG002 - as the protocol says
        return nullcontext()  # held since before the run began

    def failed(self, error: BaseException) -> None:
        self.error = self.error or error


class SyncCommand(_Command):
    """One night, whose reports are waited for."""

    def __init__(self, night: Night, progress: Callable[[Report], None]) -> None:
        super().__init__(night.home, night.at, night.passphrase)
        self._night, self._progress = night, progress
        self._agencies: frozenset[AgencyCode] = frozenset()
        self.reports: list[Report] = []

    def turns_to(self, agencies: Collection[AgencyCode]) -> None:
        """Whom the next run is for. Its tags do not say it all: an erased agency is not to be named there."""
        self._agencies, self.refused = frozenset(agencies), False

    def agencies(self) -> Collection[AgencyCode]:
        return self._agencies

    def nights(self, system: System) -> list[Night]:  # noqa: ARG002 - as the protocol says
        return [self._night]

    def heard(self, report: Report) -> None:
        self.reports.append(report)
        self.refused |= report.outcome == "refused"
        self._progress(report)


class SweepCommand(_Command):
    """One run of the retention, whose end is waited for."""

    def __init__(
        self, home: Home, at: datetime, passphrase: str | None, agencies: Sequence[AgencyCode] | None, told: Told
    ) -> None:
        super().__init__(home, at, passphrase)
        self._agencies, self._told = agencies, told
        self.result: Swept | None = None

    def agencies(self) -> Sequence[AgencyCode] | None:
        return self._agencies

    def told(self, agency: AgencyCode, step: Step, outcome: Outcome) -> None:
        self._told(agency, step, outcome)

    def swept(self, swept: Swept) -> None:
        self.result = swept
        self.refused = not swept.complete


# -- what there is to do -----------------------------------------------------------------------------------------------


def contracts(home: Home) -> dict[AgencyCode, Contract]:
    """Every agency of the register, erased ones too: what still comes for those is refused, and that is told."""
    with House.open(home) as house:
        return books.contracts(house)


def awaited(night: Night, system: System, among: Collection[AgencyCode]) -> list[AgencyCode]:
    """Those of these agencies for which there is something to settle."""
    wanted = [a for a in among if night.agencies is None or a in night.agencies]
    if system is System.SPILASUITE:
        with House.open(night.home) as house:
            sourced = frozenset(house.with_source(system))
        return [a for a in wanted if a in sourced]
    if night.arrivals is None:
        return []
    folders = frozenset(night.arrivals.folders())
    return [a for a in wanted if a in folders and night.arrivals.holds(a, system)]
