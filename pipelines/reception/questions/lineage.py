"""Where a column and where a row come from, as far as the visitor's categories allow; and the events of an agency.

A column outside an auditor's categories is named and nothing more: its sources, rules and values stay here. What a
visitor typed to find a row goes nowhere: the log of what was asked has a keyed digest of it.
"""

import json
from base64 import b64encode
from datetime import date, datetime, time, timedelta
from typing import Any

from pipelines import as_known, field_lineage
from pipelines.host.wire import Asked
from pipelines.lineage_rules import rule
from pipelines.openlineage import outbox
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.questions.audit import supported
from pipelines.reception.tables import stamp
from schemas.access import NotThere, Question, permitted
from schemas.errors import Malformed, Refused
from schemas.ids import AGENCY_SYSTEMS
from schemas.records import CATEGORIES, PROCESSOR_TABLES
from schemas.window import PARIS, midnight

PAGE = 40
PART = 2 * 2**20  # bytes of events in one answer
_LONGEST = 200

# -- columns -----------------------------------------------------------------------------------------------------------


def fields(visit: Visit, asked: Asked) -> Any:
    """Columns of the model, `page` after page from 1. `text`: part of a name or label; `category`, `scope`, `system`:
    as the model calls them; "" filters nothing."""
    text, page = asked.text("text").casefold()[:_LONGEST], asked.number("page")
    scope, category, system = (asked.text(n) for n in ("scope", "category", "system"))
    if page < 1:
        raise Malformed("there is no such filter")
    found = [
        said
        for name in field_lineage.fields()
        if (said := _listed(visit, name)) and _fits(said, text, scope, category, system)
    ]
    start = (page - 1) * PAGE
    shown = found[start : start + PAGE]
    return {"size": len(found), "fields": shown, "page": page, "pages": max(1, -(-len(found) // PAGE))}


def _listed(visit: Visit, name: str) -> dict[str, Any]:
    f = field_lineage.of(name)
    said: dict[str, Any] = {"field": name, "table": f.table, "column": f.column, "category": f.category,
                            "scope": f.scope, "within": visit.within(f.category)}  # fmt: skip
    if said["within"]:
        said |= {"label": {"fr": f.label_fr, "en": f.label_en}, "personal": f.personal,
                 "systems": list(dict.fromkeys(str(o.system) for o in f.origins))}  # fmt: skip
    return said


def _fits(said: dict[str, Any], text: str, scope: str, category: str, system: str) -> bool:
    told = [said["field"], *said.get("label", {}).values()]
    return (
        (not text or any(text in t.casefold() for t in told))
        and (not scope or said["scope"] == scope)
        and (not category or said["category"] == category)
        and (not system or system in said.get("systems", ()))
    )


def field(visit: Visit, asked: Asked) -> Any:
    """One column: its lineage as data, as rows, and drawn. `language`: of the rows and the drawing."""
    name, language = asked.text("field"), asked.text("language")
    if name not in field_lineage.fields():
        raise NotThere("there is no such page")
    visit.about = name
    f = field_lineage.of(name)
    if not visit.within(f.category):
        return _listed(visit, name)
    spoken: field_lineage.Language = "en" if language == "en" else "fr"
    return f.as_json() | {
        "within": True, "rows": [list(row) for row in field_lineage.rows(f, spoken)],
        "heads": list(field_lineage.HEADS[spoken]), "svg": field_lineage.svg(f, spoken),
    }  # fmt: skip


# -- rows --------------------------------------------------------------------------------------------------------------

_OF_RECORD = ("agency", "system", "table", "key", "day", "time")


def record(visit: Visit, asked: Asked) -> Any:
    """Where one row came from, and what was known of it at the end of `day`, or at `time` of it, in Paris ("": now).
    Without a key: what can be asked for. No value."""
    return _told(visit, asked, value=False)


def values(visit: Visit, asked: Asked) -> Any:
    """The same with the values of the columns that the visitor may see. Raises Refused where no instruction in force
    names the purpose "support", or a restriction hides the row."""
    if not supported(visit):
        visit.about = "not instructed"
        raise Refused(
            "no instruction in force allows this",
            "Opening a value needs an instruction of the agency for the purpose support.",
        )
    return _told(visit, asked, value=True)


def _told(visit: Visit, asked: Asked, value: bool) -> Any:
    system, table, key = (asked.text(n).strip()[:_LONGEST] for n in ("system", "table", "key"))
    form: dict[str, Any] = {
        "tables": list(PROCESSOR_TABLES),
        "systems": [str(s) for s in AGENCY_SYSTEMS],
        "support": supported(visit),
        "may": bool(permitted(Question.RECORD_VALUES, visit.named, visit.grants, visit.at)),
        "row": None,
    }
    if not key:
        visit.about = "form"
        return form
    if table not in PROCESSOR_TABLES or (system and system not in form["systems"]):
        raise Malformed("there is no such table", f"Tables: {', '.join(PROCESSOR_TABLES)}.")
    instant, desk = _instant(asked.text("day"), asked.text("time"), visit.at), visit.desk
    visit.about = table
    found = as_known.as_known(
        desk.home, visit.named, table, key, instant, system=system or None, value=value, at=visit.at, root=desk.root
    )
    mark = desk.vault.mark("row", f"{visit.named}:{found.row.system}:{table}:{key}")
    visit.about = f"{table} {mark[:16]}"
    said = found.as_json()
    said |= {"asked": stamp(instant), "now": not asked.text("day")}
    for step in said["steps"]:
        step["at"] = stamp(datetime.fromisoformat(step["at"]))
    del said["changes_since"]  # the steps say it
    told = said["row"]
    if "columns" in told:
        told["columns"] = [_column(visit, table, c) for c in told["columns"]]
        told["place"] = str(told[said["locus"]])
    if value:
        opened = [c["category"] for c in told.get("columns", ()) if "value" in c]
        visit.about += f" {','.join(dict.fromkeys(opened)) or 'nothing'}"
    return form | said | {"opened": value}


def _column(visit: Visit, table: str, column: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a column of a row. A value is a text, a whole number, yes or no."""
    if not visit.within(CATEGORIES[table, column["column"]]):
        return {"column": column["column"], "category": column["category"], "within": False}
    origins = [o | {"words": _words(o["rule"])} for o in column["from"]]
    said = column | {"field": f"{table}.{column['column']}", "within": True, "from": origins}
    if "value" in said and not isinstance(said["value"], str | int | None):
        said["value"] = str(said["value"])
    return said


def _words(code: str) -> dict[str, str]:
    found = rule(code)
    return {"fr": found.fr, "en": found.en}


def _instant(day: str, hour: str, now: datetime) -> datetime:
    """Raises Malformed for what is no day, or no time of day."""
    if not day:
        return now
    try:
        at = date.fromisoformat(day)
        if hour:
            return datetime.combine(at, time.fromisoformat(hour), PARIS)
        return midnight(at + timedelta(days=1)) - timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise Malformed("this is no day", "Write it as 2026-03-12.") from None


# -- events ------------------------------------------------------------------------------------------------------------


def events(visit: Visit, asked: Asked) -> Any:
    """The agency's OpenLineage events from an offset on, one a line: `part` in base64, `next` where the rest begins or
    nothing. What an auditor's categories leave out is not in the events either."""
    offset, desk = asked.number("offset"), visit.desk
    if offset < 0:
        raise NotThere("there is no such page")
    if offset == 0:
        written = outbox.Outbox(desk.home, desk.root).collect([visit.named], visit.at)
        for _, no in written.problems:
            raise no
    file = outbox.path(desk.home, visit.named)
    raw, size = b"", file.stat().st_size if file.exists() else 0
    if offset < size:
        with file.open("rb") as f:
            f.seek(offset)
            raw = f.read(PART)
            raw += f.readline() if not raw.endswith(b"\n") else b""
    raw = raw[: raw.rfind(b"\n") + 1]
    after = offset + len(raw)
    visit.about = str(offset)
    limit = visit.limits
    part = raw if limit is None or limit.categories is None else _cut(raw, limit.categories)
    return {"part": b64encode(part).decode(), "next": after if raw and after < size else None}


def _cut(raw: bytes, categories: frozenset[str]) -> bytes:
    """The events without the columns of other categories."""
    events = (_without(json.loads(line), categories) for line in raw.splitlines() if line)
    told = (json.dumps(e, ensure_ascii=False, sort_keys=True, separators=(",", ":")) for e in events)
    return "".join(f"{line}\n" for line in told).encode()


def _without(event: dict[str, Any], categories: frozenset[str]) -> dict[str, Any]:
    """By the tags that the data sets of an event bear: a column stays when it has a category, and only such ones."""
    allowed: dict[str, set[str]] = {}
    for dataset in (*event.get("inputs", ()), *event.get("outputs", ())):
        allowed[dataset["name"]] = _columns(dataset.get("facets", {}), categories)
    for dataset in (*event.get("inputs", ()), *event.get("outputs", ())):
        facets, mine = dataset.get("facets", {}), allowed[dataset["name"]]
        if "schema" in facets:
            facets["schema"]["fields"] = [f for f in facets["schema"]["fields"] if f["name"] in mine]
        if "tags" in facets:
            facets["tags"]["tags"] = [t for t in facets["tags"]["tags"] if t.get("field") is None or t["field"] in mine]
        if "columnLineage" in facets:
            filled = facets["columnLineage"]["fields"].items()
            facets["columnLineage"]["fields"] = {name: _origins(o, allowed) for name, o in filled if name in mine}
    return event


def _columns(facets: dict[str, Any], categories: frozenset[str]) -> set[str]:
    named: dict[str, set[str]] = {}
    for tag in facets.get("tags", {}).get("tags", ()):
        if tag["key"] == "category" and tag.get("field"):
            named.setdefault(tag["field"], set()).add(tag["value"])
    return {name for name, said in named.items() if said <= categories}


def _origins(said: dict[str, Any], allowed: dict[str, set[str]]) -> dict[str, Any]:
    """A column of an export that also fills others is not named."""
    return said | {"inputFields": [i for i in said["inputFields"] if i["field"] in allowed.get(i["name"], set())]}


ANSWERS: Answers = {
    Question.FIELDS: Answer(fields, ("agency", "text", "scope", "category", "system", "page")),
    Question.FIELD: Answer(field, ("agency", "field", "language")),
    Question.RECORD: Answer(record, _OF_RECORD),
    Question.RECORD_VALUES: Answer(values, _OF_RECORD),
    Question.EVENTS: Answer(events, ("agency", "offset")),
}
