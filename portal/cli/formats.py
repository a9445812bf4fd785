"""lineage, layouts, inspect."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli.reasons import hint, meaning
from portal.cli.screen import emit, line, table
from portal.cli.setting import Setting
from portal.cli.words import language, say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from pipelines.inspection import Departure, Inspection

REFUSED = 3
SHOWN = 20


def lineage(
    setting: Setting, out: Annotated[Path, typer.Option("--out", metavar="FILE", help=say("option.out"))]
) -> int:
    from pipelines.lineage import edges
    from portal.cli.drawing import draw

    if out.suffix not in (".svg", ".json"):
        raise Malformed("--out is neither .svg nor .json", "The ending says which of the two is written.")
    links = edges()
    if out.suffix == ".svg":
        out.write_text(draw(links, language()), encoding="utf-8")
    else:
        out.write_text(json.dumps([e.as_json() for e in links], ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if setting.as_json:
        emit({"out": str(out), "edges": len(links)})
    else:
        line(say("lineage.written", count=len(links), file=out))
    return 0


def layouts(setting: Setting) -> int:
    from pipelines.contracts import known

    found = known()
    if setting.as_json:
        emit([c.as_json() for c in found])
        return 0
    heads = ("system", "version", "accepts", "tables", "columns", "file")
    rows = [(c.system, c.version, c.accepts, c.kinds, c.columns, c.file) for c in found]
    table([say(f"column.{h}") for h in heads], rows, right=(3, 4))
    return 0


def inspect(setting: Setting, file: Annotated[Path, typer.Argument(metavar="FILE", help=say("argument.file"))]) -> int:
    from pipelines.inspection import inspect as look

    found = look(file)
    if setting.as_json:
        emit(found.as_json())
    else:
        _told(found)
    return 0 if found.fits else REFUSED


def _told(i: "Inspection") -> None:
    if i.system is None:
        line(say("inspect.unknown", file=i.file), style="yellow")
        return
    tongue = language()
    words = {"file": i.file, "layout": i.layout}
    if i.reason:
        where = f", {i.where}" if i.where else ""
        told = {"meaning": meaning(i.reason, tongue), "hint": hint(i.reason, tongue), "where": where}
        line(say("inspect.refused", reason=i.reason, **words, **told), style="red")
    elif i.quarantined:
        line(say("inspect.lines", count=len(i.quarantined), **words), style="yellow")
    else:
        line(say("inspect.fits", **words), style="green")
    line("  " + say("inspect.encoding", encoding=i.encoding))
    for departure in i.columns:
        line("  " + _departure(departure))
    _counted(i)
    line(say("inspect.not_looked"), style="dim")


def _departure(d: "Departure") -> str:
    return say(f"inspect.{d.kind}", file=d.file, name=d.name, position=d.position)


def _counted(i: "Inspection") -> None:
    if i.tables:
        rows = [(t, n["read"], (n["quarantined"] or "", "yellow"), n["ignored"] or "") for t, n in i.tables.items()]
        table([say(f"column.{h}") for h in ("table", "lines", "aside", "ignored")], rows, right=(1, 2, 3))
    for q in i.quarantined[:SHOWN]:
        line(f"  {q.source} {q.locus} {q.loc}: {meaning(q.reason, language())} ({q.reason})")
    if len(i.quarantined) > SHOWN:
        line("  " + say("inspect.more", count=len(i.quarantined) - SHOWN))
    flags = [*(f"{name} {n}" for name, n in i.flags.items()), *i.delivery_flags]
    if flags:
        line("  " + say("inspect.flags", flags=", ".join(flags)))
