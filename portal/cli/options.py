"""Options that several commands share, and the decorator that gives every command the common ones."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from portal.cli.help import Command
from portal.cli.setting import Setting
from portal.cli.words import say
from schemas.errors import Refused

Agency = Annotated[str, typer.Option("--agency", metavar="CODE", help=say("option.agency"))]
AgencyOrNone = Annotated[str | None, typer.Option("--agency", metavar="CODE", help=say("option.agency"))]
Agencies = Annotated[list[str] | None, typer.Option("--agency", metavar="CODE", help=say("option.agencies"))]
Systems = Annotated[list[str] | None, typer.Option("--system", metavar="NAME", help=say("option.systems"))]
System = Annotated[str | None, typer.Option("--system", metavar="NAME", help=say("option.system"))]
Portal = Annotated[bool, typer.Option("--portal", help=say("option.portal"))]

HOME = typer.Option("--home", metavar="DIR", help=say("option.home"))
KEYS = typer.Option("--keys", metavar="DIR", help=say("option.keys"))
AS_JSON = typer.Option("--json", help=say("option.json"))
QUIET = typer.Option("--quiet", "-q", help=say("option.quiet"))
AT = typer.Option("--at", metavar="INSTANT", help=say("option.at"))

Run = Callable[..., int | None]
_NAMED = inspect.Parameter.KEYWORD_ONLY


def _common() -> list[inspect.Parameter]:
    return [
        inspect.Parameter("home", _NAMED, default=None, annotation=Annotated[Path | None, HOME]),
        inspect.Parameter("keys", _NAMED, default=None, annotation=Annotated[Path | None, KEYS]),
        inspect.Parameter("at", _NAMED, default=None, annotation=Annotated[str | None, AT]),
        inspect.Parameter("as_json", _NAMED, default=False, annotation=Annotated[bool, AS_JSON]),
        inspect.Parameter("quiet", _NAMED, default=False, annotation=Annotated[bool, QUIET]),
    ]


def told(run: Run, anywhere: bool = False) -> Callable[..., None]:
    """A command that takes the common options, after its name or before it, and exits with the code that `run` returns.

    `run` is called with a Setting and its own options. `anywhere`: also on a machine that only synchronises.
    """
    own = list(inspect.signature(run).parameters.values())[1:]

    def command(ctx: typer.Context, **given: Any) -> None:
        before: dict[str, Any] = ctx.find_root().obj or {}
        home, keys, at, as_json, quiet = (given.pop(p.name) or before.get(p.name) for p in _common())
        setting = Setting.of(home, keys, bool(as_json), bool(quiet), at)
        if not anywhere and setting.has_home:
            _at_home(setting)
        raise typer.Exit(run(setting, **given) or 0)

    first = inspect.Parameter("ctx", _NAMED, annotation=typer.Context)
    mine = [p.replace(kind=_NAMED) for p in own]
    signature = inspect.Signature([first, *mine, *_common()])
    vars(command).update(__signature__=signature, __name__=run.__name__, __doc__=None)
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def _at_home(setting: Setting) -> None:
    """Raises Refused on a machine that only synchronises: it has neither the keys nor the logs."""
    from pipelines.host.settings import is_worker

    if is_worker(setting.home):
        raise Refused(
            "this machine only synchronises for a home that is elsewhere", "Do this on the home's own machine."
        )


def add(app: typer.Typer, name: str, run: Run, panel: str | None = None, anywhere: bool = False) -> None:
    """Hang a command into a group; its help is the catalogue's `help.<…>`."""
    prefix = f"{app.info.name}." if isinstance(app.info.name, str) else ""
    app.command(name, cls=Command, help=say(f"help.{prefix}{name}"), rich_help_panel=panel)(told(run, anywhere))


def lead(app: typer.Typer, run: Run) -> None:
    """What a group does when it is called without one of its commands."""
    own = told(run)

    def alone(ctx: typer.Context, **given: Any) -> None:
        if ctx.invoked_subcommand is None:
            own(ctx, **given)

    vars(alone).update({name: vars(own)[name] for name in ("__signature__", "__name__") if name in vars(own)})
    alone.__annotations__ = own.__annotations__
    app.callback(invoke_without_command=True)(alone)
