"""A file as it comes from the reception, part by part: nothing of it is kept here, and no part of it can be asked for
alone (no `Range`)."""

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from fastapi.responses import Response, StreamingResponse

Ask = Callable[[int], Mapping[str, Any]]


def streamed(ask: Ask, name: str, kind: str, size: int | None = None) -> Response:
    """`ask`: the part at an offset, with `part` in base64 and `next`. The first is asked for before anything is sent,
    so that a no is still an answer. `name`: of the file, plain ASCII of ours."""
    first = ask(0)
    headers = {"content-disposition": f'attachment; filename="{name}"', "accept-ranges": "none"}
    if size is not None:
        headers["content-length"] = str(size)
    return StreamingResponse(chain([_bytes(first)], _rest(ask, first)), media_type=kind, headers=headers)


def _rest(ask: Ask, first: Mapping[str, Any]) -> Iterator[bytes]:
    at = first.get("next")
    while at is not None:
        said = ask(at)
        yield _bytes(said)
        at = said.get("next")


def _bytes(said: Mapping[str, Any]) -> bytes:
    return b64decode(said["part"])
