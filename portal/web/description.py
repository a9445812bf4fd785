"""What the pages answer to, as an OpenAPI 3.1 document: written from the list of pages, for tests and for reviewers.

Every page is in it, and the questions that it asks (`x-asks`). The fields of a form are those that its function fills
in; a form may hold others, which nobody reads.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from fastapi.openapi.utils import get_openapi

from portal.web.app import app
from portal.web.pages.register import KINDS as REGISTER_KINDS
from portal.web.reception import Reception
from portal.web.registry import PAGES, Page
from portal.web.site import Site
from schemas.access import Needs, Question
from schemas.errors import TryAgain

_HTML, _JSON, _PLAIN = "text/html", "application/json", "text/plain"
_FORM = "application/x-www-form-urlencoded"
# Pages that are files to take away, and their kinds; one that is not ready leads to the page that says so.
FILES = {
    "/a/{agency}/audit/evidence/file": ("application/zip",),
    "/a/{agency}/audit/openlineage": ("application/x-ndjson",),
    "/a/{agency}/audit/register/{form}": tuple(kind.partition(";")[0] for kind in REGISTER_KINDS.values()),
    "/a/{agency}/audit/certificates/{number}/file": (_JSON,),
    "/a/{agency}/requests/{request_id}/package": (_JSON, "text/csv", _HTML),
}
# What a page may answer besides what it is for.
_NO = {
    "400": "Something of it cannot be read.",
    "401": "Nobody is signed in.",
    "403": "Not allowed, or a form that no page of ours showed.",
    "404": "There is no such page, or not for this visitor.",
    "408": "It took too long to come in.",
    "409": "It does not hold.",
    "413": "It is too large.",
    "429": "Too many at once.",
    "503": "The reception does not answer.",
}


class Nobody(Reception):
    """Answers nothing: the description needs no home."""

    def ask(self, question: Question, session: str, address: str, **fields: Any) -> Any:
        return self.told(question, session, address, **fields)

    def told(self, question: Question, session: str, address: str, **fields: Any) -> Mapping[str, Any]:  # noqa: ARG002
        raise TryAgain("there is no reception")


def described(origin: str = "https://localhost") -> dict[str, Any]:
    """The document."""
    made = app(Nobody(), Site(origin))
    said = get_openapi(title="Depositaire", version="1", openapi_version="3.1.0", routes=made.routes)
    said["servers"] = [{"url": origin}]
    schemes = {"session": {"type": "apiKey", "in": "cookie", "name": Site.cookie("session")}}
    said["components"] = {"securitySchemes": schemes}
    for page in PAGES:
        _detail(said["paths"][page.path][page.method.lower()], page)
    return said


def _detail(operation: dict[str, Any], page: Page) -> None:
    operation["operationId"] = page.name
    operation["x-asks"] = sorted(str(q) for q in page.asks)
    operation["security"] = [] if page.needs is Needs.NOTHING else [{"session": []}]
    if page.method == "POST":
        operation["requestBody"] = _form(page)
    kind = _JSON if page.script else _HTML
    # A no that comes before a page is reached is said in a plain line, or by the page of what there is not.
    said = {status: _answer(why, kind, _PLAIN, _HTML) for status, why in _NO.items()}
    operation["responses"] = {"200": _answer("What was asked for.", *_served(page, kind))} | said | {
        "303": {"description": "Go there: the sign-in where nobody is signed in."}
    }  # fmt: skip


def _served(page: Page, kind: str) -> tuple[str, ...]:
    if page.path.startswith("/static/"):
        return ("text/css", "text/javascript", "image/svg+xml")
    return FILES.get(page.path, (kind,))


def _answer(why: str, *kinds: str) -> dict[str, Any]:
    return {"description": why, "content": {kind: {} for kind in dict.fromkeys(kinds)}}


def _form(page: Page) -> dict[str, Any]:
    fields = {name: {"type": "string"} for name in ("form", *filled(page))}
    body = {"type": "object", "properties": fields, "required": ["form"], "additionalProperties": {"type": "string"}}
    return {"required": True, "content": {_FORM: {"schema": body}, _JSON: {"schema": body}}}


def filled(page: Page) -> list[str]:
    """The fields that a page's function looks at by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(page.show))))
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "filled":
            found += [text for each in node.args for text in _texts(each, tree)]
    return sorted(set(found))


def _texts(node: ast.expr, tree: ast.AST) -> list[str]:
    """A name that is written out, or those that a loop gives."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name):
        loops = (each for each in ast.walk(tree) if isinstance(each, ast.comprehension | ast.For))
        given = (loop.iter for loop in loops if isinstance(loop.target, ast.Name) and loop.target.id == node.id)
        return [
            e.value for each in given if isinstance(each, ast.Tuple | ast.List)
            for e in each.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)
        ]  # fmt: skip
    return []
