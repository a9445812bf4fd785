"""How notices leave: `[notices]` of the home's settings. The password comes from the environment, and is kept
nowhere."""

import os
from dataclasses import dataclass, field
from typing import Any

from schemas.addresses import is_here
from schemas.errors import Malformed
from schemas.home import Home
from store.engine import settings_of

PASSWORD = "DEPOSITAIRE_SMTP_PASSWORD"  # noqa: S105 - the name of a variable
STARTTLS, TLS, NONE = "starttls", "tls", "none"
_TEXTS = frozenset({"smtp", "user", "from", "security"})
_NUMBERS = frozenset({"put_aside"})
PUT_ASIDE = 10  # lines of one delivery from which on somebody is told, unless said otherwise


@dataclass(frozen=True, slots=True)
class Mail:
    """The server that takes letters. Without TLS on this machine only."""

    host: str
    port: int
    sender: str
    security: str = STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """`put_aside`: lines of one delivery from which on it is told."""

    mail: Mail | None = None
    put_aside: int = PUT_ASIDE


def settings(home: Home) -> Settings:
    """Raises Malformed for a table that is not understood."""
    said = settings_of(home).get("notices", {})
    if not isinstance(said, dict) or not set(said) <= _TEXTS | _NUMBERS or not _typed(said):
        raise Malformed(
            f"{home.settings.name}: [notices] has smtp, from, user, security and put_aside",
            f"The password stands in the environment variable {PASSWORD}.",
        )
    return Settings(_mail(home.settings.name, said), said.get("put_aside", PUT_ASIDE))


def _typed(said: dict[str, Any]) -> bool:
    numbers = all(type(said[n]) is int and said[n] > 0 for n in _NUMBERS & set(said))
    return numbers and all(isinstance(said[n], str) for n in _TEXTS & set(said))


def _mail(name: str, said: dict[str, Any]) -> Mail | None:
    if "smtp" not in said:
        return None
    host, _, port = said["smtp"].rpartition(":")
    sender, security = said.get("from", ""), said.get("security", STARTTLS)
    if not host or not port.isdigit() or "@" not in sender or any(c.isspace() for c in sender):
        raise Malformed(f"{name}: smtp of [notices] is HOST:PORT, from an address", "Write smtp.example:587.")
    if security not in (STARTTLS, TLS, NONE) or (security == NONE and not is_here(host)):
        raise Malformed(f"{name}: security of [notices] is starttls or tls", "Only on this machine may it be none.")
    password = os.environ.get(PASSWORD) or None
    if not f"{said.get('user', '')}{password or ''}".isascii():
        raise Malformed("the login of the mail server is not in ASCII", "Choose another password there.")
    return Mail(host, int(port), sender, security, said.get("user"), password)
