"""openlineage: all events into a file; send; status."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.screen import console, emit, line, shown
from portal.cli.setting import Setting
from portal.cli.translations import spoken
from portal.cli.words import say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from pipelines.openlineage.outbox import Written
    from pipelines.openlineage.sending import Turn

NOT_DONE = 1


def openlineage(
    setting: Setting,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help=say("option.events"))] = None,
    agency: options.Agencies = None,
) -> int:
    from datetime import UTC, datetime

    from pipelines.openlineage import outbox as pipeline

    if out is None:
        raise Malformed("say where to", "Give --out FILE.jsonl; or one of the commands: send, status.")
    if out.suffix != ".jsonl":
        raise Malformed("--out is not a .jsonl", "One event a line: name it so.")
    outbox = pipeline.Outbox.open(setting.home, setting.passphrase)
    flows = outbox.flows(agency)
    problems = _told(outbox.collect(flows, datetime.now(UTC)))
    count = pipeline.copy(setting.home, flows, out)
    if setting.as_json:
        emit({"out": str(out), "events": count})
    else:
        line(say("openlineage.written", count=count, file=out), style="green")
    return NOT_DONE if problems else 0


def _told(written: "Written") -> bool:
    """Say whose events could not be written, and why; whether there are any."""
    for flow, no in written.problems:
        what, hint = spoken(no.what), spoken(no.hint)
        told = say("openlineage.problem", agency=flow or "portal", what=what)
        console(stderr=True).print(shown(f"{told} {hint}".strip()), style="red")
    return bool(written.problems)


def send(
    setting: Setting,
    agency: options.Agencies = None,
    follow: Annotated[bool, typer.Option("--follow", help=say("option.follow"))] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", help=say("option.turn"))] = 30.0,
) -> int:
    from datetime import UTC, datetime

    from pipelines.openlineage import sending
    from pipelines.openlineage.outbox import Outbox
    from pipelines.openlineage.settings import receiver

    outbox = Outbox.open(setting.home, setting.passphrase)
    to = receiver(setting.home)
    if to is None:
        if follow:
            raise Malformed("nobody takes events", "Write [openlineage] url into depositaire.toml.")
        written = outbox.collect(outbox.flows(agency), datetime.now(UTC))
        if setting.as_json:
            emit({"written": written.events, "sent": None})
        else:
            line(say("openlineage.kept", count=written.events, folder=setting.home.lineage), style="green")
        return NOT_DONE if _told(written) else 0
    if follow:
        sending.follow(setting.home, outbox, to, max(every, 1.0), agency, lambda turn: _turned(setting, turn))
    flows = outbox.flows(agency)
    problems = _told(outbox.collect(flows, datetime.now(UTC)))
    done = sending.turn(setting.home, to, flows)
    _turned(setting, done)
    return NOT_DONE if done.trouble or problems else 0


def _turned(setting: Setting, turn: "Turn") -> None:
    if setting.as_json:
        emit(turn.as_json())
    elif turn.trouble is not None:
        told = say("openlineage.trouble", sent=turn.sent, left=turn.left, kind=turn.trouble.kind)
        line(told, style="yellow")
    elif turn.sent or not setting.quiet:
        line(say("openlineage.sent", sent=turn.sent, left=turn.left), style="green")


def status(setting: Setting, agency: options.Agencies = None) -> int:
    from datetime import UTC, datetime

    from pipelines.openlineage import sending
    from pipelines.openlineage.outbox import Outbox
    from pipelines.openlineage.settings import receiver

    outbox = Outbox.open(setting.home, setting.passphrase)
    flows = outbox.flows(agency)
    problems = _told(outbox.collect(flows, datetime.now(UTC)))
    to = receiver(setting.home)
    found = sending.standing(setting.home, flows) | {"receiver": to.host if to is not None else None}
    if setting.as_json:
        emit(found)
        return NOT_DONE if problems else 0
    line(say("openlineage.receiver", host=found["receiver"]) if to else say("openlineage.no_receiver"))
    line(say("openlineage.queue", count=found["queue"]))
    for name, count in found["flows"].items():
        line(f"  {name}  {count}")
    if found["error"]:
        line(say("openlineage.error", kind=found["error"], turns=found["turns"], since=found["since"]), style="yellow")
    return NOT_DONE if problems else 0
