"""How help reads: in the language of the locale, commands by what they are for, common options apart.

Plain text: drawing panels would take longer than everything else that `--help` does.
"""

from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from portal.cli.words import say

# As they are met: Typer would put groups last.
ORDER = (
    "init", "agencies", "sources", "policy", "instruct", "instructions", "sync", "worker", "anchor", "status",
    "quarantine", "trace", "register", "metrics", "door", "up", "lineage", "openlineage", "layouts", "inspect",
    "export", "retention", "evidence", "verify",
)  # fmt: skip
COMMON = ("home", "keys", "at", "as_json", "quiet", "help")


def _usage(command: Any, ctx: Any, formatter: Any) -> None:
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)), say("usage"))


def _section(formatter: Any, title: str, rows: Iterable[tuple[str, str]]) -> None:
    if listed := list(rows):
        with formatter.section(title):
            formatter.write_dl(listed)


def _parameters(command: Any, ctx: Any, formatter: Any) -> None:
    records = [(p, r) for p in command.get_params(ctx) if (r := p.get_help_record(ctx)) is not None]
    arguments = [r for p, r in records if p.param_type_name == "argument"]
    own = [r for p, r in records if p.param_type_name == "option" and p.name not in COMMON]
    common = [r for p, r in records if p.param_type_name == "option" and p.name in COMMON]
    _section(formatter, say("heading.arguments"), arguments)
    _section(formatter, say("heading.options"), own)
    _section(formatter, say("heading.common"), common)


def _help_option(option: Any) -> Any:
    if option is not None:
        option.help = say("help.help")
    return option


class Command(TyperCommand):
    """A command whose help is in the language of the locale."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        _usage(self, ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _parameters(self, ctx, formatter)

    def get_help_option(self, ctx: Any) -> Any:
        return _help_option(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of commands, listed under what they are for (`rich_help_panel`)."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        _usage(self, ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _parameters(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            title = panel if isinstance(panel, str) else say("heading.commands")
            sections.setdefault(title, []).append((name, command.get_short_help_str(200)))
        for title, rows in sections.items():
            _section(formatter, title, rows)

    def get_help_option(self, ctx: Any) -> Any:
        return _help_option(super().get_help_option(ctx))


def group(text: str, epilog: str | None = None) -> typer.Typer:
    """A group without Typer's own screens: its tracebacks would show what variables hold."""
    return typer.Typer(
        cls=Group,
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
    )
