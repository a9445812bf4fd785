"""Every `depositaire …` in deploy/ and in its manual is a command as the command line takes it today."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from portal.cli.app import app
from tests.deploy.conftest import DEPLOY, ROOT, compose, pods

# At the beginning, in a pipe, or as what a container is told to run: elsewhere the word names something.
_SHELL = re.compile(
    r"(?:^\s*depositaire |\| ?depositaire |-- depositaire |exec (?:-T )?\w+ depositaire |run --rm \w+ )"
    r"([^|;&<>\n]*)",
    re.MULTILINE,
)
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def understood(arguments: list[str]) -> Any:
    """The options as the command takes them; nothing is run. Raises typer.TyperException as the command line would."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("depositaire", list(arguments))
    rest = [*getattr(context, "_protected_args", []), *context.args]
    while hasattr(group, "resolve_command"):
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, list(rest), parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args] if hasattr(group, "resolve_command") else rest
    return context.params


def shelled(text: str) -> Iterator[list[str]]:
    """What a shell would hand to `depositaire` in a text."""
    for found in _SHELL.findall(text):
        yield shlex.split(found, comments=True)


def of_compose() -> Iterator[list[str]]:
    for service in compose()["services"].values():
        if "depositaire" in service["image"]:
            yield from shelled(" ".join(service["command"])) if "entrypoint" in service else [service["command"]]


def of_the_chart() -> Iterator[list[str]]:
    for _, _, spec in pods():
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            yield from shelled(" ".join(container["args"])) if "command" in container else [container["args"]]


def of_the_dockerfile() -> Iterator[list[str]]:
    text = (DEPLOY / "Dockerfile").read_text()
    for found in re.findall(r"^CMD \[(.*)\]$", text, re.MULTILINE):
        yield [part.strip().strip('"') for part in found.split(",")]


def of_the_manual() -> Iterator[list[str]]:
    for block in _BLOCK.findall((ROOT / "docs" / "deploy.md").read_text()):
        yield from shelled(block.replace("\\\n", " "))


SOURCES = {"compose": of_compose, "chart": of_the_chart, "dockerfile": of_the_dockerfile, "manual": of_the_manual}


@pytest.mark.parametrize("source", SOURCES)
def test_the_command_line_takes_every_command(source: str) -> None:
    commands = list(SOURCES[source]())
    assert len(commands) >= {"compose": 5, "chart": 5, "dockerfile": 1, "manual": 10}[source]
    for arguments in commands:
        assert understood(arguments) is not None, arguments


def test_every_part_is_in_compose_and_in_the_chart() -> None:
    parts = {"init", "up", "worker", "metrics", "host serve"}
    for source in (of_compose, of_the_chart):
        begun = {" ".join(c[:2]) if c[0] == "host" else c[0] for c in source()}
        assert begun == parts


@pytest.mark.parametrize(
    "renamed", [["worker", "--hand", "2"], ["workers"], ["host", "server"], ["metrics", "--every", "0"]]
)
def test_a_command_that_was_renamed_is_seen(renamed: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        understood(renamed)
