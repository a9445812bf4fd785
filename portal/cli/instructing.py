"""instruct, instructions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.screen import emit, line, progress, table
from portal.cli.setting import Setting
from portal.cli.words import say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.opening import Given

FEW = 10  # as many as are told one by one


def instruct(
    setting: Setting,
    agency: options.Agencies = None,
    everyone: Annotated[bool, typer.Option("--all", help=say("option.all"))] = False,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help=say("option.instruction"))] = None,
    withdraw: Annotated[str | None, typer.Option("--withdraw", metavar="ID", help=say("option.withdraw"))] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="CODE", help=say("argument.codes"))] = None,
) -> int:
    agency = [*(agency or []), *(more or [])] or None
    if bool(agency) == everyone:
        raise Malformed("say for whom", "Give --agency (once or more), or --all.")
    if (file is None) == (withdraw is None):
        raise Malformed("say what", "Give --file instruction.toml, or --withdraw ID.")
    if withdraw is not None:
        return _withdraw(setting, agency or [], everyone, withdraw)
    assert file is not None
    return _record(setting, agency, file)


def _record(setting: Setting, agency: list[str] | None, file: Path) -> int:
    from ledger.instruction_file import read
    from pipelines import opening

    draft = read(file)
    codes = opening.chosen(setting.home, agency)
    with progress(setting, "", lambda: len(codes)) as step:
        done = []
        for code in codes:
            done.append({"agency": code, "instruction": opening.instruct(setting.home, code, draft, setting.at)})
            step(code)
    if setting.as_json:
        emit(done)
    elif len(done) > FEW:
        line(say("instruct.many", count=len(done)))
    else:
        for d in done:
            line(say("instruct.made", agency=d["agency"], id=d["instruction"]))
    return 0


def _withdraw(setting: Setting, agency: list[str], everyone: bool, instruction: str) -> int:
    from pipelines import opening

    if everyone or len(agency) != 1:
        raise Malformed("an instruction is withdrawn for one agency at a time", "Give --agency once.")
    (code,) = opening.known(setting.home, agency)
    effective = opening.withdraw(setting.home, code, instruction, setting.at)
    if setting.as_json:
        emit([{"agency": code, "instruction": instruction, "withdrawn_from": effective.isoformat()}])
    else:
        line(say("instruct.withdrawn", agency=code, id=instruction, at=f"{effective:%Y-%m-%d %H:%M}"))
    return 0


def instructions(setting: Setting, agency: options.Agency) -> int:
    from pipelines import opening

    found = opening.instructions(setting.home, agency, setting.at)
    if setting.as_json:
        emit([i.as_json() for i in found])
    elif not found:
        line(say("instructions.none", agency=agency))
    else:
        heads = ("instruction", "state", "systems", "tables", "purposes", "valid", "reference", "given_by")
        rows = [_row(i) for i in found]
        table([say(f"column.{h}") for h in heads], rows)
    return 0


def _row(i: "Given") -> tuple[object, ...]:
    e = i.entry
    state = (say(f"state.{i.state}"), "green" if i.state == "in_force" else "dim")
    named = (" ".join(e.systems), " ".join(e.tables), " ".join(e.purposes))
    return (e.id, state, *named, _validity(e.valid_from, e.valid_until), e.reference, e.given_by)


def _validity(start: "datetime", end: "datetime | None") -> str:
    from schemas.window import PARIS

    return " → ".join(f"{d.astimezone(PARIS):%Y-%m-%d}" if d else "…" for d in (start, end))
