"""instruct, instructions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portal.cli import options
from portal.cli.screen import emit, line, progress, table
from portal.cli.setting import Setting
from portal.cli.words import say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.instructing import Stated
    from pipelines.preview import Preview
    from schemas.ids import AgencyCode
    from schemas.mandate import Conflict

FEW = 10  # as many as are told one by one


def instruct(
    setting: Setting,
    agency: options.Agencies = None,
    everyone: Annotated[bool, typer.Option("--all", help=say("option.all"))] = False,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help=say("option.instruction"))] = None,
    withdraw: Annotated[str | None, typer.Option("--withdraw", metavar="ID", help=say("option.withdraw"))] = None,
    preview: Annotated[bool, typer.Option("--preview", help=say("option.preview"))] = False,
    more: Annotated[list[str] | None, typer.Argument(metavar="CODE", help=say("argument.codes"))] = None,
) -> int:
    agency = [*(agency or []), *(more or [])] or None
    if bool(agency) == everyone:
        raise Malformed("say for whom", "Give --agency (once or more), or --all.")
    if (file is None) == (withdraw is None):
        raise Malformed("say what", "Give --file instruction.toml, or --withdraw ID.")
    if preview:
        return _foresee(setting, agency, file, withdraw)
    if withdraw is not None:
        return _withdraw(setting, agency or [], everyone, withdraw)
    assert file is not None
    return _record(setting, agency, file)


def _record(setting: Setting, agency: list[str] | None, file: Path) -> int:
    from ledger.instruction_file import read
    from pipelines import opening
    from pipelines.instructing import Desk

    said = read(file)
    codes = opening.chosen(setting.home, agency)
    desk = Desk(setting.home, setting.passphrase)
    with progress(setting, "", lambda: len(codes)) as step:
        done = desk.instruct(codes, said, setting.at, step, everyone=agency is None)
    if setting.as_json:
        emit([{"agency": code, "instruction": made} for code, made in done])
        return 0
    if len(done) > FEW:
        line(say("instruct.many", count=len(done)))
        return 0
    for code, (_, made) in zip(codes, done, strict=True):
        line(say("instruct.made", agency=code, id=made))
        if unknown := desk.unknown_rows(code, said):
            line("  " + say("instruct.unknown_rows", count=unknown), "yellow")
        for conflict in desk.conflicts(code, setting.at):
            line(f"  {_conflict(conflict)}", "red")
    return 0


def _withdraw(setting: Setting, agency: list[str], everyone: bool, instruction: str) -> int:
    from pipelines.instructing import Desk

    code = _single(setting, agency, everyone)
    effective = Desk(setting.home, setting.passphrase).withdraw(code, instruction, setting.at)
    if setting.as_json:
        emit([{"agency": code, "instruction": instruction, "withdrawn_from": effective.isoformat()}])
    else:
        line(say("instruct.withdrawn", agency=code, id=instruction, at=f"{effective:%Y-%m-%d %H:%M}"))
    return 0


def _single(setting: Setting, agency: list[str], everyone: bool) -> "AgencyCode":
    from pipelines import opening

    if everyone or len(agency) != 1:
        raise Malformed("an instruction is withdrawn for one agency at a time", "Give --agency once.")
    (code,) = opening.known(setting.home, agency)
    return code


# -- before signing ----------------------------------------------------------------------------------------------------


def _foresee(setting: Setting, agency: list[str] | None, file: Path | None, withdraw: str | None) -> int:
    """Tell what would change. Nothing is written."""
    from ledger.instruction_file import read
    from pipelines import opening, preview
    from pipelines.instructing import Desk, within_contracts

    desk = Desk(setting.home, setting.passphrase)
    if withdraw is not None:
        code = _single(setting, agency or [], everyone=agency is None)
        found = [preview.of_withdrawal(desk, code, withdraw, setting.at)]
    else:
        assert file is not None
        said = read(file)
        codes = opening.chosen(setting.home, agency)
        theirs = within_contracts(setting.home, codes, said, everyone=agency is None)
        found = [preview.of_file(desk, c, theirs[c], setting.at) for c in codes]
    if setting.as_json:
        emit([p.as_json() for p in found])
        return 0
    for p in found:
        _told(p)
    line(say("preview.nothing_written"), "dim")
    return 0


def _told(p: "Preview") -> None:
    from schemas.window import PARIS

    kind = say(f"kind.{p.kind}")
    line(
        say("preview.title", agency=p.agency, kind=kind, at=f"{p.effective_at.astimezone(PARIS):%Y-%m-%d %H:%M}"),
        "bold",
    )
    if not p.changes:
        line(say("preview.same"))
    for key, changes in (("allowed", p.allowed), ("withheld", p.withheld), ("erased", p.erased)):
        for c in changes:
            fields = ", ".join(_labels(c.table, c.fields)) or say("preview.keys_only")
            persons = say("preview.persons_one" if c.persons == 1 else "preview.persons", count=c.persons)
            rows = say("preview.rows_one" if c.rows == 1 else "preview.rows", count=c.rows)
            told = {"table": c.table, "system": c.system, "fields": fields, "persons": persons, "rows": rows}
            line("  " + say(f"preview.{key}", **told))
    for key, systems in (("starts", p.starts), ("stops", p.stops)):
        for system in systems:
            line("  " + say(f"preview.{key}", system=system))
    if p.unknown:
        line("  " + say("instruct.unknown_rows", count=p.unknown), "yellow")
    for conflict in p.conflicts:
        line("  " + _conflict(conflict), "red")


def _labels(table: str, names: tuple[str, ...]) -> list[str]:
    """Columns in words of the reader's language."""
    from portal.cli.words import language
    from schemas.records import RECORDS

    fields = [RECORDS[table].field(name) for name in names]
    return [f.label_fr if language() == "fr" else f.label_en for f in fields]


def _conflict(conflict: "Conflict") -> str:
    return say(f"conflict.{conflict.code}", ids=", ".join(conflict.ids))


# -- what there is -----------------------------------------------------------------------------------------------------


def instructions(setting: Setting, agency: options.Agency) -> int:
    from pipelines.instructing import Desk

    found = Desk(setting.home, setting.passphrase).instructions(agency, setting.at)
    if setting.as_json:
        emit([i.as_json() for i in found])
    elif not found:
        line(say("instructions.none", agency=agency))
    else:
        heads = ("instruction", "kind", "state", "systems", "tables", "purposes", "valid", "reference", "given_by")
        rows = [_row(i) for i in found]
        table([say(f"column.{h}") for h in heads], rows)
    return 0


def _row(i: "Stated") -> tuple[object, ...]:
    e = i.entry
    signed = say("instructions.signed_by", credential=i.signed_by) if i.signed_by else None
    told = ", ".join(t for t in (say(f"state.{i.state}"), signed) if t)
    state = (told, "green" if i.state == "in_force" else "dim")
    named = [" ".join(getattr(e, n, ())) or "–" for n in ("systems", "tables", "purposes")]
    if i.kind == "restrict":
        named[1] = _restricted(e)
    return (e.id, say(f"kind.{i.kind}"), state, *named, _validity(e.valid_from, e.valid_until), e.reference, e.given_by)


def _restricted(e: Any) -> str:
    """What a restriction names; single rows are counted: the log does not know their keys."""
    if not e.targets:
        return str(e.scope)
    rows = e.targets[0].startswith("REF-")
    return f"{e.scope} ({len(e.targets)})" if rows else f"{e.scope}: {' '.join(e.targets)}"


def _validity(start: "datetime", end: "datetime | None") -> str:
    from schemas.window import PARIS

    return " → ".join(f"{d.astimezone(PARIS):%Y-%m-%d}" if d else "…" for d in (start, end))
