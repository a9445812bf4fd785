"""What an agency can instruct from its browser, in the words of somebody who works there, and how its form is read.

A form has one name for each box (`tables.lot`), so that it is read without a list. What it says is a file of
docs/specs/mandate.md; the reception alone decides whether it can be instructed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portal.web.words import marked as _
from schemas.fields import Category
from schemas.ids import AGENCY_SYSTEMS
from schemas.mandate import Purpose, Quality, RestrictedBy
from schemas.records import PROCESSOR_TABLES

SYSTEMS = tuple(str(s) for s in AGENCY_SYSTEMS)
# `contact` is a table and a category, and one box.
CATEGORIES = tuple(str(c) for c in Category if c is not Category.TECHNICAL)
ONLY_CATEGORIES = tuple(c for c in CATEGORIES if c not in PROCESSOR_TABLES)
FUNCTIONS = ("gérance", "direction", "comptabilité", "juridique", "délégué à la protection des données")
_FUNCTION_WORDS: Mapping[str, str] = {
    "gérance": _("management"), "direction": _("direction"), "comptabilité": _("accounts department"),
    "juridique": _("legal department"), "délégué à la protection des données": _("data protection officer"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """`title` as one looks for it, `says` what it does, `fields` what the form asks beside dates and document."""

    title: str
    says: str
    fields: tuple[str, ...]


ACTS: Mapping[str, Act] = {
    "synchronise": Act(
        _("Have data read and held"),
        _("Say which systems are read each night, which data, and what for. What you do not name is left out."),
        ("systems", "tables", "purposes", "supersedes"),
    ),
    "restrict": Act(
        _("Restrict processing"),
        _("What you name is neither read nor shown until you say otherwise. Nothing is erased."),
        ("scope", "supersedes"),
    ),
    "rectify": Act(
        _("Have data rectified"),
        _("What is wrong stands in your document. You correct it in your own system; the next delivery brings it."),
        ("tables", "subjects"),
    ),
    "erase": Act(
        _("Have data erased"),
        _("What you name is erased and does not come in again while this stands. It cannot be brought back from here."),
        ("tables", "subjects"),
    ),
    "return": Act(
        _("Take your data back"),
        _("The processor hands you a copy of what you name, in files that can be read without it."),
        ("tables",),
    ),
    "authorise": Act(
        _("Authorise a sub-processor"),
        _("The processor may engage this company for the data that you name (GDPR, article 28(2))."),
        ("name", "tables"),
    ),
    "object": Act(
        _("Object to a sub-processor"),
        _("The processor may not engage this company for the data that you name (GDPR, article 28(2))."),
        ("name", "tables"),
    ),
    "answer": Act(
        _("Answer a notice"),
        _("The processor holds that one of your instructions infringes the law. Until you answer, it allows nothing."),
        ("notice",),
    ),
}
SCOPES: Mapping[str, str] = {
    "agency": _("The whole agency"), "table": _("Kinds of data"), "category": _("Categories of data"),
    "role": _("Persons by role"), "building": _("Buildings"), "lot": _("Lots"), "person": _("Persons"),
}  # fmt: skip
_BY_KEY = ("building", "lot", "person")
OUTCOMES: Mapping[str, str] = {
    "maintained": _("We maintain the instruction, and answer for it"),
    "amended": _("We give another one in its place"),
    "withdrawn": _("We give it up"),
}
ROLES = tuple(str(q) for q in Quality)
PURPOSES = tuple(str(p) for p in Purpose)
assert set(SCOPES) == {str(s) for s in RestrictedBy}


def said(act: str, form: Mapping[str, str]) -> dict[str, Any]:
    """What a form says, with the names of an instruction file. Boxes that are not there, and words that are not of the
    model, say nothing; what is missing then, the reception says."""
    fields = ACTS[act].fields
    out: dict[str, Any] = {"kind": act, "given_by": form.get("given_by") or FUNCTIONS[0]}
    out |= _written(form, ("reference",))
    if act != "answer":
        out |= _written(form, ("valid_from", "valid_until"))
    for name in fields:
        out |= _FIELDS[name](form)
    if out.get("subjects"):
        out["tables"] = ["*"] if act == "erase" else out["tables"]
    return out


def lacks(said: Mapping[str, Any]) -> str:
    """The first thing that somebody forgot to say, as a sentence; nothing where all is said."""
    empty = (name for name in _FORGOTTEN if name in said and not said[name])
    found = _FORGOTTEN.get(next(empty, ""), "")
    if not found and said.get("valid_until", "9") < said.get("valid_from", ""):
        found = _("The last day comes before the first.")
    return found


_FORGOTTEN: Mapping[str, str] = {
    "systems": _("Choose at least one system."),
    "tables": _("Choose which data: tick at least one box."),
    "categories": _("Choose which data: tick at least one box."),
    "roles": _("Choose whose data: tick at least one box."),
    "keys": _("Name at least one key."),
    "system": _("Say which system the keys are of."),
    "purposes": _("Say what the data are for: tick at least one box."),
    "name": _("Name the company."),
    "service": _("Say what the company does."),
    "country": _("Name the company's country."),
    "notice": _("Choose the notice that you answer."),
    "outcome": _("Choose your answer."),
}


def checked(form: Mapping[str, str], name: str, words: Iterable[str]) -> list[str]:
    return [w for w in words if form.get(f"{name}.{w}")]


def _written(form: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    return {n: form[n].strip() for n in names if form.get(n, "").strip()}


def _tables(form: Mapping[str, str]) -> dict[str, Any]:
    if form.get("all") != "some":
        return {"tables": ["*"]}
    return {"tables": checked(form, "tables", (*PROCESSOR_TABLES, *ONLY_CATEGORIES))}


def _scope(form: Mapping[str, str]) -> dict[str, Any]:
    scope = form.get("scope", "agency")
    out: dict[str, Any] = {"scope": scope}
    match scope:
        case "table":
            out["tables"] = checked(form, "tables", PROCESSOR_TABLES)
        case "category":
            out["categories"] = checked(form, "categories", CATEGORIES)
        case "role":
            out["roles"] = checked(form, "roles", ROLES)
        case _ if scope in _BY_KEY:
            out |= {"keys": _keys(form), "system": form.get("system", "")}
    return out


def _subjects(form: Mapping[str, str]) -> dict[str, Any]:
    keys = _keys(form)
    return {"subjects": keys, "system": form.get("system", "")} if keys else {}


def _keys(form: Mapping[str, str]) -> list[str]:
    """One a line, as the export writes them."""
    return [line.strip() for line in form.get("keys", "").splitlines() if line.strip()]


def _supersedes(form: Mapping[str, str]) -> dict[str, Any]:
    return {"supersedes": [form["supersedes"]]} if form.get("supersedes") else {}


def _name(form: Mapping[str, str]) -> dict[str, Any]:
    return {n: form.get(n, "").strip() for n in ("name", "service")} | {"country": form.get("country", "").upper()}


def _notice(form: Mapping[str, str]) -> dict[str, Any]:
    return {n: form.get(n, "") for n in ("notice", "outcome")}


def _systems(form: Mapping[str, str]) -> dict[str, Any]:
    return {"systems": checked(form, "systems", SYSTEMS)}


def _purposes(form: Mapping[str, str]) -> dict[str, Any]:
    return {"purposes": checked(form, "purposes", PURPOSES)}


_FIELDS: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
    "systems": _systems,
    "tables": _tables,
    "purposes": _purposes,
    "scope": _scope,
    "subjects": _subjects,
    "supersedes": _supersedes,
    "name": _name,
    "notice": _notice,
}


def function_word(function: str) -> str:
    """A function of the list, in English; another stays as it is."""
    return _FUNCTION_WORDS.get(function, function)


def first_values(act: str, known: Mapping[str, Any], scope: str) -> dict[str, str]:
    """What a fresh form has in it: what most agencies mean."""
    out = {f"systems.{s}": "1" for s in known["systems"]}
    out |= {"purposes.extranet": "1", "all": "all", "given_by": FUNCTIONS[0], "country": "FR", "scope": scope}
    if act == "answer" and len(known["notices"]) == 1:
        out["notice"] = known["notices"][0]["id"]
    return out
