"""metrics."""

import signal
import sys
from datetime import timedelta
from typing import Annotated

import typer

from portal.cli.screen import emit, line
from portal.cli.setting import Setting
from portal.cli.words import say
from schemas.errors import Malformed


def metrics(
    setting: Setting,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help=say("option.listen"))] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="HOST:PORT", help=say("option.provider"))
    ] = None,
    late_after: Annotated[
        int, typer.Option("--late-after", metavar="HOURS", min=1, max=8784, help=say("option.late_after"))
    ] = 36,
    every: Annotated[int, typer.Option("--every", metavar="SECONDS", min=1, max=3600, help=say("option.every"))] = 30,
) -> int:
    if not setting.home.root.is_dir():
        raise Malformed("there is no home here", "Run `depositaire init --home DIR` first, or name the home with "
                        "--home or DEPOSITAIRE_HOME.")  # fmt: skip
    from pipelines.defs.nights import orchestrator
    from pipelines.host.admission import parsed
    from pipelines.metrics import Measuring
    from pipelines.metrics_page import Page

    measuring = Measuring(
        setting.home,
        setting.passphrase,
        timedelta(hours=late_after),
        None if provider is None else parsed(provider),
        orchestrator(setting.home),
    )
    if listen is None:
        if setting.as_json:
            told = (s for figure in measuring.figures(setting.at) for s in figure.samples)
            emit([{"name": s.name, "labels": s.labels, "value": s.value} for s in told])
        else:
            sys.stdout.write(measuring.text(setting.at).decode())
        return 0
    where, port = parsed(listen)
    page = Page(measuring, (where.strip("[]"), port), lambda: setting.at, every)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: page.stop())
    page.start()
    address = "{}:{}".format(*page.address)
    if setting.as_json:
        emit({"listening": address})
    else:
        line(say("host.listening", address=address))
    sys.stdout.flush()
    page.wait()
    return 0
