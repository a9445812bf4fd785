"""One night in a process of its own: HOME INBOX DAY FILE. Every delivery that is told as received is written to FILE,
and on the disk before anything else happens."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines import sync
from schemas.errors import Say
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Report
from tests.functional.conftest import noon


class Told:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def settled(self, report: Report) -> None:
        if report.outcome == "accepted":
            self._file.write(report.delivery + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def checked(
        self, table: str, evaluated: int, broken: Mapping[str, int], agencies: Sequence[AgencyCode]
    ) -> None: ...


def main(root: str, inbox: str, day: str, told: str) -> None:
    home = Home.at(Path(root))
    night = sync.Night(home, noon(day), Path(inbox), (System.SDGI,))
    codes = sync.registered(home)
    print("begun", flush=True)
    try:
        sync.settle(night, System.SDGI, codes, Told(Path(told)), "trial")
    except Say as no:
        print(no, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
