"""Where events are sent: `[openlineage]` of the home's settings. The key comes from the environment, and is kept
nowhere."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from schemas.addresses import is_here
from schemas.errors import Malformed
from schemas.home import Home
from store.engine import settings_of

API_KEY = "DEPOSITAIRE_OPENLINEAGE_API_KEY"
ENDPOINT = "/api/v1/lineage"
_KNOWN = frozenset({"url", "endpoint"})


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes events, over HTTP: https, or http on this machine."""

    host: str
    port: int | None
    path: str
    secure: bool
    key: str | None = field(default=None, repr=False)


def receiver(home: Home) -> Receiver | None:
    """None: nobody; events stay in their files. Raises Malformed for a table that is not understood."""
    said = settings_of(home).get("openlineage")
    if said is None:
        return None
    if not isinstance(said, dict) or not set(said) <= _KNOWN or not all(isinstance(v, str) for v in said.values()):
        raise Malformed(
            f"{home.settings.name}: [openlineage] has a url, and may have an endpoint",
            f"The key stands in the environment variable {API_KEY}.",
        )
    return _receiver(home.settings.name, said.get("url", ""), said.get("endpoint", ENDPOINT))


def _receiver(name: str, url: str, endpoint: str) -> Receiver:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    plain = parts.scheme == "http" and host is not None and is_here(host)
    if not host or not (parts.scheme == "https" or plain) or parts.username or parts.query or parts.fragment:
        raise Malformed(
            f"{name}: the url of [openlineage] is not one of https",
            "Only on this machine may it be http; no key in it.",
        )
    path = f"{parts.path.rstrip('/')}/{endpoint.lstrip('/')}"
    return Receiver(host, port, path, parts.scheme == "https", os.environ.get(API_KEY) or None)
