"""up, worker."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from portal.cli.dooring import LISTEN, Listen, Origin, ended, in_french
from portal.cli.setting import Setting
from portal.cli.words import say


def up(
    setting: Setting,
    port: Annotated[int, typer.Option("--port", metavar="PORT", help=say("option.port"))] = 3000,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help=say("option.host"))] = "127.0.0.1",
    origin: Origin = None,
    listen: Listen = LISTEN,
) -> int:
    from pipelines import opening
    from pipelines.defs.serve import up as serve
    from pipelines.reception.beside import door, origin_of
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    root, where = open_root(setting.home, setting.passphrase), origin_of(setting.home, origin)
    if not setting.quiet:
        print(say("door.open", origin=where), file=sys.stderr, flush=True)
    opened = door(setting.home, root, where, listen, _now, told=ended, meaning=in_french)
    return serve(setting.home, port, host, beside=opened)


def worker(
    setting: Setting,
    hands: Annotated[int, typer.Option("--hands", metavar="N", min=1, help=say("option.hands"))] = 2,
    health: Annotated[
        str | None, typer.Option("--listen-health", metavar="HOST:PORT", help=say("option.health"))
    ] = None,
) -> int:
    from pipelines import opening
    from pipelines.defs.worker import where, work

    opening.check(setting.home, setting.passphrase)
    return work(setting.home, hands, None if health is None else where(health))


def _now() -> datetime:
    # Who may come in is asked as of now, whatever --at says.
    return datetime.now(UTC)
