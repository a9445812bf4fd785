"""An agency's instruction as a TOML file: closed fields, closed words. What is not understood is refused, never
guessed.

    reference = "ANNEXE-RGPD-2026-01"     # the agency's document; optional: document = "path", whose digest is recorded
    kind = "synchronise"
    systems = ["spilasuite", "sdgi", "gpi", "login"]
    tables = ["*"]                        # canonical tables or categories
    purposes = ["extranet"]
    valid_from = "2025-01-01"             # optional: valid_until, through the end of that day
    given_by = "gerance"                  # a function, not a name

Every other kind has fields of its own (`FORMS`, docs/specs/mandate.md).

Sources: R45 (purposes come from the agency alone, from a closed list), R46, R47 (recipients and countries), R43, R44;
R2, R14–R18, R48–R50, GDPR 28(2), 28(3), 44–49 for the other kinds.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from ledger import orders
from ledger.orders import MEMBERS, Channel, Decision, Outcome
from schemas.errors import Malformed
from schemas.fields import Category
from schemas.ids import AGENCY_SYSTEMS, System
from schemas.mandate import BY_ROW, Basis, Duty, Ground, Purpose, Quality, RestrictedBy
from schemas.records import PROCESSOR_TABLES
from schemas.window import midnight

SYSTEMS = tuple(str(s) for s in AGENCY_SYSTEMS)
# `contact` is a table and a category: the word allows both.
TABLES = tuple(dict.fromkeys(("*", *PROCESSOR_TABLES, *(str(c) for c in Category))))
ONLY_TABLES = ("*", *PROCESSOR_TABLES)
PURPOSES = tuple(str(p) for p in Purpose)
QUALITIES = tuple(str(q) for q in Quality)
# The technical columns are in every row: no category to restrict.
CATEGORIES = tuple(str(c) for c in Category if c is not Category.TECHNICAL)
# What a restriction names its targets with, by its scope.
TARGETS: dict[str, tuple[RestrictedBy, ...]] = {
    "tables": (RestrictedBy.TABLE,),
    "categories": (RestrictedBy.CATEGORY,),
    "roles": (RestrictedBy.ROLE,),
    "keys": tuple(BY_ROW),
    "system": tuple(BY_ROW),
}
WORDS: dict[RestrictedBy, tuple[str, tuple[str, ...]]] = {
    RestrictedBy.TABLE: ("tables", PROCESSOR_TABLES),
    RestrictedBy.CATEGORY: ("categories", CATEGORIES),
    RestrictedBy.ROLE: ("roles", QUALITIES),
}
# Whoever holds the command line, unless the file says otherwise.
RECORDER = "exploitant"

# The ledger is kept for years and holds nobody's data: an address does not fit in these, nor a sentence about somebody.
_REFERENCE = re.compile(r"[\w][\w .,/()’'°-]{0,79}")
_FUNCTION = re.compile(r"[^\W\d_][\w ’'/-]{0,59}")
_RECIPIENT = re.compile(r"[\w][\w .,&()’'/-]{0,79}")
_NAME = re.compile(r"[^\W\d_][\w .,'’-]{0,119}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_LAW = re.compile(r"[^\W_][\w .,;:()/°’'§-]{2,159}")
_IDS = re.compile(r"(INS|OBL|NOT)-[0-9a-f]{10}")


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


@dataclass(frozen=True, slots=True)
class Paper:
    """A file of any other form that was understood; recording it makes a `kind`.

    `values` are fields of it, lists and words as the ledger keeps them. An instant that the file leaves out is None:
    from the moment it is recorded. `acknowledgement` is recorded beside it. `rows` and `signatory` name somebody's
    data: they never reach the log as they are, which takes references in their place (`written`).
    """

    kind: type[orders.Order]
    values: Mapping[str, Any] = field(default_factory=dict)
    acknowledgement: str | None = None
    rows: "Rows | None" = field(default=None, repr=False)
    signatory: str | None = field(default=None, repr=False)

    def written(self, refer: Callable[[System, str, str], str], sealed: str | None) -> "Paper":
        """As the log may hold it: rows by reference, the signatory by that of its seal."""
        values = dict(self.values)
        if self.rows is not None:
            r = self.rows
            values[r.field] = tuple(sorted({refer(r.system, r.table, key) for key in r.keys}))
        if sealed is not None:
            values["signatory"] = sealed
        return replace(self, values=values, rows=None, signatory=None)

    @property
    def begins(self) -> datetime | None:
        """When it wants to begin, if it says so."""
        return self.values.get("valid_from")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that a file names by their keys. `field`: of the entry that takes their references."""

    field: str
    system: System
    table: str
    keys: tuple[str, ...]


def read(path: Path) -> Draft | Paper:
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


def parse(content: Mapping[str, Any], folder: Path, document_sha256: str | None = None) -> Draft | Paper:
    """The instruction in a parsed file; `document` is looked for in `folder`. Raises Malformed.

    `document_sha256`: the digest of a document that is not here, in the place of the document.
    """
    if "kind" not in content:
        raise Malformed("missing field: kind", "See docs/specs/mandate.md.")
    form = FORMS[_word(content, "kind", KINDS)]
    _closed({"document": None, **content} if document_sha256 else content, form)
    if form.kind is orders.Synchronise and not set(content) & set(SECOND):
        return _first_form(content, folder)
    if form.kind is orders.Synchronise and "channel" not in content:
        raise Malformed("missing field: channel", "See docs/specs/mandate.md.")
    names = [
        n for n in (*form.required, *form.optional) if n in FIELDS and (n, form.kind) != ("tables", orders.Restrict)
    ]
    values = dict(form.fixed) | {name: form.reader(name)(content, name, folder) for name in names}
    values["document_sha256"] = values.pop("document") or document_sha256
    acknowledgement = values.pop("acknowledgement", None)
    signatory = values.pop("signed_by", None)
    rows = None
    if form.kind is orders.Restrict:
        targets, rows = _targets(content)
        values |= targets
    elif "subjects" in form.optional:
        rows = _rows(content, "subjects", "subjects", "person")
        if rows is not None and form.kind is orders.Erase and values["tables"] != ("*",):
            raise Malformed(
                "tables: persons are erased with all that is theirs", 'With subjects, write tables = ["*"].'
            )
    _ordered(values)
    return Paper(form.kind, values, acknowledgement, rows, signatory)


def _first_form(content: Mapping[str, Any], folder: Path) -> Draft:
    """A synchronise file without anything new: recorded in the form that ledgers know since version 1, so that it is
    found again there."""
    draft = Draft(
        reference=_text(content, "reference", _REFERENCE, "a short reference of the agency's document"),
        does="synchronise",
        systems=tuple(System(s) for s in _words(content, "systems", SYSTEMS)),
        tables=_words(content, "tables", TABLES),
        purposes=tuple(Purpose(p) for p in _words(content, "purposes", PURPOSES)),
        given_by=_text(content, "given_by", _FUNCTION, A_FUNCTION),
        document_sha256=_document(content, folder),
        recipients=_texts(content, "recipients", _RECIPIENT, "names of organisations"),
        countries=_texts(content, "countries", _COUNTRY, "ISO 3166 codes of two capitals"),
        valid_from=_instant(content, "valid_from", end=False),
        valid_until=_instant(content, "valid_until", end=True),
    )
    _ordered({"valid_from": draft.valid_from, "valid_until": draft.valid_until})
    return draft


def _ordered(values: Mapping[str, Any]) -> None:
    start, end = values.get("valid_from"), values.get("valid_until")
    if start and end and end <= start:
        raise Malformed("valid_until: the instruction would end before it begins", "Give a later day.")


def _targets(content: Mapping[str, Any]) -> tuple[dict[str, Any], Rows | None]:
    """What a restriction names: words of the model, or rows by their keys."""
    scope = RestrictedBy(_word(content, "scope", tuple(str(s) for s in RestrictedBy)))
    for name, scopes in TARGETS.items():
        if (name in content) != (scope in scopes):
            raise Malformed(f"scope {scope}: {name} {'is missing' if scope in scopes else 'does not belong there'}")
    if scope in BY_ROW:
        return {"scope": scope, "targets": ()}, _rows(content, "keys", "targets", BY_ROW[scope])
    wanted = WORDS.get(scope)
    return {"scope": scope, "targets": _words(content, *wanted) if wanted else ()}, None


def _rows(content: Mapping[str, Any], name: str, field: str, table: str) -> Rows | None:
    """Rows by the keys of one system, as the export writes them."""
    if name not in content:
        if "system" in content:
            raise Malformed(f"system does not belong there without {name}")
        return None
    if "system" not in content:
        raise Malformed("missing field: system", f"Say of which system the {name} are.")
    keys = content[name]
    if not isinstance(keys, list) or not keys or not all(isinstance(k, str) and 0 < len(k) <= 200 for k in keys):
        raise Malformed(f"{name} is not a list of keys", "Keys are written as in the export.")
    return Rows(field, System(_word(content, "system", SYSTEMS)), table, tuple(keys))


def _closed(content: Mapping[str, Any], form: "Form") -> None:
    known = (*form.required, *form.optional)
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise Malformed(f"unknown field: {', '.join(_shown(u) for u in unknown)}", f"Allowed: {', '.join(known)}.")
    missing = [f for f in form.required if f not in content]
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


# -- the forms ---------------------------------------------------------------------------------------------------------

Reader = Callable[[Mapping[str, Any], str, Path], Any]
A_FUNCTION = "a function such as gerance, never a person's name"


def _one(form: re.Pattern[str], what: str) -> Reader:
    """A text; none where the file leaves it out (a field that is required was asked for before)."""
    return lambda content, name, _: _text(content, name, form, what) if name in content else None


def _chosen(kind: type[StrEnum]) -> Reader:
    return lambda c, name, _: kind(_word(c, name, tuple(str(w) for w in kind))) if name in c else None


def _some(allowed: tuple[str, ...]) -> Reader:
    return lambda content, name, _: _words(content, name, allowed) if name in content else ()


def _several(form: re.Pattern[str], what: str) -> Reader:
    return lambda content, name, _: _texts(content, name, form, what)


def _when(content: Mapping[str, Any], name: str, _: Path, *, end: bool) -> datetime | None:
    return _instant(content, name, end=end)


def _systems(content: Mapping[str, Any], name: str, _: Path) -> tuple[System, ...]:
    return tuple(System(s) for s in _words(content, name, SYSTEMS))


def _purposes(content: Mapping[str, Any], name: str, _: Path) -> tuple[Purpose, ...]:
    return tuple(Purpose(p) for p in _words(content, name, PURPOSES))


def _recorder(content: Mapping[str, Any], name: str, _: Path) -> str:
    return _text(content, name, _FUNCTION, A_FUNCTION) if name in content else RECORDER


def _jurisdiction(content: Mapping[str, Any], name: str, _: Path) -> str:
    return _word(content, name, tuple(sorted(MEMBERS)))


_begins, _ends = partial(_when, end=False), partial(_when, end=True)
_refers = _one(_REFERENCE, "a short reference of a document")

# How each field of a file is read. Restrictions read their scope and its words together (`_targets`).
FIELDS: dict[str, Reader] = {
    "reference": _refers,
    "document": lambda content, _, folder: _document(content, folder),
    "channel": _chosen(Channel),
    "given_by": _one(_FUNCTION, A_FUNCTION),
    "recorded_by": _recorder,
    "acknowledgement": _refers,
    "signed_by": _one(_NAME, "a name of at most 120 signs"),
    "supersedes": _several(_IDS, "ids of instructions"),
    "valid_from": _begins,
    "valid_until": _ends,
    "systems": _systems,
    "tables": _some(TABLES),
    "purposes": _purposes,
    "recipients": _several(_RECIPIENT, "names of organisations"),
    "countries": _several(_COUNTRY, "ISO 3166 codes of two capitals"),
    "country": _one(_COUNTRY, "an ISO 3166 code of two capitals"),
    "recipient": _one(_RECIPIENT, "the name of an organisation"),
    "basis": _chosen(Basis),
    "safeguards": _refers,
    "ground": _chosen(Ground),
    "authority": _one(_RECIPIENT, "the name of an authority"),
    "evidence": _refers,
    "name": _one(_RECIPIENT, "the name of an organisation"),
    "service": _one(_RECIPIENT, "a service in a few words"),
    "instruction": _one(_IDS, "the id of an instruction"),
    "jurisdiction": _jurisdiction,
    "law": _one(_LAW, "the citation of a text"),
    "duty": _chosen(Duty),
    "obligation": _one(_IDS, "the id of a legal obligation"),
    "prohibition": _one(_LAW, "the citation of a text"),
    "approved_by": _several(_FUNCTION, "functions, never persons' names"),
    "released_from": _begins,
    "told_at": _begins,
    "notice": _one(_IDS, "the id of a notice"),
    "outcome": _chosen(Outcome),
    "answered_at": _begins,
    "acknowledged_at": _begins,
}


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one kind of file, and what it is recorded as."""

    kind: type[orders.Order]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def reader(self, name: str) -> Reader:
        """Only what is read and held may be named by category; an order names whole tables."""
        return _some(ONLY_TABLES) if name == "tables" and self.kind is not orders.Synchronise else FIELDS[name]


_GIVEN = ("reference", "kind", "channel", "given_by")
_MAY = ("document", "recorded_by", "signed_by", "acknowledgement", "supersedes", "valid_from", "valid_until")
_SUBJECTS = ("system", "subjects")
_OURS = ("reference", "kind")

# What a synchronise file may say beyond the first form.
SECOND = ("channel", "recorded_by", "signed_by", "acknowledgement", "supersedes")

FORMS: dict[str, Form] = {
    "synchronise": Form(
        orders.Synchronise,
        ("reference", "kind", "systems", "tables", "purposes", "given_by"),
        ("document", "recipients", "countries", "valid_from", "valid_until", *SECOND),
    ),
    "restrict": Form(orders.Restrict, (*_GIVEN, "scope"), (*_MAY, *TARGETS)),
    "rectify": Form(
        orders.Rectify, (*_GIVEN, "tables", "document"), (*(f for f in _MAY if f != "document"), *_SUBJECTS)
    ),
    "erase": Form(orders.Erase, (*_GIVEN, "tables"), (*_MAY, *_SUBJECTS)),
    "return": Form(orders.Return, (*_GIVEN, "tables"), _MAY),
    "transfer": Form(orders.Transfer, (*_GIVEN, "tables", "country", "recipient", "basis"), (*_MAY, "safeguards")),
    "disclose": Form(orders.Disclose, (*_GIVEN, "tables", "ground", "recipient", "evidence"), (*_MAY, "authority")),
    "authorise": Form(
        orders.Engage, (*_GIVEN, "name", "country", "service", "tables"), _MAY, {"decision": Decision.AUTHORISE}
    ),
    "object": Form(
        orders.Engage, (*_GIVEN, "name", "country", "service", "tables"), _MAY, {"decision": Decision.OBJECT}
    ),
    "acknowledge": Form(
        orders.Acknowledgement, (*_OURS, "channel", "instruction"), ("document", "recorded_by", "acknowledged_at")
    ),
    "legal_obligation": Form(
        orders.LegalObligation,
        (*_OURS, "jurisdiction", "law", "duty", "tables"),
        ("document", "recorded_by", "valid_from", "valid_until"),
    ),
    "legal_notice": Form(
        orders.LegalNotice,
        (*_OURS, "obligation"),
        ("document", "recorded_by", "channel", "prohibition", "approved_by", "released_from"),
    ),
    "infringement": Form(
        orders.InfringementNotice,
        (*_OURS, "channel", "instruction", "law"),
        ("document", "recorded_by", "told_at"),
    ),
    "answer": Form(
        orders.Answer,
        (*_OURS, "channel", "given_by", "notice", "outcome"),
        ("document", "recorded_by", "answered_at"),
    ),
}
KINDS = tuple(FORMS)

# What the first form asks for, and every other field that a file may have.
REQUIRED = FORMS["synchronise"].required
OPTIONAL = tuple(
    dict.fromkeys(f for form in FORMS.values() for f in (*form.required, *form.optional) if f not in REQUIRED)
)
