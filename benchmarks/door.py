"""How long somebody at the web door waits, with a long log and a full store.

    python -m benchmarks.door [--entries 100000] [--persons 125000] [--rounds 60] [--home DIR]

A log of so many entries (a receipt for 97 of 100, a delivery beyond the instructions for 2, an order that comes and
goes for 1), and a first night of SDGI of so many persons (125,000 give a million rows). Then
`depositaire door serve` as it is run, in processes of its own, and one person's requests over HTTP, one after another.
Seconds are by the clock, as the person waits; the peak is the kernel's `VmHWM` of each process.

`first`: after the start, nothing in memory. `warm`: again and again. `grown`: each time after the log has grown by
a receipt, as during a night. `--home` keeps what was made, and takes it again.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pyotp
from sqlalchemy import insert

from benchmarks import home as homes
from benchmarks.generate import NIGHTS, agencies, deliver
from ledger.deeds import Exceeded
from ledger.entry import Entry, Receipt
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.orders import Acknowledgement, Channel
from pipelines.reception import tables
from pipelines.reception.accounts import Accounts
from pipelines.reception.vault import Vault
from schemas.access import Grant, Role
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Counts
from store.agency import Shelf
from store.house import JOURNAL, House
from store.keys import open_root

BEGAN = datetime(2023, 8, 1, tzinfo=UTC)
PASSWORD = "marée basse, quatre mouettes"
ROOT = Path(__file__).parents[1]
LIMIT = 0.2  # seconds
PAUSE = 0.05  # nobody may ask more often for long (`pipelines.reception.rate`)


def entry(n: int, instruction: str) -> Entry:
    at = BEGAN + timedelta(minutes=17 * n)
    if n % 100 == 3:
        return Acknowledgement(
            agency=AgencyCode("B0000"), reference=f"LETTRE-{n}", recorded_by="dpo", recorded_at=at, channel=Channel.EMAIL,
            instruction=instruction, acknowledged_at=at,
        )  # fmt: skip
    if n % 50 == 7:
        return Exceeded(
            system=System.SDGI, delivery=f"SDGI_B0000_{n}", lines={"LOT": 2}, values={"bank_detail.iban": 1}
        )
    counts = {"COPROPRIETAIRES.CSV": Counts(read=12, stored=9, unchanged=3), "LOTS.CSV": Counts(read=40, unchanged=40)}
    system = ("sdgi", "gpi", "login", "spilasuite")[n % 4]
    return Receipt(
        f"{system.upper()}_B0000_{n}", system, "ab" * 32, "accepted", None, counts, (instruction,), "1.4", "0.1.0", "r"
    )


def filled(root: Path, persons: int) -> Home:
    """A home after one night."""
    those = agencies(persons)
    inbox = root / "inbox"
    deliver(System.SDGI, those, NIGHTS["first"], inbox)
    home = homes.make(root / "home", those)
    homes.night(home, inbox, System.SDGI, NIGHTS["first"])
    shutil.rmtree(inbox)
    return home


def lengthened(home: Home, entries: int) -> None:
    """The log, and the journal of deliveries with a row for each receipt."""
    log = _log(home)
    instruction = log.read().given[0].id
    there = log.head().size
    for first in range(there, entries, 2000):
        batch = [(entry(n, instruction), None) for n in range(first, min(first + 2000, entries))]
        at = BEGAN + timedelta(minutes=17 * first)
        log.append_all(batch, at)
        rows = [_journalled(e, at) for e, _ in batch if isinstance(e, Receipt)]
        with House.open(home) as house, house.writing() as db:
            db.execute(insert(JOURNAL), rows)


def _journalled(e: Receipt, at: datetime) -> dict[str, str]:
    counts = {name: {"read": c.read, "stored": c.stored, "unchanged": c.unchanged} for name, c in e.tables.items()}
    return {
        "agency": "B0000", "system": e.system, "delivery": e.delivery, "day": f"{at:%Y-%m-%d}", "at": at.isoformat(),
        "outcome": e.outcome, "run": e.run, "report": json.dumps({"tables": counts}),
    }  # fmt: skip


def _log(home: Home) -> Log:
    return Log.at(home, AgencyCode("B0000"), LogKeys(home, open_root(home)))


@dataclass
class Served:
    """The door while it is open, and somebody who has signed in."""

    client: httpx2.Client
    pids: tuple[int, int]

    def wait(self, path: str) -> float:
        begin = time.perf_counter()
        answer = self.client.get(path)
        seconds = time.perf_counter() - begin
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code}")
        time.sleep(PAUSE)
        return seconds

    def peaks(self) -> dict[str, float]:
        """MiB."""
        return dict(zip(("reception", "pages"), (_peak(pid) for pid in self.pids), strict=True))


def _peak(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def served(home: Home) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    origin = f"http://localhost:{port}"
    command = [
        sys.executable,
        "-c",
        "import sys; from portal.cli import main; sys.exit(main())",
        "--home",
        str(home.root),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    door = subprocess.Popen(
        [*command, "door", "serve", "--origin", origin, "--listen", f"127.0.0.1:{port}"],
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx2.Client(base_url=origin, timeout=600, headers={"accept-language": "fr"}) as client:
            _answers(client)
            children = Path(f"/proc/{door.pid}/task/{door.pid}/children").read_text().split()
            _sign_in(client, home)
            yield Served(client, (door.pid, int(children[0])))
    finally:
        door.send_signal(signal.SIGTERM)
        door.wait(30)


def _answers(client: httpx2.Client) -> None:
    for _ in range(300):
        try:
            if client.get("/sign-in").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise SystemExit("the door did not open")


def _sign_in(client: httpx2.Client, home: Home) -> None:
    now = datetime.now(UTC)
    accounts = Accounts(tables.accounts(home), Vault.of(home, open_root(home)))
    told = accounts.invite("mesure@agence.example", Grant(Role.READER, AgencyCode("B0000"), now), now)
    page = client.get(f"/invitation/{told}").text
    secret, token = (
        _found(r'id="key">([A-Z2-7]+)<', page),
        _found(r'name="form" (?:content|value)="([0-9a-f]{64})"', page),
    )
    code = pyotp.TOTP(secret).now()
    form = {"form": token, "password": PASSWORD, "again": PASSWORD, "code": code}
    # The client keeps cookies that are for TLS alone from an address without it; a browser does not, for localhost.
    jar = {c.name: c.value or "" for c in client.cookies.jar}
    sent = client.post(f"/invitation/{told}", data=form, headers={"cookie": _cookies(jar)})
    jar |= {c.name: c.value or "" for c in client.cookies.jar}
    if sent.status_code != 303:
        raise SystemExit(f"nobody could sign in: {sent.status_code}")
    client.headers["cookie"] = _cookies(jar)


def _cookies(jar: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in jar.items())


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit("a page is not what it was")
    return found[1]


def pages(size: int) -> dict[str, Callable[[int], str]]:
    """By what they are: the address in a round."""
    log = "/a/B0000/log"
    return {
        "overview": lambda _: "/a/B0000",
        "log, newest": lambda _: log,
        "log, anywhere": lambda n: f"{log}?before={1 + (n * 7919) % size}",
        "log, one system": lambda _: f"{log}?system=gpi",
        "log, a rare kind": lambda _: f"{log}?sort=instructions&system=spilasuite",
        "log, by days": lambda _: f"{log}?since=2023-08-03&until=2023-08-04",
        "log, nothing fits": lambda _: f"{log}?since=2099-01-01",
        "an entry": lambda n: f"{log}/{2 + (n * 7919) % (size - 2)}",
        "the instruction": lambda _: f"{log}/1",
        "checkpoint": lambda _: f"{log}/checkpoint",
        "25 proofs": lambda n: f"{log}/entries?first={(n * 7919) % (size - 25)}&count=25",
        "consistency": lambda n: f"{log}/consistency?first={1 + (n * 7919) % size}",
        "columns": lambda _: "/a/B0000/audit/fields",
        "a column": lambda _: "/a/B0000/audit/fields/person.last_name",
        "put aside": lambda _: "/a/B0000/quarantine",
        "who looked": lambda _: "/a/B0000/audit/access",
        "my sessions": lambda _: "/sessions",
    }


def quantile(waits: Sequence[float], share: float) -> float:
    return sorted(waits)[min(len(waits) - 1, int(share * len(waits)))]


def measure(home: Home, rounds: int) -> bool:
    log, size = _log(home), _log(home).head().size
    asked = pages(size)
    over = False
    print(
        f"{'ms':<20}{'first':>9}{'warm p50':>10}{'p95':>9}{'max':>9}{'grown p50':>11}{'p95':>9}{'max':>9}", flush=True
    )
    with served(home) as door:
        first = {name: door.wait(path(0)) for name, path in asked.items()}
        grown: dict[str, list[float]] = {name: [] for name in asked}
        warm: dict[str, list[float]] = {name: [] for name in asked}
        for n in range(rounds):
            for name, path in asked.items():
                warm[name].append(door.wait(path(n)))
        for n in range(max(3, rounds // 4)):
            for name, path in asked.items():
                log.append(entry(4 * (size + n), "INS-0000000000"), datetime.now(UTC))
                grown[name].append(door.wait(path(n)))
        for name in asked:
            figures = [first[name]]
            for waits in (warm[name], grown[name]):
                figures += [quantile(waits, 0.5), quantile(waits, 0.95), max(waits)]
            over |= figures[2] > LIMIT or figures[5] > LIMIT
            print(
                name.ljust(20)
                + "".join(f"{1000 * s:{w}.0f}" for s, w in zip(figures, (9, 10, 9, 9, 11, 9, 9), strict=True)),
                flush=True,
            )
        print("peak MiB: " + ", ".join(f"{name} {mib:.0f}" for name, mib in door.peaks().items()))
    return over


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.door", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--persons", type=int, default=125_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--home", type=Path, help="a folder that is kept")
    asked = parser.parse_args(arguments)
    folder = asked.home or Path(tempfile.mkdtemp(prefix="dep-door-"))
    try:
        home = Home.at(folder / "home")
        if not home.root.exists():
            folder.mkdir(exist_ok=True)
            filled(folder, asked.persons)
        lengthened(home, asked.entries)
        with Shelf.known(home, AgencyCode("B0000")) as shelf:
            rows = sum(shelf.counts().values())
        print(f"{_log(home).head().size:,} entries, {rows:,} records held", flush=True)
        return int(measure(home, asked.rounds))
    finally:
        if asked.home is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
