"""The web pages as an ASGI application: made from the list of pages and nothing else."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from portal.web import pages as _pages  # noqa: F401 - imported, and so listed
from portal.web.guard import Guard
from portal.web.reception import Reception
from portal.web.registry import PAGES, Unlisted
from portal.web.site import Site
from portal.web.visit import bare
from portal.web.words import marked as _
from schemas.access import NotThere, SignedOut, TooOften
from schemas.errors import Malformed, NotVerified, Refused, Say, TryAgain

# Which status a no has, and what the page says above it. The first that fits counts.
_NO: tuple[tuple[type[Say], int, str], ...] = (
    (Malformed, 400, _("This cannot be read")),
    (NotVerified, 409, _("This does not hold")),
    (TooOften, 429, _("Not now")),
    (TryAgain, 503, _("Not now")),
    (Refused, 403, _("This is not allowed")),
)


def app(reception: Reception, site: Site) -> FastAPI:
    """Every listed page, and no route that is not listed. Raises Unlisted."""
    made = FastAPI(title="Depositaire", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    made.state.reception, made.state.site = reception, site
    for page in PAGES:
        made.add_api_route(
            page.path, page.show, methods=[page.method], name=page.name, response_model=None,
            response_class=Response,
        )  # fmt: skip
    made.add_exception_handler(Say, _said_no)
    made.add_exception_handler(RequestValidationError, _not_there)
    made.add_exception_handler(HTTPException, _not_there)
    made.add_middleware(Guard, site=site)
    close(made.routes)
    return made


def close(routes: list[BaseRoute]) -> None:
    """Raises Unlisted for a route that is not on the list of pages, whoever added it."""
    known = {(page.path, str(page.method)): page.show for page in PAGES}
    for route in routes:
        listed = isinstance(route, APIRoute) and all(
            known.get((route.path, method)) is route.endpoint for method in route.methods or ("",)
        )
        if not listed:
            raise Unlisted(f"{getattr(route, 'path', route)} is not on the list of pages")


async def _said_no(request: Request, no: Exception) -> Response:
    assert isinstance(no, Say)
    visit = bare(request)
    route = request.scope.get("route")
    script = isinstance(route, APIRoute) and PAGES.named(route.name).script
    if isinstance(no, SignedOut):
        visit.end()
        return visit.answer({"no": visit.why(no)}, 401) if script else visit.go("/sign-in")
    if isinstance(no, NotThere):
        return await _not_there(request, no)
    _kind, status, title = next(known for known in _NO if isinstance(no, known[0]))
    if script:
        return visit.answer({"no": visit.why(no)}, status)
    return visit.show("error.html", status, title=visit.say(title), why=visit.why(no))


async def _not_there(request: Request, no: Exception) -> Response:  # noqa: ARG001 - nobody is told why
    """The same bytes for what there is not and for what is somebody else's: nothing in it comes from the request but
    the language."""
    return bare(request).show("not_there.html", 404)
