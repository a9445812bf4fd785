"""up, worker."""

from typing import Annotated

import typer

from portal.cli.setting import Setting
from portal.cli.words import say


def up(
    setting: Setting,
    port: Annotated[int, typer.Option("--port", metavar="PORT", help=say("option.port"))] = 3000,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help=say("option.host"))] = "127.0.0.1",
) -> int:
    from pipelines import opening
    from pipelines.defs.serve import up as serve

    opening.check(setting.home, setting.passphrase)
    return serve(setting.home, port, host)


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
