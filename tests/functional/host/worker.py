"""What another machine does: one night on its own home, in a process of its own. Reports go to standard output.

    python worker.py FORBIDDEN HOME INBOX DAY [SYSTEM …]

Whatever opens, lists or asks for a file below FORBIDDEN (the host's home) stops it.
"""

import json
import os
import sys
from pathlib import Path

FORBIDDEN = sys.argv[1]


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "sqlite3.connect"):
        for argument in arguments:
            if isinstance(argument, str | bytes | os.PathLike) and FORBIDDEN in os.fsdecode(argument):
                print(f"the worker opened a file of the host: {event}", file=sys.stderr)
                os._exit(9)


def main() -> None:
    from pipelines import sync
    from pipelines.host import client
    from schemas.home import Home
    from schemas.ids import AGENCY_SYSTEMS, System
    from tests.functional.conftest import RUN, Quiet, noon

    client.PATIENCE = float(os.environ.get("PATIENCE", client.PATIENCE))
    _, _, root, inbox, day, *systems = sys.argv
    home = Home.at(Path(root))
    chosen = tuple(System(s) for s in systems) or AGENCY_SYSTEMS
    night = sync.Night(home, noon(day), Path(inbox), chosen)
    agencies = sync.registered(home)
    print("began", flush=True)
    reports = [r for s in chosen for r in sync.settle(night, s, agencies, Quiet(), RUN)]
    if not systems:
        reports += sync.settle_portal(night, Quiet(), RUN)
    print(json.dumps([r.as_json() for r in reports]))


if __name__ == "__main__":
    sys.addaudithook(watch)
    from schemas.errors import Say

    try:
        main()
    except Say as no:
        print(f"{type(no).__name__}: {no}", file=sys.stderr)
        sys.exit(7)
