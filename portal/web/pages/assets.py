"""The style sheet and the scripts: read once, named by what is in them, so that a browser may keep them."""

from hashlib import sha256
from pathlib import Path

from fastapi.responses import Response

from portal.web.registry import PAGES
from portal.web.visit import Here
from schemas.access import NotThere, Question

_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FILES = {p.name: p for p in sorted((Path(__file__).parents[1] / "static").iterdir()) if p.suffix in _KINDS}
_BODIES = {name: path.read_bytes() for name, path in _FILES.items()}


@PAGES.get("/static/{name}", Question.ASSET)
def asset(visit: Here, name: str) -> Response:  # noqa: ARG001 - every page is given its visit
    if name not in _BODIES:
        raise NotThere("there is no such page")
    kept = {"etag": f'"{sha256(_BODIES[name]).hexdigest()[:32]}"', "cache-control": "public, max-age=300"}
    return Response(_BODIES[name], media_type=_KINDS[_FILES[name].suffix], headers=kept)
