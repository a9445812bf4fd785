"""sync."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.reasons import hint, meaning
from portal.cli.screen import COLOURS, emit, line, progress, table
from portal.cli.setting import Setting
from portal.cli.words import language, say
from schemas.errors import Malformed
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.inbox import place

if TYPE_CHECKING:
    from pipelines.sync import Night
    from schemas.report import Report

REFUSED, UNINSTRUCTED = 3, 4
MOST_PROCESSES = 64  # as `pipelines.nightly`, which is slow to load
FEW = 10
FULL_LIST = 200  # a longer night shows only what needs a look
NO_INSTRUCTION = "agency.no_instruction"


def sync(
    setting: Setting,
    inbox: Annotated[str | None, typer.Option("--inbox", metavar="DIR", help=say("option.inbox"))] = None,
    agency: options.Agencies = None,
    system: options.Systems = None,
    no_short_cut: Annotated[bool, typer.Option("--no-short-cut", help=say("option.no_short_cut"))] = False,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help=say("option.memory"))] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", metavar="N", min=1, max=MOST_PROCESSES, help=say("option.processes"))
    ] = None,
) -> int:
    home = setting.home
    systems = chosen(system, bool(agency))
    if inbox is None and set(systems) - {System.SPILASUITE}:
        raise Malformed("no inbox was named", "Give --inbox DIR; only spilasuite is read without one.")
    where = None if inbox is None else place(inbox)
    if isinstance(where, Path) and not where.is_dir():
        raise Malformed("the inbox is not a folder", "Give --inbox the folder that holds <agency>/<system>/<delivery>.")
    codes = None if agency is None else tuple(agency_code(a) for a in agency)
    # Only now what is slow to load: what is wrong with the call is told at once.
    from pipelines.memory import in_bytes, of_home

    size = of_home(home) if memory is None else in_bytes(memory)
    from pipelines import opening, sync as pipeline

    night = pipeline.Night(
        home, setting.at, where, systems, codes, setting.passphrase, size, not no_short_cut, processes or 0
    )
    opening.remember(night)
    from pipelines.defs.run import execute_sync

    with progress(setting, say("sync.title"), lambda: expected(night)) as step:
        reports = execute_sync(night, lambda r: step(" ".join(filter(None, (r.agency, r.system)))))
    if setting.as_json:
        emit([r.as_json() for r in reports])
    else:
        tell(reports)
    return code_of(reports)


def chosen(names: Sequence[str] | None, some_agencies: bool) -> tuple[System, ...]:
    """The systems to read: those named, else the four, and the portal when no agency was named."""
    if not names:
        return AGENCY_SYSTEMS if some_agencies else (*AGENCY_SYSTEMS, System.PORTAL)
    if not set(names) <= {str(s) for s in System}:
        raise Malformed("an unknown system was named", f"Known: {', '.join(System)}.")
    return tuple(s for s in System if str(s) in names)


def expected(night: "Night") -> int:
    """How many deliveries wait, for the bar."""
    from pipelines import opening, sync as pipeline
    from schemas.home import PORTAL

    folders = [AgencyCode(f) for f in night.arrivals.folders()] if night.arrivals else []
    wanted = [a for a in folders if a != PORTAL and (night.agencies is None or a in night.agencies)]
    in_files = [s for s in night.systems if s not in (System.SPILASUITE, System.PORTAL)]
    count = sum(len(pipeline.waiting(night, s, a)) for a in wanted for s in in_files)
    if System.SPILASUITE in night.systems:
        count += sum(night.agencies is None or a in night.agencies for a in opening.sourced(night.home))
    return count + (len(pipeline.portal_deliveries(night)) if System.PORTAL in night.systems else 0)


def code_of(reports: "Sequence[Report]") -> int:
    reasons = {r.reason for r in reports if r.outcome == "refused"}
    if not reasons:
        return 0
    return UNINSTRUCTED if reasons == {NO_INSTRUCTION} else REFUSED


def tell(reports: "Sequence[Report]") -> None:
    """One line a delivery, then what to do about what was refused. What was received before is counted only."""
    if not reports:
        line(say("sync.nothing"))
        return
    heads = ("agency", "system", "delivery", "lines", "stored", "aside", "outcome")
    listed = [r for r in reports if r.outcome != "replayed"]
    if len(listed) > FULL_LIST:
        listed = [r for r in listed if r.outcome == "refused" or r.quarantined]
    if listed:
        table([say(f"column.{h}") for h in heads], [_row(r) for r in listed], right=(3, 4, 5))
    outcomes = Counter(r.outcome for r in reports)
    aside = sum(len(r.quarantined) for r in reports)
    line(say("sync.summary", quarantined=aside, **{o: outcomes[o] for o in ("accepted", "replayed", "refused")}))
    tongue = language()
    for reason in sorted({r.reason for r in reports if r.reason}):
        line(f"  {reason}: {meaning(reason, tongue)}. {hint(reason, tongue)}")
    for agency in sorted({r.agency for r in reports if r.quarantined and r.agency})[:FEW]:
        line("  " + say("sync.look", agency=agency))


def _row(r: "Report") -> tuple[object, ...]:
    read = sum(c.read for c in r.tables.values())
    stored = sum(c.stored for c in r.tables.values())
    aside = len(r.quarantined)
    figures = (read, stored, (aside or "", "yellow")) if r.outcome == "accepted" else ("", "", "")
    reason = f"{r.reason} ({r.where})" if r.where else r.reason
    outcome = ": ".join(filter(None, [say(f"outcome.{r.outcome}"), reason]))
    return (r.agency or "", r.system, r.delivery, *figures, (outcome, COLOURS[r.outcome]))
