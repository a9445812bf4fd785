"""export, retention, evidence, verify."""

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
    made = leaving.export(setting.home, code, to, setting.at, setting.passphrase)
    if setting.as_json:
        emit(
            {
                "agency": code, "to": str(to), "tables": dict(made.tables),
                "instructions": list(made.instructions), "part": made.part,
            }
        )  # fmt: skip
        return 0
    if not made.registered:
        console(stderr=True).print(shown(say("export.unregistered", agency=code)), style="yellow")
    line(say("export.done", rows=sum(made.tables.values()), count=len(made.tables), to=to))
    if made.part:
        told = {"tables": ", ".join(made.tables), "ids": ", ".join(made.instructions)}
        line(say("export.part", **told), style="yellow")
    if any(made.tables.values()):
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
        ordered = [o.as_json() for o in swept.ordered]
        erased = [e.as_json() for e in swept.erasures]
        emit({"erasures": erased, "ordered": ordered, "held": held, "complete": swept.complete})
    else:
        _swept(setting, swept)
    return 0 if swept.complete else NOT_DONE


def _swept(setting: Setting, swept: "Swept") -> None:
    from retention.explain import explain_held

    for each in swept.erasures:
        _erased(setting, each)
    for due in swept.held:
        line(explain_held(due, language()), style="yellow")
    for order in swept.ordered:
        told = {"agency": order.agency, "id": order.instruction, "rows": sum(order.rows.values())}
        if order.problem is None:
            line(say("run.ordered", **told), style="green")
        else:
            line(say("run.order_problem", **told, problem=order.problem), style="red")
    if not swept.erasures and not swept.held and not swept.ordered:
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


# -- evidence ----------------------------------------------------------------------------------------------------------


def evidence(
    setting: Setting,
    agency: options.Agency,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help=say("option.pack"))],
) -> int:
    from datetime import UTC, datetime

    from pipelines import evidence as pipeline
    from portal.cli.reasons import meaning

    if out.suffix != ".zip":
        raise Malformed("--out is not a .zip", "Name the pack, for example A0001.zip.")
    made = pipeline.write(
        setting.home, agency_code(agency), out, setting.at, datetime.now(UTC), lambda code: meaning(code, "fr"),
        setting.passphrase,
    )  # fmt: skip
    if setting.as_json:
        emit(made.as_json())
        return 0
    line(say("evidence.written", file=out, size=made.size, files=made.files), style="green")
    if made.hidden:
        line("  " + say("evidence.hidden", count=made.hidden), style="yellow")
    line("  " + say("evidence.key", key=made.key))
    line("  " + say("evidence.check", file=out))
    return 0


# -- verify ------------------------------------------------------------------------------------------------------------


def verify(
    setting: Setting,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=say("argument.certificate"))] = None,
    since: Annotated[Path | None, typer.Option("--since", metavar="FILE", help=say("option.since"))] = None,
    trust: Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=say("option.trust"))] = None,
) -> int:
    if file is not None and since is None and (trust is not None or file.suffix == ".tsr"):
        return _verify_timestamp(setting, file, trust)
    if trust is not None:
        raise Malformed("say what", "Give a timestamp with --trust.")
    if since is not None and file is None:
        return _verify_since(setting, since)
    if file is None or since is not None:
        raise Malformed("say what", "Give a certificate, or --since and a checkpoint that was kept.")
    if _is_zip(file):
        return _verify_pack(setting, file)
    return _verify_certificate(setting, file)


def _is_zip(file: Path) -> bool:
    """Whether a file begins as a zip does, or is called one: then it is an evidence pack, or claims to be."""
    try:
        with file.open("rb") as f:
            return file.suffix == ".zip" or f.read(2) == b"PK"
    except OSError:
        return False


def _verify_pack(setting: Setting, file: Path) -> int:
    from pipelines import evidence as pipeline

    home = setting.home if setting.has_home else None
    try:
        checked = pipeline.verify(file.read_bytes(), home, setting.passphrase)
    except NotVerified as no:
        return _not_verified(setting, no, "pack.broken")
    if setting.as_json:
        emit({"verified": True} | checked.as_json())
        return 0
    line(say("pack.holds", agency=checked.agency, at=checked.made_at), style="green")
    line("  ✓ " + say("pack.log", size=checked.size))
    line("  ✓ " + say("pack.certificates", count=checked.certificates))
    line(("  – " if checked.stamps else "  ✓ ") + say("pack.timestamps", count=checked.stamps))
    if checked.hidden:
        line("  – " + say("pack.hidden", count=checked.hidden))
    line(f"  {'✓' if checked.key else '–'} " + say("pack.key" if checked.key else "pack.key_unknown"))
    if checked.now is None:
        line("  – " + say("pack.log_unknown"))
    else:
        line("  ✓ " + say("pack.extends", now=checked.now))
    return 0


def _verify_since(setting: Setting, file: Path) -> int:
    from pipelines import leaving

    try:
        found = leaving.since(file, setting.home, setting.passphrase)
    except NotVerified as no:
        return _not_verified(setting, no, "since.broken")
    if setting.as_json:
        emit({"verified": True} | found.as_json())
        return 0
    line(say("since.holds", agency=found.agency), style="green")
    line("  ✓ " + say("since.signature"))
    line("  ✓ " + say("since.extends", kept=found.kept, now=found.now))
    line("  ✓ " + say("since.whole"))
    return 0


def _verify_timestamp(setting: Setting, file: Path, trust: Path | None) -> int:
    from portal.cli.anchoring import proven

    if trust is None:
        raise Malformed("say whose word on time is believed", "Give the authority's root certificate with --trust.")
    try:
        return proven(setting, file, trust)
    except NotVerified as no:
        return _not_verified(setting, no, "stamp.broken")


def _not_verified(setting: Setting, no: NotVerified, words: str) -> int:
    if setting.as_json:
        emit({"verified": False, "problem": no.what, "hint": no.hint})
    else:
        line(say(words, what=spoken(no.what)) + (f" {spoken(no.hint)}" if no.hint else ""), style="red")
    return NOT_DONE


def _verify_certificate(setting: Setting, file: Path) -> int:
    from pipelines import leaving

    home = setting.home if setting.has_home else None
    try:
        checked = leaving.verify(file, home, setting.passphrase)
    except NotVerified as no:
        return _not_verified(setting, no, "verify.broken")
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
