"""Three agencies with rows on their shelves and no valid instruction any longer, and a watch over what is read and
written of them.
"""

import datetime as dt
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Delivery
from ledger.entry import Instruction, Withdrawal
from pipelines.warrants import Warrants
from schemas.capability import Act, Warrant
from schemas.frames import Arrived, Reading
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Mandate, Purpose
from store.agency import OpenShelf
from store.keep import Errand
from store.keys import Keyring, Root, open_root
from store.sealing import unseal
from tests.functional.conftest import SAMPLES, Installation, noon
from tests.generative.test_shelf_model import history, reading

FIRST = noon("2026-01-01")
NIGHT = noon("2026-01-05")  # the one night in which everything was allowed
ENDS = noon("2026-01-08")  # the instruction of A ends by itself, that of B is withdrawn
A, B, C = AgencyCode("A0001"), AgencyCode("A0002"), AgencyCode("A0003")
NOBODY = AgencyCode("Z9999")
ERRAND = Errand("run", NIGHT, "0")
FEW = ("building",)  # what C lets in from ENDS on


# -- what is watched ---------------------------------------------------------------------------------------------------

_inbox: list[str] = []
_opened: list[str] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _inbox and str(arguments[0]).startswith(_inbox[0]):
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)


def watch_inbox(folder: Path | None) -> None:
    """From now on, note every file that is opened below this folder (None: no longer)."""
    _inbox[:], _opened[:] = [] if folder is None else [str(folder)], []


def opened() -> list[str]:
    return list(_opened)


class Watch:
    """Sees whether anything of a row was read or written: commits to the watched databases, opened values, opened
    files."""

    def __init__(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        home = installation.home
        paths = [p for a in (A, B, C) for p in (home.shelf(a), home.keyring(a))]
        self._paths = paths
        self._eyes = [sqlite3.connect(f"file:{p}?mode=ro", uri=True, isolation_level=None) for p in paths]
        self._unsealed = 0
        self._folders = (home.root / "shelves", home.keys / "agencies")
        watch_inbox(installation.inbox)
        monkeypatch.setattr("store.agency.unseal", self._unseal)
        self.before = self.look()
        self.contents = self.dump()

    def _unseal(self, *arguments: Any) -> bytes:
        self._unsealed += 1
        return unseal(*arguments)

    def look(self) -> tuple[Any, ...]:
        """Changes with every commit, every opened value, every file opened or made."""
        versions = tuple(e.execute("PRAGMA data_version").fetchone()[0] for e in self._eyes)
        return versions, self._unsealed, len(_opened)

    def dump(self) -> list[str]:
        """Everything that the databases hold."""
        return [line for eye in self._eyes for line in eye.iterdump()]

    def made(self) -> set[str]:
        return {p.name for folder in self._folders for p in folder.iterdir() if p.suffix in (".sqlite", ".keys")}

    def close(self) -> None:
        for eye in self._eyes:
            eye.close()
        watch_inbox(None)


# -- the installation --------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Three agencies with rows, of whose instructions none holds any longer; and what was allowed while they did."""

    installation: Installation
    root: Root
    rng: random.Random
    valid: dict[AgencyCode, Warrant]
    stack: ExitStack
    shelves: dict[AgencyCode, OpenShelf] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    mandates: dict[AgencyCode, Mandate] = field(default_factory=dict)
    instructions: dict[AgencyCode, Instruction] = field(default_factory=dict)
    waiting: list[Any] = field(default_factory=list)  # attempts that were prepared
    agencies: int = 0  # made for one attempt

    @property
    def home(self) -> Home:
        return self.installation.home

    def warrants(self, at: dt.datetime) -> Warrants:
        return Warrants(self.home, self.root, at)

    def anyone(self) -> AgencyCode:
        return self.rng.choice((A, B, C))

    def two(self) -> tuple[AgencyCode, AgencyCode]:
        one, other = self.rng.sample((A, B, C), 2)
        return one, other

    def a_reading(self) -> Reading:
        return self.rng.choice(self.readings)

    def a_delivery(self, agency: AgencyCode, system: System, at: dt.datetime) -> Delivery:
        folder = self.installation.inbox / agency / system
        path = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
        return Delivery(agency, system, path.name if path else "NAME", at, path)

    def keyring(self, agency: AgencyCode) -> Keyring:
        return self.shelves[agency].keyring


def instruction(agency: AgencyCode, **changes: Any) -> Instruction:
    purposes = (Purpose.EXTRANET, Purpose.SUPPORT)
    said = Instruction(agency, AGENCY_SYSTEMS, ("*",), purposes, FIRST, None, "ANNEXE-2026", "gerance", FIRST)
    return replace(said, **changes)


def begin(root: Path) -> Installation:
    i = Installation(root)
    i.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    i.place_day("2026-01-05")
    return i


@contextmanager
def furnished(folder: Path) -> Iterator[World]:
    i = begin(folder)
    said = {A: instruction(A, valid_until=ENDS), B: instruction(B), C: instruction(C, valid_until=ENDS)}
    for agency, entry in said.items():
        i.log(agency).append(entry, FIRST)
    assert {r["outcome"] for r in i.sync(NIGHT, portal=False)} == {"accepted"}
    root = open_root(i.home)
    then = Warrants(i.home, root, NIGHT)
    with ExitStack() as stack:
        w = World(i, root, random.Random(3), {a: then.grant(a, Act.SYNCHRONISE) for a in said}, stack)
        w.instructions = said
        for agency, warrant in w.valid.items():
            keyring = stack.enter_context(Keyring.open(i.home, root, warrant.capability))
            w.shelves[agency] = stack.enter_context(OpenShelf.open(i.home, keyring, warrant))
            mandate = warrant.capability.mandate
            assert mandate is not None
            w.mandates[agency] = mandate
            w.readings += [of_agency(made, agency) for made in some_readings()]
        # From here on none is valid: the last of C's lets little in, and only LOGIN.
        i.log(B).append(Withdrawal(said[B].id, ENDS, ENDS), ENDS)
        few = instruction(C, valid_from=ENDS, tables=FEW, systems=(System.LOGIN,), purposes=(Purpose.EXTRANET,))
        i.log(C).append(few, ENDS)
        yield w


def some_readings() -> list[Reading]:
    rng = random.Random(5)
    made = [reading(lines, NIGHT.date(), n) for n, lines in enumerate(history(rng) + history(rng)) if lines]
    return [r for r in made if r.rows]


def of_agency(made: Reading, agency: AgencyCode) -> Reading:
    told = tuple(replace(d, agency=agency) for d in made.deliveries)
    return replace(made, deliveries=told)


def arrived(made: Reading) -> Arrived:
    return made.deliveries[0]
