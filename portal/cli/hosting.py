"""host serve, host admit, host dismiss."""

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from portal.cli.screen import emit, line
from portal.cli.setting import Setting
from portal.cli.words import say


def serve(
    setting: Setting,
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help=say("option.listen"))],
) -> int:
    from pipelines import opening
    from pipelines.host.service import Host

    opening.check(setting.home, setting.passphrase)

    def told(what: str, name: str = "") -> None:
        if not setting.quiet:
            print(say(f"host.{what}", name=name), file=sys.stderr, flush=True)

    # What is allowed is asked as of now, whatever --at says: this answers other machines.
    host = Host(setting.home, setting.passphrase, listen, lambda: datetime.now(UTC), told)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: host.stop())
    host.start()
    if setting.as_json:
        emit({"listening": host.address})
    else:
        line(say("host.listening", address=host.address))
    sys.stdout.flush()
    host.wait()
    return 0


def admit(
    setting: Setting,
    name: Annotated[str, typer.Argument(metavar="NAME", help=say("argument.worker"))],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help=say("option.worker_out"))],
    address: Annotated[str | None, typer.Option("--address", metavar="HOST:PORT", help=say("option.address"))] = None,
) -> int:
    from pipelines.defs.instance import hand_on, write_instance
    from pipelines.host import admission
    from schemas.home import Home
    from store.keys import open_root

    root = open_root(setting.home, setting.passphrase)
    worker = admission.admit(setting.home, root, name, out, address, datetime.now(UTC))
    hand_on(setting.home, Home.at(out))
    write_instance(Home.at(out))
    if setting.as_json:
        emit({"worker": worker.name, "fingerprint": worker.fingerprint, "folder": str(out.absolute())})
    else:
        line(say("host.admitted", name=worker.name))
        line(say("host.carry", folder=out))
    return 0


def dismiss(setting: Setting, name: Annotated[str, typer.Argument(metavar="NAME", help=say("argument.worker"))]) -> int:
    from pipelines.host import admission

    gone = admission.dismiss(setting.home, name, datetime.now(UTC))
    if setting.as_json:
        emit({"worker": name, "dismissed": gone})
    else:
        line(say("host.dismissed" if gone else "host.dismissed_before", name=name))
    return 0
