"""init, agencies, sources."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.reasons import hint, meaning
from portal.cli.screen import emit, line, table
from portal.cli.setting import Setting
from portal.cli.words import language, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.status import Standing
    from schemas.report import Report

REFUSED = 3


def init(
    setting: Setting,
    passphrase: Annotated[bool, typer.Option("--passphrase", help=say("option.passphrase"))] = False,
    store: Annotated[str | None, typer.Option("--store", metavar="URL", help=say("option.store"))] = None,
    dagster: Annotated[str | None, typer.Option("--dagster", metavar="URL", help=say("option.dagster"))] = None,
    broker: Annotated[str | None, typer.Option("--broker", metavar="URL", help=say("option.broker"))] = None,
) -> int:
    from pipelines import opening
    from pipelines.defs.instance import check_addresses, write_instance

    # In the order of the options: an address that holds a password is better not seen in the list of processes.
    url, own, queue = (sys.stdin.readline().rstrip("\n") if said == "-" else said for said in (store, dagster, broker))
    check_addresses(own, queue)
    made = opening.make(setting.home, setting.passphrase if passphrase else None, protect=passphrase, store=url)
    write_instance(setting.home, own, queue)
    if setting.as_json:
        emit({"home": str(setting.home.root), "keys": str(setting.home.keys), "created": made})
    elif made:
        line(say("init.made", home=setting.home.root))
        line(say("init.keys", keys=setting.home.keys))
        line(say("init.next"))
    else:
        line(say("init.there", home=setting.home.root))
    if not setting.as_json:
        _faults(opening.faults(setting.home))
    return 0


def check_store(setting: Setting) -> int:
    """Exit code 3 when something is not as it should be."""
    from pipelines import opening

    found = opening.faults(setting.home)
    if setting.as_json:
        emit({"faults": found})
    elif found:
        _faults(found)
    else:
        line(say("store.sound"))
    return REFUSED if found else 0


def _faults(found: "Sequence[str]") -> None:
    for fault in found:
        line(say(f"store.fault.{fault}"))


def upgrade_store(setting: Setting) -> int:
    from pipelines import opening

    before, after = opening.upgrade(setting.home)
    if setting.as_json:
        emit({"from": before, "to": after})
    else:
        line(say("store.upgraded" if before != after else "store.newest", before=before or "?", after=after))
    return 0


def load(setting: Setting, file: Annotated[Path, typer.Argument(metavar="FILE", help=say("argument.register"))]) -> int:
    from pipelines import opening

    report = opening.load_register(setting.home, file, setting.at, setting.passphrase)
    if setting.as_json:
        emit(report.as_json())
    else:
        _told(report)
    return REFUSED if report.outcome == "refused" or report.quarantined else 0


def _told(report: "Report") -> None:
    tongue = language()
    if report.outcome == "refused":
        words = {"meaning": meaning(report.reason, tongue), "hint": hint(report.reason, tongue)}
        line(say("register.refused", name=report.delivery, reason=report.reason, **words))
        return
    counts = report.tables["AGENCES"]
    told = {"stored": counts.stored, "unchanged": counts.unchanged, "quarantined": counts.quarantined}
    line(say("register.accepted", name=report.delivery, **told))
    for q in report.quarantined:
        words = {"meaning": meaning(q.reason, tongue), "hint": hint(q.reason, tongue)}
        line("  " + say("register.line", line=q.loc, reason=q.reason, **words))


def listed(setting: Setting) -> int:
    from pipelines import status

    found = status.agencies(setting.home, setting.at)
    if setting.as_json:
        emit([s.contract_json() for s in found])
    elif not found:
        line(say("register.empty"))
    else:
        heads = ("agency", "name", "contract", "window", "systems")
        rows = [(s.agency, s.name or "", span(s), window(s), " ".join(s.systems)) for s in found]
        table([say(f"column.{h}") for h in heads], rows)
    return 0


def span(s: "Standing") -> str:
    """The days of a contract, in words."""
    if s.start is None:
        return str(s.end or "")
    return say("contract.span", start=s.start, end=s.end) if s.end else say("contract.since", start=s.start)


def window(s: "Standing") -> tuple[str, str]:
    """Where an agency stands in its window, with a colour."""
    if s.erased_on is not None:
        return say("window.erased", day=s.erased_on), "dim"
    if s.state == "return":
        return say("window.return", days=s.days_left), "yellow"
    if s.state == "closed":
        return say("window.closed"), "red"
    text = say("window.ends", end=s.end) if s.end and s.state == "running" else say(f"window.{s.state}")
    if s.restriction is not None:
        text += "; " + say("restriction", scope=s.restriction_scope, day=s.restriction)
    return text, ""


def set_source(
    setting: Setting,
    agency: options.Agency,
    odbc: Annotated[str, typer.Option("--odbc", metavar="STRING", help=say("option.odbc"))],
    system: Annotated[str, typer.Option("--system", metavar="NAME", help=say("option.system"))] = "spilasuite",
) -> int:
    from pipelines import opening

    text = sys.stdin.readline().rstrip("\n") if odbc == "-" else odbc
    opening.set_source(setting.home, agency, system, text, setting.at, setting.passphrase)
    if setting.as_json:
        emit({"agency": agency, "system": system})
    else:
        line(say("sources.set", agency=agency, system=system))
    return 0


def load_sources(
    setting: Setting, file: Annotated[Path, typer.Argument(metavar="FILE", help=say("argument.sources"))]
) -> int:
    from pipelines import opening

    done = opening.load_sources(setting.home, file, setting.at, setting.passphrase)
    if setting.as_json:
        emit([{"agency": s.agency, "system": str(s.system)} for s in done])
    else:
        line(say("sources.loaded", count=len(done)))
    return 0


# -- the privacy policy ------------------------------------------------------------------------------------------------


def set_policy(
    setting: Setting, file: Annotated[Path, typer.Argument(metavar="FILE", help=say("argument.policy"))]
) -> int:
    from pipelines import opening, policies as pipeline
    from schemas.window import PARIS

    opening.check(setting.home, setting.passphrase)
    made = pipeline.adopt(setting.home, file, setting.at)
    if setting.as_json:
        emit({"since": made.since.isoformat(), "sha256": made.sha256, "placeholder": made.open_place})
        return 0
    line(say("policy.set", since=f"{made.since.astimezone(PARIS):%Y-%m-%d %H:%M}", sha256=made.sha256))
    if made.open_place:
        line(say("policy.placeholder"), "yellow")
    return 0


def policies(setting: Setting) -> int:
    from pipelines import policies as pipeline
    from schemas.window import PARIS

    found = pipeline.versions(setting.home)
    if setting.as_json:
        emit([{"since": p.since.isoformat(), "sha256": p.sha256} for p in found])
    elif not found:
        line(say("policy.none"))
    else:
        rows = [(f"{p.since.astimezone(PARIS):%Y-%m-%d %H:%M}", p.sha256) for p in found]
        table([say("column.since"), "SHA-256"], rows)
    return 0
