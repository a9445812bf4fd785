"""status, quarantine, trace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.reasons import hint, meaning
from portal.cli.screen import COLOURS, Cells, emit, grouped, line, table
from portal.cli.setting import Setting
from portal.cli.setting_up import window
from portal.cli.words import language, say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from pipelines.status import Flow, Standing
    from pipelines.trace import Aside, Trace

FULL_LIST = 50  # a longer list of agencies shows those that need a look


# -- status ------------------------------------------------------------------------------------------------------------


def status(setting: Setting, agency: options.AgencyOrNone = None) -> int:
    from pipelines import status as pipeline

    at = setting.at
    found = pipeline.of_house(setting.home, at, agency, setting.passphrase)
    portal = pipeline.of_portal(setting.home) if agency is None else None
    if setting.as_json:
        told = {"at": at.isoformat(), "agencies": [s.as_json() for s in found]}
        emit(told | ({"portal": portal.as_json()} if portal else {}))
        return 0
    if not found:
        line(say("status.none"))
        return 0
    line(say("status.on", at=f"{at:%Y-%m-%d %H:%M %Z}"))
    _agencies(found if agency is not None else _worth_telling(found), portal)
    _explained({f.reason for f in (*(f for s in found for f in s.flows), *([portal] if portal else []))})
    if agency is not None:
        _held(found[0])
    return 0


def _worth_telling(found: "list[Standing]") -> "list[Standing]":
    """Of many agencies, those that need a look; the others are counted."""
    if len(found) <= FULL_LIST:
        return found
    odd = [s for s in found if _needs_a_look(s)]
    line(say("status.quiet", count=len(found) - len(odd)))
    return odd


def _needs_a_look(s: "Standing") -> bool:
    if s.erased_on is not None:
        return False
    lacking = any(f.instructed is False or f.source_set is False for f in s.flows)
    troubled = any(f.outcome == "refused" or (f.counts or {}).get("quarantined") for f in s.flows)
    return lacking or troubled or s.state in ("return", "closed")


def _agencies(found: "list[Standing]", portal: "Flow | None") -> None:
    heads = [f"  {say('column.system')}", *(say(f"column.{h}") for h in ("delivery", "lines", "aside", "outcome"))]
    groups: list[tuple[Cells, list[Cells]]] = [
        (((s.agency, "bold"), window(s)), [] if s.erased_on else [_flow(f) for f in s.flows]) for s in found
    ]
    if portal is not None and portal.delivery:
        groups.append(((("portal", "bold"),), [_flow(portal)]))
    grouped(heads, groups, right=(2, 3), give=1)


def _flow(f: "Flow") -> Cells:
    lacks = [
        (say("status.no_instruction"), f.instructed is False),
        (say("status.source_missing"), f.source_set is False),
    ]
    notes = [text for text, lacking in lacks if lacking]
    if f.excess:
        notes.append(say("status.excess", lines=f.excess[0], values=f.excess[1]))
    if f.delivery is None:
        return (f"  {f.system}", (say("status.nothing"), "dim"), "", "", ("; ".join(notes), "yellow"))
    counts = f.counts or {}
    read, aside = counts.get("read", ""), counts.get("quarantined") or ""
    reason = f"{f.reason} ({f.where})" if f.reason and f.where else f.reason
    outcome = ": ".join(filter(None, [say(f"outcome.{f.outcome}"), reason]))
    told = ("; ".join([outcome, *notes]), COLOURS.get(f.outcome or "", ""))
    return (f"  {f.system}", f.delivery, read, (aside, "yellow"), told)


def _explained(reasons: "set[str | None]") -> None:
    tongue = language()
    for reason in sorted(r for r in reasons if r):
        line(f"  {reason}: {meaning(reason, tongue)}. {hint(reason, tongue)}")


def _held(s: "Standing") -> None:
    rows = ", ".join(f"{name} {n}" for name, n in (s.held or {}).items())
    line(say("status.held", rows=rows) if rows else say("status.held_none"))
    if s.aside:
        line(say("status.aside", count=s.aside, agency=s.agency))


# -- quarantine --------------------------------------------------------------------------------------------------------


def quarantine(
    setting: Setting,
    agency: options.AgencyOrNone = None,
    portal: options.Portal = False,
    delivery: Annotated[str | None, typer.Option("--delivery", metavar="NAME", help=say("option.delivery"))] = None,
) -> int:
    from pipelines import trace as pipeline

    if (agency is None) != portal:
        raise Malformed("say whose lines", "Give --agency CODE, or --portal.")
    found = pipeline.quarantine(setting.home, agency, delivery)
    if setting.as_json:
        emit([a.as_json() for a in found])
    elif not found:
        line(say("quarantine.none"))
    else:
        heads = ("delivery", "table", "place", "reason")
        table([say(f"column.{h}") for h in heads], [_aside(a) for a in found])
        _explained({a.reason for a in found})
    return 0


def _aside(a: "Aside") -> tuple[object, ...]:
    from pipelines.trace import LOCUS

    return (a.delivery, a.source, f"{LOCUS[a.system]} {a.loc}", a.reason)


# -- trace -------------------------------------------------------------------------------------------------------------


def trace(
    setting: Setting,
    agency: options.AgencyOrNone = None,
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help=say("argument.table"))] = None,
    key: Annotated[str | None, typer.Argument(metavar="SOURCE_KEY", help=say("argument.key"))] = None,
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help=say("option.column"))] = None,
    system: options.System = None,
    value: Annotated[bool, typer.Option("--value", help=say("option.value"))] = False,
    known: Annotated[str | None, typer.Option("--known", metavar="INSTANT", help=say("option.known"))] = None,
    field: Annotated[str | None, typer.Option("--field", metavar="TABLE.COLUMN", help=say("option.field"))] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help=say("option.drawing"))] = None,
) -> int:
    from pipelines import trace as pipeline

    if field is not None:
        return _field(setting, field, out)
    if agency is None or name is None or key is None or out is not None:
        raise Malformed("say what is traced", "Give --agency, a table and a key; or --field TABLE.COLUMN.")
    if known is not None:
        return _known(setting, agency, name, key, system, value, known)
    found = pipeline.trace(
        setting.home, agency, name, key,
        column=column, system=system, value=value, at=setting.at, passphrase=setting.passphrase,
    )  # fmt: skip
    if setting.as_json:
        emit(found.as_json())
    else:
        _traced(found)
    return 0


def _field(setting: Setting, name: str, out: Path | None) -> int:
    from pipelines import field_lineage as pipeline

    found = pipeline.of(name)
    if out is not None:
        if out.suffix != ".svg":
            raise Malformed("--out is not an .svg", "A drawing is written as SVG.")
        out.write_text(pipeline.svg(found, language()), encoding="utf-8")
    if setting.as_json:
        emit(found.as_json())
    else:
        line(found.name, style="bold")
        table(pipeline.HEADS[language()], pipeline.rows(found, language()))
    return 0


def _known(
    setting: Setting, agency: str, name: str, key: str, system: str | None, value: bool, asked: str
) -> int:  # fmt: skip
    from pipelines.as_known import Answer, as_known
    from portal.cli.setting import instant

    found = as_known(
        setting.home, agency, name, key, instant(asked, "--known"),
        system=system, value=value, at=setting.at, passphrase=setting.passphrase,
    )  # fmt: skip
    if setting.as_json:
        emit(found.as_json())
        return 0
    line(say(f"known.{found.answer}", at=f"{found.asked:%Y-%m-%d %H:%M %Z}"), style="bold")
    if found.answer in (Answer.AS_HELD, Answer.BEFORE_END):
        _traced(found.row)
    heads = ("known", "delivery", "day", "layout", "instructions")
    rows = [
        (say(f"known.part.{s.part}"), s.delivery, s.day, s.layout, " ".join(s.instructions)) for s in found.steps
    ]  # fmt: skip
    table([say(f"column.{h}") for h in heads], rows)
    return 0


def _traced(t: "Trace") -> None:
    from pipelines.trace import LOCUS

    line(say("trace.row", table=t.table, key=t.source_key, system=t.system, agency=t.agency), style="bold")
    end = f"{t.ended_reason} {t.ended_on}" if t.ended_reason else say("trace.open")
    facts = (
        ("delivery", f"{t.delivery} ({t.day})"), ("digest", t.sha256 or "–"),
        ("line", f"{t.source_table} {t.source_line}"), ("place", f"{LOCUS[t.system]} {t.location}"),
        ("layout", t.layout), ("code", t.code_version), ("instructions", " ".join(t.instructions) or "–"),
        ("run", t.run), ("end", end),
    )  # fmt: skip
    wide = max(len(say(f"trace.{name}")) for name, _ in facts)
    for name, fact in facts:
        line(f"  {say(f'trace.{name}'):<{wide}}  {fact}")
    valued = any(c.valued for c in t.columns)
    heads = ["column", "category", "from", "rule", *(["value"] if valued else [])]
    rows = []
    for c in (c for c in t.columns if c.edges or c.value is not None):
        origins = ", ".join(dict.fromkeys(_origin(e.source_table, e.source_column, t.source_table) for e in c.edges))
        rules = "; ".join(dict.fromkeys(e.rule for e in c.edges))
        row: list[object] = [c.field.name, f"{c.scope}, {c.field.category}", origins, (rules, "dim")]
        rows.append([*row, "" if c.value is None else c.value] if valued else row)
    table([say(f"column.{h}") for h in heads], rows)


def _origin(source: str, column: str, own: str) -> str:
    return column if source == own else f"{source} {column}"
