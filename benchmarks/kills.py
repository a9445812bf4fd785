"""A night of many agencies whose processes are killed, again and again, until it completes: `python -m benchmarks.kills --help`.

On PostgreSQL. A first night in peace, then one in which a tenth of the agencies changed something. At random instants of
that one something of it is killed by signal 9: the command itself, a process that it started, one connection's process
in the database server (which makes the server end all others), or the whole server, which is then started. The same command is given
again each time, until the kills are used up and it ends with 0. Then is looked at, and any of it ends this with an error:

- every file is accepted once, in the journal and in the agency's log, and none is refused;
- `depositaire status` says of every agency and system that its last delivery is this night's;
- what some of the agencies hold is, byte for byte, what a home holds in which nothing was ever killed.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from benchmarks import home as homes
from benchmarks.generate import agencies
from benchmarks.portfolio import FIRST, Agency, Night
from benchmarks.server import serving
from benchmarks.thousands import COMMAND, ROOT, send
from ledger.entry import Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.defs.run import write_instance
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from store import engine
from store.house import JOURNAL, House
from store.keys import open_root
from tests.postgres import Cluster

VICTIMS = ("the command", "a process of it", "a connection of the server", "the server")
PATIENCE = 10  # seconds, for a command that lost a part of itself to end; it may go on with another system
COMPARED = 10  # agencies of which everything is compared
Killed = list[tuple[str, float, int]]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _arguments(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.where, prefix="depositaire-bench-")))
        server = stack.enter_context(serving())
        those = agencies(chosen.persons * chosen.agencies, chosen.agencies)
        home = homes.make(folder / "home", those, server.database())
        write_instance(home)
        options = ["--processes", str(chosen.processes)] if chosen.processes else []
        send(those, set(), 1, folder / "inbox-1", folder / "sources")
        homes.point(home, sorted((folder / "sources").glob(f"*/{System.SPILASUITE}/*")))
        dice = random.Random(chosen.seed)
        first = Trial(home, those, [], folder / "inbox-1", 1, server, options, dice)
        first.go_on(0, 0)
        moved = those[::10]
        send(those, {a.code for a in moved}, 2, folder / "inbox-2", folder / "sources")
        trial = replace(first, moved=moved, inbox=folder / "inbox-2", number=2, killed=[])
        trial.look(trial.go_on(chosen.kills, chosen.longest), folder / "calm")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agencies", type=int, default=200)
    parser.add_argument("--persons", type=int, default=200, help="of each agency (default: 200)")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=40, help="seconds from a command to its kill, at the most")
    parser.add_argument("--processes", type=int, help="as of `depositaire sync`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--where", type=Path, help="folder for deliveries and homes (default: the system's own)")
    return parser.parse_args(arguments)


@dataclass
class Trial:
    """Agencies on one home, of which every night before this one was in peace."""

    home: Home
    those: list[Agency]
    moved: list[Agency]
    inbox: Path  # of the night in which things are killed
    number: int  # of that night
    server: Cluster
    options: list[str]
    dice: random.Random
    killed: Killed = field(default_factory=list)

    def begin(self, out: Any, said: Any) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", COMMAND, "sync", "--home", str(self.home.root), "--json", "--quiet"]
        command += ["--at", homes.noon(self.night).isoformat(), "--inbox", str(self.inbox), *self.options]
        return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=said)

    def go_on(self, kills: int, longest: float) -> list[dict[str, Any]]:
        """Kill so often, each time so many seconds after the command at the most, and let it complete. Its last reports."""
        while True:
            spared = len(self.killed) == kills
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
                process, began = self.begin(out, said), time.monotonic()
                if not spared:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(self.dice.uniform(1, longest))
                    if process.poll() is None:
                        self.kill(process, time.monotonic() - began)
                        said.seek(0)
                        print(f"   {said.read().decode().strip()}", flush=True)
                        continue
                if process.wait() == 0:
                    out.seek(0)
                    reports: list[dict[str, Any]] = json.load(out)
                    told = Counter(r["outcome"] for r in reports)
                    print(f"ended by itself after {time.monotonic() - began:.0f} s: {dict(told)}", flush=True)
                    if spared:
                        return reports
                elif spared:
                    raise SystemExit(f"the night ended with {process.returncode}")

    def kill(self, process: "subprocess.Popen[bytes]", after: float) -> None:
        """One of what works at the night; the command has ended when this returns."""
        victim = self.dice.choice(VICTIMS)
        mine = psutil.Process(process.pid).children(recursive=True)
        postmaster = psutil.Process(self.server.postmaster)
        connections = [each for each in postmaster.children() if _is_connection(each)]
        if victim == VICTIMS[1] and mine:
            one = self.dice.choice(mine)
            victim = f"{victim} ({_called(one).partition('-m ')[2] or _called(one)[:60]})"
            with suppress(psutil.NoSuchProcess):  # it has ended by itself just now
                one.kill()
        elif victim == VICTIMS[2] and connections:
            with suppress(psutil.NoSuchProcess):
                self.dice.choice(connections).kill()
        elif victim == VICTIMS[3]:
            for each in [postmaster, *postmaster.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs([postmaster], 30)
        else:
            victim = VICTIMS[0]
            process.send_signal(signal.SIGKILL)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None  # it went on without what it lost, as it may
            process.kill()
            process.wait()
        psutil.wait_procs(mine, 30)
        if victim == VICTIMS[3]:
            self.server.revive()
        self._reached()
        self.killed.append((victim, round(after, 1), 0 if code is None else code))
        print(f"{len(self.killed)}. {victim} after {after:.1f} s: ended with {code}", flush=True)

    def _reached(self) -> None:
        """Wait for a server that recovers."""
        for _ in range(600):
            with suppress(Exception), self.server.admin():
                return
            time.sleep(0.1)
        raise SystemExit("the server does not come back")

    @property
    def night(self) -> Night:
        return replace(FIRST, number=self.number)

    # -- what has come of it -------------------------------------------------------------------------------------------

    def look(self, reports: Sequence[dict[str, Any]], folder: Path) -> None:
        engine.close_all()  # what this process had open before the server was killed
        flows = Counter((r["agency"], r["system"]) for r in reports)
        wanted = {(a.code, str(s)) for a in self.those for s in AGENCY_SYSTEMS}
        self._is(set(flows) == wanted and set(flows.values()) == {1}, "one report of each agency and system")
        self._is({r["outcome"] for r in reports} <= {"replayed", "accepted"}, "nothing is refused")
        files = Counter((p.parts[-3], p.parts[-2], p.name) for p in self.inbox.glob("*/*/*"))
        self._is(len(files) == 3 * len(self.those), "three files an agency wait")
        self._is(self._journal() & files == files and self._once(self._journal()), "the journal has each file once")
        self._is(self._logs() & files == files and self._once(self._logs()), "the logs have each file once")
        self._status()
        self._same(folder)

    @staticmethod
    def _is(holds: bool, what: str) -> None:
        if not holds:
            raise SystemExit(f"not so: {what}")
        print(f"- {what}", flush=True)

    @staticmethod
    def _once(found: Counter[tuple[str, str, str]]) -> bool:
        return all(n == 1 for (_, system, _), n in found.items() if system != System.SPILASUITE)

    def _journal(self) -> Counter[tuple[str, str, str]]:
        j = JOURNAL.c
        with House.open(self.home) as house:
            rows = house.db.execute(select(j.agency, j.system, j.delivery).where(j.outcome == "accepted"))
            return Counter((str(a), str(s), str(d)) for a, s, d in rows)

    def _logs(self) -> Counter[tuple[str, str, str]]:
        keys, found = LogKeys(self.home, open_root(self.home)), Counter[tuple[str, str, str]]()
        for a in self.those:
            entries = Log.at(self.home, AgencyCode(a.code), keys).read().entries
            found.update((a.code, str(e.system), e.delivery) for e in entries if isinstance(e, Receipt))
        return found

    def _status(self) -> None:
        began = time.monotonic()
        command = [sys.executable, "-c", COMMAND, "status", "--home", str(self.home.root), "--json"]
        command += ["--at", homes.noon(self.night).isoformat()]
        told = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
        print(f"- depositaire status took {time.monotonic() - began:.1f} s", flush=True)
        flows = [flow for agency in told["agencies"] for flow in agency["flows"]]
        right = [
            f for f in flows if f["day"] == self.night.day.isoformat() and f["outcome"] in {"accepted", "replayed"}
        ]
        self._is(
            len(right) == len(flows) == 4 * len(self.those), "status tells of this night for every agency and system"
        )

    def _same(self, folder: Path) -> None:
        """Beside a home of a few of the agencies, in files, where each night ran once."""
        few = [*self.moved[: COMPARED // 2], *(a for a in self.those if a not in self.moved)][:COMPARED]
        folder.mkdir()
        calm = homes.make(folder / "home", few)
        for number in range(1, self.number + 1):
            inbox = folder / f"inbox-{number}"
            changed = {a.code for a in self.moved} if number == self.number else set[str]()
            send(few, changed, number, inbox, folder / "sources")
            if number == 1:
                homes.point(calm, sorted((folder / "sources").glob(f"*/{System.SPILASUITE}/*")))
            for system in AGENCY_SYSTEMS:
                homes.night(calm, inbox, system, replace(FIRST, number=number))
        for agency in few:
            held = [self._exported(home, agency, folder) for home in (self.home, calm)]
            if held[0] != held[1] or not any(held[0].values()):
                raise SystemExit(f"not so: {agency.code} holds what it would hold in peace")
        self._is(True, f"{len(few)} agencies hold what they would hold in peace, byte for byte")

    @staticmethod
    def _exported(home: Home, agency: Agency, folder: Path) -> dict[str, bytes]:
        to = folder / "export"
        command = [sys.executable, "-c", COMMAND, "export", "--home", str(home.root), "--agency", agency.code]
        subprocess.run([*command, "--to", str(to)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        found = {path.name: path.read_bytes() for path in to.rglob("*.jsonl")}
        for path in to.rglob("*.jsonl"):
            path.unlink()
        return found


def _is_connection(process: psutil.Process) -> bool:
    """Whether a process of the server serves one of the home's logins."""
    return _called(process).startswith("postgres: dep")


def _called(process: psutil.Process) -> str:
    """The words that a process was started with; none when it has ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


if __name__ == "__main__":
    main()
