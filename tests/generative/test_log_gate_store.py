"""Log, gate and store together, step by step: an agency instructs, withdraws, restricts, orders erasures; nights come
and go, some of them killed; packs are handed out. After each step, what is allowed and held is what plain models say.

The log, the gate, the store and the night are the real ones; only the connector is made of memory. The models are
`tests.generative.plain_mandate` and the dictionaries of `test_shelf_model`.
"""

import datetime as dt
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled
from ledger.entry import Entry, Instruction, Withdrawal
from ledger.orders import Channel, Erase, Restrict
from pipelines import sync
from pipelines.leaving import export
from pipelines.orders import carry_out
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Refused
from schemas.frames import Reading
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Purpose, RestrictedBy
from store.agency import OpenShelf, is_held
from store.keys import Keyring, open_root
from tests import engines
from tests.functional.conftest import RUN, SAMPLES, Installation, Quiet, noon, read_jsonl
from tests.generative.plain_mandate import Said, allowed, to_be_erased
from tests.generative.test_fold_model import plainly
from tests.generative.test_shelf_model import YIELDS, Held, Line, Model, reading, shelf_rows
from tests.leave import warrant

AGENCY = AgencyCode("A0001")
BEGIN = noon("2026-01-05")
MINUTE = dt.timedelta(minutes=1)
TABLES = ("person", "contact", "building")
PEOPLE, BUILDINGS = tuple(f"p{n}" for n in range(4)), tuple(f"b{n}" for n in range(3))
GRANTS = (("*",), ("*",), ("person", "building"), ("building",), ("person",), ("person", "contact", "building"))
HISTORY = 50  # steps of one installation


class Memory:
    """A connector whose deliveries are lines in memory, told by the name of an empty file."""

    system = System.LOGIN
    yields = YIELDS
    a_byte = 0

    def __init__(self) -> None:
        self.lines: dict[str, list[Line]] = {}
        self.opened = 0

    def day_of(self, delivery: Delivery) -> dt.date:
        return BEGIN.date()

    def named(self, delivery: Delivery) -> bool:
        return True

    def fingerprint(self, delivery: Delivery) -> str:
        return sha256(delivery.name.encode()).hexdigest()

    def open(self, delivery: Permitted, known: Known) -> Opened:
        self.opened += 1
        made = reading(self.lines[delivery.name], BEGIN.date(), len(self.lines))
        told = replace(made.deliveries[0], name=delivery.name, sha256=self.fingerprint(delivery))
        return Opened(told, replace(made, deliveries=(told,)))

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:
        return ()

    def weight(self, delivery: Delivery) -> int:
        return 0

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        (one,) = opened
        assert isinstance(one.raw, Reading)
        return one.raw


class Machine:
    """One installation, its models, and what can happen to them."""

    def __init__(self, root: Path, rng: random.Random, memory: Memory) -> None:
        self.installation, self.rng, self.memory = Installation.on(root), rng, memory
        self.home, self.root = self.installation.home, open_root(self.installation.home)
        self.log = self.installation.log(AGENCY)
        self.at = BEGIN
        self.told: list[Any] = []  # what was recorded, as the model of the mandate reads it
        self.shelf = Model()
        self.count = 0
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        self.at += MINUTE
        self.count += 1
        steps = (
            (self.look, 8), (self.instruct, 4), (self.withdraw, 4), (self.restrict, 3), (self.order, 1),
            (self.carry_out, 2), (self.night, 6), (self.hand_out, 2), (self.killed_night, KILLS),
        )  # fmt: skip
        (chosen,) = self.rng.choices([s for s, _ in steps], [w for _, w in steps])
        chosen()
        self.done["steps"] += 1

    # -- what the agency says ------------------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        self.log.append(entry, self.at)
        self.told.append(entry)

    def begins(self) -> dt.datetime:
        return self.at + self.rng.choice((0, 0, 0, 5)) * MINUTE

    def instruct(self) -> None:
        begin = self.begins()
        until = begin + self.rng.randint(3, 20) * MINUTE if self.rng.random() < 0.3 else None
        systems = self.rng.choice((AGENCY_SYSTEMS, (System.LOGIN,), (System.LOGIN,), (System.SDGI,)))
        self.record(
            Instruction(
                AGENCY, systems, self.rng.choice(GRANTS), (Purpose.EXTRANET,), begin, until, f"ANNEXE-{self.count}",
                "gerance", self.at,
            )
        )  # fmt: skip

    def withdraw(self) -> None:
        ids = [e.id for e in self.told if isinstance(e, Instruction | Restrict | Erase)]
        if ids:
            # Restrictions and orders go more often than they come: otherwise nothing would be allowed before long.
            taking = [e.id for e in self.told if isinstance(e, Restrict | Erase)]
            chosen = self.rng.choice(taking if taking and self.rng.random() < 0.7 else ids)
            self.record(Withdrawal(chosen, self.begins(), self.at))

    def given(self) -> dict[str, Any]:
        return {
            "agency": AGENCY, "reference": f"NOTE-{self.count}", "recorded_by": "exploitant", "recorded_at": self.at,
            "channel": Channel.LETTER, "given_by": "gerance", "valid_from": self.begins(),
        }  # fmt: skip

    def restrict(self) -> None:
        scope, targets = self.rng.choice(
            (
                (RestrictedBy.AGENCY, ()), (RestrictedBy.TABLE, ("contact",)), (RestrictedBy.TABLE, ("building",)),
                (RestrictedBy.PERSON, tuple(self.reference("person", k) for k in PEOPLE[:2])),
                (RestrictedBy.PERSON, (self.reference("person", self.rng.choice(PEOPLE)),)),
                (RestrictedBy.BUILDING, (self.reference("building", self.rng.choice(BUILDINGS)),)),
            )
        )  # fmt: skip
        self.record(Restrict(**self.given(), scope=scope, targets=targets))

    def order(self) -> None:
        """An erasure of tables, or of a person."""
        if self.rng.random() < 0.5:
            person = (self.reference("person", self.rng.choice(PEOPLE)),)
            self.record(Erase(**self.given(), tables=("person",), subjects=person))
        else:
            tables = self.rng.choice((("contact",), ("building",), ("*",)))
            self.record(Erase(**self.given(), tables=tables))

    def reference(self, table: str, key: str) -> str:
        with Keyring.open(self.home, self.root, warrant(AGENCY, Act.RETURN).capability, create=True) as keyring:
            return keyring.reference(System.LOGIN, table, key)

    # -- what is done --------------------------------------------------------------------------------------------------

    def now(self) -> Said:
        return allowed(self.log_entries(), self.at)

    def log_entries(self) -> list[Any]:
        """What the log says was done is read from it: the models know what was said, and when."""
        return list(self.log.read().entries)

    def look(self) -> None:
        """What the log allows, and whether the gate lets anything begin."""
        now = allowed(self.told, self.at)
        for system in (System.LOGIN, System.SDGI):
            try:
                mandate = Warrants(self.home, self.root, self.at).grant(AGENCY, Act.SYNCHRONISE, system)
            except Refused:
                assert not self.open_to(now, system)
                continue
            assert self.open_to(now, system)
            assert mandate.capability.mandate is not None
            assert plainly(mandate.capability.mandate) == now

    def open_to(self, now: Said, system: System) -> bool:
        closed = any(scope == "agency" for _, scope, _ in now["restrictions"])
        return not closed and any(system in systems for _, systems, _, _ in now["grants"])

    def carry_out(self) -> None:
        due = to_be_erased(self.log_entries(), self.at)
        orders = [e for e in self.told if isinstance(e, Erase) and e.id in due]
        done = carry_out(self.home, self.root, [AGENCY], self.at)
        assert {d.instruction for d in done if d.problem is None} == due
        self.done["carried out"] += len(orders)
        for each in sorted(orders, key=lambda e: e.id):
            self.erase_in_model(each)
        self.compare()

    def erase_in_model(self, order: Erase) -> None:
        if order.subjects:
            for key in PEOPLE:
                held = ("person", key) in self.shelf.rows
                if held and self.reference("person", key) in order.subjects:
                    self.shelf.finish(("People", key, "EFFACEMENT", None), self.at.date().isoformat())
            return
        gone = TABLES if "*" in order.tables else order.tables
        self.shelf.rows = {k: r for k, r in self.shelf.rows.items() if k[0] not in gone}

    def delivery(self) -> str:
        """A file in the inbox, and the lines that it stands for."""
        name = f"D{self.count:06}"
        folder = self.installation.inbox / AGENCY / System.LOGIN
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        self.memory.lines[name] = some_lines(self.rng)
        return name

    def night(self) -> None:
        name = self.delivery()
        before = self.memory.opened
        report = self.settle()
        now = allowed(self.told, self.at)
        if not self.open_to(now, System.LOGIN):
            assert (report.outcome, report.reason) == ("refused", "agency.no_instruction")
            assert self.memory.opened == before, "nothing was opened"
            self.done["refused"] += 1
        else:
            assert report.outcome == "accepted", report.reason
            self.take(self.memory.lines[name], now)
        self.leave(name)

    def killed_night(self) -> None:
        """A night that is killed at some instant, and the next one: together they are one night."""
        name = self.delivery()
        child = os.fork()
        if child == 0:
            die_at(self.rng.randint(1, 60))
            self.settle()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        self.done["killed"] += status == signal.SIGKILL
        report = self.settle()
        now = allowed(self.told, self.at)
        if self.open_to(now, System.LOGIN):
            assert report.outcome in ("accepted", "replayed"), report.reason
            self.take(self.memory.lines[name], now)
        else:
            assert (report.outcome, report.reason) == ("refused", "agency.no_instruction")
        self.leave(name)

    def settle(self) -> Any:
        night = sync.Night(self.home, self.at, self.installation.inbox, (System.LOGIN,))
        (report,) = sync.settle(night, System.LOGIN, [AGENCY], Quiet(), RUN)
        return report

    def leave(self, name: str) -> None:
        (self.installation.inbox / AGENCY / System.LOGIN / name).unlink()
        self.compare()

    def take(self, lines: list[Line], now: Said) -> None:
        kept = [self.gated(line, now) for line in lines]
        self.done["let in"] += sum(line is not None for line in kept)
        self.done["withheld"] += kept.count(None)
        self.shelf.take([line for line in kept if line is not None], BEGIN.date().isoformat())

    def gated(self, line: Line, now: Said) -> Line | None:
        """What the gate leaves of a line: all or some of its rows, or nothing of it at all."""
        if line.end is not None:
            return line
        named = {
            t for _, systems, tables, _ in now["grants"] if System.LOGIN in systems for t in TABLES
            if "*" in tables or t in tables
        } - (set(TABLES) if "*" in now["withheld"] else now["withheld"])  # fmt: skip
        closed = {t for _, scope, targets in now["restrictions"] if scope == "table" for t in targets}
        if YIELDS[line.source] & named & closed:
            return None
        if any(self.reference(t, k) in self.closed_rows(now) for t, k, _, _ in line.rows if t != "contact"):
            self.done["closed"] += bool(YIELDS[line.source] & named)
            return None
        rows = [r for r in line.rows if r[0] in named]
        return Line(line.source, line.key, rows) if rows else None

    def closed_rows(self, now: Said) -> set[str]:
        return {t for _, scope, targets in now["restrictions"] if scope in ("person", "building") for t in targets}

    def hand_out(self) -> None:
        """What restrictions hide is not handed out; everything else is."""
        now = allowed(self.told, self.at)
        folder = self.installation.inbox.parent / "pack"
        export(self.home, AGENCY, folder, self.at)
        for table in TABLES:
            given = {row["source_key"] for row in read_jsonl(folder / f"{table}.jsonl")}
            here = {k: held for (t, k), held in self.shelf.rows.items() if t == table}
            assert given == {k for k, held in here.items() if self.shows(table, k, held, now)}
            self.done["handed out"] += len(given)
            self.done["hidden"] += len(here) - len(given)

    def shows(self, table: str, key: str, held: Held, now: Said) -> bool:
        scopes = {scope: targets for _, scope, targets in now["restrictions"] if scope != "table"}
        closed = {t for _, scope, targets in now["restrictions"] if scope == "table" for t in targets}
        owner = held.columns["person_key"] if table == "contact" else key
        rows = self.reference("person" if table == "contact" else table, owner) in self.closed_rows(now)
        return "agency" not in scopes and table not in closed and not rows

    # -- what is held --------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        if not is_held(self.home, AGENCY):
            assert not self.shelf.rows
            return
        leave = warrant(AGENCY, Act.RETURN)
        with (
            Keyring.open(self.home, self.root, leave.capability) as keyring,
            OpenShelf.open(self.home, keyring, leave) as shelf,
        ):
            have = shelf_rows(shelf)
        assert have.keys() == self.shelf.rows.keys()
        for key, held in self.shelf.rows.items():
            row, ended = have[key]
            assert {c: row[c] for c in held.columns} == held.columns, key
            assert ended == held.ended, key


KILLS = 0.4


def die_at(deed: int) -> None:
    """This process is killed before the n-th thing that it does to a file from now on, or soon after."""
    signal.alarm(20)
    own, count = os.getpid(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.truncate", "sqlite3.connect", "fcntl.flock") and os.getpid() == own:
            count += 1
            if count == deed:
                os.kill(own, signal.SIGKILL)

    sys.addaudithook(hook)


def some_lines(rng: random.Random) -> list[Line]:
    lines = []
    for key in rng.sample(PEOPLE, rng.randint(0, 3)):
        rows: list[Any] = [("person", key, {"kind": "natural", "last_name": rng.choice(["A", "B", None])}, False)]
        for n in range(rng.randint(0, 2)):
            said = {"person_key": key, "kind": "email", "rank": n, "value_raw": rng.choice("xy")}
            rows.append(("contact", f"{key}:email:{n}", said, False))
        lines.append(Line("People", key, rows))
    lines += [
        Line("Buildings", key, [("building", key, {"code": rng.choice("uv")}, False)])
        for key in rng.sample(BUILDINGS, rng.randint(0, 2))
    ]
    lines += [
        Line("Ends", f"People:{key}", [], ("People", key, rng.choice(("SORTIE", "EFFACEMENT")), None))
        for key in rng.sample(PEOPLE, rng.choice((0, 0, 0, 1)))
    ]
    return lines


@contextmanager
def installations(folder: Path) -> Iterator[Path]:
    """A template to copy: a home with its register and nothing else."""
    template = Installation(folder / "template")
    template.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    yield folder / "template"


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: range, steps: int) -> Counter[str]:
    """So many steps, in histories of fifty; how often each was done."""
    memory = Memory()
    monkeypatch.setattr(sync, "find", lambda _: memory)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    done: Counter[str] = Counter()
    with installations(folder) as template:
        for seed in seeds:
            engines.copied(template, folder / "live")
            machine = Machine(folder / "live", random.Random(seed), memory)
            memory.lines.clear()
            for n in range(HISTORY):
                try:
                    machine.step()
                except Exception as error:
                    raise AssertionError(f"history {seed}, step {n}") from error
            done += machine.done
            shutil.rmtree(folder / "live")
            if done["steps"] >= steps:
                break
    return done


def check(done: Counter[str], steps: int) -> None:
    """So many steps, and each thing often enough to mean something."""
    assert done["steps"] == steps
    often = {
        "refused": 25,
        "let in": 20,
        "withheld": 50,
        "carried out": 250,
        "handed out": 250,
        "hidden": 250,
        "closed": 250,
    }
    assert {name: done[name] for name, every in often.items() if done[name] < steps / every} == {}


def test_log_gate_and_store_agree_with_plain_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(play(tmp_path, monkeypatch, range(10), 500), 500)


@pytest.mark.soak
def test_log_gate_and_store_agree_with_plain_models_for_a_hundred_thousand_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = play(tmp_path, monkeypatch, range(1000, 3000), 100_000)
    check(done, 100_000)
    assert done["killed"] > 300
