"""Where the pages are, and what their cookies are called there.

Cookies carry `__Host-`: only this host, only over TLS, for every path (RFC 6265bis §4.1.3). To try the door out on
one's own machine, `http://localhost` and `http://127.0.0.1` are served too: Chromium takes such cookies there as it
does over TLS (measured), so that they are the same everywhere. No other address without TLS is served.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from schemas.errors import Malformed

LOOPBACK = ("localhost", "127.0.0.1")
Cookie = Literal["session", "form", "language", "flow", "provider"]


@dataclass(frozen=True, slots=True)
class Site:
    """`origin` as a browser says it: `https://name` or `https://name:port`."""

    origin: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.origin)
        plain = f"{parts.scheme}://{parts.netloc}" == self.origin
        if not plain or not parts.hostname or not (self.secure or parts.hostname in LOOPBACK):
            raise Malformed(
                "the origin is no address of a site", "Write https://name; http only for localhost, to try it out."
            )

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may say it is for."""
        name = urlsplit(self.origin).hostname or ""
        return (name,) if self.secure else LOOPBACK

    @staticmethod
    def cookie(name: Cookie) -> str:
        return f"__Host-{name}"
