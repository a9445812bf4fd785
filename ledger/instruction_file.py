"""An agency's instruction as a TOML file: closed fields, closed words. What is not understood is refused, never
guessed.

    reference = "ANNEXE-RGPD-2026-01"     # the agency's document; optional: document = "path", whose digest is recorded
    kind = "synchronise"
    systems = ["spilasuite", "sdgi", "gpi", "login"]
    tables = ["*"]                        # canonical tables or categories
    purposes = ["extranet"]
    valid_from = "2025-01-01"             # optional: valid_until, through the end of that day
    given_by = "gerance"                  # a function, not a name

Sources: R45 (purposes come from the agency alone, from a closed list), R46, R47 (recipients and countries), R43, R44.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.errors import Malformed
from schemas.fields import Category
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import Purpose
from schemas.records import PROCESSOR_TABLES
from schemas.window import midnight

KINDS = ("synchronise",)
REQUIRED = ("reference", "kind", "systems", "tables", "purposes", "given_by")
OPTIONAL = ("document", "recipients", "countries", "valid_from", "valid_until")
SYSTEMS = tuple(str(s) for s in AGENCY_SYSTEMS)
# `contact` is a table and a category: the word allows both.
TABLES = tuple(dict.fromkeys(("*", *PROCESSOR_TABLES, *(str(c) for c in Category))))
PURPOSES = tuple(str(p) for p in Purpose)

# The ledger is kept for years and holds nobody's data: an address does not fit in these, nor a sentence about somebody.
_REFERENCE = re.compile(r"[\w][\w .,/()’'°-]{0,79}")
_FUNCTION = re.compile(r"[^\W\d_][\w ’'/-]{0,59}")
_RECIPIENT = re.compile(r"[\w][\w .,&()’'/-]{0,79}")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that was understood; recording it makes an Instruction. `valid_from` None: from the moment it is
    recorded."""

    reference: str
    does: str
    systems: tuple[System, ...]
    tables: tuple[str, ...]
    purposes: tuple[Purpose, ...]
    given_by: str
    document_sha256: str | None = None
    recipients: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None


def read(path: Path) -> Draft:
    """The instruction in a file. Raises Malformed naming the field and what is allowed there."""
    try:
        raw = path.read_bytes()
    except OSError:
        raise Malformed("the instruction file cannot be read", "Give the path of a TOML file.") from None
    try:
        content = tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise Malformed(f"{path.name} is not UTF-8", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as no:
        # Only the place: the message of the parser may quote the file.
        place = re.search(r"\((at .*)\)", str(no))
        raise Malformed(
            f"{path.name} is not TOML{f' ({place[1]})' if place else ''}", "See docs/specs/mandate.md."
        ) from None
    return parse(content, path.parent)


def parse(content: Mapping[str, Any], folder: Path) -> Draft:
    """The instruction in a parsed file; `document` is looked for in `folder`. Raises Malformed."""
    _closed(content)
    draft = Draft(
        reference=_text(content, "reference", _REFERENCE, "a short reference of the agency's document"),
        does=_word(content, "kind", KINDS),
        systems=tuple(System(s) for s in _words(content, "systems", SYSTEMS)),
        tables=_words(content, "tables", TABLES),
        purposes=tuple(Purpose(p) for p in _words(content, "purposes", PURPOSES)),
        given_by=_text(content, "given_by", _FUNCTION, "a function such as gerance, never a person's name"),
        document_sha256=_document(content, folder),
        recipients=_texts(content, "recipients", _RECIPIENT, "names of organisations"),
        countries=_texts(content, "countries", _COUNTRY, "ISO 3166 codes of two capitals"),
        valid_from=_instant(content, "valid_from", end=False),
        valid_until=_instant(content, "valid_until", end=True),
    )
    if draft.valid_from and draft.valid_until and draft.valid_until <= draft.valid_from:
        raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")
    return draft


def _closed(content: Mapping[str, Any]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise Malformed(f"unknown field: {', '.join(_shown(u) for u in unknown)}", f"Allowed: {', '.join(known)}.")
    missing = [f for f in REQUIRED if f not in content]
    if missing:
        raise Malformed(f"missing field: {', '.join(missing)}", "See docs/specs/mandate.md.")


def _shown(name: str) -> str:
    """A field's name if it looks like one; else a person's words may have slipped into its place."""
    return name if re.fullmatch(r"[a-z][a-z_]{0,30}", name) else "(unreadable)"


def _text(content: Mapping[str, Any], field: str, form: re.Pattern[str], what: str) -> str:
    value = content[field]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Malformed(f"{field} is not {what}", "Letters, figures, spaces and simple signs; no address.")
    return value


def _texts(content: Mapping[str, Any], field: str, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    value = content.get(field, [])
    if not isinstance(value, list) or not all(isinstance(v, str) and form.fullmatch(v) for v in value):
        raise Malformed(f"{field} is not a list of {what}")
    return tuple(sorted(set(value)))


def _word(content: Mapping[str, Any], field: str, allowed: tuple[str, ...]) -> str:
    value = content[field]
    if not isinstance(value, str) or value not in allowed:
        raise Malformed(f"{field} is not a word that is allowed there", f"Allowed: {', '.join(allowed)}.")
    return value


def _words(content: Mapping[str, Any], field: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """A list of allowed words, each once, in the order of the allowed list."""
    value = content[field]
    if not isinstance(value, list) or not value or not _all_in(value, allowed):
        raise Malformed(f"{field} is not a list of words that are allowed there", f"Allowed: {', '.join(allowed)}.")
    return tuple(word for word in allowed if word in value)


def _all_in(values: Iterable[object], allowed: tuple[str, ...]) -> bool:
    return all(isinstance(v, str) and v in allowed for v in values)


def _document(content: Mapping[str, Any], folder: Path) -> str | None:
    """The digest of the agency's document. Its path is not kept."""
    name = content.get("document")
    if name is None:
        return None
    if not isinstance(name, str):
        raise Malformed("document is not a path")
    try:
        with (folder / name).open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except (OSError, ValueError):
        raise Malformed(
            "document: the file cannot be read", "Give its path from the folder of the instruction file."
        ) from None


def _instant(content: Mapping[str, Any], field: str, *, end: bool) -> datetime | None:
    """A day of Paris (its first instant; for an end, the first instant after it) or an instant with its offset."""
    value = content.get(field)
    if value is None:
        return None
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, date) and not isinstance(value, datetime) and value < date.max:
        return midnight(value + timedelta(days=1) if end else value)
    raise Malformed(
        f"{field} is not a date", "Write 2025-01-01, or an instant with its offset: 2025-01-01T08:00:00+01:00."
    )


def _read(text: str) -> date | datetime | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else datetime.fromisoformat(text)
    except ValueError:
        return None
