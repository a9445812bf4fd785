"""export, retention, verify."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.screen import console, emit, line, progress, shown
from portal.cli.setting import Setting
from portal.cli.translations import spoken
from portal.cli.words import language, say
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code

if TYPE_CHECKING:
    from pipelines.erasure import Erasure, Swept

NOT_DONE = 1


# -- export ------------------------------------------------------------------------------------------------------------


def export(
    setting: Setting,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help=say("option.to"))],
    agency: options.AgencyOrNone = None,
    portal: options.Portal = False,
) -> int:
    from pipelines import leaving

    if (agency is None) != portal:
        raise Malformed("say whose data", "Give --agency CODE, or --portal.")
    code = agency_code(agency) if agency is not None else None
    os.umask(0o077)  # personal data: for its owner's eyes
    registered, written = leaving.export(setting.home, code, to, setting.passphrase)
    if setting.as_json:
        emit({"agency": code, "to": str(to), "tables": written})
        return 0
    if not registered:
        console(stderr=True).print(shown(say("export.unregistered", agency=code)), style="yellow")
    line(say("export.done", rows=sum(written.values()), count=len(written), to=to))
    if any(written.values()):
        line(say("export.personal"))
    return 0


# -- retention ---------------------------------------------------------------------------------------------------------


def plan(setting: Setting, agency: options.Agencies = None) -> int:
    from pipelines import leaving
    from retention.explain import explain, explain_held

    found = leaving.outlook(setting.home, setting.at, _codes(agency), setting.passphrase)
    if setting.as_json:
        held = [{"agency": d.agency, "date_fin": d.end.isoformat()} for d in found.held]
        emit({"plans": [p.data for p in found.plans], "held": held})
        return 0
    tongue = language()
    for n, each in enumerate(found.plans):
        head, *steps = explain(each, tongue)
        line(f"\n{head}" if n else head, style="bold")
        for text in steps:
            line(f"  {text}")
    for due in found.held:
        line(explain_held(due, tongue), style="yellow")
    if not found.plans and not found.held:
        line(say("plan.nothing"))
    return 0


def run(setting: Setting, agency: options.Agencies = None) -> int:
    from pipelines import opening

    home, at, codes = setting.home, setting.at, _codes(agency)
    opening.check(home, setting.passphrase)
    from pipelines.defs.run import execute_erasure

    with progress(setting, say("help.retention"), lambda: None) as step:
        swept = execute_erasure(home, at, codes, setting.passphrase, lambda code, _step, _outcome: step(code))
    if setting.as_json:
        held = [{"agency": d.agency, "date_fin": d.end.isoformat()} for d in swept.held]
        emit({"erasures": [e.as_json() for e in swept.erasures], "held": held, "complete": swept.complete})
    else:
        _swept(setting, swept)
    return 0 if swept.complete else NOT_DONE


def _swept(setting: Setting, swept: "Swept") -> None:
    from retention.explain import explain_held

    for each in swept.erasures:
        _erased(setting, each)
    for due in swept.held:
        line(explain_held(due, language()), style="yellow")
    if not swept.erasures and not swept.held:
        line(say("run.nothing"))


def _erased(setting: Setting, each: "Erasure") -> None:
    from retention.explain import explain, explain_outcome

    tongue = language()
    head, *steps = explain(each.plan, tongue)
    line(head, style="bold")
    outcomes = [explain_outcome(o, tongue) for _, o in each.steps]
    for n, text in enumerate(steps):
        line(f"  {text}" + (f": {outcomes[n]}" if n < len(outcomes) else ""))
    if each.certificate is not None:
        line("  " + say("run.certificate", file=setting.home.certificates / each.certificate.name), style="green")
    else:
        line("  " + say("run.problem", problem=each.problem), style="red")


def _codes(agency: list[str] | None) -> list[AgencyCode] | None:
    return None if agency is None else [agency_code(a) for a in agency]


# -- verify ------------------------------------------------------------------------------------------------------------


def verify(
    setting: Setting, file: Annotated[Path, typer.Argument(metavar="FILE", help=say("argument.certificate"))]
) -> int:
    from pipelines import leaving

    home = setting.home if setting.has_home else None
    try:
        checked = leaving.verify(file, home, setting.passphrase)
    except NotVerified as no:
        if setting.as_json:
            emit({"verified": False, "problem": no.what, "hint": no.hint})
        else:
            line(say("verify.broken", what=spoken(no.what)) + (f" {spoken(no.hint)}" if no.hint else ""), style="red")
        return NOT_DONE
    if setting.as_json:
        emit({"verified": True} | checked.as_json())
        return 0
    from schemas.window import PARIS

    line(say("verify.holds"), style="green")
    c = checked.certificate
    line(
        say(
            "verify.what",
            agency=c.agency,
            end=c.contract_end,
            at=f"{c.carried_out_at.astimezone(PARIS):%Y-%m-%d %H:%M}",
        )
    )
    for name in ("form", "signature", "window", "steps", "search"):
        line("  ✓ " + say(f"verify.{name}"))
    line(f"  {'✓' if checked.key else '–'} " + say("verify.key" if checked.key else "verify.key_unknown"))
    line(f"  {'✓' if checked.ledger else '–'} " + say("verify.ledger" if checked.ledger else "verify.ledger_unknown"))
    return 0
