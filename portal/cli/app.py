"""All commands in one place. Their modules import nothing heavy: what a command needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from portal.cli import (
    access_log,
    anchoring,
    dooring,
    formats,
    hosting,
    instructing,
    leaving,
    looking,
    measuring,
    oidc,
    openlineage,
    registering,
    serving,
    setting_up,
    syncing,
)
from portal.cli.help import group
from portal.cli.options import AS_JSON, AT, HOME, KEYS, QUIET, add, lead
from portal.cli.words import say

app = group(say("app"), epilog=say("help.exit"))


@app.callback()
def _before(
    ctx: typer.Context,
    home: Annotated[Path | None, HOME] = None,
    keys: Annotated[Path | None, KEYS] = None,
    at: Annotated[str | None, AT] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """The common options may stand before the name of the command too."""
    ctx.obj = {"home": home, "keys": keys, "at": at, "as_json": as_json, "quiet": quiet}


def _subgroup(name: str, panel: str | None = None, of: typer.Typer = app) -> typer.Typer:
    sub = group(say(f"help.{name}"))
    sub.info.name = name
    of.add_typer(sub, name=name, rich_help_panel=say(panel) if panel else None, help=say(f"help.{name}"))
    return sub


add(app, "init", setting_up.init, say("group.setup"))
agencies = _subgroup("agencies", "group.setup")
add(agencies, "load", setting_up.load)
add(agencies, "list", setting_up.listed, anywhere=True)
store = _subgroup("store", "group.setup")
add(store, "check", setting_up.check_store)
add(store, "upgrade", setting_up.upgrade_store)
sources = _subgroup("sources", "group.setup")
add(sources, "set", setting_up.set_source)
add(sources, "load", setting_up.load_sources)
policy = _subgroup("policy", "group.setup")
add(policy, "set", setting_up.set_policy)
add(policy, "list", setting_up.policies)
host = _subgroup("host", "group.setup")
add(host, "serve", hosting.serve)
add(host, "admit", hosting.admit)
add(host, "dismiss", hosting.dismiss)
add(app, "instruct", instructing.instruct, say("group.setup"))
add(app, "instructions", instructing.instructions, say("group.setup"))
add(app, "sync", syncing.sync, say("group.daily"), anywhere=True)
add(app, "anchor", anchoring.anchor, say("group.daily"))
add(app, "status", looking.status, say("group.look"), anywhere=True)
add(app, "quarantine", looking.quarantine, say("group.look"), anywhere=True)
add(app, "trace", looking.trace, say("group.look"))
add(app, "register", registering.register, say("group.look"))
add(app, "metrics", measuring.metrics, say("group.look"))
door = _subgroup("door", "group.look")
add(door, "invite", dooring.invite)
add(door, "people", dooring.people)
add(door, "revoke", dooring.revoke)
add(door, "serve", dooring.serve)
add(door, "openapi", dooring.openapi)
add(door, "notify", dooring.notify)
add(door, "webhook", dooring.webhook)
add(door, "log", access_log.log)
own_sign_in = _subgroup("oidc", of=door)
add(own_sign_in, "set", oidc.put)
add(own_sign_in, "show", oidc.show)
add(own_sign_in, "remove", oidc.remove)
add(app, "up", serving.up, say("group.look"))
add(app, "worker", serving.worker, say("group.daily"), anywhere=True)
add(app, "lineage", formats.lineage, say("group.formats"), anywhere=True)
events = _subgroup("openlineage", "group.formats")
lead(events, openlineage.openlineage)
add(events, "send", openlineage.send)
add(events, "status", openlineage.status)
add(app, "layouts", formats.layouts, say("group.formats"), anywhere=True)
add(app, "inspect", formats.inspect, say("group.formats"), anywhere=True)
add(app, "export", leaving.export, say("group.leave"))
retention = _subgroup("retention", "group.leave")
add(retention, "plan", leaving.plan)
add(retention, "run", leaving.run)
add(app, "evidence", leaving.evidence, say("group.leave"))
add(app, "verify", leaving.verify, say("group.leave"))
