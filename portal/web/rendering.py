"""Templates: escaped always, undefined names are faults, one environment a language."""

import re
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from portal.cli.reasons import hint, meaning
from portal.web import audit_wording, daily, wording
from portal.web.words import Language, catalogue, locale, spoken

if TYPE_CHECKING:
    from portal.web.visit import Visit

TEMPLATES = Path(__file__).parent / "templates"
_PARTS = re.compile(r"(?<=[._-])(?=\w)")
PARIS = ZoneInfo("Europe/Paris")


def rendered(template: str, visit: "Visit", values: dict[str, Any]) -> str:
    agency = visit.request.path_params.get("agency")
    common = {
        "language": visit.language,
        "form_token": visit.form_token,
        "agency": agency,
        "here": visit.request.url.path,
        "limits": visit.limits,
    }
    return _environment(visit.language).get_template(template).render({**common, **values})


@cache
def _environment(language: Language) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {
        "day": partial(day, language=language),
        "moment": partial(moment, language=language),
        "number": partial(number, language=language),
        "title": partial(wording.title, language=language),
        "facts": partial(wording.facts, language=language),
        "fields": partial(wording.fields, language=language),
        "told": partial(wording.told, language=language),
        "sentence": sentence,
        "breakable": breakable,
        "columns": partial(wording.columns, language=language),
        "function": partial(wording.function, language=language),
        "word": partial(wording.word, language=language),
        "system_name": partial(wording.system, language=language),
        "layout_name": partial(wording.layout, language=language),
        "need": partial(wording.need, language=language),
        "said": partial(audit_wording.said, language=language),
        "spoken": partial(spoken, language=language),
        "gathered": daily.gathered,
        "ways": partial(daily.ways, language=language),
        "ordered": partial(daily.ordered, language=language),
        "locus": partial(daily.locus, language=language),
        "document_rule": partial(daily.rule, language=language),
        "request_kind": partial(daily.kind, language=language),
        "request_step": partial(daily.step, language=language),
        "request_due": partial(daily.due, language=language),
        "meaning": partial(meaning, language=language),
        "hint": partial(hint, language=language),
    }
    return made


def sentence(text: str) -> str:
    """With a capital: what begins a sentence. The rest stays: abbreviations have capitals of their own."""
    return text[:1].upper() + text[1:]


def breakable(name: str) -> Markup:
    """A name that may be taken apart where its parts meet, and nowhere else."""
    return Markup("<wbr>").join(escape(part) for part in _PARTS.split(name))


def day(text: str | None, language: Language) -> str:
    """A day, or the day in Paris of an instant, as it is said."""
    if not text:
        return "–"
    if len(text) == len("2026-01-14"):
        return format_date(date.fromisoformat(text), "long", locale=locale(language))
    return format_date(_paris(text), "long", locale=locale(language))


def moment(text: str | None, language: Language) -> str:
    """An instant as it is said in Paris."""
    return format_datetime(_paris(text), "d MMMM y HH:mm", locale=locale(language)) if text else "–"


def number(value: int | None, language: Language) -> str:
    return "–" if value is None else format_decimal(value, locale=locale(language))


def _paris(text: str) -> datetime:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(PARIS)
