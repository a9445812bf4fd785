"""What a monitor costs: figures of many agencies, whose journal holds a month of nights.

    .venv/bin/python -m benchmarks.metrics [--agencies 5000] [--nights 30] [--store postgresql]

CPU of this process, and of the server where there is one: the first measurement, which reads the whole journal, those
after it, and the answer to a scrape.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from sqlalchemy import insert

from benchmarks.server import cpu, serving
from pipelines import opening
from pipelines.metrics import Measuring
from pipelines.metrics_page import Page
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS
from store import engine
from store.house import JOURNAL, House
from store.register import AGENCY

LAST = datetime(2026, 3, 1, 3, tzinfo=UTC)
TABLE = {"ignored": 0, "quarantined": 1, "read": 900, "stored": 20, "unchanged": 879}
REPORT = json.dumps({"tables": {f"TABLE{n}": TABLE for n in range(8)}, "quarantined": []})


def furnish(home: Home, agencies: int, nights: int, store: str | None) -> None:
    """A register and a journal as nights of every system leave them: most of it replayed, a tenth accepted."""
    opening.make(home, None, store=store)
    codes = [f"B{n:04d}" for n in range(agencies)]
    systems = ",".join(AGENCY_SYSTEMS)
    with House.open(home) as house, house.writing() as db:
        db.execute(insert(AGENCY), [{"code": c, "date_debut": date(2023, 1, 1), "systemes": systems} for c in codes])
        for night in range(nights):
            at = (LAST - timedelta(days=nights - 1 - night)).isoformat()
            db.execute(
                insert(JOURNAL),
                [
                    {"agency": c, "system": str(s), "delivery": f"D{night}", "day": at[:10], "at": at, "reason": None,
                     "outcome": "accepted" if not night or n % 10 == night % 10 else "replayed", "run": f"r{night}",
                     "report": REPORT}
                    for n, c in enumerate(codes) for s in AGENCY_SYSTEMS
                ],
            )  # fmt: skip


def spent(what: Callable[[], object], postmaster: int | None) -> tuple[float, float]:
    """CPU seconds of this process and of the server."""
    ours, theirs = time.process_time(), cpu(postmaster) if postmaster else 0.0
    what()
    return time.process_time() - ours, (cpu(postmaster) if postmaster else 0.0) - theirs


def measure(home: Home, postmaster: int | None) -> None:
    at = LAST + timedelta(hours=6)
    measuring = Measuring(home)
    first = spent(lambda: measuring.text(at), postmaster)
    later = [spent(lambda n=n: measuring.text(at + timedelta(seconds=30 * n)), postmaster) for n in range(1, 8)]  # type: ignore[misc]
    print(f"first: {first[0]:.2f} s CPU, server {first[1]:.2f} s")
    ours, theirs = (median(each) for each in zip(*later, strict=True))
    print(f"then, median of {len(later)}: {ours:.3f} s CPU, server {theirs:.3f} s")
    page = Page(measuring, ("127.0.0.1", 0), lambda: at, every=3600)
    page.start()
    address = "http://{}:{}/metrics".format(*page.address)
    size = len(urlopen(address).read())
    scrapes = spent(lambda: [urlopen(address).read() for _ in range(100)], None)
    print(f"a scrape, both ends: {scrapes[0] * 10:.2f} ms CPU, {size} bytes")
    page.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agencies", type=int, default=5000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dep-m-"))
    try:
        with ExitStack() as open_:
            cluster = open_.enter_context(serving()) if told.store == "postgresql" else None
            home = Home.at(folder / "home")
            furnish(home, told.agencies, told.nights, cluster.database() if cluster else None)
            measure(home, cluster.postmaster if cluster else None)
            engine.close_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
